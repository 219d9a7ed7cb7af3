"""The data sets and works that the page shows, each as an index, read again when it changed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from annotate.data.check import Report, check_folder
from annotate.data.index import Index
from annotate.data.indexing import indexed
from annotate.data.statistics import Statistics, measure
from annotate.inspect.audit import Audit
from annotate.inspect.dataset import as_folder, read_all
from annotate.inspect.export import picture_file
from annotate.inspect.suspicion import AUDIT, KeptAudit, kept_audit
from annotate.work import Work
from app.web.given import Given
from partlab.coco import read_coco
from partlab.counts import counted
from partlab.errors import NotFoundError, PartlabError, UnknownNameError
from partlab.progress import event
from partlab.schema import OURS, Dataset, Image

if TYPE_CHECKING:
    from app.web.library import Library


@dataclass
class Source:
    """A split of a data set, or a work as its newest rounds, with what was found out about it.

    `work` is the folder of the work that it is, or was exported from, if that was given too.
    """

    name: str
    path: Path
    split: str | None
    index: Index
    work: Path | None = None
    report: Report | None = None
    audits: dict[str, Audit] = field(default_factory=dict)  # by the store compared with, "" none
    audited: str = ""  # of an audit that is kept in the work: what it is
    counted: Statistics | None = None
    _kept_at: float = 0.0

    @property
    def is_work(self) -> bool:
        """Whether it is a work itself, not a data set."""
        return self.split is None

    def whole(self) -> Dataset:
        """All of it, read anew: what counts or exports everything needs it."""
        event("step", words=f"reading {self.name} …")
        if self.split is None:
            return read_all(self.path)[0]
        assert self.index.path is not None
        return read_coco(self.index.path)

    def check(self) -> Report:
        """What `partlab data check` finds; kept.

        Raises:
            StateError: nothing is drawn in the work yet.
            PartlabError: as `check_folder`.
        """
        with as_folder(self.path, pictures=True) as folder:
            self.report = check_folder(folder, self.split)
        return self.report

    def use_kept_audit(self) -> None:
        """Judge a work's images by the audit that is kept in it, if there is one.

        Raises:
            SchemaError: its file is damaged.
        """
        file = self.path / AUDIT
        made = file.stat().st_mtime if self.is_work and file.is_file() else 0.0
        if made == self._kept_at:
            return
        with Work.open(self.path) as work:
            kept = kept_audit(work)
        self._kept_at, self.audited = made, ""
        self.audits.pop("", None)
        if kept is not None:
            self.audits[""], self.audited = kept.audit, _told(kept)

    def no_work(self) -> str:
        """Why nothing can be done in the work that a data set comes from; "" where it can."""
        if self.work is not None:
            return ""
        if (self.index.about.get(OURS) or {}).get("work"):
            return "the app was not given the work that this data set comes from"
        return "this data set comes of no work"

    def statistics(self) -> Statistics:
        """As `partlab data stats` counts; kept."""
        if self.counted is None:
            self.counted = measure([self.whole()], self.name)
        return self.counted

    def pictures(self, images: Sequence[Image]) -> dict[int, Path]:
        """Image id -> the file of its picture, in the size of its masks."""
        if self.split is not None:
            return {one.id: self.index.finder.find(one.file_name).path for one in images}
        with Work.open(self.path) as work:
            return {one.id: picture_file(work, work.image(one.id)) for one in images}


@dataclass
class Sources:
    """What was given, by the names of the page: DATA/SPLIT, or the name of a work."""

    given: Given
    library: "Library"
    _kept: dict[str, tuple[str, Source]] = field(default_factory=dict)
    _files: dict[str, dict[str, Path]] = field(default_factory=dict)

    def names(self) -> list[str]:
        """All of them, data sets first."""
        data = [f"{name}/{split}" for name in self.given.data for split in self._splits(name)]
        return [*data, *self.given.works]

    def _splits(self, data: str) -> dict[str, Path]:
        """Looked for once: a large file is read through for it."""
        if data not in self._files:
            self._files[data] = self.library.splits(data)
        return self._files[data]

    def open(self, name: str) -> Source:
        """A source by its name, "" for the first.

        Raises:
            NotFoundError: nothing was given.
            UnknownNameError: none of that name was.
            PartlabError: it cannot be read.
        """
        names = self.names()
        if not names:
            raise NotFoundError("the app was given no data set", hint="start it with one")
        name = name or names[0]
        if name not in names:
            raise UnknownNameError("data set", name, names)
        path, split, file = self._place(name)
        stamp = _stamp(file)
        held = self._kept.get(name)
        if held is None or held[0] != stamp:
            held = stamp, self._made(name, path, split, file)
            self._kept[name] = held
        return held[1]

    def _place(self, name: str) -> tuple[Path, str | None, Path]:
        """Folder, split and the file that tells whether something changed."""
        if name in self.given.works:
            path = self.given.works[name]
            return path, None, path / "exports" / "history.jsonl"
        data, _, split = name.rpartition("/")
        return self.given.data[data], split, self._splits(data)[split]

    def _made(self, name: str, path: Path, split: str | None, file: Path) -> Source:
        event("step", words=f"reading {name} …")
        if split is None:
            return Source(name, path, None, Index.of(read_all(path)[0]), path)
        index = indexed(file)
        return Source(name, path, split, index, self._work_of(index))

    def _work_of(self, index: Index) -> Path | None:
        """The work that a data set says it was made of, by its id."""
        made = (index.about.get(OURS) or {}).get("work")
        wanted = made.get("id") if isinstance(made, dict) else None
        for path in self.given.works.values() if wanted else ():
            with opened(path) as work:
                if work is not None and work.settings.id == wanted:
                    return path
        return None


@contextmanager
def opened(path: Path) -> Iterator[Work | None]:
    """A work, or None where it cannot be opened: then only what it would add is missing."""
    try:
        work = Work.open(path)
    except PartlabError:
        yield None
        return
    with work:
        yield work


def _told(kept: KeptAudit) -> str:
    day = datetime.fromtimestamp(kept.made).astimezone().strftime("%Y-%m-%d %H:%M")
    again = f"; {counted(kept.changed, 'image')} drawn since, which come last"
    return f"partlab inspect audit, kept in the work on {day}{again if kept.changed else ''}"


def _stamp(file: Path) -> str:
    stat = file.stat() if file.exists() else None
    return f"{stat.st_size} {stat.st_mtime_ns}" if stat else ""
