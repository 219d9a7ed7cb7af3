"""Trials of the human experiments (CSV files of model-vs-human), of people and of models."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partlab.errors import DatasetError, NotFoundError
from train.people.categories import NAMES

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


@dataclass(slots=True)
class Subject:
    """One subject's answers to one set, the excluded conditions left out but counted.

    `trials` and `right` count all, the excluded ones too; `no_answer` counts the kept `na`.
    """

    answers: Answers = field(default_factory=dict)
    trials: int = 0
    right: int = 0
    excluded: int = 0
    no_answer: int = 0


Sets = dict[str, dict[str, Subject]]
"""Set -> subject -> answers."""


def normal(condition: str) -> str:
    """One spelling of a condition: `0.00` is `0`, `True` is `true`."""
    condition = condition.strip().lower()
    return f"{float(condition):g}" if re.fullmatch(r"\d+(\.\d*)?", condition) else condition


def read_set(name: str, files: Iterable[Path]) -> dict[str, Subject]:
    """Subjects of one set; `na` (no answer) counts as wrong, as its authors count it.

    Raises:
        DatasetError: a column or value is missing, an answer is none of the 16 categories, or a
            subject saw one picture twice in a condition.
    """
    subjects: dict[str, Subject] = {}
    left_out = {normal(each) for each in EXCLUDED[name].split()}
    seen: set[tuple[str, str, str]] = set()
    for file in files:
        for row in _rows(file):
            condition = "" if name in PLAIN else normal(row["condition"])
            trial = row["subj"], condition, _image(row["imagename"])
            if trial in seen:
                raise DatasetError(
                    f"{file}: {trial[0]} answers {trial[2]} twice in condition {condition!r}",
                    hint="remove the trial that is there twice",
                )
            seen.add(trial)
            _take(subjects.setdefault(trial[0], Subject()), row, *trial[1:], condition in left_out)
    return subjects


def _take(
    subject: Subject, row: dict[str, str], condition: str, image: str, left_out: bool
) -> None:
    right = row["object_response"] == row["category"]
    subject.trials += 1
    subject.right += right
    subject.excluded += left_out
    if not left_out:
        subject.no_answer += row["object_response"] == "na"
        subject.answers.setdefault(condition, {})[image] = right


def _rows(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        reader.fieldnames = [each.strip().lower() for each in reader.fieldnames or ()]
        if missing := [each for each in COLUMNS if each not in reader.fieldnames]:
            raise DatasetError(
                f"{file} has no column {', '.join(missing)}",
                hint=f"trials have the columns {', '.join(COLUMNS)}",
            )
        return [_checked(row, f"{file}, line {reader.line_num}") for row in reader]


def _checked(row: dict[str, Any], where: str) -> dict[str, str]:
    """The row, its values trimmed, its answer and category among those that there are."""
    row |= {key: (row[key] or "").strip() for key in COLUMNS}
    if empty := [each for each in COLUMNS if not row[each] and each != "condition"]:
        raise DatasetError(f"{where}: no {', '.join(empty)}", hint="complete or remove the trial")
    for key, known in (("object_response", (*NAMES, "na")), ("category", NAMES)):
        row[key] = row[key].lower()
        if row[key] not in known:
            raise DatasetError(
                f"{where}: {key} {row[key]!r} is none of the 16 categories",
                hint=f"write one of {', '.join(known)}",
            )
    return row


def _image(name: str) -> str:
    """What a picture is called in every session: the name's last field, or two with a wnid."""
    found = re.search(r"(n\d+_[^_]+|[^_]+)$", Path(name).stem)
    return found.group() if found else name


def read_sets(folder: Path) -> Sets:
    """People's answers to the sets that are there, each a folder of one CSV file a subject.

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


def read_responses(files: Iterable[Path]) -> dict[str, Sets]:
    """Model (column `subj`) -> set -> its answers, in files with the columns of people's.

    A file's set is the name of its folder, or its own name up to the first `_`.

    Raises:
        NotFoundError: there is no such file.
        DatasetError: a file is not of trials, or its name tells no set.
    """
    by_set: dict[str, list[Path]] = {}
    for file in files:
        if not file.is_file():
            raise NotFoundError(f"no file {file} of a model's answers")
        by_set.setdefault(_set_of(file), []).append(file)
    models: dict[str, Sets] = {}
    for name, those in by_set.items():
        for model, subject in read_set(name, those).items():
            models.setdefault(model, {})[name] = {model: subject}
    return models


def _set_of(file: Path) -> str:
    for name in (file.resolve().parent.name, file.stem.split("_")[0]):
        if name in EXCLUDED:
            return name
    raise DatasetError(
        f"{file}: neither its folder nor its name tells which of the 17 sets it answers",
        hint="name it SET_MODEL.csv, for example edge_resnet50.csv; sets: " + ", ".join(EXCLUDED),
    )
