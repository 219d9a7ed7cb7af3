"""Recognition: models that are trained with parts."""

from typing import TYPE_CHECKING

from partlab.lazy import room

if TYPE_CHECKING:
    from train.models.base import Outputs, Recognizer
    from train.models.build import create_model
    from train.models.load import load_model

__all__ = ["Outputs", "Recognizer", "create_model", "load_model"]
__getattr__, __dir__ = room(
    __name__,
    {
        "Outputs": "train.models.base",
        "Recognizer": "train.models.base",
        "create_model": "train.models.build",
        "load_model": "train.models.load",
    },
)
