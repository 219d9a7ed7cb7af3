"""Published tables: their means come out again, and what is not comparable says why."""

import pytest

from partlab.errors import UnknownNameError
from train.references import references


@pytest.mark.parametrize(
    ("table", "mean", "of"),
    [
        ("2", "average", ["linf", "linf x2", "l1", "l2"]),
        ("S6", "mean of three", ["linf", "l1", "l2"]),
        ("3", "mean", None),
        ("4", "mean", None),
    ],
)
def test_published_means_come_out_again(table: str, mean: str, of: list[str] | None) -> None:
    for row in references(table):
        names = of or [name for name in row.figures if name != mean]
        values = [row.figures[name] or 0 for name in names]
        # Parts and mean are each rounded to 0.1, so the two may differ by 0.05 + 0.05.
        assert row.figures[mean] == pytest.approx(sum(values) / len(values), abs=0.1), row.name


def test_only_one_published_mean_is_not_that_of_the_printed_values() -> None:
    """Table 3's last row: 36.347 of the printed values, 36.4 published, of the unrounded ones."""
    further = []
    for row in (*references("2"), *references("3"), *references("4"), *references("S6")):
        *values, mean = (value or 0 for value in row.figures.values())
        parts = values if len(values) > 5 or "clean" not in row.figures else values[1:]
        if abs(sum(parts) / len(parts) - mean) > 0.05 + 1e-9:
            further.append((row.source, row.name))
    assert further == [("PartImageNet++ Table 3", "part + AT")]


def test_not_comparable_says_why() -> None:
    row = references("AdvXL")[0]
    assert row.figures["linf"] == 71.0
    fits, why = row.comparable_with("ImageNet-1K, 10 K list", "ImageNet-1K", 224)
    assert not fits
    for reason in ("DataComp-1B", "336", "list is not stated"):
        assert reason in why
    assert references("2")[0].comparable_with("ImageNet-1K, 10 K list", "ImageNet-1K", 224)[0]


def test_what_its_source_does_not_state_is_not_made_up() -> None:
    (row,) = references("RaResNet")
    assert (row.list, row.training_data, row.size) == (None, None, None)
    _, why = row.comparable_with("ImageNet-1K, 10 K list", "ImageNet-1K", 224)
    assert why == (
        "not comparable: its list is not stated; its training data is not stated; "
        "its size is not stated"
    )


def test_rows_of_one_table_that_differ_say_so() -> None:
    wang, mpm = references("S7")[2], references("S7")[-1]
    assert (wang.size, wang.list, mpm.size, mpm.list) == (64, "ImageNet-1K val", 224, None)
    assert "Tiny-PartImageNet++" in mpm.comparable_with("ImageNet-1K val", "ImageNet-1K", 224)[1]


def test_an_unknown_table_is_told() -> None:
    with pytest.raises(UnknownNameError, match="S9"):
        references("S9")
