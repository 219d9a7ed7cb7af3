"""Evaluation of a model under attacks, chunk by chunk, so that nothing is lost (RK-14, RK-17).

A chunk of pictures under one attack is one small file in `parts/`; what is there is not run
again. Chunks do not depend on one another, so an evaluation that was killed ends with the same
verdicts as one that was not.
"""

import json
import logging
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from partlab.errors import ConfigError, PartlabError
from partlab.files import exclusive, read_json, remove_leftovers, sha256_json, write_json
from partlab.progress import track
from train.attacks.ball import Ball
from train.evaluate.album import FOLDER, Album, chosen
from train.evaluate.attacks import Attack
from train.evaluate.autoattack import targets
from train.evaluate.chunk import (
    Chunk,
    Manner,
    attacked_outcomes,
    clean_outcomes,
    facts_of,
    load_chunk,
)
from train.evaluate.claims import claim
from train.evaluate.opened import Opened
from train.evaluate.outcomes import (
    RECORD,
    Evaluation,
    Model,
    Row,
    Stage,
    read_evaluation,
    read_outcomes,
    same_or_refused,
    stem,
    with_rows,
    write_evaluation,
    write_outcomes,
)
from train.evaluate.pace import Pace
from train.evaluate.preflight import Pair, Preflight, preflight
from train.evaluate.shown import Shown
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim
from train.honesty.check import check_honesty
from train.honesty.checks import randomness, train_mode
from train.honesty.gradients import zero_gradients
from train.honesty.trial import Trial

logger = logging.getLogger(__name__)
PARTS, HONESTY = "parts", "honesty.json"
"""Where the outcomes of chunks lie; and what all honesty checks found."""
CHECKED, PASSES = 64, 330
"""Pictures that honesty is checked on, and passes over each, a third of them with gradients."""


