"""Checkpoints of others: the same logits as timm's, and one sentence for each bad file."""

import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform
from torch import Tensor, nn

from partlab.errors import ConfigError, DatasetError, PartlabError, UnknownNameError
from partlab.files import write_json
from train.evaluate.opened import open_model
from train.models.foreign import Foreign, load_foreign

State = dict[str, Tensor]
PARTS = 3311
"""Part channels of the release: 3,310 parts and background."""


def _card(folder: Path, state: Any, **other: Any) -> Path:
    torch.save(state, folder / "w.pth")
    card = {"foreign": 1, "architecture": "test_resnet", "weights": "w.pth", "size": 64}
    card |= {"classes": ["a", "b", "c"], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2]}
    write_json(folder / "card.json", card | other)
    return folder


def _network(name: str = "test_resnet", classes: int = 3) -> Any:
    return timm.create_model(name, num_classes=classes).eval()


def _same(model: Foreign, plain: nn.Module, side: int = 64) -> bool:
    pixels = torch.rand(2, 3, side, side)
    mean, std = (torch.tensor(model.preprocessing[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        return torch.equal(model(pixels), plain((pixels - mean) / std))


def _part_layers(channels: int = 2048) -> State:
    """The release's layers beside a ResNet-50, with their names and shapes; all zero."""
    wide = channels // 4
    shapes: dict[str, tuple[int, ...]] = {}
    for level in (1, 2, 3):
        inner, outer = wide >> (level - 1), channels >> (level - 1)
        shapes[f"cp{level}.0.weight"] = (inner, outer, 1, 1)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"cp{level}.1.{name}"] = (inner,)
        shapes[f"cp{level}.1.num_batches_tracked"] = ()
        heads = [("segmenter_head", PARTS)] + [("up_layer", inner // 2)] * (level < 3)
        for head, out in heads:
            shapes[f"{head}{level}.1.conv1.weight"] = (inner, 1, 3, 3)
            shapes[f"{head}{level}.1.pointwise.weight"] = (out, inner, 1, 1)
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def _released(plain: nn.Module) -> State:
    named = {
        f"classifer.2.{k[3:]}" if k.startswith("fc.") else f"segmenter.{k}": v
        for k, v in plain.state_dict().items()
    }
    return {**named, **_part_layers()}


def test_a_released_mpm_of_resnet50_gives_its_averaged_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = _network("resnet50", 1000)
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.GELU())
    state = _released(plain)
    raw = {f"module.{key}": torch.zeros(()).expand(value.shape) for key, value in state.items()}
    saved = {"epoch": 79, "arch": "resnet50", "args": Namespace(lr=0.2), "metric": 39.1}
    saved |= {"state_dict": raw, "state_dict_ema": state, "optimizer": {"state": {}}}
    names = [f"n{place:08}" for place in range(1000)]
    options: dict[str, Any] = {"architecture": "resnet50", "classes": names, "gelu": True}
    with caplog.at_level(logging.INFO):
        model = load_foreign(_card(tmp_path, saved, keys="pinpp", **options))
    assert _same(model, plain)
    assert set(model.left_out) == _part_layers().keys()
    # 4.5 M parameters beside the network, as the paper says of its part layers.
    beside = [v.numel() for k, v in _part_layers().items() if "running" not in k]
    assert sum(beside) == pytest.approx(4.52e6, rel=1e-3)
    assert "state_dict_ema is taken, not state_dict" in caplog.text


def test_wrappers_of_several_gpus_and_old_batch_norms_are_read(tmp_path: Path) -> None:
    plain = _network()
    state = {k: v for k, v in plain.state_dict().items() if "num_batches" not in k}
    saved = {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}
    assert _same(load_foreign(_card(tmp_path, saved)), plain)
    save_file(state, tmp_path / "w.safetensors")
    assert _same(load_foreign(_card(tmp_path, {}, weights="w.safetensors")), plain)


def _sequential(plain: nn.Module, mean: list[float]) -> dict[str, Any]:
    state = {f"module.1.{key}": value for key, value in plain.state_dict().items()}
    state["module.0.mean"] = torch.tensor(mean)[None, :, None, None]
    state["module.0.std"] = torch.tensor([0.2, 0.3, 0.2])[None, :, None, None]
    return {"epoch": 50, "state_dict": state, "optimizer": {}, "args": Namespace(lr=0.1)}


def test_a_classifier_that_normalises_in_its_first_layer(tmp_path: Path) -> None:
    plain = _network("resnet50", 11)
    names = [f"animal {place}" for place in range(11)]
    options: dict[str, Any] = {"architecture": "resnet50", "classes": names, "keys": "sitawarin"}
    saved = _sequential(plain, [0.4, 0.5, 0.6])
    model = load_foreign(_card(tmp_path, saved, **options))
    assert _same(model, plain)
    assert model.left_out == ()
    with pytest.raises(ConfigError, match=r"mean \[0.5, .*its card says \[0.4"):
        load_foreign(_card(tmp_path, _sequential(plain, [0.5, 0.5, 0.6]), **options))


def test_a_key_map_of_ones_own(tmp_path: Path) -> None:
    plain = _network()
    state = {f"body.{key}": value for key, value in plain.state_dict().items()}
    state["head.weight"] = torch.zeros(4)
    model = load_foreign(_card(tmp_path, state, keys=[["body.", ""], ["head.", None]]))
    assert _same(model, plain)
    assert model.left_out == ("head.weight",)
    state["fc.bias"] = torch.zeros(3)
    with pytest.raises(ConfigError, match=r"two tensors become fc\.bias"):
        load_foreign(_card(tmp_path, state, keys=[["body.", ""], ["head.", None]]))


@pytest.mark.parametrize(
    ("given", "share", "how"),
    [
        ({}, 0.875, "bicubic"),
        ({"crop_pct": 0.9, "interpolation": "bilinear"}, 0.9, "bilinear"),
        ({"crop_pct": 1.0, "interpolation": "lanczos"}, 1.0, "lanczos"),
        ({"keys": "sitawarin"}, 0.875, "bilinear"),
        ({"keys": "sitawarin", "interpolation": "bicubic"}, 0.875, "bicubic"),
    ],
)
def test_pictures_are_scaled_and_cut_as_timm_does_by_the_card(
    tmp_path: Path, given: Any, share: float, how: str
) -> None:  # RK-15
    """52 / 0.9 is 57.8, of which timm makes 57."""
    state = _network().state_dict()
    if given.get("keys"):
        state = {f"1.{key}": value for key, value in state.items()}
    opened = open_model(_card(tmp_path, state, size=52, **given), device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (90, 121, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    seen = create_transform(52, crop_pct=share, interpolation=how, mean=(0.0,) * 3, std=(1.0,) * 3)
    wanted = seen(Image.fromarray(pixels))
    assert torch.equal(opened.pictures([tmp_path / "a.png"])[0], wanted)
    told = opened.described("m", tmp_path).preprocessing
    assert (told["shorter_side"], told["interpolation"]) == (int(52 / share), how)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"crop_pct": 0}, "'crop_pct'"),
        ({"crop_pct": 87.5}, "'crop_pct'"),
        ({"interpolation": "cubic"}, "'interpolation'"),
        ({"mean": [0.5, 0.5]}, "'mean"),
        ({"std": [0.5, 0.5, 0]}, "'std.2'"),
        ({"size": 0}, "'size'"),
        ({"size": "large"}, "'size'"),
        ({"classes": ["a", "b", "a"]}, "the class 'a' twice"),
        ({"classes": "abc"}, "'classes'"),
        ({"foreign": 2}, "'foreign'"),
        ({"gelu": "perhaps"}, "'gelu'"),
        ({"means": [0, 0, 0]}, "unknown setting 'means'"),
    ],
)
def test_wrong_fields_of_a_card_are_told(tmp_path: Path, wrong: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        load_foreign(_card(tmp_path, {}, **wrong))
    assert "card.json" in told.value.message


def test_a_field_that_is_not_there_and_names_that_there_are_not(tmp_path: Path) -> None:
    write_json(tmp_path / "card.json", {"foreign": 1})
    with pytest.raises(ConfigError, match="'architecture'"):
        load_foreign(tmp_path)
    with pytest.raises(UnknownNameError, match="resnet5O"):
        load_foreign(_card(tmp_path, {}, architecture="resnet5O"))
    with pytest.raises(UnknownNameError, match="pinp"):
        load_foreign(_card(tmp_path, {}, keys="pinp"))


def test_bad_files_are_told(tmp_path: Path) -> None:
    state = _network().state_dict()
    with pytest.raises(ConfigError, match=r"2 tensors of another shape \(fc.weight, fc.bias\)"):
        load_foreign(_card(tmp_path, state, classes=["a", "b"]))
    with pytest.raises(ConfigError, match=r"1 tensor missing \(fc.bias\)"):
        load_foreign(_card(tmp_path, {k: v for k, v in state.items() if k != "fc.bias"}))
    with pytest.raises(DatasetError, match="more than tensors"):
        load_foreign(_card(tmp_path, nn.Linear(1, 1)))
    with pytest.raises(DatasetError, match="holds no state dict"):
        load_foreign(_card(tmp_path, {"epoch": 3}))
    state["fc.weight"][0, 0] = float("nan")
    with pytest.raises(DatasetError, match=r"1 tensor holds values .* \(fc.weight\)"):
        load_foreign(_card(tmp_path, state))
    (tmp_path / "w.pth").write_text("\n<!DOCTYPE html><html></html>")
    with pytest.raises(DatasetError, match="web page"):
        load_foreign(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(PartlabError, match="is empty"):
        load_foreign(tmp_path)


def test_another_card_makes_another_model_of_the_same_weights(tmp_path: Path) -> None:
    """RK-17: verdicts made with a wrong card are not taken for those of the mended one."""
    state = _network().state_dict()
    first, again = (open_model(_card(tmp_path, state), device="cpu").sha256 for _ in range(2))
    noted = open_model(_card(tmp_path, state, training={"data": "x"}), device="cpu").sha256
    mended = open_model(_card(tmp_path, state, gelu=True), device="cpu").sha256
    assert first == again == noted  # what it was trained on is no part of what it computes
    assert mended != first
