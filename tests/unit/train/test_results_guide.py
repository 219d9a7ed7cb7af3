"""docs/guide/results.md shows what the table of trainings says, and the report counts rightly."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "guide" / "results.md"
REPORT = runpy.run_path(str(ROOT / "benchmarks" / "part_supervision_report.py"))
ATTACKED = runpy.run_path(str(ROOT / "benchmarks" / "part_supervision_attacked_report.py"))


def line(clean: list[int], robust: list[int], **more: Any) -> dict[str, Any]:
    """A training of a few pictures, as the benchmark writes it."""
    packed = [np.packbits(np.array(each, bool)).tobytes().hex() for each in (clean, robust)]
    means = {"clean": float(np.mean(clean)), "robust": float(np.mean(robust))}
    bits = {"right": packed[0], "right under attack": packed[1]}
    return {"pictures": len(clean), **means, **bits, **more}


def test_the_tables_of_the_guide_are_those_of_the_trainings() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = REPORT["tables"](REPORT["read"]()) | ATTACKED["tables"](ATTACKED["read"]())
    assert all(f"<!-- table {name} -->" in text for name in found)
    assert REPORT["filled"](text, found) == text
    assert (PAGE.parent / "images" / "part-supervision.png").is_file()


def test_a_gain_is_over_the_vanilla_model_of_its_seed() -> None:
    arms = {
        "vanilla": {0: line([1, 1, 0, 0], [1, 0, 0, 0]), 1: line([1, 0, 0, 0], [0, 0, 0, 0])},
        "mpm": {0: line([1, 1, 1, 0], [1, 1, 0, 0]), 1: line([1, 1, 0, 0], [1, 0, 0, 0])},
        "two_stage": {2: line([1, 1, 1, 1], [1, 1, 1, 1])},
    }
    vanilla, mpm, alone = REPORT["table"](arms)[2:]
    assert vanilla.split("|")[3:7] == [" 37.5 ± 17.7 ", " 12.5 ± 17.7 ", "  ", "  "]
    assert mpm.split("|")[5:7] == [" +25.0 ± 0.0 ", " +25.0 ± 0.0 "]
    assert "no evidence (1.00) at worst" in mpm  # one picture of four proves nothing
    assert alone.split("|")[5:7] == ["  ", "  "]


def test_labels_of_others_are_compared_with_those_of_the_mask_rcnn_of_their_seed() -> None:
    arms = {
        "dense": {0: line([1, 1, 1, 0], [1, 1, 0, 0]), 1: line([1, 1, 0, 0], [1, 0, 0, 0])},
        "torchvision": {0: line([1, 1, 0, 0], [1, 0, 0, 0]), 1: line([1, 0, 0, 0], [0, 0, 0, 0])},
        "fused": {2: line([1, 1, 1, 1], [1, 1, 1, 1])},
    }
    head, _, torchvision, dense, fused = REPORT["makers"](arms)
    assert len({row.count("|") for row in (head, torchvision, dense, fused)}) == 1
    assert torchvision.split("|")[1:7] == [
        " torchvision ", " 2 ", " 37.5 ± 17.7 ", " 12.5 ± 17.7 ", "  ", "  "]  # fmt: skip
    assert dense.split("|")[5:7] == [" +25.0 ± 0.0 ", " +25.0 ± 0.0 "]
    assert fused.split("|")[5:7] == ["  ", "  "]  # no Mask R-CNN of its seed


def test_found_photographs_are_compared_with_found_ones() -> None:
    assert REPORT["rival"]("found, mpm") == "found, vanilla"
    assert REPORT["rival"]("mpm") == "vanilla"
    for control in ("vanilla", "found, vanilla", "the background alone"):
        assert REPORT["rival"](control) is None


def test_p_values_are_corrected_for_how_many_there_are() -> None:
    assert REPORT["holm"]([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert REPORT["holm"]([0.6, 0.7]) == [1.0, 1.0]
    assert REPORT["student"]([0.1]) is None
    assert REPORT["student"]([0.0, 0.0]) == 1.0
    assert REPORT["student"]([0.1, 0.1]) == 0.5  # two that agree to the picture prove nothing
    assert REPORT["student"]([1.0, 2.0, 3.0]) == pytest.approx(0.0742, abs=1e-4)


def test_the_guide_keeps_what_stands_between_its_tables() -> None:
    text = "a\n<!-- table A -->\nold\n<!-- end -->\nb\n<!-- table B -->\n<!-- end -->\n"
    found = REPORT["filled"](text, {"A": ["| x |", "| y |"], "B": []})
    assert found == (
        "a\n<!-- table A -->\n| x |\n| y |\n<!-- end -->\nb\n<!-- table B -->\n\n<!-- end -->\n"
    )
    assert REPORT["filled"](found, {"A": ["| x |", "| y |"]}) == found


def evaluated(clean: list[int], attacked: list[int], fog: str) -> dict[str, Any]:
    """A model on a few pictures, as benchmarks/part_supervision_attacked.py writes it."""
    bits = {name: line(each, each)["right"] for name, each in (("clean", clean), ("x", attacked))}
    stages = [{"name": "clean", "robust": np.mean(clean)}, {"name": "square", "robust": 0.125}]
    rows = [{"attack": "clean", "right": bits["clean"]}] + [
        {"attack": name, "right": bits["x"], "stages": stages} for name in ("pgd-50", "autoattack")
    ]  # fmt: skip
    checks = {"train_mode": {"ok": True}, "fgsm": {"ok": False}}
    return {
        "attacked": {"pictures": len(clean), "rows": rows, "checks": checks},
        "corrupted": {"pictures": len(clean), "clean": bits["clean"], "types": {"fog": fog}},
    }


def test_two_models_are_compared_picture_by_picture() -> None:
    models = {
        "vanilla": evaluated([1] * 8, [0] * 8, "00000000"),
        "mpm": evaluated([1] * 8, [1] * 7 + [0], "55555550"),
    }
    found = ATTACKED["tables"](models)
    head, _, vanilla, mpm, gain, p = found["attacked"]
    assert head.count("|") == mpm.count("|") == gain.count("|")
    assert "| 12.5 | 1 of 2 passed |" in vanilla
    assert [cell.split("(")[0].strip() for cell in gain.split("|")[2:5]] == ["+0.0", *["+87.5"] * 2]
    assert p.split("|")[2:5] == [" no evidence (1.00) ", " 0.05 ", " 0.05 "]  # 3 x 1/64, by Holm
    clean, fog, mean = found["corrupted"][2:]
    assert clean.startswith("| none (clean) | 100.0 ")
    assert [cell.split("(")[0].strip() for cell in fog.split("|")[1:5]] == [
        "fog", "0.0", "87.5", "+87.5"]  # fmt: skip
    assert mean.startswith("| mean of 1 | 0.0 ")
