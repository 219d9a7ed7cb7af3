"""Small pseudo-label stores and human data sets with pictures, for several rooms' tests."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from partlab.coco import write_coco
from partlab.files import sha256_json
from partlab.masks import area, bbox, encode
from partlab.schema import Annotation, Category, Dataset, Image
from pseudolabel.store import (
    Manifest,
    Row,
    Store,
    StoredMask,
    write_manifest,
    write_shard,
)

NAMES = ("cat:body", "cat:head", "cat:ear", "car:wheel", "car:window")
INCLUSIONS = {"cat": {"ear": "head"}}
SIZE = (40, 60)  # height, width

Box = tuple[int, int, int, int]  # left, top, width, height


def rle_of(box: Box, size: tuple[int, int] = SIZE) -> Any:
    mask = np.zeros(size, bool)
    left, top, width, height = box
    mask[top : top + height, left : left + width] = True
    return encode(mask)


def stored(label: int, box: Box, score: float, size: tuple[int, int] = SIZE) -> StoredMask:
    rle = rle_of(box, size)
    x, y, w, h = bbox(rle)
    return StoredMask(label, score, area(rle), (x, y, w, h), rle)


def picture(path: Path, size: tuple[int, int] = SIZE, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    PillowImage.fromarray(noise).save(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system needs Linux and the right to mount one")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Store]:
    """A finished store on disk: `make_store([(file_name, object, [(label, box, score)])])`.

    A list of masks that is a string makes an unreadable image, the string being the reason.
    """

    def build(
        images: Sequence[tuple[str, str | None, Any]],
        *,
        folder: str = "pseudo",
        names: tuple[str, ...] = NAMES,
        shard_size: int = 3,
        threshold: float = 0.1,
        run: str = "runs/seg-a",
        size: tuple[int, int] = SIZE,
        pictures: bool = True,
        config: dict[str, Any] | None = None,
    ) -> Store:
        path, root = tmp_path / folder, tmp_path / "photos"
        rows = []
        for number, (name, object, masks) in enumerate(images, 1):
            if isinstance(masks, str):
                rows.append(Row(number, name, object, "folder", 0, 0, "unreadable", masks))
                continue
            if pictures:
                picture(root / name, size, seed=number)
            layers = tuple(stored(label, box, score, size) for label, box, score in masks)
            status = "labelled" if layers else "blank"
            rows.append(Row(number, name, object, "folder", *size, status, None, layers))
        thresholds = {"default": threshold, "parts": {}}
        settings = {"thresholds": thresholds, "unite": True, **(config or {})}
        manifest = Manifest(
            partlab="0",
            run=run,
            backend="fake",
            model_sha256="0" * 64,
            config=settings,
            config_sha256=sha256_json(settings),
            names=names,
            inclusions=INCLUSIONS,
            image_root=str(root),
            inputs_sha256=sha256_json([row.file_name for row in rows]),
            images=len(rows),
            shard_size=shard_size,
            state="done",
        )
        write_manifest(path, manifest)
        for shard in range(manifest.shards):
            span = manifest.span(shard)
            write_shard(path, shard, rows[span.start : span.stop], manifest.identity)
        return Store.open(path)

    return build


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """A human data set on disk: `make_dataset([(file_name, object, [(name, box)])])`."""

    def build(
        images: Sequence[tuple[str, str | None, Sequence[tuple[str, Box]]]],
        *,
        folder: str = "human",
        names: tuple[str, ...] = NAMES,
        size: tuple[int, int] = SIZE,
        image_root: Path | None = None,
    ) -> Dataset:
        path = tmp_path / folder / "annotations" / "train.json"
        categories = [Category.new(i, *name.split(":")) for i, name in enumerate(names, 10)]
        ids = {category.name: category.id for category in categories}
        records, masks = [], []
        for number, (name, object, parts) in enumerate(images, 1):
            said = {"object": object} if object else {}
            records.append(Image.new(number, name, (size[1], size[0]), **said))
            if image_root is None:
                picture(tmp_path / folder / "images" / name, size, seed=100 + number)
            for part, box in parts:
                rle = rle_of(box, size)
                masks.append(
                    Annotation.new(
                        len(masks) + 1,
                        number,
                        ids[part],
                        rle,
                        bbox=bbox(rle),
                        area=area(rle),
                        provenance="human:a",
                    )
                )
        dataset = Dataset(records, masks, categories, INCLUSIONS, path=path)
        write_coco(dataset, path)
        root = image_root or tmp_path / folder / "images"
        return Dataset(records, masks, categories, INCLUSIONS, path=path, image_root=root)

    return build
