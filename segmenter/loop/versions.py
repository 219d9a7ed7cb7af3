"""The versions of a work's segmenter: which there are, which is served, and back to an earlier one.

WORK/loop/v3/     a run folder, and data/ with what it learnt from and what it was examined on

What happened stands in the work's history and nowhere else; the folders hold the weights.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotate.work import Work
from annotate.work.serving import BACK, MADE, served_version, version_events
from annotate.work.tables import Event
from partlab.errors import DatasetError, NotFoundError, StateError
from partlab.files import copy_file
from partlab.parts import join_name, split_name
from segmenter.origin import RunFolder

LOOP = "loop"
CHECKPOINT = "best"
_COPIED = ("config.json", f"{CHECKPOINT}.safetensors", "train_images.txt", "metrics.jsonl")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a work's segmenter, as the history tells it.

    `parent` is the version it was compared with; the one it goes on from stands in `data` under
    `began_from`, None where it was trained anew. `parts` are the names it uses
    and their part ids; `data` is what it learnt from: counts and hashes; `exam` how it was found,
    None of a run that was given. `served` says that it was better, and was served then.
    """

    number: int
    at: str
    who: str
    parent: int | None
    served: bool
    why: str
    weights_sha256: str
    parts: Mapping[str, str] = field(repr=False)
    vocabulary: int
    data: Mapping[str, Any] | None = None
    exam: Mapping[str, Any] | None = None
    given: str | None = None


def versions(work: Work) -> list[Version]:
    """All versions, first to last."""
    with work.read() as session:
        return [_version(event) for event in version_events(session) if event.what == MADE]


def _version(event: Event) -> Version:
    data = dict(event.data)
    return Version(number=data.pop("version"), at=event.at, who=event.who, **data)


def current(work: Work) -> Version | None:
    """The version that is served; None before the first."""
    with work.read() as session:
        number = served_version(version_events(session))
    return next((one for one in versions(work) if one.number == number), None)


def find(work: Work, number: int) -> Version:
    """One version.

    Raises:
        NotFoundError: there is none of this number.
    """
    known = versions(work)
    for one in known:
        if one.number == number:
            return one
    there = f"there are 1 to {len(known)}" if known else "there are none yet"
    raise NotFoundError(f"{work.folder} has no version {number}", hint=there)


def folder_of(work: Path, number: int) -> Path:
    """Its run folder."""
    return work / LOOP / f"v{number}"


def whole_run(work: Path, version: Version) -> Path:
    """The run folder of a version, with the weights that the history knows.

    Raises:
        NotFoundError, SchemaError: it is no run any more.
        DatasetError: its weights were changed.
    """
    run = folder_of(work, version.number)
    origin = RunFolder(run)
    origin.description()
    if origin.weights_sha256(CHECKPOINT) != version.weights_sha256:
        raise DatasetError(
            f"the weights in {run} are not those of version {version.number} in the history",
            hint=f"copy the folder back, or serve another: partlab loop rollback {work} VERSION",
        )
    return run


def record(work: Work, who: str, version: int, **facts: Any) -> Version:
    """Note in the history that a version was made; facts are the fields of `Version`.

    Raises:
        StateError: another process made one of this number, or what is served has changed.
    """
    return _version(work.record(MADE, who=who, data={"version": version, **facts}))


def add_given(work: Work, run: Path, who: str) -> Version:
    """Take a run that was trained elsewhere as the first version, and serve it.

    It is copied, so that nothing is lost when the run is moved. The same run again is no mistake.

    Raises:
        NotFoundError, SchemaError, DatasetError: it is no run, or its weights cannot be loaded.
        StateError: there is a version already, or it knows no object category of the work.
    """
    origin = RunFolder(run)
    names, weights = origin.description()["names"], origin.weights_sha256(CHECKPOINT)
    if known := versions(work):
        if known[0].weights_sha256 == weights and known[0].given:
            return known[0]
        raise StateError(
            f"{work.folder} has a first version already, so {run} cannot be it",
            hint="leave --run out: training goes on from the version that is served",
        )
    parts = _ids_of(work, names)
    if not parts:
        raise StateError(
            f"{run} knows no part of the work's vocabulary: it has {', '.join(names[:5])}",
            hint="name a run that was trained on these object categories, or leave --run out",
        )
    origin.load(CHECKPOINT, "cpu")  # what cannot be loaded cannot be served
    target = folder_of(work.folder, 1)
    shutil.rmtree(target, ignore_errors=True)  # what a killed process left, if anything
    for name in _COPIED:
        if (run / name).is_file():
            copy_file(run / name, target / name)
    if RunFolder(target).weights_sha256(CHECKPOINT) != weights:
        raise DatasetError(f"{run} was changed while it was copied", hint="run the command again")
    facts: dict[str, Any] = {"parent": None, "served": True, "why": "it is the first one"}
    facts |= {"weights_sha256": weights, "parts": parts, "vocabulary": work.vocabulary.version}
    return record(work, who, 1, **facts, given=str(run.absolute()))


def _ids_of(work: Work, names: Sequence[str]) -> dict[str, str]:
    """The part ids of names that a foreign run uses, where the vocabulary has the same."""
    ours = {
        join_name(parts.name, part.name): part.id
        for parts in work.vocabulary.objects
        for part in parts.parts
    }
    return {name: ours[name] for name in names if name in ours and all(split_name(name))}


def roll_back(work: Work, number: int | None, who: str) -> Version:
    """Serve an earlier version again; by default the one that the current one had replaced.

    Raises:
        StateError: nothing is served, it is served already, or it replaced none.
        NotFoundError: there is no such version, or its folder is gone.
        DatasetError: its weights were changed.
    """
    now = current(work)
    if now is None:
        raise StateError(
            f"{work.folder} serves no version yet",
            hint=f"make one: partlab loop start {work.folder}",
        )
    if number is None and now.parent is None:
        raise StateError(f"version {now.number} replaced none", hint="name the version to serve")
    wanted = find(work, now.parent if number is None else number)  # type: ignore[arg-type]
    whole_run(work.folder, wanted)
    work.record(BACK, who=who, data={"version": wanted.number, "before": now.number})
    return wanted
