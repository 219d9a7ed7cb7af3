"""What each format keeps of a part data set, measured; docs/guide/formats.md shows it."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.convert import export_folder, import_source, propose_names
from annotate.data.formats import Source, formats, get_format
from annotate.data.formats.layout import Holds
from annotate.data.formats.losses import losses
from partlab.coco import find_splits, read_coco, write_coco
from partlab.masks import Rle, area, bbox, decode, encode
from partlab.schema import OURS, Annotation, Category, Dataset, Discard, Image

WIDTH, HEIGHT = 61, 43  # odd, so that rounding shows
GUIDE = Path(__file__).parents[4] / "docs" / "guide" / "formats.md"
NAMES = ("ram:head", "ram:horn", "ram:left leg")
WRITTEN = [name for name in formats.names() if get_format(name).writes]
READ_BACK = {"fiftyone": "coco"}  # what is read by another of our formats
BACK = [name for name in WRITTEN if get_format(READ_BACK.get(name, name)).reads]


def blob(seed: int, holes: bool = False) -> np.ndarray:
    """A ragged mask of two pieces, that touch the edge."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    random = np.random.default_rng(seed)
    mask[2:30, 3:40] = random.random((28, 37)) < 0.9 if holes else True
    if not holes:
        mask[2:30, 3:40] &= np.arange(37) < 30 + np.arange(28)[:, None] % 5
        mask[HEIGHT - 2 :, WIDTH - 3 :] = True
    return mask


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


DRAWN = {  # picture -> masks (part, pixels), one picture for each kind of thing
    "pixels": [(0, blob(0))],
    "instances": [(2, box(2, 2, 9, 20)), (2, box(20, 2, 27, 20))],
    "holes": [(0, blob(1, holes=True))],
    "layers": [(0, box(5, 5, 30, 30)), (1, box(20, 20, 50, 40))],
}


def data_set(split: str, folder: Path) -> Dataset:
    images, annotations = [], []
    for number, (name, masks) in enumerate(DRAWN.items(), 1):
        file_name = f"{split}-{name}.png"
        images.append(Image.new(number, file_name, (WIDTH, HEIGHT), object="ram"))
        path = folder / "images" / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("RGB", (WIDTH, HEIGHT), (number, 9, 9)).save(path)
        for part, mask in masks:
            rle = encode(mask)
            known = {"bbox": bbox(rle), "area": area(rle), "object_id": 7, "review": "pass"}
            annotations.append(
                Annotation.new(
                    len(annotations) + 1, number, part + 1, rle, provenance="human:ann", **known
                )
            )
    categories = [Category.new(n, *name.split(":")) for n, name in enumerate(NAMES, 1)]
    discard = Discard({"file_name": "bad.png", OURS: {"object": "ram", "reason": "blurred"}})
    return Dataset(images, annotations, categories, {"ram": {"horn": "head"}}, [discard])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours")
    for split in ("train", "val"):
        write_coco(data_set(split, folder), folder / "annotations" / f"{split}.json")
    return folder


def split_of(folder: Path, split: str) -> Dataset | None:
    file = find_splits(folder).get(split)
    return read_coco(file) if file else None


def back(ours: Path, name: str, folder: Path) -> dict[str, Dataset]:
    """What comes back of a data set that is written in a format and read again."""
    export_folder(ours, folder / "there", format=name)
    source = Source(folder / "there", names=renamed(folder / "map.csv") if name == "voc" else None)
    import_source(source, folder / "back")
    return {split: read_coco(file) for split, file in find_splits(folder / "back").items()}


def renamed(path: Path) -> Path:
    """The table that a person writes for a format that changes names."""
    rows = [f"{name.replace(':', '/')},{name.replace(':', ',')}" for name in NAMES]
    path.write_text("\n".join(["category,object,part", *rows, ""]))
    return path


def masks_of(data: Dataset, kind: str) -> list[tuple[str, Rle]]:
    (image,) = [i for i in data.images if Path(i.file_name).stem.endswith(f"-{kind}")]
    found = [(data.names[data.label_of[a.category_id]], a) for a in data.annotations_of(image)]
    return sorted(
        [(name, a.segmentation) for name, a in found], key=lambda one: (one[0], one[1]["counts"])
    )


def same_masks(kind: str) -> Callable[[Dataset, Dataset], str]:
    def compare(before: Dataset, after: Dataset) -> str:
        one, two = masks_of(before, kind), masks_of(after, kind)
        if len(one) != len(two):
            return "lost"
        pairs = zip(one, two, strict=True)
        same = all((decode(a) == decode(b)).all() for (_, a), (_, b) in pairs)
        return "kept" if same else "changed"

    return compare


def same_layers(before: Dataset, after: Dataset) -> str:
    told = same_masks("layers")(before, after)
    return "lost" if told == "changed" else told  # what lay under another is gone


