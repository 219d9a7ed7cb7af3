"""Exported models: what is in them, and that they compute what the trained one did."""

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from partlab.errors import BackendUnavailableError, NotFoundError, OutputExistsError, PartlabError
from partlab.files import read_json, sha256_file
from partlab.training.checkpoints import save_weights
from partlab.training.runs import append_metrics
from train.export import export_model
from train.models.backbones import BACKBONES
from train.models.base import Recognizer
from train.models.build import build_model, create_model
from train.models.load import load_model
from train.models.two_stage import POOLED, cells
from train.onnx_file import TOLERANCE, write_onnx
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
    """A finished run with two validations, and its model as trained (BN statistics moved)."""

    def make(kind: str = "mpm", method: str = "pgd") -> tuple[Path, Recognizer]:
        settings = {
            "model": {"kind": kind, "backbone": "small_resnet8", "start": "somewhere"},
            "attack": {"method": method},
            "data": {"size": 64},
        }
        config = TrainConfig.model_validate(settings)
        plain = config.model.model_copy(update={"start": None})
        network = build_model(plain, CLASSES, PARTS, size=64)
        network(pictures(8), parts=True)
        run = tmp_path / f"run-{kind}-{method}"
        described = {"config": config.model_dump(mode="json"), "classes": list(CLASSES)}
        write_run(run, {**described, "parts": list(PARTS), "data": "d" * 64, "val": "e" * 64})
        for step, clean, pgd in ((10, 0.5, 0.4), (20, 0.75, 0.25)):
            append_metrics(run, {"step": step, "epoch": step // 10, "loss": 1.0})
            append_metrics(
                run, {"step": step, "epoch": step // 10, "val_clean": clean, "val_pgd": pgd}
            )
        save_weights(run, "best", network.state_dict())
        return run, network.eval()

    return make


def pictures(number: int = 2, side: int = 64) -> Tensor:
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["vanilla", "mpm", "two_stage"])
def test_an_exported_model_computes_what_the_trained_one_did(
    kind: str, make_run: Run, tmp_path: Path
) -> None:
    run, network = make_run(kind)
    card = export_model(run, tmp_path / "out")
    found = load_model(tmp_path / "out", device="cpu")
    with torch.no_grad():
        assert torch.equal(found(pictures()), network(pictures()))
    assert (
        found.kind == card["model"]["kind"] == ("two_stage" if kind == "two_stage" else "vanilla")
    )
    assert found.classes == CLASSES
    assert found.parts == (PARTS if kind == "two_stage" else ())
    assert not found.training
    names = {name.split(".")[0] for name in load_file(tmp_path / "out" / "model.safetensors")}
    assert names == {"normalise", "backbone"} | (
        {"head", "judge"} if kind == "two_stage" else set()
    )
    assert sum(each.numel() for each in found.parameters()) == card["parameters"]


def test_the_card_says_what_it_is_and_where_it_comes_from(make_run: Run, tmp_path: Path) -> None:
    run, _ = make_run()
    told = export_model(run, tmp_path / "out")
    card = read_json(tmp_path / "out" / "card.json")
    assert card == json.loads(json.dumps(told))
    assert card["what"] == (
        "vanilla_small_resnet8: classifies pictures of 64 x 64 pixels into 3 object categories, "
        "trained as mpm_small_resnet8 (its part layers left out)"
    )
    assert (card["classes"], card["parts"], card["model"]["start"]) == (list(CLASSES), [], None)
    plain = create_model("vanilla_small_resnet8", classes=3)
    assert card["parameters"] == sum(each.numel() for each in plain.parameters())
    weights = tmp_path / "out" / "model.safetensors"
    assert card["weights"] == {"file": weights.name, "sha256": sha256_file(weights)}
    shown = card["preprocessing"]
    assert (shown["size"], shown["shorter_side"], shown["crop"]) == (64, 73, "centre")
    assert shown["normalisation"]["mean"] == pytest.approx([0.485, 0.456, 0.406])
    trained = card["training"]
    assert (trained["run"], trained["checkpoint"]) == (run.name, "best")
    assert (trained["data"], trained["val"]) == ("d" * 64, "e" * 64)
    assert TrainConfig.model_validate(trained["config"]).model.kind == "mpm"
    assert str(tmp_path) not in json.dumps(card)


@pytest.mark.parametrize(
    ("method", "key", "step"), [("pgd", "val_pgd", 10), ("none", "val_clean", 20)]
)
def test_the_figures_are_the_best_and_the_last(
    method: str, key: str, step: int, make_run: Run, tmp_path: Path
) -> None:
    run, _ = make_run(method=method)
    figures = export_model(run, tmp_path / "out")["figures"]
    assert figures["chosen_by"] == key
    assert figures["best"]["step"] == step
    assert figures["last"] == {"step": 20, "epoch": 2, "val_clean": 0.75, "val_pgd": 0.25}


def test_a_run_without_validation_has_no_figures(make_run: Run, tmp_path: Path) -> None:
    run, _ = make_run()
    (run / "metrics.jsonl").unlink()
    figures = export_model(run, tmp_path / "out")["figures"]
    assert figures == {"chosen_by": None, "best": None, "last": None}


def test_nothing_is_overwritten_unasked(make_run: Run, tmp_path: Path) -> None:
    run, _ = make_run()
    export_model(run, tmp_path / "out")
    with pytest.raises(OutputExistsError, match="already exists"):
        export_model(run, tmp_path / "out")
    export_model(run, tmp_path / "out", force=True)
    with pytest.raises(OutputExistsError, match="is or holds the input"):
        export_model(run, run, force=True)
    with pytest.raises(NotFoundError, match="no checkpoint last"):
        export_model(run, tmp_path / "new", checkpoint="last")
    assert not (tmp_path / "new").exists()


def test_onnx_says_the_same(make_run: Run, tmp_path: Path) -> None:
    """Of any number of pictures, within the stated tolerance."""
    import onnxruntime

    run, network = make_run()
    card = export_model(run, tmp_path / "out", onnx=True)["onnx"]
    assert card["largest_difference"] <= card["allowed_difference"]
    assert card["allowed_difference"] >= TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / "out" / card["file"])
    images = pictures(3)
    (logits,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(logits), network(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["vanilla", "two_stage"])
@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(
            name, marks=[] if name in ("resnet18", "mobilenetv3_small_100") else pytest.mark.slow
        )
        for name in BACKBONES
    ],
)
def test_every_backbone_has_an_onnx_file(backbone: str, kind: str, tmp_path: Path) -> None:
    model = create_model(f"{kind}_{backbone}", classes=4, parts=PARTS, size=96).eval()
    found = write_onnx(model, 96, tmp_path / "model.onnx")
    assert found["largest_difference"] <= found["allowed_difference"]


