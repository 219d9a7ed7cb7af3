"""Thresholds per part category, picked on held-out truth (requirement B4.1).

The store should be made with a low threshold and `--set unite=false`, on images the segmenter
was not trained on. What a threshold is worth is measured on images it was not picked on: each
half of the images judges the thresholds picked on the other half.
"""

import filecmp
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from partlab.coco import read_coco
from partlab.errors import ConfigError, DatasetError, PartlabError
from partlab.files import read_lines
from partlab.schema import Dataset, Image
from pseudolabel.matching import Matched, Pair
from pseudolabel.store import Row, Store
from pseudolabel.sweep import Counts, counted, grid, lowest_score
from segmenter.runs import read_run

logger = logging.getLogger(__name__)

MIN_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Goal:
    """What a threshold is picked for: the best F1, or recall at a precision of at least `floor`."""

    floor: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Goal":
        """Read `f1` or `precision=0.9`.

        Raises:
            ConfigError: it is neither.
        """
        name, _, value = text.partition("=")
        try:
            goal = cls(float(value)) if name == "precision" else cls()
        except ValueError:
            goal = cls(-1.0)
        if (name != "f1" or value) and not 0 < (goal.floor or 0) <= 1:
            raise ConfigError(f"unknown goal {text!r}", hint="say f1, or precision=0.9")
        return goal

    def value(self, counts: Counts) -> tuple[float, ...]:
        """The higher, the better."""
        if self.floor is None:
            return (counts.f1,)
        precision, recall = counts.precision or 0.0, counts.recall or 0.0
        return (1.0, recall) if precision >= self.floor else (0.0, precision)


@dataclass(frozen=True, slots=True)
class PartThreshold:
    """One part's threshold, and why.

    `reason`: "picked"; "few examples" (the default stands); "goal missed" (no threshold
    reaches the precision; the one that comes nearest stands).
    """

    name: str
    tau: float
    reason: str
    examples: int  # images in which the part is true
    found: int  # images in which the store has it at its lowest threshold
    f1: float | None  # at this threshold, on the images it was picked on
    f1_default: float | None  # at the default threshold, on the same images


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds for every part, and F1 over all parts on images not used for picking them."""

    default: float
    goal: str
    images: int
    parts: tuple[PartThreshold, ...]
    held_out_picked: Counts
    held_out_default: Counts
    lowest: float
    unknown_parts: tuple[str, ...] = field(default=())

    def thresholds(self) -> dict[str, Any]:
        """What `partlab pseudolabel --thresholds` reads."""
        chosen = {part.name: part.tau for part in self.parts if part.reason != "few examples"}
        return {"default": self.default, "parts": chosen}


def calibrate(
    matched: Matched,
    goal: str = "f1",
    *,
    default: float = 0.5,
    min_examples: int = MIN_EXAMPLES,
) -> Calibration:
    """Pick a threshold for each part; parts with fewer true or found examples keep the default.

    Of equally good thresholds the one nearest to the default is taken.

    Raises:
        ConfigError: the goal is unknown, or the default lies below the store's own threshold.
    """
    aim, lowest = Goal.parse(goal), lowest_score(matched.store)
    if default < lowest:
        raise ConfigError(
            f"the default {default} is below the store's threshold {lowest}",
            hint="make the store with a lower threshold: partlab pseudolabel … --threshold 0.05",
        )
    taus = sorted({*grid(matched.store), default})
    grouped = _by_part(matched.pairs)
    parts = []
    for name in (name for name in matched.store.names if name in matched.category_of):
        parts.append(_part(name, grouped.get(name, []), taus, aim, default, min_examples))
    folds = _held_out(grouped, taus, aim, default, min_examples)
    return Calibration(
        default,
        goal,
        len(matched.rows),
        tuple(parts),
        *folds,
        lowest,
        matched.unknown_parts,
    )


def _by_part(pairs: Sequence[Pair]) -> Mapping[str, list[Pair]]:
    grouped: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        grouped[pair.name].append(pair)
    return grouped


def _part(
    name: str, pairs: list[Pair], taus: list[float], goal: Goal, default: float, least: int
) -> PartThreshold:
    examples, found = sum(p.truth for p in pairs), sum(bool(p.steps) for p in pairs)
    at_default = counted(pairs, default).f1 if pairs else None
    if min(examples, found) < least:
        return PartThreshold(name, default, "few examples", examples, found, at_default, at_default)
    tau = _pick(pairs, taus, goal, default)
    counts = counted(pairs, tau)
    reached = goal.floor is None or (counts.precision or 0.0) >= goal.floor
    reason = "picked" if reached else "goal missed"
    return PartThreshold(name, tau, reason, examples, found, counts.f1, at_default)


def _pick(pairs: list[Pair], taus: list[float], goal: Goal, default: float) -> float:
    return max(taus, key=lambda tau: (goal.value(counted(pairs, tau)), -abs(tau - default), -tau))


def _held_out(
    grouped: Mapping[str, list[Pair]], taus: list[float], goal: Goal, default: float, least: int
) -> tuple[Counts, Counts]:
    """All parts' counts at picked thresholds and at the default; each half judges the other."""
    picked, plain = [], []
    for pairs in grouped.values():
        for fold in (0, 1):
            own = [pair for pair in pairs if _fold(pair.file_name) != fold]
            judged = [pair for pair in pairs if _fold(pair.file_name) == fold]
            enough = min(sum(p.truth for p in own), sum(bool(p.steps) for p in own)) >= least / 2
            tau = _pick(own, taus, goal, default) if enough else default
            picked.append(counted(judged, tau))
            plain.append(counted(judged, default))
    return _sum(picked), _sum(plain)


