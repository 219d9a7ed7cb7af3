"""Numbers before words, as a person says them."""

from partlab.counts import counted, few


def test_one_and_many() -> None:
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert counted(1, "category", "categories") == "1 category"
    assert counted(3, "category", "categories") == "3 categories"
    assert counted(1, "picture is", "pictures are") == "1 picture is"


def test_long_lists_of_names_are_cut_and_counted() -> None:
    assert few([]) == ""
    assert few(["cat", "dog"], 2) == "cat, dog"
    assert few(["cat", "dog", "ram"], 2) == "cat, dog and 1 more"
    assert few([*"abcdefg"]) == "a, b, c, d, e and 2 more"
