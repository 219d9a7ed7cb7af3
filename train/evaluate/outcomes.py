"""What an evaluation leaves on disk: one record, and the outcome of every picture (N-13).

`evaluation.json` describes model, list of pictures and figures; `outcomes.parquet` has one row
for each picture, threat and attack. Both are replaced as a whole, never half written.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from partlab.errors import ConfigError, NotFoundError, SchemaError
from partlab.files import exclusive, read_json, replacing, write_json

RECORD, OUTCOMES = "evaluation.json", "outcomes.parquet"
SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("label", pa.string()),  # the true class
        ("threat", pa.string()),  # "clean", "linf-4/255", "corruption:fog:3", …
        ("attack", pa.string()),  # "clean", "pgd-20", "autoattack", …
        ("right", pa.bool_()),
        ("prediction", pa.string()),  # of the worst input found
        ("margin", pa.float32()),  # logit of the true class less the highest other, there
        ("broken_by", pa.string()),  # the stage that broke it; "clean"; null if it stands
        ("steps", pa.int32()),  # of PGD, until it first erred; null for other attacks
    ]
)


def stem(threat: str, attack: str) -> str:
    """What files of a condition are called: `clean`, `linf-4_255-pgd-20`."""
    return "clean" if threat == attack else f"{threat}-{attack}".replace("/", "_")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PictureSet(_Record):
    """Which pictures: rows of other lists, sizes or extra data do not rank together."""

    name: str
    sha256: str
    images: int
    per_class: dict[str, int]
    extra_data: str | None = None


NOTHING = PictureSet(name="none", sha256="", images=0, per_class={})
"""The list of an evaluation on other sets alone (`ood:`), until it gets one."""


class Stage(_Record):
    """Accuracy left after a stage of an attack and those before it: a step of the waterfall."""

    name: str
    robust: float


class Row(_Record):
    """One figure: accuracy under an attack.

    `upper_bound`: less than the whole of AutoAttack ran, so the true figure may be lower.
    `disagreements`: pictures whose verdict in the attack is not that of the stored prediction.
    """

    threat: str
    attack: str
    upper_bound: bool
    accuracy: float
    images: int
    stages: tuple[Stage, ...] = ()
    disagreements: tuple[str, ...] = ()
    seconds: float = 0.0
    pictures: PictureSet | None = None  # where they are not those of the evaluation's list


class Model(_Record):
    """What was evaluated, and how pictures come to it (RK-15)."""

    name: str
    path: str
    kind: str
    classes: tuple[str, ...]
    parameters: int
    flops: int | None = None  # of one picture; a multiply-add is two
    latency_ms: float | None = None  # of one picture alone, on the record's machine
    preprocessing: dict[str, Any]
    weights_sha256: str
    training: dict[str, Any] | None = None


class Evaluation(_Record):
    """The record of an evaluation; `read_evaluation` gives it a folder."""

    format: int = 1
    model: Model
    list: PictureSet
    rows: tuple[Row, ...]
    honesty: dict[str, Any] | None = None
    versions: dict[str, Any] = {}
    machine: str = ""
    partlab: str = ""
    settings: dict[str, Any] = {}

    folder: Path | None = None
    """Where it lies; not part of the record."""

    @cached_property
    def outcomes(self) -> Any:
        """A pyarrow table of `SCHEMA`.

        Raises:
            NotFoundError, SchemaError: there is none, or it is damaged.
        """
        if self.folder is None:
            raise NotFoundError("this evaluation was not read from a folder")
        return read_outcomes(self.folder / OUTCOMES)


def read_evaluation(folder: str | Path) -> Evaluation:
    """The evaluation in a folder.

    Raises:
        NotFoundError: it holds none.
        SchemaError: the record is not one of ours.
    """
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        raise NotFoundError(
            f"{folder} holds no evaluation (it has no {RECORD})",
            hint="make one: partlab evaluate RUN DATA --out DIR",
        )
    found = read_json(folder / RECORD)
    if not isinstance(found, dict) or found.get("format") != 1:
        raise SchemaError(f"{folder / RECORD} is no evaluation of this version of partlab")
    try:
        return Evaluation.model_validate({**found, "folder": folder})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise SchemaError(f"{folder / RECORD}: {where}: {first['msg']}") from None


def write_evaluation(folder: str | Path, evaluation: Evaluation, outcomes: Any) -> None:
    """Write both files, each as a whole; the record last, so that it is there only with both.

    Raises:
        PartlabError: the disk is full or the folder cannot be written to.
    """
    folder = Path(folder)
    write_outcomes(folder / OUTCOMES, outcomes)
    write_json(folder / RECORD, evaluation.model_dump(mode="json", exclude={"folder"}))


def with_rows(
    old: Evaluation | None, new: Evaluation, table: Any, rows: Sequence[Row]
) -> tuple[Evaluation, Any]:
    """`new` with its `rows` (of `table`) and those of `old` that are of other attacks.

    Raises:
        ConfigError: `old` is of another model or list.
    """
    if old is None:
        return new.model_copy(update={"rows": tuple(rows)}), table
    same_or_refused(old, new.model, new.list)
    made = {(row.threat, row.attack) for row in rows}
    kept = [row for row in old.rows if (row.threat, row.attack) not in made]
    outcomes = old.outcomes
    keys = zip(outcomes["threat"].to_pylist(), outcomes["attack"].to_pylist(), strict=True)
    others = outcomes.filter(pa.array([key not in made for key in keys], pa.bool_()))
    values = {"rows": (*kept, *rows), "honesty": _fuller(new.honesty, old.honesty)}
    return new.model_copy(update=values), pa.concat_tables([others, table])


def _fuller(new: dict[str, Any] | None, old: dict[str, Any] | None) -> dict[str, Any] | None:
    """The record with more findings; the new one of two alike."""
    return max((new, old), key=lambda each: len((each or {}).get("findings", ())))


def keep_honesty(folder: str | Path, weights_sha256: str, honesty: dict[str, Any] | None) -> None:
    """Put honesty findings of a model into its evaluation's record; `None` only looks.

    Raises:
        NotFoundError, SchemaError: as `read_evaluation`.
        ConfigError: the evaluation is of other weights.
        BusyError: another process works on the folder.
    """
    with exclusive(Path(folder)):
        found = read_evaluation(folder)
        if found.model.weights_sha256 != weights_sha256:
            raise ConfigError(
                f"{folder} is an evaluation of other weights than those to be checked",
                hint=f"it is of {found.model.path}; name its run and --checkpoint",
            )
        if honesty is not None:
            kept = found.model_copy(update={"honesty": honesty})
            write_json(Path(folder) / RECORD, kept.model_dump(mode="json", exclude={"folder"}))


def same_or_refused(old: Evaluation, model: Model, listed: PictureSet) -> None:
    """See that new figures may stand in an evaluation (X-05).

    Raises:
        ConfigError: it is of another model, or of other pictures.
    """
    differing = {
        f"weights ({old.model.weights_sha256[:12]}, now {model.weights_sha256[:12]})":
            old.model.weights_sha256 != model.weights_sha256,
        f"classes ({len(old.model.classes)}, now {len(model.classes)})":
            old.model.classes != model.classes,
        f"pictures ({old.list.images:,} of {old.list.name}, {old.list.sha256[:12]}; now "
        f"{listed.images:,} of {listed.name}, {listed.sha256[:12]})":
            old.list.sha256 != listed.sha256 and NOTHING not in (old.list, listed),
    }  # fmt: skip
    if what := next((what for what, differs in differing.items() if differs), None):
        raise ConfigError(
            f"the evaluation in {old.folder} is of other {what}",
            hint="give the same --split, --list and model, or choose another --out",
        )


def write_outcomes(path: Path, outcomes: Any, metadata: dict[str, str] | None = None) -> None:
    """A table of `SCHEMA`, as Parquet with zstd."""
    with replacing(path) as scratch:
        table = outcomes.select(SCHEMA.names).cast(SCHEMA)
        pq.write_table(table.replace_schema_metadata(metadata), scratch, compression="zstd")


def read_outcomes(path: Path) -> Any:
    """A table of `SCHEMA`.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is damaged or has other columns.
    """
    if not path.is_file():
        raise NotFoundError(f"no outcomes {path}")
    try:
        table = pq.read_table(path)
        return (
            table.select(SCHEMA.names).cast(SCHEMA).replace_schema_metadata(table.schema.metadata)
        )
    except (pa.ArrowException, KeyError, OSError) as error:
        told = str(error).splitlines()[0]
        raise SchemaError(f"{path} is damaged: {told}", hint="run the evaluation again") from None
