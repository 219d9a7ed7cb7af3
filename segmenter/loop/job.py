"""The process of a job: collect what is accepted, train, examine, and serve what is better.

    python -m segmenter.loop.job WORK

Killed at any moment, `segmenter.loop.control` goes on with it: what was collected stays, training
goes on at the last saved step, and a version is noted once.
"""

import logging
import os
import shutil
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotate.work import Work
from partlab.config import validate
from partlab.errors import PartlabError, StateError
from partlab.files import exclusive, read_lines
from partlab.progress import listening
from segmenter.loop.exam import Agreement, Result, answers, judge, nothing
from segmenter.loop.lessons import Lessons, collect, read_lessons, without
from segmenter.loop.naming import called_before, called_now
from segmenter.loop.state import CancelledError, Job, Telling, read_job, write_job
from segmenter.loop.versions import (
    CHECKPOINT,
    LOOP,
    Version,
    current,
    find,
    folder_of,
    record,
    versions,
    whole_run,
)
from segmenter.origin import RunFolder
from segmenter.protocol import Segmenter, backends

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds; others hold the lock for moments, to see whether it is free
NICE = 10  # people who annotate on the same machine come first


class RefusedError(PartlabError):
    """There is nothing to learn, or not now."""


def run_job(work: Path) -> Job:
    """Do the work's job, or the rest of it; how it ended stands in its file, too.

    Raises:
        BusyError: another process does it.
    """
    with exclusive(work / LOOP, patience=PATIENCE):
        job = _written(work)
        log.info("job %d: version %d of %s", job.number, job.version, work)
        job = write_job(work, job, state="running", why="")
        try:
            with listening(Telling(work)), Work.open(work) as opened:
                version = _Doing(opened, job).version()
            told = "served" if version.served else "kept aside"
            return _ended(work, job, "done", f"version {version.number} is {told}: {version.why}")
        except CancelledError as error:
            shutil.rmtree(folder_of(work, job.version), ignore_errors=True)
            return _ended(work, job, "cancelled", error.message)
        except (RefusedError, StateError) as error:
            shutil.rmtree(folder_of(work, job.version), ignore_errors=True)
            return _ended(work, job, "refused", _sentence(error))
        except PartlabError as error:
            return _ended(work, job, "failed", _sentence(error))
        except Exception as error:
            log.error("%s", traceback.format_exc())
            return _ended(work, job, "failed", f"{type(error).__name__}: {error}")


def _written(work: Path) -> Job:
    job = read_job(work)
    if job is None:
        raise StateError(f"{work} has no job", hint=f"partlab loop start {work}")
    return job


def _ended(work: Path, job: Job, state: str, why: str) -> Job:
    log.info("job %d is %s: %s", job.number, state, why)
    return write_job(work, job, state=state, why=why)


def _sentence(error: PartlabError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


class _Doing:
    """One job at work."""

    def __init__(self, work: Work, job: Job) -> None:
        self.work, self.job = work, job
        self.run = folder_of(work.folder, job.version)

    def version(self) -> Version:
        """The version that the job is for; from the history, if it was noted before a kill."""
        known = [one for one in versions(self.work) if one.number == self.job.version]
        if known:
            return known[0]
        lessons = self._lessons()
        self._train(lessons)
        return self._examined(lessons)

    def _lessons(self) -> Lessons:
        """What was accepted when the job began."""
        folder = self.run / "data"
        if not folder.is_dir():
            collect(self.work, folder)
        lessons = read_lessons(folder)
        if lessons.train is None:
            held = len(lessons.exam.images) if lessons.exam else 0
            raise RefusedError(f"all {held} accepted pictures are held out for the exam")
        self._need_news(lessons)
        return lessons

    def _need_news(self, lessons: Lessons) -> None:
        """The same lessons with the same settings would give much the same again."""
        learnt = lessons.facts["train"]["sha256"]
        for one in reversed(versions(self.work)):
            before = one.data or {}
            if before.get("train", {}).get("sha256") == learnt and _same(before, self.job):
                raise RefusedError(f"nothing was accepted since version {one.number} was made")

    def _train(self, lessons: Lessons) -> None:
        backend: Any = backends.get(self.job.backend)
        values = self.job.settings
        train = values.get("train")
        if self.job.parent is not None and train is not None:
            parent = find(self.work, self.job.parent)
            begun = {"start": str(whole_run(self.work.folder, parent).absolute())}
            names = called_before(self.work, parent, lessons.parts)
            values = {**values, "train": {**train, **begun, "start_parts": names}}
        config = validate(backend.settings, values, "the job's settings")
        backend.fit(lessons.train, None, self.run, config)

    def _examined(self, lessons: Lessons) -> Version:
        """Compare with what is served now; another may have become so meanwhile."""
        mine: dict[int, Agreement] | None = None
        while True:
            served = current(self.work)
            if mine is None:
                mine = self._answers(RunFolder(self.run), lessons, None, "exam of the new version")
            result = self._judged(lessons, served, mine)
            try:
                return self._record(lessons, served, result)
            except StateError:
                now = current(self.work)
                if (now and now.number) == (served and served.number):
                    raise

    def _answers(
        self, origin: RunFolder, lessons: Lessons, version: Version | None, what: str
    ) -> dict[int, Agreement]:
        if lessons.exam is None:
            return {}
        segmenter: Segmenter = origin.load(CHECKPOINT, None)
        same = {name: name for name in lessons.parts}
        called = same if version is None else called_now(self.work, version, lessons.parts)
        return answers(segmenter, lessons.exam, called, what)

    def _judged(
        self, lessons: Lessons, served: Version | None, mine: dict[int, Agreement]
    ) -> Result:
        if lessons.exam is None:
            return judge({}, {})
        if served is None:
            return judge(nothing(lessons.exam), mine)
        run = whole_run(self.work.folder, served)
        theirs = self._answers(
            RunFolder(run), lessons, served, "exam of the version that is served"
        )
        seen = run / "train_images.txt"
        fair = without(lessons.exam, read_lines(seen) if seen.is_file() else [])
        ids = {image.id for image in fair.images}
        called = {*called_now(self.work, served, lessons.parts).values()}
        known = sorted(called) if called != {*lessons.parts} else None
        return judge(
            {id: theirs[id] for id in ids},
            {id: mine[id] for id in ids},
            known=known,
            seen=len(theirs) - len(ids),
        )

    def _record(self, lessons: Lessons, served: Version | None, result: Result) -> Version:
        weights = RunFolder(self.run).weights_sha256(CHECKPOINT)
        data = {**lessons.facts, "settings": self.job.settings, "backend": self.job.backend}
        return record(
            self.work,
            self.job.who,
            self.job.version,
            parent=served.number if served else None,
            served=result.passed,
            why=result.why,
            weights_sha256=weights,
            parts=lessons.parts,
            vocabulary=lessons.vocabulary,
            data={**data, "began_from": self.job.parent},
            exam=result.as_json(),
        )


def _same(before: Mapping[str, Any], job: Job) -> bool:
    return before.get("settings") == job.settings and before.get("backend") == job.backend


def main() -> None:
    """Entry point of the process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    os.nice(NICE)
    ended = run_job(Path(sys.argv[1]))
    sys.exit(ended.state not in ("done", "refused", "cancelled"))


if __name__ == "__main__":
    main()
