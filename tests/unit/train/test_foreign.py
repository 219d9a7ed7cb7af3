"""Checkpoints of others: the same logits as timm's, and one sentence for each bad file."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from partlab.errors import ConfigError, DatasetError, PartlabError
from partlab.files import write_json
from train.models.foreign import load_foreign


def _card(folder: Path, state: Any, **other: Any) -> Path:
    torch.save(state, folder / "w.pth")
    card = {"foreign": 1, "architecture": "resnet18", "weights": "w.pth", "size": 64}
    card |= {"classes": ["a", "b", "c"], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2]}
    write_json(folder / "card.json", card | other)
    return folder


def _network() -> Any:
    return timm.create_model("resnet18", num_classes=3).eval()


def _pinpp(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    named = {
        f"classifer.2.{k[3:]}" if k.startswith("fc.") else f"segmenter.{k}": v
        for k, v in state.items()
    }
    return {**named, "cp1.0.weight": torch.zeros(1), "up_layer1.1.conv1.weight": torch.zeros(1)}


@pytest.mark.parametrize("keys", ["timm", "pinpp"])
def test_logits_are_those_of_the_plain_timm_model(tmp_path: Path, keys: str) -> None:
    plain = _network()
    state = _pinpp(plain.state_dict()) if keys == "pinpp" else plain.state_dict()
    model = load_foreign(_card(tmp_path, {"state_dict": state}, keys=keys))
    pixels = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(model.preprocessing[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    assert torch.equal(model(pixels), plain((pixels - mean) / std))
    assert model.classes == ("a", "b", "c")
    assert len(model.left_out) == (2 if keys == "pinpp" else 0)


def test_bad_files_are_told(tmp_path: Path) -> None:
    state = _network().state_dict()
    with pytest.raises(ConfigError, match=r"2 of another shape \(fc.bias, fc.weight\)"):
        load_foreign(_card(tmp_path, state, classes=["a"]))
    with pytest.raises(ConfigError, match=r"1 missing \(conv1.weight\)"):
        load_foreign(_card(tmp_path, {k: v for k, v in state.items() if k != "conv1.weight"}))
    with pytest.raises(DatasetError, match="more than tensors"):
        load_foreign(_card(tmp_path, nn.Linear(1, 1)))
    (tmp_path / "w.pth").write_text("\n<!DOCTYPE html><html></html>")
    with pytest.raises(DatasetError, match="web page"):
        load_foreign(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(PartlabError, match="damaged"):
        load_foreign(tmp_path)