def test_an_onnx_file_that_says_something_else_is_refused(
    make_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = make_run()
    monkeypatch.setattr("train.onnx_file.TOLERANCE", 0.0)
    monkeypatch.setattr("train.onnx_file.PICTURES", 64)
    export_model(run, tmp_path / "out")
    before = sorted(file.name for file in tmp_path.rglob("*"))
    with pytest.raises(PartlabError, match=r"logits differ by .*, 0 is allowed"):
        export_model(run, tmp_path / "out", onnx=True, force=True)
    assert sorted(file.name for file in tmp_path.rglob("*")) == before


def test_a_full_disk_is_told_with_the_folder_that_was_given(
    make_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run, _ = make_run()
    monkeypatch.setattr("train.onnx_file._export", full)
    out = tmp_path / "out"
    with pytest.raises(PartlabError, match=f"cannot write {out}/model.onnx: No space"):
        export_model(run, out, onnx=True)
    assert not out.exists()


def test_without_onnx_it_is_told_before_anything_is_written(
    make_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = make_run()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match="onnxruntime is not installed") as caught:
        export_model(run, tmp_path / "out", onnx=True)
    assert caught.value.hint == "pip install 'partlab[onnx]'"
    assert not (tmp_path / "out").exists()
    export_model(run, tmp_path / "out")


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 10, 12])
def test_the_cells_of_onnx_are_those_of_adaptive_pooling(side: int) -> None:
    maps = torch.rand(2, 3, side, side + 1, dtype=torch.float64)
    rows, columns = cells(side).double(), cells(side + 1).double()
    ours = rows @ maps @ columns.T
    theirs = torch.nn.functional.adaptive_avg_pool2d(maps, POOLED)
    assert torch.allclose(ours, theirs, atol=1e-6)
