"""A drawn world with true masks, predictions as bad as a small network's, and a farm."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from farm import start
from PIL import Image as PillowImage
from PIL import ImageFilter

from annotate.inspect import showing
from annotate.work import Work
from annotate.world import WorldConfig, make_world
from partlab.coco import read_coco
from partlab.masks import BoolMask, decode, encode
from partlab.schema import Annotation, Dataset, Image

Rng = np.random.Generator


@pytest.fixture(scope="session")
def drawn_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world folder whose held-out split has 168 pictures of 14 object categories."""
    folder = tmp_path_factory.mktemp("inspect") / "world"
    make_world(folder, WorldConfig(images=0, pool=0, heldout=168, size=96, seed=3))
    return folder


@pytest.fixture(scope="session")
def truth(drawn_world: Path) -> Dataset:
    return read_coco(drawn_world / "annotations" / "heldout.json")


@pytest.fixture(scope="session")
def predictions(truth: Dataset) -> Dataset:
    """The true masks, spoilt to about the AP of the quickstart's segmenter (0.55).

    Each mask is redrawn with a wavering outline and a small shift, one in twenty is lost, one in
    ten carries the wrong part with a low score, and weak masks appear where nothing is.
    """
    rng = np.random.default_rng(17)
    found: list[Annotation] = []

    def add(image: Image, category: int, mask: BoolMask, score: float) -> None:
        if mask.any():
            number = len(found) + 1
            found.append(Annotation.new(number, image.id, category, encode(mask), score=score))

    for image in truth.images:
        own = truth.annotations_of(image)
        for one in own:
            mask = _wavering(decode(one.segmentation), rng)
            score = float(rng.beta(6, 2))
            if rng.random() > 0.05:
                add(image, one.category_id, mask, score)
            if rng.random() < 0.1:
                other = own[int(rng.integers(len(own)))].category_id
                add(image, other, mask, score * 0.5)
        for _ in range(2):
            category = own[int(rng.integers(len(own)))].category_id
            add(image, category, _speck(mask.shape, rng), float(rng.beta(2, 6)))
    return replace(truth, annotations=found)


def _wavering(mask: BoolMask, rng: Rng) -> BoolMask:
    """Blurred with noise and cut again: the outline wavers; then moved by a pixel or so."""
    noise = rng.normal(0, 50, mask.shape)
    grey = np.clip(mask * 255.0 + noise, 0, 255).astype(np.uint8)
    soft = np.asarray(PillowImage.fromarray(grey).filter(ImageFilter.GaussianBlur(1.3)))
    drawn = soft > rng.uniform(100, 160)
    return np.roll(drawn, rng.integers(-1, 2, 2), (0, 1)) & _near(mask)


def _near(mask: BoolMask) -> BoolMask:
    grown = PillowImage.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(9))
    return np.asarray(grown, bool)


def _speck(shape: tuple[int, ...], rng: Rng) -> BoolMask:
    y, x = np.mgrid[: shape[0], : shape[1]]
    cy, cx, r = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 9)
    return np.asarray((y - cy) ** 2 + (x - cx) ** 2 < r * r)


@pytest.fixture
def change() -> Callable[..., Dataset]:
    """`change(dataset, image, function)`: the masks of one image rewritten, or dropped (None)."""

    def changed(
        dataset: Dataset, image: Image, function: Callable[[Annotation], Annotation | None]
    ) -> Dataset:
        kept = [function(a) if a.image_id == image.id else a for a in dataset.annotations]
        return replace(dataset, annotations=[a for a in kept if a is not None])

    return changed


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """A farm before anything is handed out; what inspectors see is not drawn."""
    for name in ("render", "render_sheet"):
        monkeypatch.setattr(showing, name, lambda *_: None)
    with start(tmp_path / "work") as made:
        yield made
