"""A small real segmenter for tests: it finds parts by their colour, on any machine, at once.

It learns one colour per part category and finds the connected columns of that colour. Parts of
different object categories may share a colour, so the category filter matters; and its scores
depend in the fifth digit on the other images of the batch, as a network's on a GPU may.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from partlab.config import Config
from partlab.errors import DatasetError, NotFoundError
from partlab.files import sha256_file
from partlab.images import load_image
from partlab.masks import BoolMask, decode, encode, from_segmentation
from partlab.parts import Parts
from partlab.progress import track
from partlab.schema import Dataset
from segmenter.objects import Objects, allowed_each
from segmenter.protocol import Detections, Pixels, SegmenterBase, backends
from segmenter.runs import read_run, write_run
from segmenter.thresholds import Thresholds
from segmenter.tuning.file import Line, Tuning, write_tuning

TOLERANCE = 24
NAMES = ("car:wheel", "car:body", "cat:head", "cat:ear", "bike:wheel")
COLOURS = np.array(
    [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (200, 30, 30)], np.float32
)
INCLUSIONS = {"cat": {"ear": "head"}, "car": {"wheel": "body"}}


class ColourConfig(Config):
    """All there is to set."""

    score_threshold: float = 0.0


class ColourSegmenter(SegmenterBase):
    def __init__(self, parts: Parts | Sequence[str], colours: NDArray[np.float32]) -> None:
        self.parts = parts if isinstance(parts, Parts) else Parts.of(parts)
        self.config, self.colours = ColourConfig(), colours
        self.pause = float(os.environ.get("COLOUR_SEGMENTER_PAUSE", 0))

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        time.sleep(self.pause * len(images))
        allowed = allowed_each(self.parts, objects, len(images))
        floor = self.config.score_threshold if threshold is None else threshold
        wobble = 1 - 1e-5 * (sum(sum(image.shape) for image in images) % 97)
        return [self._find(i, own, wobble, floor) for i, own in zip(images, allowed, strict=True)]

    def _find(
        self, image: Pixels, allowed: Sequence[int] | None, wobble: float, floor: float
    ) -> Detections:
        found = []
        for colour in np.unique(self.colours, axis=0):
            near = np.abs(image.astype(np.float32) - colour).max(2) < TOLERANCE
            own = (self.colours == colour).all(1)
            vector = (own / (1 + np.arange(len(own)) / 2)).astype(np.float32)
            vector /= vector.sum()
            if allowed is not None:
                vector[[label for label in range(len(own)) if label not in allowed]] = 0
            if vector.any():
                found += [_one(mask, vector, wobble) for mask in _instances(near)]
        found = [each for each in found if each[1].max() >= np.float32(floor)]
        found.sort(key=lambda each: -float(each[1].max()))
        return _detections(found, len(self.names))


def _instances(near: BoolMask) -> list[BoolMask]:
    edges = np.flatnonzero(np.diff(near.any(0), prepend=False, append=False))
    masks = []
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        mask = np.zeros_like(near)
        mask[:, left:right] = near[:, left:right]
        masks.append(mask)
    return masks


def _one(
    mask: BoolMask, vector: NDArray[np.float32], wobble: float
) -> tuple[BoolMask, NDArray[np.float32]]:
    """A mask that fills its box is certain, one with gaps less so."""
    ys, xs = np.nonzero(mask)
    box = (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
    return mask, (vector * wobble * len(ys) / box).astype(np.float32)


def _detections(found: list[tuple[BoolMask, NDArray[np.float32]]], names: int) -> Detections:
    boxes = [
        (x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in (m.nonzero() for m, _ in found)
    ]
    probabilities = np.array([vector for _, vector in found], np.float32).reshape(-1, names)
    labels = probabilities.argmax(1)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        labels,
        probabilities.max(1) if len(found) else np.zeros(0, np.float32),
        probabilities,
        [encode(mask) for mask, _ in found],
    )


class ColourBackend:
    settings = ColourConfig

    def fit(
        self,
        train: Dataset,
        val: Dataset | None,
        run: Path,
        config: Any,
    ) -> None:
        """Mean colour under the masks of each part category."""
        seen: list[list[NDArray[np.float64]]] = [[] for _ in train.categories]
        for image in track(train.images, "fitting"):
            pixels = load_image(train.image_path(image))
            for each in train.annotations_of(image):
                rle = from_segmentation(each.segmentation, image.height, image.width)
                seen[train.label_of[each.category_id]].append(pixels[decode(rle)].mean(0))
        colours = np.array([np.mean(s, 0) if s else (-999,) * 3 for s in seen], np.float32)
        write_colour_run(run, train.names, colours, train.inclusions)

    def load(
        self, run: Path, *, checkpoint: str = "best", device: str | None = None
    ) -> ColourSegmenter:
        described = read_run(run)
        parts = Parts.of(described["names"], described.get("inclusions"))
        file = run / f"{checkpoint}.safetensors"
        if not file.is_file():
            raise NotFoundError(f"{run} has no checkpoint {file.name}")
        try:
            return ColourSegmenter(parts, load_file(file)["colours"])
        except SafetensorError as error:
            raise DatasetError(f"{file} is damaged: {error}") from error


def write_colour_run(
    run: Path,
    names: Sequence[str] = NAMES,
    colours: NDArray[np.float32] = COLOURS,
    inclusions: dict[str, dict[str, str]] = INCLUSIONS,
) -> Path:
    """The run folder of a trained colour segmenter."""
    description = {"backend": "colour", "config": {}, "names": names, "inclusions": inclusions}
    write_run(run, description)
    save_file({"colours": colours}, run / "best.safetensors")
    return run


def tune_colour_run(run: Path, thresholds: Thresholds) -> Path:
    """As `partlab segmenter tune` leaves a run: scores as they are, with thresholds of its own."""
    weights = sha256_file(run / "best.safetensors")
    found = Tuning(
        checkpoint_sha256=weights,
        data={},
        images=1,
        common=Line(),
        parts={},
        thresholds=thresholds,
        held_out={},
    )
    write_tuning(run, found)
    return run


def draw(
    path: Path, object: str | None, seed: int = 0, size: tuple[int, int] = (64, 48)
) -> NDArray[np.uint8]:
    """Draw a picture of one object (None: nothing in it) and save it; returns the pixels.

    Every part is drawn once or twice, some with gaps, on grey noise.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    pixels = rng.integers(90, 160, (height, width, 1)).repeat(3, 2).astype(np.uint8)
    own = [i for i, name in enumerate(NAMES) if object and name.startswith(f"{object}:")]
    for label in own:
        for _ in range(rng.integers(1, 3)):
            w, h = rng.integers(2, max(width // 4, 3)), rng.integers(2, max(height // 3, 3))
            x, y = rng.integers(0, max(width - w, 1)), rng.integers(0, max(height - h, 1))
            patch = rng.random((h, w)) < rng.uniform(0.4, 1.4)
            pixels[y : y + h, x : x + w][patch[: height - y, : width - x]] = COLOURS[label]
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels).save(path)
    return pixels


def draw_folder(folder: Path, images: int, size: tuple[int, int] = (64, 48)) -> Path:
    """A folder per object category with drawings of varying sizes."""
    for index in range(images):
        object = ("car", "cat", "bike")[index % 3]
        varied = (size[0] + index % 5 * 8, size[1] + index % 4 * 8)
        draw(folder / object / f"{index:05d}.png", object, index, varied)
    return folder


backend = ColourBackend()
if "colour" not in backends.names():
    backends.register("colour", f"{__name__}:backend")
