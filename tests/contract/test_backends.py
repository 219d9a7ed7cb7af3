"""What every segmenter backend must do (segmenter.protocol), over the whole registry.

A backend whose library is not installed is skipped with its own words.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from safetensors.torch import load_file, save_file

from partlab.coco import write_coco
from partlab.config import Config, load_config
from partlab.errors import (
    BackendUnavailableError,
    ConfigError,
    DatasetError,
    NotFoundError,
    OutputExistsError,
    UnknownNameError,
)
from partlab.masks import area, bbox, decode, encode
from partlab.progress import Silent, listening
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.evaluate import evaluate
from segmenter.protocol import DETECTRON2_INSTALL, backends
from segmenter.runs import load_segmenter, read_metrics, read_run

PARTS = {  # the two heads look alike: only the object tells them apart
    "cat:head": (210, 40, 40),
    "cat:tail": (40, 40, 210),
    "dog:head": (210, 40, 40),
    "dog:leg": (40, 190, 60),
}
NAMES = tuple(PARTS)
TINY = [
    "model.image_size=96",
    "model.rois=16",
    "model.proposals=40",
    "model.weights=none",
    "train.epochs=2",
    "train.batch_size=2",
    "train.val_images=2",
    "train.checkpoint_steps=2",
]


class Stopped(Exception):
    """Stands for the moment a run dies."""


def _draw(folder: Path, count: int, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    categories = [Category.new(i, *name.split(":")) for i, name in enumerate(NAMES, 5)]
    records, masks = [], []
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        owner = ("cat", "dog")[number % 2]
        height, width = 96, 72 + 8 * (number % 4)
        pixels = rng.integers(100, 150, (height, width, 3)).astype(np.uint8)
        for place, (name, colour) in enumerate(PARTS.items()):
            if not name.startswith(owner):
                continue
            mask = np.zeros((height, width), bool)
            top, left = 6 + 44 * (place % 2) + rng.integers(0, 8), rng.integers(4, 24)
            mask[top : top + 32, left : left + 36] = True
            pixels[mask] = colour
            rle = encode(mask)
            extra: Any = {"bbox": bbox(rle), "area": area(rle)}
            id = categories[place].id
            masks.append(Annotation.new(len(masks) + 1, number, id, rle, **extra))
        name = f"{owner} ü {number}.png"
        PillowImage.fromarray(pixels).save(folder / name)
        records.append(Image.new(number, name, (width, height), object=owner))
    return Dataset(records, masks, categories, image_root=folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return _draw(tmp_path_factory.mktemp("pets") / "images", 4)


# Not the one that other test files register in the same process, nor fused runs (they have tests
# of their own): they learn nothing.
BACKENDS = [name for name in backends.names() if name not in {"colour", "fused"}]


@pytest.fixture(scope="module", params=BACKENDS)
def engine(request: pytest.FixtureRequest) -> Any:
    """Each registered backend, with its tiny settings as `tiny`."""
    found: Any = backends.get(request.param)
    try:
        recipe = getattr(found, "recipes", {}).get("small")
        settings = found.settings
    except BackendUnavailableError as error:
        pytest.skip(f"{error.message} (partlab doctor tells how to get it)")
    base = recipe().model_dump() if recipe else {}
    has = [each for each in TINY if _known(base, each)]
    tiny = load_config(settings, overrides=has, base=base)
    return _Engine(request.param, found, tiny)


def _known(base: dict[str, Any], override: str) -> bool:
    """Whether a backend has such a setting: not all have regions or proposals."""
    group, name = override.split("=")[0].split(".")
    return name in base.get(group, {})


class _Engine:
    def __init__(self, name: str, backend: Any, tiny: Any) -> None:
        self.name, self.backend, self.tiny = name, backend, tiny

    def fit(self, data: Dataset, run: Path, **more: Any) -> Path:
        self.backend.fit(data, data, run, more.pop("config", self.tiny), **more)
        return run

    def finish(self, data: Dataset, run: Path) -> Path:
        """Train to the end; a barely trained network that would say nothing is made to speak."""
        self.fit(data, run)
        if self.name == "dense":
            _speaks(run)
        return run


@pytest.fixture(scope="module")
def run(engine: Any, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of each backend."""
    folder = tmp_path_factory.mktemp(f"run-{engine.name}") / "seg"
    found: Path = engine.finish(data, folder)
    return found


def _speaks(run: Path) -> None:
    """After four steps it takes every pixel for background: make it say what it would say else."""
    for file in (run / "best.safetensors", run / "last.safetensors"):
        state = load_file(file)
        state["bias"][0] -= 20
        save_file(state, file)


