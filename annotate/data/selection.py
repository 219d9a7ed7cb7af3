"""Some images of a data set as a data set of their own, with what was chosen and what left out."""

from collections.abc import Collection, Sequence
from pathlib import Path

from annotate.data.formats import get_format
from annotate.data.formats.pictures import Pictures
from partlab.files import write_json
from partlab.folders import new_folder
from partlab.schema import Dataset, Raw

SELECTION = "selection.json"


def write_selection(
    dataset: Dataset,
    images: Collection[int],
    out: Path,
    split: str,
    *,
    filters: Raw,
    left_out: Sequence[tuple[str, int]],
    pictures: Pictures = Pictures.link,
) -> Raw:
    """Write the images of these ids as the split of a new data set; what `selection.json` says.

    Whole images are taken, with all their masks. `left_out` is why and how many others.

    Raises:
        OutputExistsError: the folder holds something.
        SchemaError: a file name points outside the data set.
    """
    chosen = dataset.subset(images)
    told: Raw = {
        "of": str(dataset.path or ""),
        "fingerprint": dataset.fingerprint,
        "filters": filters,
        "in": {"images": len(chosen.images), "masks": len(chosen.annotations)},
        "out": [{"why": why, "images": count} for why, count in left_out],
    }
    with new_folder(out, inputs=[dataset.path]) as folder:
        get_format("coco").write(chosen, folder, split, pictures)
        write_json(folder / SELECTION, told)
    return told
