"""A work goes on with a changed vocabulary: interface, annotations and answers in one movement.

    for told in migrate(work, studio, new):
        print(told.object, told.annotations, told.redraw)

First everything new is pulled and every project kept whole as a raw export. Only then is
anything touched, and what each annotation shall become follows from that export: cut off at
any moment, the same command goes on where it stopped.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.facts import Facts
from annotate.studio.acts.begin import handing_out
from annotate.studio.acts.create import renew_project
from annotate.studio.acts.pull import pull
from annotate.studio.acts.relabel import Relabelled, changes, relabelled
from annotate.studio.api.client import Studio
from annotate.studio.api.raw import Header, RawAnnotation, write_export
from annotate.studio.spelling.labelconfig import config_hash, label_config, moved_keys
from annotate.vocabulary import ObjectParts, Vocabulary, read_vocabulary, write_vocabulary
from annotate.vocabulary.edit import UNSIGNED, Editor
from annotate.vocabulary.migrate import Moves, moves_between, settle
from annotate.work import Answer, Batch, Work
from annotate.work.change import is_drawn
from annotate.work.unfinished import marker
from partlab.errors import StateError, StudioError, UnknownNameError
from partlab.files import exclusive
from partlab.masks import area, intersection, union
from partlab.progress import track

OPEN = ("planned", "annotating", "submitted")
OVER = ("rejected", "abandoned")
PAGE = 50  # tasks in one request
UNCOVERED = 0.05  # share of a removed part that no other part covers
_FIELDS = "id,data,updated_at,annotations,predictions"


@dataclass(slots=True)
class Migrated(Facts):
    """What a change of the vocabulary does to one round of one object category.

    `annotations` and `predictions` of Label Studio get new labels or lose regions; `renamed`
    and `dropped` count their regions. `answers` of the work get new part ids, `redraw` of them
    have to be drawn again: their images are `images`. In a dry run `unread` annotations are not
    pulled yet, so that both may grow. `names` says that parts have new names, `interface` that
    the labelling interface changes, `done` that it was changed before; `keys` are the parts that
    another key chooses: name, key before, key now.
    """

    object: str
    round: int
    state: str
    project_id: int | None = None
    interface: bool = False
    annotations: int = 0
    predictions: int = 0
    renamed: int = 0
    dropped: int = 0
    answers: int = 0
    redraw: int = 0
    images: tuple[int, ...] = ()
    keys: tuple[tuple[str, str, str], ...] = ()
    names: bool = False
    unread: int = 0
    done: bool = False

    def count(self, kind: str, made: Relabelled) -> None:
        """Add one of the "annotations" or "predictions"."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.renamed += made.renamed
        self.dropped += made.dropped


@dataclass(frozen=True, slots=True)
class _Step:
    """One round and what happens to it."""

    batch: Batch
    parts: ObjectParts
    moves: Moves
    redraw: Mapping[str, str]
    told: Migrated


def migrate(
    work: Work,
    studio: Studio | None,
    new: Vocabulary,
    *,
    keep_answers: bool = False,
    dry_run: bool = False,
    by: Editor = UNSIGNED,
) -> tuple[Vocabulary, list[Migrated]]:
    """Make `new` the work's vocabulary, with all that follows; the version, and what it touched.

    Renamed and merged parts keep their masks. Masks of parts that were split or removed stay in
    the raw export. Images are to be drawn again where a split part was drawn, where a removed
    part covered what no other part covers, and, unless `keep_answers`, where a new part may be
    seen.

    Args:
        work: the annotation work.
        studio: the server; None will do when nothing was handed out.
        new: made from the work's own vocabulary, by the commands or by hand.
        keep_answers: nothing is drawn again for parts that are new or removed.
        dry_run: count, and change nothing.
        by: who stands in the history.

    Raises:
        StateError: `new` is not made from the work's vocabulary, lacks an object that is being
            drawn, or asks to draw again what is being inspected or accepted.
        ConfigError: an edit by hand has two meanings.
        StudioError: the server is gone, or lacks a project.
        BusyError: another process works on the projects.
    """
    resumed = marker(work).exists()
    target = _target(work, new, by)
    if target == work.vocabulary and not resumed:
        return target, []
    if not dry_run and not resumed and studio is not None:
        _fetch(work, studio, target, by)
    if dry_run:
        steps = _possible(work, target, keep_answers=keep_answers)
        for step in steps:
            _count(work, step, studio)
        return target, [step.told for step in steps]
    with _alone(work):
        steps = _possible(work, target, keep_answers=keep_answers)
        if not resumed:
            for step in steps:
                _keep(work, studio, step.batch, target)
            write_vocabulary(marker(work), target)
        work.vocabulary = target
        for step in steps:
            _apply(work, studio, step, target, by)
        work.replace_vocabulary(target, by.name)
        marker(work).unlink()
    return target, [step.told for step in steps]


