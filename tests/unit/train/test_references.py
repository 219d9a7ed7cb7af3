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
    ],
)
def test_published_means_come_out_again(table: str, mean: str, of: list[str] | None) -> None:
    for row in references(table):
        names = of or [name for name in row.figures if name != mean]
        values = [row.figures[name] or 0 for name in names]
        # Parts and mean are each rounded to 0.1, so the two may differ by 0.05 + 0.05.
        assert row.figures[mean] == pytest.approx(sum(values) / len(values), abs=0.1), row.name


def test_not_comparable_says_why() -> None:
    row = references("AdvXL")[0]
    assert row.figures["linf"] == 71.0
    fits, why = row.comparable_with("ImageNet-1K, 10 K list", "ImageNet-1K", 224)
    assert not fits
    for reason in ("DataComp-1B", "336", "list is not stated"):
        assert reason in why
    assert references("2")[0].comparable_with("ImageNet-1K, 10 K list", "ImageNet-1K", 224)[0]


def test_an_unknown_table_is_told() -> None:
    with pytest.raises(UnknownNameError, match="S9"):
        references("S9")