@pytest.fixture(scope="module")
def trained(run: Path) -> Any:
    segmenter: Any = load_segmenter(run, device="cpu")
    return segmenter


def _found(trained: Any, images: Any, objects: Any = None, threshold: float = 0.0) -> Any:
    """What is found from a low score up: a barely trained network says little else."""
    return trained.predict(images, objects, threshold=threshold)


def _pixels(data: Dataset, count: int = 3) -> list[Any]:
    return [np.array(PillowImage.open(data.image_path(i))) for i in data.images[:count]]


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from segmenter.protocol import backends; names = backends.names();"
        "assert {'torchvision', 'detectron2'} <= set(names), names;"
        "assert not {'torch', 'torchvision', 'detectron2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_run_folder_holds_what_it_should(engine: Any, run: Path, data: Dataset) -> None:
    described = read_run(run)
    assert described["backend"] == engine.name
    assert described["names"] == list(NAMES)
    assert described["config"] == json.loads(json.dumps(engine.tiny.model_dump()))
    for name in ("best.safetensors", "last.safetensors", "state.pt"):
        assert (run / name).is_file()
    listed = (run / "train_images.txt").read_text(encoding="utf-8").splitlines()
    assert listed == [image.file_name for image in data.images]
    metrics = read_metrics(run)
    assert [m["epoch"] for m in metrics if "val_ap50" in m] == [1, 2]


def test_both_checkpoints_load(run: Path) -> None:
    for checkpoint in ("best", "last"):
        assert load_segmenter(run, checkpoint=checkpoint, device="cpu").names == NAMES


def test_detections_are_well_formed(trained: Any, data: Dataset) -> None:
    """Boxes and masks in pixels of the image as given, best first, one vector each."""
    images = _pixels(data)
    for pixels, found in zip(images, _found(trained, images), strict=True):
        height, width = pixels.shape[:2]
        count = len(found)
        assert count > 0
        assert found.boxes.shape == (count, 4)
        assert found.boxes.dtype == found.scores.dtype == np.float32
        assert found.probabilities.shape == (count, len(NAMES))
        assert (
            (found.boxes >= -0.01) & (found.boxes <= np.array([width, height] * 2) + 0.01)
        ).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
        picked = found.probabilities[np.arange(count), found.labels]
        np.testing.assert_allclose(found.scores, picked, atol=1e-6)
        assert (np.diff(found.scores) <= 1e-6).all()
        assert ((found.probabilities >= 0) & (found.probabilities <= 1)).all()
        assert len(found.masks) == count
        assert all(decode(mask).shape == (height, width) for mask in found.masks)


def test_masks_lie_in_their_boxes(trained: Any, data: Dataset) -> None:
    found = _found(trained, _pixels(data, 1))[0]
    for mask, (left, top, right, bottom) in zip(found.masks, found.boxes, strict=True):
        ys, xs = np.nonzero(decode(mask))
        if len(ys):
            assert xs.min() >= left - 2
            assert xs.max() <= right + 2
            assert ys.min() >= top - 2
            assert ys.max() <= bottom + 2


def test_no_images_and_tiny_images(trained: Any) -> None:
    assert trained.predict([]) == []
    odd = [np.zeros((1, 1, 3), np.uint8), np.zeros((3, 200, 3), np.uint8)]
    assert len(trained.predict(odd)) == 2