def _target(work: Work, new: Vocabulary, by: Editor) -> Vocabulary:
    """The version to reach; after a migration was cut off, that one."""
    if not marker(work).exists():
        return settle(work.vocabulary, new, by)
    wanted = read_vocabulary(marker(work))
    if wanted.hash != new.hash:
        raise StateError(
            f"the way of {work.folder} to version {wanted.version} of its vocabulary was cut off",
            hint="finish it first, with the same file",
        )
    return wanted


def _fetch(work: Work, studio: Studio, target: Vocabulary, by: Editor) -> None:
    """Take in what annotators did so far, while their labels still mean what they read."""
    due = [batch.object for batch in work.batches() if _is_open(batch)]
    due = [name for name in due if name in target.names]
    if due:
        for told in pull(work, studio, objects=due, submit=False, who=by.name):
            if told.trouble and work.batch(told.object).round == told.round:
                raise StudioError(told.trouble, hint=told.hint)


def _steps(work: Work, target: Vocabulary, *, keep_answers: bool) -> Iterator[_Step]:
    """Every current round; those that changed already come without moves."""
    moves = {} if work.vocabulary == target else moves_between(work.vocabulary, target)
    for batch in work.batches():
        if batch.state in OVER:
            continue
        if batch.object not in target.names:
            raise StateError(
                f"{batch.object} round {batch.round} is {batch.state}, and version "
                f"{target.version} of the vocabulary does not have it",
                hint=UnknownNameError("object category", batch.object, target.names).hint,
            )
        parts, told = target.object(batch.object), Migrated(batch.object, batch.round, batch.state)
        told.project_id = batch.project_id
        told.done = batch.vocabulary_version == target.version
        about = moves.get(batch.object, Moves(batch.object))
        if _is_open(batch):
            told.keys = moved_keys(work.vocabulary.object(batch.object), parts, about.labels)
        about = Moves(batch.object) if told.done else about
        told.names = any(to not in (None, name) for name, to in about.labels.items())
        config = label_config(parts, work.settings.discard_reasons)
        changed = batch.config_hash not in (None, config_hash(config))
        told.interface = changed and not told.done and _is_open(batch)
        redraw = {} if about.empty else _redraw(work, batch, about, told, keep=keep_answers)
        told.redraw, told.images = len(redraw), tuple(map(int, redraw))
        yield _Step(batch, parts, about, redraw, told)


def _redraw(
    work: Work, batch: Batch, moves: Moves, told: Migrated, *, keep: bool
) -> dict[str, str]:
    """Why answers have to be drawn again, by image id; counts those that change."""
    found = {}
    for answer in work.answers(batch.object, batch.round, with_honeypots=True):
        if is_drawn(answer):
            told.answers += any(mask["part"] in moves.parts for mask in answer.masks)
            if why := list(_reasons(answer, moves, keep=keep)):
                found[str(answer.image_id)] = "; ".join(why)
    return found


def _reasons(answer: Answer, moves: Moves, *, keep: bool) -> Iterator[str]:
    drawn = {mask["part"] for mask in answer.masks}
    for id in [id for id in moves.split if id in drawn]:
        yield f"{moves.split[id]}: draw them"
    for id in [id for id in moves.removed if id in drawn and not keep]:
        if _uncovered(answer, id, moves) > UNCOVERED:
            yield f"{moves.removed[id]}: give what it covered to the others"
    if moves.added and not keep:
        are = "is a new part" if len(moves.added) == 1 else "are new parts"
        yield f"{', '.join(moves.added)} {are}: draw what can be seen, and update"


def _uncovered(answer: Answer, id: str, moves: Moves) -> float:
    """Share of a removed part's pixels that lie in no part that stays."""
    stays = [m["rle"] for m in answer.masks if moves.parts.get(m["part"], m["part"]) is not None]
    gone = union([m["rle"] for m in answer.masks if m["part"] == id])
    whole = area(gone)
    covered = area(intersection([gone, union(stays)])) if stays else 0
    return 1 - covered / whole if whole else 0.0


def _possible(work: Work, target: Vocabulary, *, keep_answers: bool) -> list[_Step]:
    """All steps; refuses before anything is touched what the rules of rounds do not allow."""
    steps = list(_steps(work, target, keep_answers=keep_answers))
    for step in steps:
        batch = step.batch
        if step.redraw and batch.state not in OPEN:
            why = next(iter(step.redraw.values()))
            raise StateError(
                f"{batch.object} round {batch.round} is {batch.state}, and {len(step.redraw)} of "
                f"its images would have to be drawn again ({why})",
                hint="leave this object as it is in the new version, or pass --keep-answers if "
                "it is about parts that are new or removed",
            )
    return steps


# --- Label Studio ------------------------------------------------------------------------------


def _is_open(batch: Batch) -> bool:
    """Whether a project is still drawn in; one whose round is over is history, and stays."""
    return batch.project_id is not None and batch.state in OPEN


