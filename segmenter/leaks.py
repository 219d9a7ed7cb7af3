"""Pictures that a run was trained on and is measured on: by their names, and by how they look."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.data.duplicates import Hashes, hashed, near_across
from partlab.coco import read_coco
from partlab.counts import counted
from partlab.errors import BackendUnavailableError, PartlabError
from partlab.files import read_json, read_lines, write_json
from partlab.pictures import Placed
from partlab.schema import Dataset, Image
from segmenter.runs import read_run

log = logging.getLogger(__name__)
_HASHES = "train_hashes.json"  # in the run's folder: its training pictures are looked at once


@dataclass(frozen=True, slots=True)
class Leaks:
    """Images of a data set that a run may have been trained on.

    `look_alike` are (training picture, image, bits of 64) of other names, the nearest pair of each
    image. `not_compared` says why pictures were not compared; None where they were.
    """

    same_name: tuple[str, ...]
    look_alike: tuple[tuple[str, str, int], ...] = ()
    not_looked_at: int = 0  # images that cannot be read or show one colour
    not_compared: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For the evaluation's file."""
        return {
            "same_name": list(self.same_name),
            "look_alike": [
                {"trained_on": first, "image": second, "bits": bits}
                for first, second, bits in self.look_alike
            ],
            "not_looked_at": self.not_looked_at,
            "not_compared": self.not_compared,
        }

    def sentences(self, images: int) -> list[str]:
        """What a reader of the figures must know; nothing where all is well."""
        doubt = "these figures may not tell how it does on new images"
        said = []
        if names := self.same_name:
            have = "has" if len(names) == 1 else "have"
            said.append(
                f"{len(names)} of {counted(images, 'image')} {have} the file name of a training "
                f"image of this run (first: {names[0]}): {doubt}"
            )
        if near := self.look_alike:
            look = "looks" if len(near) == 1 else "look"
            said.append(
                f"{len(near)} of {counted(images, 'image')} {look} like a training image of this "
                f"run (first: {near[0][1]} like {near[0][0]}): {doubt}"
            )
        if self.not_compared:
            said.append(f"only file names were compared with training images: {self.not_compared}")
        return said


def leaks(run: Path, truth: Dataset) -> Leaks:
    """Which images of `truth` the run was trained on, as far as anybody can tell here.

    Pictures are compared by perceptual hashes (`annotate.data.duplicates`) where the training
    pictures are still there and the package imagehash is; else by file names alone. Hashes of the
    training pictures are kept in the run's folder.
    """
    listed = run / "train_images.txt"
    if not listed.is_file():
        return Leaks((), not_compared="the run does not list those, so not even names were")
    trained = set(read_lines(listed))
    same = tuple(sorted(trained & {image.file_name for image in truth.images}))
    try:
        before, now = _training_hashes(run, trained), hashed(truth)
    except BackendUnavailableError as error:
        return Leaks(same, not_compared=f"{error.message} ({error.hint})")
    except PartlabError as error:
        return Leaks(same, not_compared=error.message)
    if not any(before.values()):
        return Leaks(same, not_compared="none of the training pictures is where it was")
    nearest: dict[str, tuple[str, str, int]] = {}
    for pair in near_across(before, now):
        if pair[1] not in same:
            nearest.setdefault(pair[1], pair)
    unseen = sum(one is None for one in now.values())
    return Leaks(same, tuple(nearest.values()), unseen)


def _training_hashes(run: Path, trained: set[str]) -> Mapping[str, Hashes | None]:
    """Of the run's own training pictures, found by the data set it was trained on.

    Raises:
        PartlabError: the data set is not where it was, or is another one.
    """
    content, kept = (read_run(run).get("data") or {}), run / _HASHES
    if kept.is_file():
        found = read_json(kept)
        if found.get("data") == content.get("fingerprint"):
            return {name: tuple(pair) if pair else None for name, pair in found["hashes"].items()}
    path = Path(content.get("path") or "")
    if not path.is_file():
        raise PartlabError("the data set it was trained on is not where it was")
    data = read_coco(path)
    own = data.subset(image.id for image in data.images if image.file_name in trained)
    hashes = {**hashed(own), **_pseudo_hashes(run, trained - {i.file_name for i in own.images})}
    if any(hashes.values()):
        write_json(kept, {"data": content.get("fingerprint"), "hashes": hashes})
    return hashes


def _pseudo_hashes(run: Path, names: set[str]) -> Mapping[str, Hashes | None]:
    """Of the pictures that came from a store of pseudo labels."""
    origin = read_run(run).get("pseudo")
    if not origin or not names:
        return {}
    images = [Image.new(at, name, (1, 1)) for at, name in enumerate(sorted(names))]
    places = {name: Path(origin["image_root"]) / name for name in names}
    return hashed(Dataset(images, [], [], finder=Placed(places)))