def test_the_filter_leaves_no_foreign_part(trained: Any, data: Dataset) -> None:
    """P-02: never a foreign part, its probability is 0, nothing is renormalised."""
    images = _pixels(data)
    objects = ["dog", ["cat"], ()]
    allowed = [[2, 3], [0, 1], []]
    for own, found in zip(allowed, _found(trained, images, objects), strict=True):
        foreign = [label for label in range(len(NAMES)) if label not in own]
        assert set(found.labels.tolist()) <= set(own)
        assert (found.probabilities[:, foreign] == 0).all()
        assert (found.scores > 0).all()
        assert bool(len(found)) == bool(own)
    free = _found(trained, images)
    everything = _found(trained, images, [("dog", "cat"), None, {"cat", "dog"}])
    for one, other in zip(free, everything, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_filtered_scores_are_the_unfiltered_probabilities(trained: Any, data: Dataset) -> None:
    """Each vector with the filter is one without it, foreign columns zeroed."""
    if hasattr(trained.config, "category_filter"):
        pytest.skip(
            "it decides pixels, so that regions differ: see tests/unit/segmenter/test_dense.py"
        )
    images = _pixels(data, 1)
    filtered = _found(trained, images, ["cat"])[0].probabilities
    free = _found(trained, images)[0].probabilities.copy()
    free[:, 2:] = 0
    gaps = np.abs(filtered[:, None] - free[None]).max(2).min(1)
    assert np.median(gaps) < 1e-6  # NMS may keep another of two overlapping boxes


def test_both_ways_at_once_are_the_two_ways(trained: Any, data: Dataset) -> None:
    images, objects = _pixels(data), ["cat", "dog", None]
    for threshold in (None, 0.0):
        both = trained.predict_both(images, objects, threshold=threshold)
        free = trained.predict(images, threshold=threshold)
        filtered = trained.predict(images, objects, threshold=threshold)
        for found, alone in zip(both, (free, filtered), strict=True):
            assert _same(found, alone)


def test_the_threshold_cuts_weak_detections(trained: Any, data: Dataset) -> None:
    """An argument of one call, which the next knows nothing of; its own without one."""
    images = _pixels(data, 1)
    (free,) = _found(trained, images)
    middle = float(np.median(free.scores))
    (kept,) = _found(trained, images, threshold=middle)
    np.testing.assert_array_equal(kept.scores, free.scores[free.scores >= np.float32(middle)])
    assert _same(_found(trained, images), [free])
    own = float(trained.config.score_threshold)
    assert _same(trained.predict(images), _found(trained, images, threshold=own))


def test_it_tells_what_it_knows(trained: Any, data: Dataset) -> None:
    assert trained.names == trained.parts.names == NAMES
    assert trained.objects == ("cat", "dog")
    assert isinstance(trained.config, Config)
    with pytest.raises(UnknownNameError, match="unknown object category 'dgo'") as error:
        trained.predict(_pixels(data, 2), ["cat", "dgo"])
    assert "dog" in str(error.value.hint)
    with pytest.raises(ConfigError, match="of 2 images were asked for, 1 given"):
        trained.predict(_pixels(data, 2), "cat")
    with pytest.raises(ConfigError, match="of 2 images were asked for, 3 given"):
        trained.predict_both(_pixels(data, 2), ["cat"] * 3)


def _same(found: Any, other: Any) -> bool:
    """Whether two lists of detections are the same to the last bit."""
    return len(found) == len(other) and all(
        np.array_equal(one.boxes, two.boxes)
        and np.array_equal(one.labels, two.labels)
        and np.array_equal(one.scores, two.scores)
        and np.array_equal(one.probabilities, two.probabilities)
        and one.masks == two.masks
        for one, two in zip(found, other, strict=True)
    )


def _odd_shapes() -> list[Any]:
    """Pictures whose shapes differ in every way: a network is easily led astray by the first."""
    rng = np.random.default_rng(5)
    sizes = [(627, 1200), (96, 96), (40, 500), (500, 40), (97, 64), (1, 1), (33, 31)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_a_prediction_follows_from_its_picture_alone(run: Path, data: Dataset) -> None:
    """Not from what came before, nor from the pictures beside it, their order or number."""
    pictures = [*_odd_shapes(), *_pixels(data)]
    alone = [
        _found(load_segmenter(run, device="cpu"), [picture], [("cat", "dog")])[0]
        for picture in pictures
    ]
    rng = np.random.default_rng(1)
    for _ in range(4):
        segmenter = load_segmenter(run, device="cpu")
        order = rng.permutation(len(pictures)).tolist()
        while order:
            batch = [order.pop() for _ in range(min(int(rng.integers(1, 6)), len(order)))]
            objects = [("cat", "dog")] * len(batch)
            found = _found(segmenter, [pictures[i] for i in batch], objects)
            assert _same(found, [alone[i] for i in batch])


def test_threads_with_other_wishes_do_not_meet(trained: Any, data: Dataset) -> None:
    """Other thresholds and filters at the same time: each gets what it gets alone."""
    pictures = [*_pixels(data), *_odd_shapes()]
    wishes = [("cat", 0.0), (None, 0.0), ("dog", 0.3), ((), 0.0), (("dog", "cat"), 0.15)]

    def answer(wish: tuple[Any, float]) -> Any:
        owner, threshold = wish
        return _found(trained, pictures, [owner] * len(pictures), threshold)

    alone = [answer(wish) for wish in wishes]
    with ThreadPoolExecutor(len(wishes)) as pool:
        together = list(pool.map(answer, wishes * 2))
    assert all(_same(one, two) for one, two in zip(together, alone * 2, strict=True))


def test_evaluation_runs_on_it(trained: Any, data: Dataset) -> None:
    """P-07: the filter does not lower AP where objects are confused."""
    found = evaluate(trained, data)
    assert found.with_cf.ap.ap is not None
    assert found.without_cf.ap.ap is not None
    assert found.with_cf.ap.ap >= found.without_cf.ap.ap - 0.02


class _Dies(Silent):
    def __init__(self, after: int) -> None:
        self.after = after

    def track(self, items: Iterable[Any], what: str, total: int | None = None) -> Any:
        return _until(items, self.after) if what.startswith("training") else iter(items)


def test_a_killed_run_goes_on_to_the_same_weights(
    engine: Any, run: Path, data: Dataset, tmp_path: Path
) -> None:
    for stop in (1, 3):  # before and after the first checkpoint
        again = tmp_path / f"stopped at {stop}"

        with pytest.raises(Stopped), listening(_Dies(stop)):
            engine.fit(data, again)
        engine.finish(data, again)
        one, other = (load_file(folder / "last.safetensors") for folder in (run, again))
        assert one.keys() == other.keys()
        assert all((one[name] == other[name]).all() for name in one)
        steps = [m["step"] for m in read_metrics(again) if "loss" in m]
        assert steps == sorted(set(steps))


def _until(items: Iterable[Any], stop: int) -> Iterator[Any]:
    for number, item in enumerate(items):
        if number == stop:
            raise Stopped
        yield item


@pytest.mark.slow
def test_it_learns(engine: Any, tmp_path: Path) -> None:
    """On new drawings, after some minutes on one core; P-07's order of the two ways."""
    train, held_out = _draw(tmp_path / "train", 32), _draw(tmp_path / "new", 12, seed=1)
    lessons = {"epochs": 24, "batch_size": 4, "checkpoint_steps": 1000}
    config = engine.tiny.model_copy(update={"train": engine.tiny.train.model_copy(update=lessons)})
    engine.fit(train, tmp_path / "seg", config=config)
    found = evaluate(load_segmenter(tmp_path / "seg", device="cpu"), held_out)
    assert found.with_cf.ap.ap50 is not None
    assert found.with_cf.ap.ap50 > 0.7
    assert found.without_cf.ap.ap50 is not None
    assert found.with_cf.ap.ap50 >= found.without_cf.ap.ap50


def test_another_run_is_not_overwritten(engine: Any, run: Path, data: Dataset) -> None:
    before = (run / "last.safetensors").read_bytes()
    train = engine.tiny.train.model_copy(update={"lr": 0.5})
    with pytest.raises(OutputExistsError, match="another config"):
        engine.fit(data, run, config=engine.tiny.model_copy(update={"train": train}))
    with pytest.raises(OutputExistsError, match="another data"):
        engine.fit(data.subset([1, 2]), run)
    assert (run / "last.safetensors").read_bytes() == before


def test_wrong_checkpoints_are_explained(run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((run / "config.json").read_bytes())
    with pytest.raises(NotFoundError, match=r"no checkpoint best\.safetensors"):
        load_segmenter(broken)
    (broken / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes()[:1000])
    with pytest.raises(DatasetError, match="damaged or belongs to another run"):
        load_segmenter(broken)
    state = load_file(run / "best.safetensors")
    state.popitem()
    save_file(state, broken / "best.safetensors")
    with pytest.raises(DatasetError, match="damaged or belongs to another run"):
        load_segmenter(broken)
    with pytest.raises(NotFoundError, match="not a segmenter run"):
        load_segmenter(tmp_path)


@pytest.mark.parametrize("device", ["cdua", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there_is_told(run: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{device}' cannot be used here"):
        load_segmenter(run, device=device)


def test_a_missing_detectron2_is_told_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch, data: Dataset, tmp_path: Path
) -> None:
    from segmenter import detectron2_backend
    from segmenter.train import train_segmenter

    monkeypatch.setattr(detectron2_backend, "find_spec", lambda name: None)
    backend: Any = backends.get("detectron2")
    write_coco(data, tmp_path / "data" / "annotations" / "train.json")
    old = tmp_path / "old run"
    old.mkdir()
    (old / "keep.txt").write_text("keep")
    for attempt in (
        lambda: backend.settings,
        lambda: backend.fit(data, None, tmp_path / "new", None),
        lambda: backend.load(tmp_path),
        lambda: train_segmenter(tmp_path / "data", old, backend="detectron2", force=True),
    ):
        with pytest.raises(BackendUnavailableError) as error:
            attempt()
        assert error.value.hint == DETECTRON2_INSTALL
    assert (old / "keep.txt").exists()
    assert not (tmp_path / "new").exists()
