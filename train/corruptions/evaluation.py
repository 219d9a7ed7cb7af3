"""Corruptions added to the evaluation of a model, piece by piece, so that nothing is lost (G-01).

A chunk of pictures under one corruption at one severity is a small file in `corruptions/` of the
evaluation's folder; what is there is not run again (RK-17). In the end the outcomes stand beside
those of attacks on the same pictures.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from partlab.errors import ConfigError
from partlab.files import exclusive, remove_leftovers
from partlab.progress import track
from train.common_corruptions import CORRUPTIONS, SEVERITIES
from train.corruptions.generate import check
from train.corruptions.measure import Example, corruption_outcomes, threat_of, tree_outcomes
from train.corruptions.package import PACKAGE, need_corruptions
from train.corruptions.protocol import Protocol
from train.corruptions.tree import Cell, CorruptionTree
from train.evaluate.chunk import Manner, clean_outcomes, facts_of
from train.evaluate.claims import claim
from train.evaluate.evaluate import Plan, record
from train.evaluate.outcomes import (
    RECORD,
    Evaluation,
    Model,
    Row,
    Stage,
    read_evaluation,
    read_outcomes,
    same_or_refused,
    with_rows,
    write_evaluation,
    write_outcomes,
)
from train.evaluate.pace import Pace
from train.evaluate.preflight import Preflight, forward_memory, free_memory

logger = logging.getLogger(__name__)
FOLDER = "corruptions"
_CLEAN = ("clean", 0)
"""Stands among cells for the pictures as they are."""


@dataclass(frozen=True)
class CorruptionPlan:
    """What to run: pictures and model (`plan`), corruptions, and where corrupted pictures are from.

    Args:
        tree: files as they are published, of the plan's pictures (`CorruptionTree.of`); None
            makes the corrupted pictures in memory.
        workers: processes that corrupt; they change no byte.

    Raises:
        BackendUnavailableError: pictures are to be made, and the extra `corruptions` is missing.
        ConfigError, UnknownNameError: as `corrupt`; and nothing, or one thing twice, is asked for.
    """

    plan: Plan
    protocol: Protocol
    corruptions: tuple[str, ...] = CORRUPTIONS
    severities: tuple[int, ...] = SEVERITIES
    tree: CorruptionTree | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        for asked in (self.corruptions, self.severities):
            if not asked or len(set(asked)) < len(asked):
                raise ConfigError("corruptions or severities are named twice, or none is named")
        for corruption in self.corruptions:
            for severity in self.severities:
                check(corruption, severity)
        if self.tree is None:
            need_corruptions()

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Those asked for; of files, those that there are."""
        if self.tree is not None:
            return tuple(self.tree.cells)
        return tuple((c, s) for c in self.corruptions for s in self.severities)

    @property
    def source(self) -> dict[str, Any]:
        """Where the corrupted pictures come from: in part, what figures rest on."""
        if self.tree is not None:
            return {"files": str(self.tree.root)}
        return {"made_by": f"partlab and {PACKAGE} {version(PACKAGE)}"}

    def examples(self, number: int) -> list[Example]:
        """The pictures of a chunk."""
        shown, places = self.plan.shown, self.plan.places(number)
        paths = [shown.pictures.path(shown.positions[n]) for n in places]
        return [
            Example(shown.names[n], shown.labels[n], path)
            for n, path in zip(places, paths, strict=True)
        ]

    def files(self, number: int, cell: Cell) -> CorruptionTree | None:
        """Those of a piece; None where pictures are made."""
        if self.tree is None or cell == _CLEAN:
            return None
        found = tuple(self.tree.cells[cell][n] for n in self.plan.places(number))
        return replace(self.tree, cells={cell: found})

    def tables(self, number: int, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Any]]:
        """Outcomes of a chunk under each of these cells, all of one corruption."""
        victim, device = self.plan.victim, self.plan.opened.device
        given: Any = {"batch": self.plan.batch, "device": device}
        for cell in cells if self.tree is not None else ():
            files: Any = self.files(number, cell)
            yield cell, next(tree_outcomes(victim, files, victim.classes, self.protocol, **given))
        if self.tree is not None:
            return
        asked: Any = {"corruptions": [cells[0][0]], "severities": [s for _, s in cells]}
        made = pa.concat_tables(
            corruption_outcomes(victim, self.examples(number), victim.classes, self.protocol,
                                workers=self.workers, **asked, **given)
        )  # fmt: skip
        for cell in cells:
            yield cell, made.filter(pc.equal(made["threat"], threat_of(*cell)))


def estimate_corruptions(asked: CorruptionPlan, folder: Path) -> Preflight:
    """What is not in `folder` yet takes; one picture is timed under everything asked for.

    Raises:
        NotFoundError, DatasetError: that picture cannot be read; and as `corruption_outcomes`.
    """
    home, plan = folder / FOLDER, asked.plan
    left = {n: [c for c in asked.cells if not _there(asked, home, n, c)] for n in plan.chunks()}
    corrupted = sum(len(cells) * len(plan.places(n)) for n, cells in left.items())
    one = replace(asked, plan=replace(plan, chunk=1, batch=1), workers=0)
    seconds = min(_seconds(one) for _ in range(2))  # the first time things are compiled and read
    batch = plan.opened.tensor([np.zeros((plan.opened.data.size,) * 2 + (3,), np.uint8)])
    memory = forward_memory(plan.victim, batch) * plan.batch
    hours = corrupted * seconds / max(asked.workers, 1) / 3600
    pictures = len(plan.shown.names)
    verdicts, free = pictures * len(asked.cells), free_memory(batch.device)
    done = verdicts - corrupted
    return Preflight(pictures, verdicts, done, corrupted, 0, memory, hours, free)


