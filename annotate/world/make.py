"""Writes a part world: a data set with three splits, and a class-only pool.

OUT/annotations/{train,val,heldout}.json   human-quality splits (9:1 per category, and apart)
OUT/images/<object>/<split>-0001.jpg       their pictures
OUT/pool/<object>/pool-0001.jpg            pictures that only say their object (the folder)
OUT/pool-truth.json                        the pool's true masks, to measure pseudo labels by
OUT/world.json                             the settings

Each picture has its own random generator, seeded by (seed, split, object category, number):
the same settings give the same bytes, and a larger world begins with the smaller one's
pictures. JPEG at quality 95 without colour subsampling: a third of PNG's size, and its
decoder, like its encoder, is exact.
"""

import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image as PillowImage
from pydantic import Field

from annotate.world.catalogue import KINDS, Kind
from annotate.world.scene import Hints, Scene, draw_scene
from partlab.coco import write_coco
from partlab.config import Config
from partlab.errors import ConfigError, UnknownNameError
from partlab.files import cannot_write, write_json
from partlab.folders import new_folder
from partlab.inclusions import Inclusions, spelled
from partlab.masks import area, bbox, encode_many
from partlab.progress import track
from partlab.schema import OURS, Annotation, Category, Dataset, Image

log = logging.getLogger(__name__)

Count = Annotated[int, Field(ge=0)]
_STREAMS = {"train": 0, "val": 1, "pool": 2, "heldout": 3}


class WorldConfig(Config):
    """What to draw; counts are of pictures, shared evenly among the object categories."""

    images: Count = 700  # train and val together
    pool: Count = 280
    heldout: Count = 140
    size: Annotated[int, Field(ge=48, le=2048)] = 192  # pixels a side
    seed: Annotated[int, Field(ge=0)] = 0
    val_share: Annotated[float, Field(ge=0, le=0.9)] = 0.1  # of each category's images (ST-05)
    hint: Literal["none", "background", "texture"] = "none"
    objects: tuple[str, ...] = ()  # names of object categories; empty: all


def make_world(
    out: str | Path,
    config: WorldConfig | None = None,
    *,
    force: bool = False,
) -> dict[str, int]:
    """Draw a part world into a new folder; returns the number of pictures in each split.

    `hint` ties the background, or the objects' hue and texture, to the object category in
    train, val and pool. The held-out split never has it, so that a shortcut shows.

    Raises:
        ConfigError: every count is 0.
        UnknownNameError: `objects` names a category the world does not have.
        OutputExistsError: the folder holds files, and `force` is off.
        PartlabError: the pictures cannot be written.
    """
    config = config or WorldConfig()
    kinds = _chosen(config.objects)
    counts = _counts(config, kinds)
    if not counts:
        raise ConfigError("there is nothing to draw: images, pool and heldout are all 0")
    plan = [
        (split, kind, n)
        for split in counts
        for kind in kinds
        for n in range(counts[split][kind.name])
    ]
    with new_folder(out, force=force) as folder:
        writers = {split: _Writer(folder, split, config) for split in counts}
        for split, kind, number in track(plan, "drawing", len(plan)):
            writers[split].add(kind, number)
        totals = {split: writer.write(kinds) for split, writer in writers.items()}
        write_json(folder / "world.json", config.model_dump())
    log.info("drew %d pictures of %d object categories", sum(totals.values()), len(kinds))
    return totals


def _chosen(names: Sequence[str]) -> list[Kind]:
    known = {kind.name: kind for kind in KINDS}
    for name in names:
        if name not in known:
            raise UnknownNameError("object category of the part world", name, known)
    return [kind for kind in KINDS if not names or kind.name in names]


def _counts(config: WorldConfig, kinds: Sequence[Kind]) -> dict[str, dict[str, int]]:
    both = _share(config.images, kinds)
    least = 1 if config.val_share else 0
    val = {
        name: min(max(n - 1, 0), max(least, round(n * config.val_share)))
        for name, n in both.items()
    }
    counts = {
        "train": {name: both[name] - val[name] for name in both},
        "val": val,
        "heldout": _share(config.heldout, kinds),
        "pool": _share(config.pool, kinds),
    }
    return {split: shares for split, shares in counts.items() if any(shares.values())}