def _fold(file_name: str) -> int:
    return hashlib.sha256(file_name.encode()).digest()[0] % 2


def _sum(counts: Sequence[Counts]) -> Counts:
    return Counts(
        sum(c.right for c in counts), sum(c.kept for c in counts), sum(c.true for c in counts)
    )


def shared_with_training(matched: Matched) -> tuple[int, bool]:
    """How many truth images the segmenter was trained on, and whether that could be found out.

    It can where the segmenter's run is still there: by the pictures' paths, hashes and bytes if
    the data set it was trained on is there too, else by the file names the run remembers.
    """
    run, training = Path(matched.store.manifest.run), training_set(matched.store)
    if training is not None:
        known = _Pictures(training)
        return sum(known.hold(matched, row, image) for row, image in matched.rows), True
    if not (run / "train_images.txt").is_file():
        return 0, False
    names = set(read_lines(run / "train_images.txt"))
    return sum(image.file_name in names for _, image in matched.rows), True


class _Pictures:
    """Pictures of a data set, known by place, by the hash a record states, and by their bytes."""

    def __init__(self, dataset: Dataset) -> None:
        self._places = {str(dataset.image_path(image).absolute()) for image in dataset.images}
        self._hashes = {image.sha256 for image in dataset.images if image.sha256}

    def hold(self, matched: Matched, row: Row, image: Image) -> bool:
        """Whether an image of the truth is among them, a copy elsewhere included."""
        places = matched.store.image_path(row), matched.truth.image_path(image)
        if image.sha256 in self._hashes or any(str(p.absolute()) in self._places for p in places):
            return True
        return next((self._holds_copy(place) for place in places if place.is_file()), False)

    def _holds_copy(self, place: Path) -> bool:
        alike = self._by_size.get(place.stat().st_size, [])
        return any(filecmp.cmp(place, other, shallow=False) for other in alike)

    @cached_property
    def _by_size(self) -> Mapping[int, list[str]]:
        """Only pictures of the same size in bytes need be read."""
        found: defaultdict[int, list[str]] = defaultdict(list)
        for place in self._places:
            with suppress(OSError):
                found[os.stat(place).st_size].append(place)
        return found


def training_set(store: Store) -> Dataset | None:
    """What the segmenter was trained on, if its run and that data set are still there.

    The run remembers the names of its images: a file may hold more by now, or have held more.
    """
    run = Path(store.manifest.run)
    try:
        whole = read_coco(Path(read_run(run)["data"]["path"]))
        if not (run / "train_images.txt").is_file():
            return whole
        names = set(read_lines(run / "train_images.txt"))
    except (PartlabError, KeyError, TypeError):
        return None
    return whole.subset(image.id for image in whole.images if image.file_name in names)


def refuse_leak(matched: Matched) -> None:
    """Refuse truth that the segmenter was trained on: its scores there are too good.

    Raises:
        DatasetError: some images are in both.
    """
    shared, known = shared_with_training(matched)
    if shared:
        raise DatasetError(
            f"{shared} of {len(matched.rows)} truth images are in the segmenter's training set: "
            "thresholds picked on them would not suit new images",
            hint="use a held-out split, for example the segmenter's validation images",
        )
    if not known:
        logger.warning(
            "the training set of %s cannot be read, so it is not known whether the truth images "
            "were trained on",
            matched.store.manifest.run,
        )
