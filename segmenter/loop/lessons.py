"""What a segmenter learns from, and what it is examined on: two parts of what was accepted.

Only rounds that inspectors accepted; no honeypots, nothing that an inspector failed or sent back.
One picture in five is held out for the exam, chosen by its hash: once and for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.data.formats.pictures import Pictures, place
from annotate.inspect.build import Built, Wanted, build
from annotate.inspect.export import pictures_for
from annotate.work import Image as WorkImage
from annotate.work import Work
from partlab.coco import read_dataset, write_coco
from partlab.counts import counted
from partlab.errors import StateError
from partlab.files import read_json, sha256_json, write_json
from partlab.folders import new_folder
from partlab.schema import Dataset, Image
from segmenter.loop.naming import Ids, ids_of

SHARE = 0.2  # of each object category's pictures, held out
TRAIN, EXAM = "train", "exam"
_ACCEPTED = Wanted(exclude_failed=True)


@dataclass(frozen=True, slots=True)
class Lessons:
    """A data set of accepted pictures on disk, in two splits, and what was left out of it.

    `train` and `exam` are None where they have no pictures.
    """

    folder: Path
    train: Dataset | None
    exam: Dataset | None
    parts: Ids
    vocabulary: int
    left_out: dict[str, int]

    @property
    def facts(self) -> dict[str, Any]:
        """For the history: counts and hashes."""
        told: dict[str, Any] = {"left_out": self.left_out}
        for name, data in ((TRAIN, self.train), (EXAM, self.exam)):
            told[name] = {
                "images": len(data.images) if data else 0,
                "masks": len(data.annotations) if data else 0,
                "sha256": data.fingerprint if data else None,
            }
        return told


def is_held_out(seed: int, picture: str) -> bool:
    """Whether a picture, by its `key_of`, is for the exam of a work of this seed.

    It follows from the two alone, so nothing that comes later moves it into training.
    """
    return int(sha256_json([EXAM, seed, picture])[:8], 16) < SHARE * 2**32


def collect(work: Work, out: Path) -> None:
    """Write what is accepted now into a new folder, whole or not at all.

    Raises:
        StateError: nothing is accepted yet.
        PartlabError: it cannot be written.
    """
    built = build(work, _ACCEPTED, keep_ids=False)
    data = built.dataset
    if not data.images:
        raise StateError(nothing_accepted(work, built))
    with new_folder(out, inputs=[work.folder]) as new:
        place(pictures_for(work, data.images, new), Pictures.link)
        there = [i for i in data.images if (new / "images" / i.file_name).is_file()]
        held_out = {i.id for i in there if is_held_out(work.settings.seed, key_of(i))}
        split = {EXAM: held_out, TRAIN: {i.id for i in there} - held_out}
        for name, ids in split.items():
            write_coco(data.subset(ids), new / "annotations" / f"{name}.json")
        left_out = {"failed": built.excluded, "sent back": built.correcting}
        left_out |= {"parts that are gone": built.gone, "no picture": len(data.images) - len(there)}
        about = {"vocabulary": work.vocabulary.version, "parts": ids_of(data)}
        write_json(new / "lessons.json", {**about, "left_out": left_out})


def key_of(image: Image | WorkImage) -> str:
    """What a picture is known by: its bytes, else its file name."""
    return image.sha256 or image.file_name


def nothing_accepted(work: Work, built: Built | None = None) -> str:
    """The sentence for a work in which there is nothing to learn from."""
    states: dict[str, int] = {}
    for batch in work.batches():
        states[batch.state] = states.get(batch.state, 0) + 1
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    failed = counted(built.excluded, "picture") if built and built.excluded else ""
    failed = failed and f"; {failed} failed"
    return f"no picture is accepted yet in {work.folder} ({told or 'nothing handed out'}{failed})"


def read_lessons(folder: Path) -> Lessons:
    """What `collect` wrote.

    Raises:
        NotFoundError, SchemaError: it is not there, or damaged.
    """
    about = read_json(folder / "lessons.json")
    splits = [read_dataset(folder, name) for name in (TRAIN, EXAM)]
    train, exam = (data if data.images else None for data in splits)
    return Lessons(folder, train, exam, **about)


def without(exam: Dataset, seen: Sequence[str]) -> Dataset:
    """The exam without pictures that a segmenter has learnt from, by their file names."""
    known = set(seen)
    return exam.subset(image.id for image in exam.images if image.file_name not in known)