def _share(total: int, kinds: Sequence[Kind]) -> dict[str, int]:
    each, rest = divmod(total, len(kinds))
    return {kind.name: each + (position < rest) for position, kind in enumerate(kinds)}


class _Writer:
    """Collects the records of one split; pictures go to disk at once."""

    def __init__(self, folder: Path, split: str, config: WorldConfig) -> None:
        self.folder, self.split, self.config = folder, split, config
        self.pictures = folder / ("pool" if split == "pool" else "images")
        self.images: list[Image] = []
        self.annotations: list[Annotation] = []
        self.first_label = dict(_first_labels(_chosen(config.objects)))

    def add(self, kind: Kind, number: int) -> None:
        """Draw one picture, write it, and note its masks."""
        stream = [self.config.seed, _STREAMS[self.split], KINDS.index(kind), number]
        hints = _hints("none" if self.split == "heldout" else self.config.hint, kind)
        scene = draw_scene(np.random.default_rng(stream), kind, self.config.size, hints)
        name = f"{kind.name}/{self.split}-{number + 1:04d}.jpg"
        data = _jpeg(scene)
        try:
            (self.pictures / name).parent.mkdir(parents=True, exist_ok=True)
            (self.pictures / name).write_bytes(data)
        except OSError as error:
            raise cannot_write(self.pictures / name, error) from error
        self._note(kind, name, scene, hashlib.sha256(data).hexdigest())

    def _note(self, kind: Kind, name: str, scene: Scene, sha256: str) -> None:
        size = (self.config.size, self.config.size)
        ours = {"object": kind.name, "source": "partlab part world", "license": "CC0-1.0"}
        image = Image.new(
            len(self.images) + 1, name, size, **ours, origin_split=self.split, sha256=sha256
        )
        self.images.append(image)
        label = {part.name: self.first_label[kind.name] + i for i, part in enumerate(kind.parts)}
        for found, rle in zip(
            scene.masks, encode_many(np.stack([m.mask for m in scene.masks])), strict=True
        ):
            annotation = Annotation.new(
                len(self.annotations) + 1,
                image.id,
                label[found.part] + 1,
                rle,
                bbox=bbox(rle),
                area=area(rle),
                object_id=found.individual,
                provenance="human:part-world",
            )
            self.annotations.append(annotation)

    def write(self, kinds: Sequence[Kind]) -> int:
        """Write the split's COCO file; returns its number of pictures."""
        top: dict[str, Any] = {"info": {"description": "partlab part world", "split": self.split}}
        path = self.folder / "annotations" / f"{self.split}.json"
        if self.split == "pool":
            top[OURS] = {"images": "pool"}
            path = self.folder / "pool-truth.json"
        dataset = Dataset(
            self.images, self.annotations, categories(kinds), inclusions(kinds), top=top
        )
        write_coco(dataset, path)
        return len(self.images)


def _first_labels(kinds: Sequence[Kind]) -> Iterator[tuple[str, int]]:
    label = 0
    for kind in kinds:
        yield kind.name, label
        label += len(kind.parts)


def _hints(hint: str, kind: Kind) -> Hints:
    tone = KINDS.index(kind) / len(KINDS)
    return Hints(tone if hint == "background" else None, tone if hint == "texture" else None)


def _jpeg(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(scene.pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def categories(kinds: Sequence[Kind] = KINDS) -> list[Category]:
    """The part categories of some object categories, ids from 1."""
    pairs = [(kind, part) for kind in kinds for part in kind.parts]
    return [
        Category.new(
            i, kind.name, part.name, **({"whole_object": True} if kind.whole_object else {})
        )
        for i, (kind, part) in enumerate(pairs, start=1)
    ]


def inclusions(kinds: Sequence[Kind] = KINDS) -> Inclusions:
    """The declared inclusions: per object category inner part -> outer part or parts (M-04)."""
    found = {
        kind.name: spelled((p.name, p.inside) for p in kind.parts if p.inside) for kind in kinds
    }
    return {name: pairs for name, pairs in found.items() if pairs}
