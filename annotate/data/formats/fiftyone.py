"""COCO as FiftyOne lays it out: labels.json beside data/. Written here, read as any COCO file.

`fiftyone.Dataset.from_dir(dir, dataset_type=fiftyone.types.COCODetectionDataset)` opens it, with
`label_types="segmentations"` for the masks.
"""

from pathlib import Path

from annotate.data.formats.layout import Layout
from annotate.data.formats.pictures import Pictures, in_folder, place
from partlab.coco import write_coco
from partlab.schema import Dataset


class FiftyOneLayout(Layout):
    """Format of FiftyOne's COCO; the format `coco` reads it."""

    title = "COCO in FiftyOne's layout"

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """labels.json and data/."""
        settled = dataset.settled()
        write_coco(settled, out / "labels.json")
        place(in_folder(settled, out / "data"), pictures)


layout = FiftyOneLayout()
