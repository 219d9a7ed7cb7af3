"""What makes a run this run: refused with another, gone on with where only speed changes."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from partlab.coco import read_coco
from partlab.errors import OutputExistsError, SchemaError
from partlab.files import sha256_file, write_json
from partlab.schema import Dataset
from partlab.training.process import Process
from segmenter.fit import SegmenterConfig, fit
from segmenter.judge import by_ap, by_pixels
from segmenter.quick_ap import quick_ap
from segmenter.runs import load_segmenter, read_run
from segmenter.torchvision_backend import MaskRCNN

TINY = SegmenterConfig.model_validate(
    {
        "model": {
            "backbone": "test_efficientnet",
            "weights": "none",
            "first_stride": 8,
            "channels": 16,
            "image_size": 64,
            "box_features": 16,
            "mask_channels": 8,
            "mask_layers": 1,
            "rois": 8,
            "proposals": 20,
            "score_threshold": 0.0,
        },
        "train": {"epochs": 1, "batch_size": 2, "workers": 0, "val_images": 2},
    }
)


@pytest.fixture
def data(make_dataset) -> Dataset:
    cat = [("cat:body", (4, 20, 40, 18)), ("cat:head", (40, 5, 15, 15))]
    car = [("car:wheel", (5, 25, 12, 12)), ("car:wheel", (40, 25, 12, 12))]
    found: Dataset = make_dataset(
        [(f"{o}/{i}.png", o, p) for i in range(2) for o, p in (("cat", cat), ("car", car))]
    )
    return found


def train(data: Dataset, val: Dataset | None, run: Path, config: Any = TINY, **more: Any) -> None:
    changed = config.model_copy(update={"train": config.train.model_copy(update=more)})
    fit(lambda device: untrained(data, device), data, val, run, changed, backend="torchvision")


def untrained(data: Dataset, device: str) -> MaskRCNN:
    return MaskRCNN(data.parts, TINY.model, device)


@pytest.fixture
def run(data, tmp_path) -> Path:
    train(data, data, tmp_path / "run")
    return tmp_path / "run"


def rewrite(run: Path, **changes: Any) -> None:
    """Change config.json; None takes a key away."""
    found = {**json.loads((run / "config.json").read_text()), **changes}
    write_json(run / "config.json", {k: v for k, v in found.items() if v is not None})


def test_everything_that_decides_weights_or_best_is_refused(data, run) -> None:
    before = (run / "last.safetensors").read_bytes()
    with pytest.raises(OutputExistsError, match=r"another config: train\.lr \(0\.0004 there, 0\.5"):
        train(data, data, run, lr=0.5)
    with pytest.raises(OutputExistsError, match=r"another config: train\.mirror"):
        train(data, data, run, mirror=(("wheel", "window"),))
    with pytest.raises(OutputExistsError, match=r"another validation set \(one there, none now\)"):
        train(data, None, run)
    with pytest.raises(OutputExistsError, match="another config"):
        train(data, data, run, val_images=0)
    with pytest.raises(OutputExistsError, match=r"another validation set$"):
        train(data, data.subset([1]), run)
    with pytest.raises(OutputExistsError, match=r"another data set$"):
        train(data.subset([1, 2]), data, run)  # its path is the whole set's
    assert (run / "last.safetensors").read_bytes() == before


def test_what_decides_speed_may_change(data, run) -> None:
    train(data, data, run, workers=1, checkpoint_steps=7)
    train(read_coco(data.path), data, run)  # read from its file, it is the same


def test_another_number_of_processes_is_refused_with_the_way_out(data, run) -> None:
    rewrite(run, processes=4)
    with pytest.raises(
        OutputExistsError, match=r"another number of processes \(4 there, 1 now\)"
    ) as caught:
        train(data, data, run)
    assert "torchrun --nproc-per-node 4" in str(caught.value.hint)
    assert "--force" in str(caught.value.hint)


def test_a_run_of_an_older_version_goes_on_and_says_what_it_did_not_note(data, run, caplog) -> None:
    """It had the file's hash for its data, no validation set and no number of processes."""
    old = {"path": str(data.path), "sha256": sha256_file(data.path)}
    config = read_run(run)["config"]
    del config["train"]["mirror"]
    rewrite(run, kind=None, data=old, val=None, processes=None, config=config)
    assert load_segmenter(run).names == data.names
    with caplog.at_level(logging.WARNING):
        train(data, data, run)
    assert "noted no validation set, no number of processes" in caplog.text
    rewrite(run, data={**old, "sha256": "0" * 64})
    with pytest.raises(OutputExistsError, match="another data set"):
        train(data, data, run)


def test_an_older_run_is_not_gone_on_with_by_more_processes(data, run) -> None:
    """Its metrics say that an epoch was of other length."""
    rewrite(run, processes=None)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    longer = [json.dumps({**m, "step": m["step"] * 4}) + "\n" for m in lines]
    (run / "metrics.jsonl").write_text("".join(longer))
    with pytest.raises(OutputExistsError, match="epochs of another length than 2 steps"):
        train(data, data, run)


def test_a_run_of_another_kind_is_no_segmenter(run) -> None:
    rewrite(run, kind="classifier")
    with pytest.raises(SchemaError, match="another kind: classifier, not segmenter"):
        load_segmenter(run)


def test_a_fingerprint_is_of_what_a_data_set_holds(data, tmp_path) -> None:
    assert data.fingerprint == read_coco(data.path).fingerprint
    assert data.fingerprint != data.subset([1, 2, 3]).fingerprint
    moved = tmp_path / "elsewhere" / "annotations"
    moved.mkdir(parents=True)
    shutil.copy(data.path, moved / "train.json")
    assert read_coco(moved / "train.json").fingerprint == data.fingerprint


@pytest.mark.parametrize("judge", [by_ap, by_pixels])
def test_a_shared_validation_gives_the_number_of_one_process(data, judge) -> None:
    """Two processes' shares, found apart and scored together in any order."""
    from segmenter.fit import _validation

    class Two:
        process = Process(0, 2)

        def __init__(self, segmenter: Any) -> None:
            self.segmenter = segmenter

        def gather(self, mine: Any) -> list[Any]:
            other = Process(1, 2).share(list(data.images))
            return [judge.look(self.segmenter, data, other), mine]

    segmenter = untrained(data, "cpu")
    config = TINY.train.model_copy(update={"val_images": 4})
    group: Any = Two(segmenter)
    validate = _validation(segmenter, data, config, group, judge)
    assert validate is not None
    score = validate()
    assert score is not None
    assert score == judge.score(data, judge.look(segmenter, data, data.images))
    ap, ap50 = quick_ap(segmenter, data)
    assert score.facts["val_ap"] == ap
    assert score.facts["val_ap50"] == ap50
