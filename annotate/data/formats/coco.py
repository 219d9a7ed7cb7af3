"""COCO part files: our own layout, `annotations/<split>.json` and `images/`."""

import logging
from dataclasses import replace
from pathlib import Path

from annotate.data.formats import Source, get_format
from annotate.data.formats.foreign import recognise
from annotate.data.formats.pictures import Pictures, in_folder, is_same, place, say_elsewhere
from annotate.data.stale import marked
from partlab.coco import find_splits, read_coco, with_images_at, with_sizes, write_coco
from partlab.layouts import find_layout, why_no_part_data
from partlab.objects import parts_only
from partlab.progress import track
from partlab.schema import Dataset

log = logging.getLogger(__name__)


class CocoLayout:
    """Format of COCO part data sets; nothing is lost in either direction."""

    def fits(self, path: Path) -> bool:
        """A JSON file of no other known format, or a folder with annotations in it."""
        if path.is_file():
            other = why_no_part_data(path) and (
                recognise(path) or get_format("labelstudio").fits(path)
            )
            return path.suffix == ".json" and not other
        return bool(find_layout(path).splits)

    def read(self, source: Source) -> dict[str, Dataset]:
        """Every split of the folder."""
        files = find_splits(source.path)
        found = {
            name: parts_only(marked(read_coco(file, as_is=True)))
            for name, file in track(files.items(), "reading", total=len(files))
        }
        root = source.images
        return {
            name: with_sizes(dataset) if root is None else with_images_at(dataset, root)
            for name, dataset in found.items()
        }

    def write(
        self,
        dataset: Dataset,
        out: Path,
        split: str,
        pictures: Pictures,
    ) -> None:
        """`annotations/<split>.json`, and the pictures under `images/`, as they were found.

        A split of which another picture is there already gets a folder of its own in `images/`.

        Raises:
            SchemaError: a file name points outside the data set.
        """
        settled = dataset.settled()
        say_elsewhere(dataset)
        folder = out / "images"
        if pictures is not Pictures.none and _meets_others(settled, folder):
            log.info("pictures of %s go into images/%s: others have the same names", split, split)
            file = out / "annotations" / f"{split}.json"
            place(in_folder(settled, folder / split), pictures)
            images = [i.changed(file_name=f"{split}/{i.file_name}") for i in settled.images]
            write_coco(replace(settled, images=images), file)
            return
        write_coco(settled, out / "annotations" / f"{split}.json")
        place(in_folder(settled, folder), pictures)


def _meets_others(dataset: Dataset, folder: Path) -> bool:
    """Whether another picture, of another split, lies where one of this data set belongs."""
    pairs = ((dataset.image_path(i), folder / i.file_name) for i in dataset.images)
    return any(
        target.exists() and source.is_file() and not is_same(source, target)
        for source, target in pairs
    )


layout = CocoLayout()