def attributes(before: Dataset, after: Dataset) -> str:
    def said(data: Dataset) -> list[object]:
        known = [(a.object_id, a.provenance, a.review) for a in data.annotations]
        return [*zip(*known, strict=True), data.inclusions, [d.file_name for d in data.discards]]

    pairs = zip(said(before), said(after), strict=True)
    same = [one == two for one, two in pairs]
    return "kept" if all(same) else "changed" if any(same) else "lost"


MEASURES: dict[str, Callable[[Dataset, Dataset], str]] = {
    **{kind: same_masks(kind) for kind in ("pixels", "instances", "holes")},
    "layers": same_layers,
    "attributes": attributes,
}


def measured(ours: Path, name: str, folder: Path) -> dict[str, str]:
    again = back(ours, name, folder)
    splits = "kept" if set(again) == {"train", "val"} else "lost"
    one = split_of(ours, "train")
    two = again.get("train") or next(iter(again.values()))
    assert one is not None
    found = {kind: how(one, two) for kind, how in MEASURES.items()} | {"splits": splits}
    rows = propose_names(Source(folder / "there"))  # as they stand in the format itself
    names = {row["category"] for row in rows if int(row["masks"])}
    return found | {"names": "kept" if names <= set(NAMES) else "changed"}


@pytest.fixture(scope="module")
def table(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    return {name: measured(ours, name, tmp_path_factory.mktemp(name)) for name in BACK}


@pytest.mark.parametrize("name", BACK)
def test_what_is_lost_is_said_and_nothing_else(
    name: str, table: dict[str, dict[str, str]], ours: Path, tmp_path: Path
) -> None:
    told = export_folder(ours, tmp_path / "none", format=name, dry_run=True)
    assert not (tmp_path / "none").exists()
    holds = get_format(name).holds
    lossy = {kind for kind, how in table[name].items() if how != "kept"}
    assert lossy == {kind for kind in Holds.aspects() if getattr(holds, kind)}
    words = " ".join(told["losses"])
    assert all(getattr(holds, kind) in words for kind in lossy)
    assert len(told["losses"]) == len(lossy)


def as_table(table: dict[str, dict[str, str]]) -> str:
    kinds = Holds.aspects()
    lines = [f"| format | {' | '.join(kinds)} |", f"|{' --- |' * (len(kinds) + 1)}"]
    lines += [
        f"| `{name}` | {' | '.join(row[kind] for kind in kinds)} |" for name, row in table.items()
    ]
    return "\n".join(lines)


def test_the_guide_shows_what_was_measured(table: dict[str, dict[str, str]]) -> None:
    """Written anew with PARTLAB_WRITE_GUIDE=1."""
    text = GUIDE.read_text()
    found = re.search(r"(?s)(<!-- measured -->\n).*?(\n<!-- end -->)", text)
    assert found
    if os.environ.get("PARTLAB_WRITE_GUIDE"):
        new = text[: found.end(1)] + as_table(table) + text[found.start(2) :]
        GUIDE.write_text(new)
        text = new
    assert as_table(table) in text


def test_every_format_is_in_the_guide() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| (yes|no) \| (yes|no) \|", GUIDE.read_text())
    said = {name: (reads == "yes", writes == "yes") for name, reads, writes in rows}
    known = {name: get_format(name) for name in formats.names()}
    assert said == {name: (one.reads, one.writes) for name, one in known.items()}


@pytest.mark.parametrize("name", [n for n in formats.names() if n not in WRITTEN])
def test_a_format_that_is_read_only_says_so(name: str, ours: Path, tmp_path: Path) -> None:
    from partlab.errors import ConfigError

    with pytest.raises(ConfigError, match="can be read, not written"):
        export_folder(ours, tmp_path / "out", format=name)
    assert not (tmp_path / "out").exists()


def test_nothing_is_said_of_what_is_not_there(tmp_path: Path) -> None:
    plain = data_set("train", tmp_path)
    first = plain.annotations[0]
    bare = Annotation({key: value for key, value in first.raw.items() if key != OURS})
    only = replace(
        plain, images=plain.images[:1], annotations=[bare], inclusions={}, discards=[], finder=None
    )
    write_coco(only, tmp_path / "annotations" / "train.json")
    told = export_folder(tmp_path, tmp_path / "out", format="prepared", dry_run=True)
    assert told["losses"] == []


def test_each_kind_of_loss_is_counted(ours: Path) -> None:
    """Formats of other packages may keep less than any of ours."""
    nothing = Holds(*(f"({kind} are gone)" for kind in Holds.aspects()))
    splits = {split: read_coco(file) for split, file in find_splits(ours).items()}
    assert losses(splits, nothing) == [
        "12 masks: (pixels are gone)",
        "4 masks of a part that its image has several times: (instances are gone)",
        "2 masks with holes: (holes are gone)",
        "4 masks over or under another: (layers are gone)",
        "6 names of parts: (names are gone)",
        "16 records with more than pixels and a name: (attributes are gone)",
        "2 splits: (splits are gone)",
    ]
    known = Holds(attributes="(gone)", known=frozenset({"object_id", "provenance", "review"}))
    assert losses(splits, known) == ["4 records with more than pixels and a name: (gone)"]
