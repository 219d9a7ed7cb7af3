"""Rules on picture files: there, readable, of the stated size, not twice."""

from collections.abc import Iterator

from PIL import Image as PillowImage

from annotate.checks.kinds import KINDS
from partlab.errors import DatasetError, NotFoundError
from partlab.files import sha256_file
from partlab.images import load_image
from partlab.masks import from_segmentation
from partlab.schema import Dataset, Finding, Image


class PictureCheck:
    """Checks pictures one by one; remembers only the hashes of their contents."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.by_hash: dict[str, Image] = {}

    def __call__(self, image: Image) -> Iterator[Finding]:
        """What is wrong with one image's picture; reads it whole."""
        path = self.dataset.image_path(image)
        try:
            height, width = load_image(path).shape[:2]
        except NotFoundError:
            near = self.dataset.pictures.find(image.file_name).near
            what = f"there is no {path}" + (f"; {near}" if near else "")
            yield KINDS["missing_image"].at(what, image=image)
            return
        except DatasetError as error:
            yield KINDS["corrupt_image"].at(error.message, image=image)
            return
        if (width, height) != (image.width, image.height) and min(image.width, image.height) > 0:
            yield self._wrong_size(image, width, height)
        first = self.by_hash.setdefault(sha256_file(path), image)
        if first.file_name != image.file_name:
            what = f"the same picture as image {first.id} ({first.file_name})"
            yield KINDS["duplicate_picture"].at(what, image=image)

    def _wrong_size(self, image: Image, width: int, height: int) -> Finding:
        stated = f"stated {image.width} x {image.height}, the picture is {width} x {height}"
        with PillowImage.open(self.dataset.image_path(image)) as opened:
            unrotated = opened.size
        if unrotated == (image.width, image.height):
            return KINDS["exif_rotated"].at(f"{stated} as shown", image=image)
        fits = masks_fit(self.dataset, image, width, height)
        return KINDS["wrong_image_size"].at(stated, image=image, fixable=fits)


def masks_fit(dataset: Dataset, image: Image, width: int, height: int) -> bool:
    """Whether every mask of the image can be drawn at this size without leaving it."""
    for annotation in dataset.annotations_of(image):
        segmentation = annotation.segmentation
        try:
            from_segmentation(segmentation, height, width)
        except DatasetError:
            return False
        if isinstance(segmentation, list):
            across = max(max(polygon[::2]) for polygon in segmentation)
            down = max(max(polygon[1::2]) for polygon in segmentation)
            if across > width or down > height:
                return False
    return True
