"""Recognition: models that are trained with parts, and under attack."""

from typing import TYPE_CHECKING

from partlab.lazy import room

if TYPE_CHECKING:
    from train.attacks.ball import Ball
    from train.attacks.evaluation import Verdicts, evaluate_pgd
    from train.exam import examine
    from train.export import export_model
    from train.models.base import Outputs, Recognizer
    from train.models.build import create_model
    from train.models.load import load_model
    from train.paired import Paired
    from train.pictures import Pictures, open_pictures
    from train.recipes import recipe
    from train.settings import TrainConfig
    from train.train import train_model

__all__ = [
    "Ball",
    "Outputs",
    "Paired",
    "Pictures",
    "Recognizer",
    "TrainConfig",
    "Verdicts",
    "create_model",
    "evaluate_pgd",
    "examine",
    "export_model",
    "load_model",
    "open_pictures",
    "recipe",
    "train_model",
]
__getattr__, __dir__ = room(
    __name__,
    {
        "Ball": "train.attacks.ball",
        "Outputs": "train.models.base",
        "Paired": "train.paired",
        "Pictures": "train.pictures",
        "Recognizer": "train.models.base",
        "TrainConfig": "train.settings",
        "Verdicts": "train.attacks.evaluation",
        "create_model": "train.models.build",
        "evaluate_pgd": "train.attacks.evaluation",
        "examine": "train.exam",
        "export_model": "train.export",
        "load_model": "train.models.load",
        "open_pictures": "train.pictures",
        "recipe": "train.recipes",
        "train_model": "train.train",
    },
)
