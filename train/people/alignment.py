"""Human alignment: do a model and people get the same pictures right? (robustness.md C2)."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from partlab.errors import DatasetError, NotFoundError

EXCLUDED = {
    "colour": "cr",
    "contrast": "c100 c03 c01",
    "cue-conflict": "",
    "edge": "",
    "eidolonI": "1-10-10 64-10-10 128-10-10",
    "eidolonII": "1-3-10 32-3-10 64-3-10 128-3-10",
    "eidolonIII": "1-0-10 16-0-10 32-0-10 64-0-10 128-0-10",
    "false-colour": "true",
    "high-pass": "inf 0.55 0.45 0.4",
    "low-pass": "0 15 40",
    "phase-scrambling": "0 150 180",
    "power-equalisation": "0",
    "rotation": "0",
    "silhouette": "",
    "sketch": "",
    "stylized": "",
    "uniform-noise": "0 0.6 0.9",
}
"""Set -> conditions left out: undistorted controls, and those where people fail (< 0.2)."""
PLAIN = {"cue-conflict", "edge", "silhouette", "sketch", "stylized"}
"""Sets without conditions: each counts as one."""
COLUMNS = ("subj", "object_response", "category", "condition", "imagename")

Answers = dict[str, dict[str, bool]]
"""Condition -> image -> whether it was answered right."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Means over the sets present: accuracy, (difference)², and both consistencies."""

    accuracy: float
    accuracy_difference: float
    observed_consistency: float
    error_consistency: float
    sets: tuple[str, ...]
    excluded_trials: int
    no_answer: int

    @property
    def told(self) -> str:
        """How many of the sets the means are of: never silently fewer than 17."""
        return f"{len(self.sets)} of {len(EXCLUDED)} sets present"


@dataclass(slots=True)
class SetTrials:
    """The kept trials of one set by subject, and how many were left out or not answered."""

    subjects: dict[str, Answers]
    excluded: int = 0
    no_answer: int = 0


def normal(condition: str) -> str:
    """One spelling of a condition: `0.00` is `0`, `True` is `true`."""
    condition = condition.strip().lower()
    return f"{float(condition):g}" if re.fullmatch(r"\d+(\.\d*)?", condition) else condition


def read_set(name: str, files: Iterable[Path]) -> SetTrials:
    """Trials of one set; `na` (no answer) counts as wrong, as its authors count it.

    Raises:
        DatasetError: a column is missing, or a subject saw one picture twice in a condition.
    """
    trials = SetTrials({})
    left_out = {normal(each) for each in EXCLUDED[name].split()}
    for file in files:
        for row in _rows(file):
            condition = "" if name in PLAIN else normal(row["condition"])
            if condition in left_out:
                trials.excluded += 1
                continue
            trials.no_answer += row["object_response"] == "na"
            seen = trials.subjects.setdefault(row["subj"], {}).setdefault(condition, {})
            image = _image(row["imagename"])
            if image in seen:
                raise DatasetError(
                    f"{file}: {row['subj']} answers {image} twice in condition {condition!r}",
                    hint="remove the trial that is there twice",
                )
            seen[image] = row["object_response"] == row["category"]
    return trials


def _rows(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        reader.fieldnames = [each.strip().lower() for each in reader.fieldnames or ()]
        if missing := [each for each in COLUMNS if each not in reader.fieldnames]:
            raise DatasetError(
                f"{file} has no column {', '.join(missing)}",
                hint=f"trials have the columns {', '.join(COLUMNS)}",
            )
        return list(reader)


def _image(name: str) -> str:
    """What a picture is called in every session: the name's last field, or two with a wnid."""
    found = re.search(r"(n\d+_[^_]+|[^_]+)$", Path(name).stem)
    return found.group() if found else name


def read_sets(folder: Path) -> dict[str, SetTrials]:
    """The sets that are there, each a folder of one CSV file a subject.

    Raises:
        NotFoundError: there is none of the 17.
        DatasetError: a file is not of trials.
    """
    found = {name: sorted((folder / name).glob("*.csv")) for name in EXCLUDED}
    if not any(found.values()):
        raise NotFoundError(
            f"{folder} holds none of the {len(EXCLUDED)} sets of human trials",
            hint="give model-vs-human's folder raw-data",
        )
    return {name: read_set(name, files) for name, files in found.items() if files}


def consistency(ours: Sequence[bool], theirs: Sequence[bool]) -> tuple[float, float, float]:
    """(Accuracy difference squared, observed consistency O, error consistency (O-E)/(1-E))."""
    mine, other = np.asarray(ours, bool), np.asarray(theirs, bool)
    a, b, observed = mine.mean(), other.mean(), (mine == other).mean()
    chance = a * b + (1 - a) * (1 - b)
    kappa = 1.0 if observed == 1 else (observed - chance) / (1 - chance)
    return float((a - b) ** 2), float(observed), float(kappa)


def _pair(ours: Answers, theirs: Answers) -> np.ndarray[Any, Any]:
    """The three figures of two subjects, the mean over the conditions that both saw."""
    figures = []
    for condition in ours.keys() & theirs.keys():
        images = sorted(ours[condition].keys() & theirs[condition].keys())
        if images:
            pairs = [(ours[condition][i], theirs[condition][i]) for i in images]
            figures.append(consistency(*zip(*pairs, strict=True)))
    if not figures:
        raise DatasetError("two subjects of a set have no picture in common")
    means: np.ndarray[Any, Any] = np.mean(figures, axis=0)
    return means


def _accuracy(answers: Answers) -> float:
    return float(np.mean([np.mean(list(each.values())) for each in answers.values()]))


def align(humans: dict[str, SetTrials], model: dict[str, SetTrials] | None = None) -> Alignment:
    """A model against people, or people against each other where no model is given.

    Means over conditions, then over people, then over the sets present, unweighted.

    Raises:
        DatasetError: there is no set of both.
    """
    names = [name for name in humans if model is None or name in model]
    if not names:
        raise DatasetError("the model answered none of the sets of human trials")
    figures, accuracies, counts = [], [], Counter[str]()
    for name in names:
        people = humans[name].subjects
        answered = people if model is None else model[name].subjects
        pairs = (
            permutations(people, 2) if model is None else ((m, h) for m in answered for h in people)
        )
        figures.append(np.mean([_pair(answered[m], people[h]) for m, h in pairs], axis=0))
        accuracies.append(np.mean([_accuracy(each) for each in answered.values()]))
        counts["excluded"] += humans[name].excluded
        counts["none"] += humans[name].no_answer
    means = [float(each) for each in np.mean(figures, axis=0)]
    return Alignment(
        float(np.mean(accuracies)), means[0], means[1], means[2],
        tuple(names), counts["excluded"], counts["none"],
    )  # fmt: skip
