"""Rules on picture files: there, readable, of the stated size, not twice."""

from collections.abc import Iterator

from PIL import Image as PillowImage

from annotate.data.checks.kinds import KINDS
from annotate.data.checks.sizes import Sizes
from partlab.errors import DatasetError, NotFoundError
from partlab.files import sha256_file
from partlab.images import TooLargeError, load_image
from partlab.places import opened
from partlab.schema import Dataset, Finding, Image


class PictureCheck:
    """Checks pictures one by one; remembers only the hashes of their contents."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.sizes = dataset, Sizes(dataset)
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
        except TooLargeError as error:
            yield KINDS["picture_too_large"].at(error.message, image=image)
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
        with opened(self.dataset.image_path(image)) as file, PillowImage.open(file) as picture:
            unrotated = picture.size
        kind = "exif_rotated" if unrotated == (image.width, image.height) else "wrong_image_size"
        right = self.sizes.corrected(image) is not None
        what = f"{stated} as shown" if kind == "exif_rotated" else stated
        what += "" if right else "; the masks do not tell which is right"
        hint = "run with --fix: the masks fit only the picture as shown" if right else None
        return KINDS[kind].at(what, image=image, fixable=right, hint=hint)
