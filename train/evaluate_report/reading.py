"""Evaluations as the report needs them: what each model got right, image by image."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from partlab.errors import ConfigError, NotFoundError, SchemaError
from partlab.files import read_json
from train.evaluate.claims import PLAN
from train.report.summary import short_names

_ROW = ("threat", "attack", "upper_bound", "accuracy", "images")
_AGAIN = "run the evaluation again with the same --out: it goes on where it stopped"


class Condition(NamedTuple):
    """What was done to the images, and by which attack."""

    threat: str
    attack: str


@dataclass(frozen=True)
class Outcome:
    """What a model got right under one condition: `images` (n,) sorted, `right` (n,) bool.

    `steps` (n,) are those until an attack first broke it, NaN where it did not or does not tell;
    `row` is what evaluation.json says of it.
    """

    images: NDArray[np.str_]
    right: NDArray[np.bool_]
    steps: NDArray[np.float64]
    row: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Measured:
    """One evaluation; `facts` is its evaluation.json, `name` tells it from the others."""

    folder: Path
    name: str
    facts: dict[str, Any]
    outcomes: dict[Condition, Outcome]
    notes: tuple[str, ...]

    @property
    def model(self) -> dict[str, Any]:
        """The model's card."""
        found: dict[str, Any] = self.facts["model"]
        return found

    @property
    def list(self) -> dict[str, Any]:
        """The picture list it was measured on."""
        found: dict[str, Any] = self.facts["list"]
        return found

    @property
    def size(self) -> Any:
        """Pixels of a picture's side, as far as the card says."""
        return (self.model.get("preprocessing") or {}).get("size")


def read_measured(folders: Sequence[str | Path]) -> list[Measured]:
    """Read evaluations that may be shown together, in the order given.

    Raises:
        NotFoundError: a folder is no evaluation.
        SchemaError: a file is damaged, half written, or says what its outcomes do not.
        ConfigError: a model is named twice, or models tell different classes apart.
    """
    paths = [Path(folder) for folder in folders]
    read = [_facts(path) for path in paths]
    _refuse_twice(paths, read)
    _refuse_other_classes(paths, read)
    return [
        _measured(path, name, facts)
        for path, name, facts in zip(paths, _names(paths, read), read, strict=True)
    ]


def _facts(folder: Path) -> dict[str, Any]:
    file = folder / "evaluation.json"
    if not file.is_file():
        inside = " ".join(str(each.parent) for each in sorted(folder.glob("*/evaluation.json")))
        if (folder / PLAN).is_file():
            raise NotFoundError(f"the evaluation in {folder} is not finished", hint=_AGAIN)
        raise NotFoundError(
            f"{folder} is no evaluation: it has no evaluation.json",
            hint=f"name those in it: {inside}"
            if inside
            else "name a folder that `partlab evaluate … --out` wrote",
        )
    facts = read_json(file)
    if not isinstance(facts, dict) or facts.get("format") != 1:
        raise SchemaError(f"{file} is no evaluation of format 1", hint="update partlab")
    for key, kind, needed in (
        ("model", dict, ("name", "classes", "weights_sha256")),
        ("list", dict, ("name", "sha256", "images")),
        ("rows", list, ()),
    ):
        lacks = [name for name in needed if name not in facts.get(key, ())]
        if not isinstance(facts.get(key), kind) or lacks:
            raise SchemaError(f"{file} lacks {', '.join([key, *lacks][bool(lacks) :])}")
    for row in facts["rows"]:
        if lacks := [name for name in _ROW if name not in row]:
            raise SchemaError(f"{file}: a row lacks {', '.join(lacks)}")
    return facts


def _refuse_twice(paths: Sequence[Path], read: Sequence[dict[str, Any]]) -> None:
    seen: dict[Any, Path] = {}
    for path, facts in zip(paths, read, strict=True):
        model = facts["model"]
        key = model["weights_sha256"], facts["list"]["sha256"], str(model.get("preprocessing"))
        if key in seen:
            raise ConfigError(
                f"{seen[key]} and {path} are the same model on the same list",
                hint="name each model once",
            )
        seen[key] = path


