"""What an audit compares drawn masks with: what a trained segmenter finds in their images."""

import tempfile
from pathlib import Path

from annotate.data.formats.pictures import Pictures
from partlab.coco import read_coco
from partlab.schema import Dataset

LOWEST_SCORE = 0.05


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
