"""Lists of object categories in the forms people have them."""

import io
from pathlib import Path

import pytest

from annotate.vocabulary.categories import Category, read_categories
from partlab.errors import NotFoundError, SchemaError


def listed(text: str, folder: Path) -> list[Category]:
    (folder / "list.txt").write_text(text, encoding="utf-8")
    return read_categories(str(folder / "list.txt"))[0]


@pytest.mark.parametrize(
    ("line", "category"),
    [
        ("ram", Category("ram")),
        ("  acoustic   guitar ", Category("acoustic guitar")),
        ("acoustic_guitar", Category("acoustic guitar")),
        ("n02412080", Category(wnid="n02412080")),
        ("Q7378", Category(qid="Q7378")),
        ("q7378", Category(qid="Q7378")),
        ("02414726-n", Category(synset="02414726-n")),
        ("hammer = Q25294", Category("hammer", qid="Q25294")),
        ("crane=n03126707", Category("crane", wnid="n03126707")),
        ("ram;n02412080;Q2929800", Category("ram", "n02412080", "Q2929800")),
        ("n02412080\tram", Category("ram", "n02412080")),
        ("n01440764 tench, Tinca tinca", Category("tench", "n01440764", aliases=("Tinca tinca",))),
        ('"fire engine",n03345487', Category("fire engine", "n03345487")),
        ("Körnerschnabel", Category("Körnerschnabel")),
        ("槌 = Q25294", Category("槌", qid="Q25294")),
        ("a:b/c", Category("a b c")),
    ],
)
def test_one_line(line: str, category: Category, tmp_path: Path) -> None:
    assert listed(line, tmp_path) == [category]


def test_blank_lines_comments_and_heads_are_skipped(tmp_path: Path) -> None:
    text = "\ufeffname,wnid,qid\n# farm\n\nram,n02412080,Q2929800\n   \nname\n"
    assert listed(text, tmp_path) == [Category("ram", "n02412080", "Q2929800"), Category("name")]


def test_twins_are_told(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("ram\nRam\nn02412080\nQ5\nsheep = Q5\n")
    kept, twice = read_categories(str(tmp_path / "list.txt"))
    assert [one.shown for one in kept] == ["ram", "n02412080", "Q5"]
    assert twice == ["Ram", "sheep"]


def test_names_by_comma_and_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_categories("hammer, ram = n02412080")[0] == [
        Category("hammer"),
        Category("ram", "n02412080"),
    ]
    long = ",".join(f"thing {number}" for number in range(100))
    assert len(read_categories(long)[0]) == 100
    monkeypatch.setattr("sys.stdin", io.StringIO("ram\nhammer\n"))
    assert [one.name for one in read_categories("-")[0]] == ["ram", "hammer"]


@pytest.mark.parametrize("source", ["missing.txt", "lists/farm", "x.csv", "C:\\lists"])
def test_a_missing_file_is_no_category(source: str) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        read_categories(source)


@pytest.mark.parametrize("content", [b"", b"# only words\n\n", b"\xff\xfe\x00ram"])
def test_files_that_name_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(SchemaError):
        read_categories(str(tmp_path / "list.txt"))
    with pytest.raises(SchemaError, match="no object category"):
        read_categories(",")
