"""What an audit needs: the drawn masks, and what a trained segmenter finds in their images."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotate.formats.pictures import Pictures
from partlab.coco import read_coco
from partlab.schema import Dataset

LOWEST_SCORE = 0.05


@contextmanager
def as_dataset(source: Path, *, pictures: bool) -> Iterator[Path]:
    """A data set as it is; a work as a passing data set of its newest rounds, accepted or not.

    Raises:
        StateError: nothing is drawn in the work yet.
    """
    if not (source / "work.json").is_file():
        yield source
        return
    from annotate.inspect.export import Wanted, export
    from annotate.work import Work

    with tempfile.TemporaryDirectory() as scratch, Work.open(source) as work:
        how = Pictures.link if pictures else Pictures.none
        out, newest = Path(scratch) / "work", Wanted(include_open=True)
        export(work, out, newest, pictures=how, keep_ids=False)
        yield out


def found_by(run: str | Path, data: str | Path, split: str | None = None) -> Dataset:
    """Every mask the run's network finds, instances apart, down to a low score.

    Raises:
        NotFoundError: no such run or data set.
        DatasetError: the images cannot be labelled.
    """
    from pseudolabel.engine import label_images
    from pseudolabel.export import export_coco
    from pseudolabel.settings import Settings, Thresholds
    from pseudolabel.store import Store

    settings = Settings(thresholds=Thresholds(default=LOWEST_SCORE), unite=False)
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "store"
        label_images(data, run, store, settings, split=split, workers=0)
        found = Path(scratch) / "found"
        export_coco(Store.open(store), found, pictures=Pictures.none)
        return read_coco(found / "annotations" / "pseudo.json")