@dataclass(frozen=True)
class Plan:
    """What to run on which pictures. `chunk` is pictures a file, a multiple of `batch`.

    `pictures` of the list are kept as attacks leave them, for the report. With `honesty` all
    honesty checks come first, not the three quick ones alone.
    """

    opened: Opened
    victim: Victim
    shown: Shown
    threats: tuple[Threat, ...]
    attacks: tuple[Attack, ...]
    batch: int = 50
    chunk: int = 500
    seed: int = 0
    pictures: int = 4
    honesty: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or self.chunk < 1 or self.chunk % self.batch:
            raise ConfigError(
                f"chunks of {self.chunk} pictures cannot be made of batches of {self.batch}",
                hint="--chunk a multiple of --batch",
            )
        for threat in self.threats:
            for attack in self.attacks:
                attack.fits(threat, len(self.victim.classes), parts=self.victim.has_parts)

    @property
    def pairs(self) -> list[Pair]:
        """Every threat with every attack."""
        return [(threat, attack) for threat in self.threats for attack in self.attacks]

    @property
    def settings(self) -> dict[str, Any]:
        """What decides verdicts besides pictures, model and attack (RK-06)."""
        return {
            "seed": self.seed,
            "batch": self.batch,
            "chunk": self.chunk,
            "spread": True,
            "dtype": "float32",
            "device": self.opened.device.type,
            "classes": list(self.victim.classes),
            "merged": self.victim.of,
            "merge": self.victim.merge if self.victim.of else None,
        }

    def album(self, folder: Path) -> Album:
        """Where the chosen pictures are kept."""
        return Album(folder / FOLDER, chosen(self.shown.labels, self.pictures))

    def chunks(self) -> range:
        """The numbers of the chunks."""
        return range(-(-len(self.shown.names) // self.chunk))

    def places(self, number: int) -> range:
        """Where a chunk's pictures stand in the list: each so many apart.

        Lists go class by class. So every chunk is a sample of all of them, and takes as long as
        any other: the first tells how long the rest will take.
        """
        return range(number, len(self.shown.names), len(self.chunks()))

    def load(self, number: int) -> Chunk:
        """The pictures of a chunk.

        Raises:
            NotFoundError, DatasetError: a picture is missing or damaged.
        """
        return load_chunk(self.opened, self.victim.classes, self.shown, self.places(number))


def usual_chunk(pictures: int, batch: int) -> int:
    """Batches for a tenth of the pictures, which tells how long the rest will take; 10 at most."""
    return batch * max(1, min(10, pictures // (10 * batch)))


def estimate(plan: Plan, folder: Path) -> Preflight:
    """What is not in `folder` yet takes at most; one batch is timed.

    Raises:
        PartlabError: logits are not finite, or the model is in training mode or random (RK-09).
    """
    few = Plan(plan.opened, plan.victim, plan.shown, (), (), plan.batch, plan.batch, plan.seed)
    chunk = few.load(0)
    clean_outcomes(plan.victim, chunk, Manner(plan.batch, plan.seed))
    _refused_or_honest(plan)
    left = _left(plan, folder)
    total = len(plan.shown.names)
    maps = sum(map(bool, left.values())) * min(plan.pictures, total) * plan.victim.has_parts
    looked = min(CHECKED, total) * (plan.honesty and not (folder / HONESTY).is_file())
    beside = maps + PASSES * looked, PASSES // 3 * looked
    return preflight(plan.victim, chunk.images, left, total=total, beside=beside)


def _left(plan: Plan, folder: Path) -> dict[Pair | None, int]:
    """How many pictures have no verdict yet under each attack, and (None) as they are."""
    left: dict[Pair | None, int] = dict.fromkeys((None, *plan.pairs), 0)
    for number in plan.chunks():
        for pair in _missing(plan, folder, number):
            left[pair] += len(plan.places(number))
    return left


def evaluate(plan: Plan, model: Model, folder: Path) -> Evaluation:
    """Run what is not there yet, and write the record; rows of other attacks stay.

    Raises:
        BusyError: another process works on the folder.
        ConfigError: it holds parts made with other settings, pictures or weights.
        PartlabError: the model is random or its logits are not finite; or nothing can be written.
    """
    with exclusive(folder):
        honesty = _refused_or_honest(plan)
        _claim(plan, model, folder)
        if plan.honesty:
            honesty = _with_all(honesty, _checked(plan, folder))
        _run(plan, folder)
        made = record(plan, model, honesty)
        old = read_evaluation(folder) if (folder / RECORD).is_file() else None
        clean = _row(plan, folder, None)
        rows = [clean, *(_row(plan, folder, pair) for pair in plan.pairs)]
        joined = pa.concat_tables([table for _, table in rows])
        evaluation, table = with_rows(old, made, joined, [row for row, _ in rows])
        evaluation = _with_targets(evaluation, old)
        if plan.pictures:
            plan.album(folder).finish(plan.shown.names, table)
        write_evaluation(folder, evaluation, table)
        return read_evaluation(folder)


def _with_targets(new: Evaluation, old: Evaluation | None) -> Evaluation:
    """With the target classes of threats that were run before, and what others noted."""
    before = old.settings if old else {}
    aims = {**before.get("targets", {}), **new.settings["targets"]}
    return new.model_copy(update={"settings": {**before, **new.settings, "targets": aims}})


def _refused_or_honest(plan: Plan) -> dict[str, Any]:
    """RK-09, RK-10: what attacks could not be believed on is not attacked."""
    few = Plan(plan.opened, plan.victim, plan.shown, (), (), plan.batch, plan.batch, plan.seed)
    chunk = few.load(0)
    trial = Trial(plan.victim, chunk.images, chunk.targets, Ball("linf", 4 / 255))
    findings = [check(trial) for check in (train_mode, randomness)]
    for finding in findings:
        if not finding.ok:
            raise PartlabError(
                f"the model is not attacked, since {finding.sentence}",
                hint="partlab evaluate honesty tells more",
            )
    findings.append(zero_gradients(trial))
    if not findings[-1].ok:
        logger.warning("attacks may find less than there is: %s", findings[-1].sentence)
    ok = all(each.ok for each in findings)
    return {"ok": ok, "complete": False, "findings": [asdict(each) for each in findings]}


def _checked(plan: Plan, folder: Path) -> dict[str, Any]:
    """All honesty checks, before any attack; what they find is said, and stops nothing."""
    if not (folder / HONESTY).is_file():
        places = plan.shown.drawn(CHECKED, plan.seed)
        few = load_chunk(plan.opened, plan.victim.classes, plan.shown, places)
        found = check_honesty(plan.victim, few.images, few.targets, _ball(plan), seed=plan.seed)
        write_json(folder / HONESTY, found.as_json())
    told: dict[str, Any] = read_json(folder / HONESTY)
    for finding in told["findings"]:
        if not finding["ok"]:
            logger.warning("%s: %s", finding["name"], finding["sentence"])
    return told


def _with_all(quick: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """All checks' record; where pictures were too few for them, with the quick ones."""
    names = {each["name"] for each in whole["findings"]}
    found = [*whole["findings"], *(e for e in quick["findings"] if e["name"] not in names)]
    ok = all(each["ok"] for each in found)
    return {**whole, "ok": ok, "complete": len(names) > 1, "findings": found}


def _ball(plan: Plan) -> Ball:
    """Where honesty is checked: the first threat that plain PGD has, else ℓ∞ 4/255."""
    able = (t.ball for t in plan.threats if t.norm != "l1" and t.eps > 0)
    return next(able, Ball("linf", 4 / 255))


def _claim(plan: Plan, model: Model, folder: Path) -> None:
    """The folder for this plan: new, or begun with the same."""
    if (folder / RECORD).is_file():
        new = record(plan, model)
        same_or_refused(read_evaluation(folder), new.model, new.list)
    wanted = {
        "weights": model.weights_sha256,
        "list": plan.shown.sha256,
        "preprocessing": plan.opened.preprocessing,
        **plan.settings,
        "torch": torch.__version__,
        "pyautoattack": version("pyautoattack"),
    }
    claim(folder, wanted)


def _part(folder: Path, number: int, pair: Pair | None) -> Path:
    """The file of a chunk under an attack; `None` is no attack."""
    return folder / PARTS / f"{number:07d}-{_stem(pair)}.parquet"


def _stem(pair: Pair | None) -> str:
    return "clean" if pair is None else stem(pair[0].name, pair[1].name)


def _run(plan: Plan, folder: Path) -> None:
    """Whatever has no file yet; the pictures of a chunk are read once."""
    everything, album = (None, *plan.pairs), plan.album(folder)
    remove_leftovers(_part(folder, n, pair) for n in plan.chunks() for pair in everything)
    remove_leftovers(album.files([_stem(pair) for pair in everything]))
    todo = [n for n in plan.chunks() if list(_missing(plan, folder, n))]
    pace = Pace(_left(plan, folder), folder.name)
    for number in track(todo, "attacking"):
        chunk = plan.load(number)
        album.keep(plan.victim, chunk, chunk.images, "clean")
        for pair in list(_missing(plan, folder, number)):
            _run_one(plan, chunk, pair, _part(folder, number, pair), album)
            pace.done(pair, len(chunk.names))


def _missing(plan: Plan, folder: Path, number: int) -> Iterator[Pair | None]:
    return (p for p in (None, *plan.pairs) if not _part(folder, number, p).is_file())


def _run_one(plan: Plan, chunk: Chunk, pair: Pair | None, file: Path, album: Album) -> None:
    """Pictures first: once there is a part, its attack does not run again."""
    manner, facts = Manner(plan.batch, plan.seed), dict[str, Any]()
    if pair is None:
        began = time.perf_counter()
        table = clean_outcomes(plan.victim, chunk, manner)
        facts = {"seconds": time.perf_counter() - began}
    else:
        table, facts, points = attacked_outcomes(plan.victim, chunk, *pair, manner)
        album.keep(plan.victim, chunk, points, _stem(pair))
    write_outcomes(file, table, {"partlab": json.dumps(facts)})


def _row(plan: Plan, folder: Path, pair: Pair | None) -> tuple[Row, Any]:
    """The figure of an attack from the files of all chunks."""
    tables = [read_outcomes(_part(folder, first, pair)) for first in plan.chunks()]
    facts = [facts_of(table) for table in tables]
    table = pa.concat_tables([each.replace_schema_metadata(None) for each in tables])
    broken, right = table["broken_by"].to_pylist(), table["right"].to_pylist()
    stages = ("clean", *(pair[1].stages if pair else ()))
    row = Row(
        threat=pair[0].name if pair else "clean",
        attack=pair[1].name if pair else "clean",
        upper_bound=pair[1].upper_bound if pair else False,
        accuracy=sum(right) / len(right),
        images=len(right),
        stages=_waterfall(broken, stages),
        disagreements=tuple(name for each in facts for name in each.get("disagreements", ())),
        seconds=round(sum(each.get("seconds", 0.0) for each in facts), 3),
    )
    return row, table


def _waterfall(broken_by: Sequence[str | None], stages: Sequence[str]) -> tuple[Stage, ...]:
    """What stands after each stage and those before it: never more than before (RK-07).

    What no stage claims, but is wrong in exact float32, falls with the last one.
    """
    left, found = len(broken_by), []
    broken = [by if by in stages else stages[-1] for by in broken_by if by is not None]
    for stage in stages:
        left -= broken.count(stage)
        found.append(Stage(name=stage, robust=left / len(broken_by)))
    return tuple(found)


def surroundings(device: torch.device) -> dict[str, Any]:
    """The record's part about programs and machine."""
    libraries = ("torch", "pyautoattack", "timm", "numpy", "pyarrow")
    return {
        "versions": {"python": platform.python_version()} | {n: version(n) for n in libraries},
        "machine": f"{platform.machine()} {platform.system()}, {device}",
        "partlab": version("partlab"),
    }


def record(plan: Plan, model: Model, honesty: dict[str, Any] | None = None) -> Evaluation:
    """What is known of an evaluation besides its figures."""
    aims = {t.name: targets(t, len(plan.victim.classes)) for t in plan.threats}
    return Evaluation(
        model=model.model_copy(update={"classes": plan.victim.classes}),
        list=plan.shown.described,
        rows=(),
        honesty=honesty,
        **surroundings(plan.opened.device),
        settings={**plan.settings, "targets": aims, "plan": sha256_json(plan.settings)},
    )