def _seconds(one: CorruptionPlan) -> float:
    """Of a corrupted picture, on average over types and severities."""
    began = time.perf_counter()
    for cells in _by_type(one.cells):
        list(one.tables(0, cells))
    return (time.perf_counter() - began) / len(one.cells)


def evaluate_corruptions(asked: CorruptionPlan, model: Model, folder: Path) -> Evaluation:
    """Run what is not there yet, and add it to the evaluation in `folder`, or begin one.

    An evaluation that has no figure of the pictures as they are gets it too.

    Raises:
        BusyError: another process works on the folder.
        ConfigError: the folder holds an evaluation of another model or other pictures, or
            corruptions made by another protocol.
        DatasetError, NotFoundError, PartlabError: a picture is damaged or missing; logits are
            not finite; nothing can be written.
    """
    with exclusive(folder):
        old = read_evaluation(folder) if (folder / RECORD).is_file() else None
        new = record(asked.plan, model)
        if old is not None:
            same_or_refused(old, new.model, new.list)
        cells = list(asked.cells)
        if old is None or not any(row.threat == "clean" for row in old.rows):
            cells.append(_CLEAN)
        claim(folder / FOLDER, _identity(asked, new))
        _run(asked, folder / FOLDER, cells)
        made = [_row(asked, folder / FOLDER, cell) for cell in cells]
        joined = pa.concat_tables([table for _, table in made])
        both = with_rows(old, _noted(asked, old, new), joined, [row for row, _ in made])
        write_evaluation(folder, *both)
        return read_evaluation(folder)


def _identity(asked: CorruptionPlan, new: Evaluation) -> dict[str, Any]:
    return {
        "weights": new.model.weights_sha256,
        "list": new.list.sha256,
        "classes": list(new.model.classes),
        "merged": new.settings["merged"],
        "merge": new.settings["merge"],
        "preprocessing": new.model.preprocessing,
        "protocol": asked.protocol.name,
        "source": "files" if asked.tree else asked.source,
        "chunk": asked.plan.chunk,
        "spread": True,  # over the list, as `Plan.places` says
        "device": new.settings["device"],
        "torch": torch.__version__,
    }


def _noted(asked: CorruptionPlan, old: Evaluation | None, new: Evaluation) -> Evaluation:
    """The record with how corruptions were made."""
    facts = {"protocol": asked.protocol.name, **asked.source}
    base = new if old is None else old.model_copy(update={"list": new.list})
    return base.model_copy(update={"settings": {**base.settings, "corruptions": facts}})


def _part(home: Path, number: int, cell: Cell) -> Path:
    return home / f"{number:07d}-{cell[0]}-{cell[1]}.parquet"


def _there(asked: CorruptionPlan, home: Path, number: int, cell: Cell) -> bool:
    """Whether a piece is measured: from files as they are now, if it is from files."""
    part, files = _part(home, number, cell), asked.files(number, cell)
    if files is None or not part.is_file():
        return part.is_file()
    return facts_of(read_outcomes(part)).get("files") == files.fingerprint


def _by_type(cells: Sequence[Cell]) -> list[list[Cell]]:
    return [
        [cell for cell in cells if cell[0] == name] for name in dict.fromkeys(c for c, _ in cells)
    ]


def _run(asked: CorruptionPlan, home: Path, cells: Sequence[Cell]) -> None:
    """Whatever has no file yet; a piece is a chunk of pictures under one type."""
    plan = asked.plan
    remove_leftovers(_part(home, n, cell) for n in plan.chunks() for cell in cells)
    pieces = [(n, group) for n in plan.chunks() for group in _by_type(cells)]
    missing = [(n, [c for c in group if not _there(asked, home, n, c)]) for n, group in pieces]
    todo = [(n, group) for n, group in missing if group]
    if there := len(pieces) - len(todo):
        logger.info("%d of %d pieces are there already", there, len(pieces))
    left = Counter[str]()
    for n, group in todo:
        left[group[0][0]] += len(group) * len(plan.places(n))
    pace = Pace(left, home.parent.name)
    for number, group in track(todo, "corrupting"):
        _run_one(asked, home, number, group)
        pace.done(group[0][0], len(group) * len(plan.places(number)))


def _run_one(asked: CorruptionPlan, home: Path, number: int, group: Sequence[Cell]) -> None:
    began = time.perf_counter()
    if list(group) == [_CLEAN]:
        manner = Manner(asked.plan.batch, asked.plan.seed)
        made = [(_CLEAN, clean_outcomes(asked.plan.victim, asked.plan.load(number), manner))]
    else:
        made = list(asked.tables(number, group))
    seconds = (time.perf_counter() - began) / len(made)
    for cell, table in made:
        files = asked.files(number, cell)
        facts = {"seconds": seconds, "files": files.fingerprint if files else None}
        write_outcomes(_part(home, number, cell), table, {"partlab": json.dumps(facts)})


def _row(asked: CorruptionPlan, home: Path, cell: Cell) -> tuple[Row, Any]:
    """The figure of a cell from the files of all chunks."""
    tables = [read_outcomes(_part(home, n, cell)) for n in asked.plan.chunks()]
    table = pa.concat_tables([each.replace_schema_metadata(None) for each in tables])
    right = table["right"].to_pylist()
    accuracy = sum(right) / len(right)
    row = Row(
        threat="clean" if cell == _CLEAN else threat_of(*cell),
        attack="clean",
        upper_bound=False,
        accuracy=accuracy,
        images=len(right),
        stages=(Stage(name="clean", robust=accuracy),) if cell == _CLEAN else (),
        seconds=round(sum(facts_of(each)["seconds"] for each in tables), 3),
    )
    return row, table
