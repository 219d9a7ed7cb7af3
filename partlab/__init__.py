"""The kernel every room shares: schema, masks, COCO files, images, errors, settings."""

from typing import TYPE_CHECKING

from partlab.lazy import room

if TYPE_CHECKING:
    from partlab.coco import read_dataset, write_coco
    from partlab.errors import PartlabError
    from partlab.images import load_image
    from partlab.labelmaps import LabelMaps
    from partlab.learning import LabelledPictures
    from partlab.parts import Parts
    from partlab.progress import listening
    from partlab.schema import Annotation, Category, Dataset, Image

__all__ = [
    "Annotation",
    "Category",
    "Dataset",
    "Image",
    "LabelMaps",
    "LabelledPictures",
    "PartlabError",
    "Parts",
    "listening",
    "load_image",
    "read_dataset",
    "write_coco",
]
__getattr__, __dir__ = room(
    __name__,
    {
        "Annotation": "partlab.schema",
        "Category": "partlab.schema",
        "Dataset": "partlab.schema",
        "Image": "partlab.schema",
        "LabelMaps": "partlab.labelmaps",
        "LabelledPictures": "partlab.learning",
        "Parts": "partlab.parts",
        "PartlabError": "partlab.errors",
        "listening": "partlab.progress",
        "load_image": "partlab.images",
        "read_dataset": "partlab.coco",
        "write_coco": "partlab.coco",
    },
)
