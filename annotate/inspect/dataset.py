"""A data set as it is; a work as the data set of its newest rounds, accepted or not.

Whatever takes either takes it from here. `annotate.inspect.export` makes what is accepted into
a data set to keep.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotate.data.formats.pictures import Pictures
from annotate.data.statistics import read_splits
from annotate.inspect.build import Wanted, build
from annotate.inspect.export import export
from annotate.work import Work
from partlab.folders import is_work
from partlab.schema import Dataset

_NEWEST = Wanted(include_open=True)


def read_all(path: str | Path, split: str | None = None) -> list[Dataset]:
    """Every split of a data set folder, or the one named; of a work its newest rounds.

    Raises:
        NotFoundError: no data set there, or it has no such split.
    """
    if split is not None or not is_work(path):
        return read_splits(path, split)
    with Work.open(path) as work:
        return [build(work, _NEWEST, keep_ids=False).dataset]


@contextmanager
def as_folder(source: Path, *, pictures: bool) -> Iterator[Path]:
    """The folder of a data set; of a work a passing one, with its `pictures` or without.

    Raises:
        StateError: nothing is drawn in the work yet.
    """
    if not is_work(source):
        yield source
        return
    how = Pictures.link if pictures else Pictures.none
    with tempfile.TemporaryDirectory() as scratch, Work.open(source) as work:
        out = Path(scratch) / "work"
        export(work, out, _NEWEST, pictures=how, keep_ids=False)
        yield out
