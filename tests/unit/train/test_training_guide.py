"""docs/guide/training.md is true: its notebook runs, and it names every method and kind."""

import re
from pathlib import Path
from typing import Any

import pytest

from annotate.world import WorldConfig, make_world
from train.attacks.methods import methods
from train.models.backbones import BACKBONES
from train.models.kinds import kinds

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "training.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_notebook_runs(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_world("world", WorldConfig(images=40, pool=4, heldout=6, size=64, objects=("cat", "ram")))
    names: dict[str, Any] = {}
    (block,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), names)
    assert names["said"] in ("cat", "ram")
    assert names["true"] in ("cat", "ram")
    assert names["labels"].shape == names["pixels"].shape[:2]
    assert len(names["verdicts"].clean) == 6
    assert (names["verdicts"].clean >= names["verdicts"].robust).all()


@pytest.mark.parametrize("name", [*methods.names(), *kinds.names(), *BACKBONES])
def test_it_names(name: str) -> None:
    assert f"`{name}`" in TEXT
