"""COCO part files: our own layout, `annotations/<split>.json` and `images/`."""

from collections.abc import Iterator
from pathlib import Path

from annotate.formats import Source
from annotate.formats.pictures import Pictures, is_safe_name, place
from partlab.coco import find_splits, read_coco, with_images_at, with_sizes, write_coco
from partlab.errors import NotFoundError, SchemaError
from partlab.progress import track
from partlab.schema import Dataset


class CocoLayout:
    """Format of COCO part data sets; nothing is lost in either direction."""

    def fits(self, path: Path) -> bool:
        """A JSON file, or a folder with annotations in it."""
        if path.is_file():
            return path.suffix == ".json"
        try:
            return bool(find_splits(path))
        except NotFoundError:
            return False

    def read(self, source: Source) -> dict[str, Dataset]:
        """Every split of the folder."""
        files = find_splits(source.path)
        found = {
            name: read_coco(file, as_is=True)
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
        """`annotations/<split>.json`, and the pictures under `images/`.

        Raises:
            SchemaError: a file name points outside the data set.
        """
        write_coco(dataset, out / "annotations" / f"{split}.json")
        place(_pairs(dataset, out / "images"), pictures)


def _pairs(dataset: Dataset, folder: Path) -> Iterator[tuple[Path, Path]]:
    for image in track(dataset.images, "pictures", total=len(dataset.images)):
        if not is_safe_name(image.file_name):
            raise SchemaError(
                f"image {image.id} has the file name {image.file_name!r}, outside the data set",
                hint="rename it, or pass --pictures none",
            )
        yield dataset.image_path(image), folder / image.file_name


layout = CocoLayout()