def _refuse_other_classes(paths: Sequence[Path], read: Sequence[dict[str, Any]]) -> None:
    first = read[0]["model"]["classes"] if read else []
    for path, facts in zip(paths, read, strict=True):
        classes = facts["model"]["classes"]
        if classes != first:
            unlike = sorted(set(classes) ^ set(first), key=str)[:3]
            what = f"such as {', '.join(map(str, unlike))}" if unlike else "in another order"
            raise ConfigError(
                f"{paths[0]} tells {len(first)} classes apart and {path} {len(classes)}, {what}: "
                "their figures cannot stand side by side",
                hint="evaluate both on the same classes (--columns), or report them apart",
            )


def _names(paths: Sequence[Path], read: Sequence[dict[str, Any]]) -> list[str]:
    """The models' own, with the folder's where several have one name."""
    own = [str(facts["model"]["name"]) for facts in read]
    many = Counter(own)
    return [
        name if many[name] == 1 else f"{name} ({folder})"
        for name, folder in zip(own, short_names(paths), strict=True)
    ]


def _measured(folder: Path, name: str, facts: dict[str, Any]) -> Measured:
    found = _outcomes(folder / "outcomes.parquet")
    rows = {Condition(row["threat"], row["attack"]): row for row in facts["rows"]}
    for condition, row in rows.items():
        have = len(found[condition][0]) if condition in found else 0
        if have != row["images"]:
            raise SchemaError(
                f"{folder}: outcomes.parquet has {have} of the {row['images']} images of "
                f"{condition.threat}, {condition.attack}",
                hint=_AGAIN,
            )
    outcomes = {each: Outcome(*found[each], row) for each, row in rows.items()}
    return Measured(folder, name, facts, outcomes, _notes(outcomes, found))


def _notes(outcomes: dict[Condition, Outcome], found: dict[Condition, Any]) -> tuple[str, ...]:
    """What does not agree; nothing is left out in silence."""
    notes = [
        f"{threat}, {attack}: evaluation.json says {100 * each.row['accuracy']:.2f} %, its "
        f"outcomes {100 * each.right.mean():.2f} %, which is what is shown"
        for (threat, attack), each in outcomes.items()
        if abs(each.row["accuracy"] - each.right.mean()) > 1e-6
    ]
    notes += [
        f"{threat}, {attack}: {len(each.row['disagreements'])} images whose attack said other "
        "than their stored predictions; the predictions count"
        for (threat, attack), each in outcomes.items()
        if each.row.get("disagreements")
    ]
    if extra := found.keys() - outcomes.keys():
        names = ", ".join(sorted(f"{threat} ({attack})" for threat, attack in extra))
        notes.append(f"left out, for evaluation.json has no row of them: {names}")
    return tuple(notes)


def _outcomes(file: Path) -> dict[Condition, tuple[Any, Any, Any]]:
    """Images, sorted, what was right, and steps, by condition."""
    table = _table(file)
    (images, image), (threats, threat), (attacks, attack) = (
        _coded(table[name]) for name in ("image", "threat", "attack")
    )
    right, steps = table["right"].to_numpy(), table["steps"].to_numpy().astype(float)
    pair = threat * len(attacks) + attack
    found = {}
    for number in np.unique(pair):
        at = np.flatnonzero(pair == number)
        at = at[np.argsort(image[at])]
        condition = Condition(*(str(x) for x in (threats[threat[at[0]]], attacks[attack[at[0]]])))
        own = image[at]
        if (twice := own[1:][own[1:] == own[:-1]]).size:
            raise SchemaError(
                f"{file} has the image {images[twice[0]]} twice under {condition.threat}",
                hint=_AGAIN,
            )
        found[condition] = images[own], right[at], steps[at]
    return found


def _coded(column: Any) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """The different texts of a column, sorted, and which of them each row has."""
    coded = column.combine_chunks().dictionary_encode()
    texts, rank = np.unique(np.asarray(coded.dictionary.to_pylist(), str), return_inverse=True)
    return texts, rank[coded.indices.to_numpy()].astype(np.int64)


def _table(file: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    if not file.is_file():
        raise NotFoundError(f"no file {file}", hint=_AGAIN)
    columns = ["image", "threat", "attack", "right", "steps"]
    try:
        table = parquet.read_table(file, columns=columns)
    except (pa.ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise SchemaError(f"{file} is damaged or half written: {said}", hint=_AGAIN) from error
    if lacks := [name for name in columns if name not in table.column_names]:
        raise SchemaError(f"{file} lacks the columns {', '.join(lacks)}", hint=_AGAIN)
    if any(table[name].null_count for name in columns[:-1]):
        raise SchemaError(f"{file} has rows without image, threat, attack or right", hint=_AGAIN)
    return table
