"""Published tables of part metrics, whose mAP columns are exchanged in print."""

import json
from pathlib import Path

import pytest

from partlab.errors import UnknownNameError
from train.references import hingun as module
from train.references.hingun import hingun


def test_mean_ap_at_a_half_is_never_below_the_mean_over_thresholds() -> None:
    """A known defect of the report (A18): as printed it is, in all cells but one."""
    printed = json.loads(Path(module.__file__).with_name("hingun.json").read_text("utf-8"))
    cells = [block for table in ("2.2", "2.3") for row in printed[table]["rows"]
             for block in row[4:]]  # fmt: skip
    assert sum(block[1] >= block[2] for block in cells) == 1
    blocks = [
        block
        for table in ("2.2", "2.3")
        for row in hingun(table)
        for block in (row.pretrained, row.clean, row.attacked)
    ]
    assert all(block.ap50 >= block.ap for block in blocks)
    assert sum(block.exchanged for block in blocks) == len(cells) - 1


def test_rows_say_what_they_are() -> None:
    first, *others = hingun("2.3")
    assert (first.parameters, first.attacked.accuracy) == (26.8, 40.6)
    assert first.attacked.ap50 == pytest.approx(6.4)
    assert others[2].label == "DINO sequential, 900 queries, 1 layer"
    assert {row.clean.accuracy for row in hingun("2.2")} == {None}
    assert "exchanged" in others[-1].note
    with pytest.raises(UnknownNameError):
        hingun("2.4")