def _count(work: Work, step: _Step, studio: Studio | None) -> None:
    """What would get new labels, and what the counts of answers do not know yet."""
    if studio is None or not _is_open(step.batch) or step.moves.empty:
        return
    known = _known(work, step.batch)
    for task in track(_tasks(studio, step.batch), f"counting {step.batch.object}"):
        for kind, _, made in changes(task, task, step.moves.labels, step.parts.names):
            step.told.count(kind, made)
        times = [RawAnnotation.model_validate(one).updated_at for one in task["annotations"]]
        step.told.unread += sum(time > known.get(task["id"], "") for time in times)


def _known(work: Work, batch: Batch) -> dict[int | None, str]:
    """Up to when the changes of each task are in the work, by task id."""
    key = (batch.object, batch.round)
    known = {task.task_id: task.seen or "" for task in work.tasks(*key)}
    for answer in work.answers(*key, with_honeypots=True):
        known[answer.task_id] = max(answer.updated_at, known.get(answer.task_id, ""))
    return known


def _tasks(studio: Studio, batch: Batch) -> Iterator[dict[str, Any]]:
    """Every task of a project with annotations and predictions, by id."""
    last = 0
    while True:
        after = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number"}
        items = [{**after, "value": last}]
        query: dict[str, Any] = {"filters": {"conjunction": "and", "items": items}}
        query["ordering"] = ["tasks:id"]
        page = studio.get(
            "/api/tasks",
            project=batch.project_id,
            query=json.dumps(query),
            page=1,
            page_size=PAGE,
            fields="all",
            include=_FIELDS,
            expand="annotations",
        )["tasks"]
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]["id"]


def _before(work: Work, batch: Batch, target: Vocabulary) -> Path:
    return work.raw_folder(batch.object, batch.round) / f"before-v{target.version}.jsonl.gz"


def _keep(work: Work, studio: Studio | None, batch: Batch, target: Vocabulary) -> None:
    """The whole project as it is now, compressed; what it held can always be read again."""
    if studio is None or not _is_open(batch) or batch.vocabulary_version == target.version:
        return
    assert batch.project_id is not None  # see _is_open
    parts = work.vocabulary.object(batch.object)
    header = Header(
        work=work.settings.id,
        object=batch.object,
        round=batch.round,
        project=batch.project_id,
        tasks={},
        people={id: email for email, id in studio.users().items()},
        models={},
        parts=tuple((part.id, part.name) for part in parts.parts),
        inclusions=dict(parts.inclusions),
    )
    write_export(_before(work, batch, target), header, _tasks(studio, batch))


def _kept(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            yield json.loads(line)


def _apply(
    work: Work,
    studio: Studio | None,
    step: _Step,
    target: Vocabulary,
    by: Editor,
) -> None:
    """Project, annotations, predictions, and then the state; a round that is done stays."""
    batch, told = step.batch, step.told
    if told.done:
        return
    data: dict[str, Any] = {"vocabulary_version": target.version, "parts": step.moves.parts}
    if studio is not None and _is_open(batch):
        if told.interface or not step.moves.empty:
            data["config_hash"] = renew_project(work, studio, batch, target.version)
        if not step.moves.empty:
            before = _before(work, batch, target)
            data["updated"] = _relabel(work, studio, step, before)
    data["redraw"] = dict(step.redraw)
    work.record("migrated", who=by.name, object=batch.object, round=batch.round, data=data)


def _relabel(
    work: Work,
    studio: Studio,
    step: _Step,
    before: Path,
) -> dict[str, str]:
    """New labels on the server; when drawings were changed by it, by image id.

    Otherwise the next pull would take our own hand for the annotator's. What was changed since
    it was pulled is left out: it is still to be taken.
    """
    kept, times = _kept(before), dict[str, str]()
    base: dict[str, Any] = next(kept, {})
    answers = work.answers(step.batch.object, step.batch.round, with_honeypots=True)
    settled = (a for a in answers if is_drawn(a) or a.kind in ("discard", "restored"))
    stored = {a.annotation_id: (a.updated_at, a.image_id) for a in settled}
    for task in track(_tasks(studio, step.batch), f"relabelling {step.batch.object}"):
        while base and base["id"] < task["id"]:
            base = next(kept, {})
        for kind, one, made in changes(task, base, step.moves.labels, step.parts.names):
            one |= studio.patch(f"/api/{kind}/{one['id']}/", {"result": made.result})
            step.told.count(kind, made)
        for old, now in relabelled(task, base, step.moves.labels):
            pulled, image_id = stored.get(now.id, (None, None))
            if pulled == old.updated_at:
                times[str(image_id)] = now.updated_at
    return times


@contextmanager
def _alone(work: Work) -> Iterator[None]:
    """Keep pulls, pushes and hand-outs of this work away."""
    with ExitStack() as stack:
        stack.enter_context(exclusive(work.folder / ".pull"))
        stack.enter_context(exclusive(work.folder / ".push"))
        stack.enter_context(handing_out(work.folder))
        yield
