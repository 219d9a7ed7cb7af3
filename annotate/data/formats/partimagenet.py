"""PartImageNet's Seg form: a label map for each picture (requirements C3, N-06).

    annotations/<split>/n02085620_1.png      parts 0 to 39, 40 is background
    annotations/<split>_whole/               whole objects; not read
    images/<split>/n02085620_1.JPEG

The numbers have no names in the release; theirs are here. Objects are the 11 super-categories, so
that what is one class in ImageNet is known by the file name alone. A label map has no instances:
two feet are one mask. The OOD form is COCO, which the format `coco` reads.
"""

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered
from annotate.data.formats.layout import Layout
from annotate.data.formats.prepared import load_labels
from partlab.errors import DatasetError, NotFoundError
from partlab.masks import encode
from partlab.progress import track
from partlab.schema import Dataset

log = logging.getLogger(__name__)

_SPLITS = ("train", "val", "test")
_GROUPS = {  # in the order of their numbers; "Tier" is how the release spells a tyre
    "Quadruped": "Head Body Foot Tail",
    "Biped": "Head Body Hand Foot Tail",
    "Fish": "Head Body Fin Tail",
    "Bird": "Head Body Wing Foot Tail",
    "Snake": "Head Body",
    "Reptile": "Head Body Foot Tail",
    "Car": "Body Tier Side_Mirror",
    "Bicycle": "Body Head Seat Tier",
    "Boat": "Body Sail",
    "Aeroplane": "Head Body Engine Wing Tail",
    "Bottle": "Mouth Body",
}
PARTS = [(o, part.replace("_", " ")) for o, parts in _GROUPS.items() for part in parts.split()]
BACKGROUND = len(PARTS)


class PartImageNetLayout(Layout):
    """Format of PartImageNet's label maps."""

    title = "PartImageNet (Seg form)"
    one_split = False

    def fits(self, path: Path) -> bool:
        """annotations/<split> with label maps, and beside one of them <split>_whole or images."""
        return any(
            any((path / "annotations" / split).glob("n*_*.png"))
            and ((path / "annotations" / f"{split}_whole").is_dir() or (path / "images").is_dir())
            for split in _SPLITS
        )

    def read(self, source: Source) -> dict[str, Dataset]:
        """The splits that are there."""
        found: dict[str, Dataset] = {}
        for split in _SPLITS:
            maps = sorted((source.path / "annotations" / split).glob("*.png"))
            gathered = Gathered(source, self.title)
            root = source.images or source.path / "images" / split
            for path in track(maps, "label maps", total=len(maps)):
                _read(path, gathered)
            gathered.say()
            if maps:
                found[split] = gathered.dataset(source.path / "annotations", root)
        if not found:
            raise NotFoundError(
                f"{source.path} has no annotations/<split>/*.png",
                hint="get PartImageNet_Seg.zip of PartImageNet, and name the folder PartImageNet",
            )
        return found


def _read(path: Path, gathered: Gathered) -> None:
    try:
        labels = load_labels(path)
    except DatasetError as error:
        gathered.pass_over("label map", "that cannot be read")
        log.warning("%s", error.message)
        return
    values, counts = np.unique(labels, return_counts=True)
    pixels = {int(v): int(n) for v, n in zip(values, counts, strict=True) if v != BACKGROUND}
    known = {value: count for value, count in pixels.items() if value < BACKGROUND}
    owners = Counter[str]()
    for value, count in known.items():
        owners[PARTS[value][0]] += count
    ours = {"object": owners.most_common(1)[0][0]} if owners else {}
    image = gathered.image(f"{path.stem}.JPEG", (labels.shape[1], labels.shape[0]), **ours)
    for value in known:
        owner, part = PARTS[value]
        rle = encode(labels == value)
        gathered.mask(image, part, rle, object=owner, provenance="human")
    for value in pixels.keys() - known.keys():
        gathered.pass_over("value", "of no part")
        gathered.set_aside(image, "", f"has the value {value}, which is none of the 40 parts")


layout = PartImageNetLayout()
