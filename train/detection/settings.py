"""What a detector is trained with; importing it needs no torch. Defaults are Li et al.'s."""

from collections.abc import Callable
from typing import Literal, Self

from pydantic import Field, model_validator

from partlab.config import Config
from partlab.errors import UnknownNameError
from partlab.training.settings import LoopConfig
from train.settings import AttackConfig

Boxes = Literal["objects", "parts"]


class DetectorModel(Config):
    """Shape of the detector, and what it keeps when it predicts.

    `weights` is where a backbone named after timm starts: `none`, `timm`, `package` or a file;
    that of a recognition model brings its own. Statistics of BatchNorm (`freeze_norm`) and layers
    up to `frozen_stride` stay as they came; both only where the backbone came with weights.
    """

    weights: str = "none"
    first_stride: Literal[2, 4, 8] = 4  # of the finest map of the pyramid
    channels: int = Field(256, ge=16)
    image_size: int = Field(1067, ge=32)  # long side; 4:3 at Li et al.'s 1333 x 800 has 1067
    anchor: float = Field(8, gt=0)  # side of anchors, times their level's stride
    box_features: int = Field(1024, ge=16)
    proposals: int = Field(1000, ge=10)  # per image
    rois: int = Field(512, ge=8)  # per image, of which the heads' losses are calculated
    clip: float | None = Field(6.0, gt=0)  # losses of the heads above it pull no stronger
    score_threshold: float = Field(0.05, ge=0, le=1)
    nms_threshold: float = Field(0.5, gt=0, le=1)
    detections: int = Field(100, ge=1)
    freeze_norm: bool = True
    frozen_stride: Literal[0, 2, 4, 8] = 4


class DetectorTrain(LoopConfig):
    """How long and how fast; sizes are per process.

    An epoch shows every picture `attack.replays` times in free adversarial training. After the
    share `decay_at` of all steps the learning rate is a tenth.
    """

    epochs: int = Field(6, ge=1)
    batch_size: int = Field(16, ge=1)
    lr: float = Field(1e-4, gt=0)
    clip_norm: float | None = Field(100.0, gt=0)
    warmup_steps: int = Field(125, ge=0)
    decay_at: float = Field(5 / 6, gt=0, le=1)
    backbone_lr: float = Field(0.1, ge=0)  # times lr
    weight_decay: float = Field(0.1, ge=0)  # not of one-dimensional parameters
    flip: float = Field(0.5, ge=0, le=1)
    smallest: float = Field(1.0, gt=0, le=1)  # random sizes down to this share of image_size
    boxes_per_image: int = Field(100, ge=1)
    val_images: int = Field(500, ge=0)  # 0: no validation
    workers: int = Field(4, ge=0)


class DetectorConfig(Config):
    """One training of a detector.

    `boxes` is what is found: whole objects, each the box about all masks of its parts; or parts,
    each mask with its box, which is also how COCO's own categories are taken.
    """

    boxes: Boxes = "objects"
    model: DetectorModel = DetectorModel()
    attack: AttackConfig = AttackConfig(method="free")
    train: DetectorTrain = DetectorTrain()

    @model_validator(mode="after")
    def _known_method(self) -> Self:
        if self.attack.method not in ("free", "none"):
            raise ValueError(
                f"attack.method {self.attack.method!r} is none of a detector's: free, or none"
            )
        if self.attack.norm != "linf":
            raise ValueError(f"a detector is attacked within linf, not {self.attack.norm}")
        return self


def coco() -> DetectorConfig:
    """Li et al.: Free-AT of 4 updates at 4/255, 6 epochs; for GPUs."""
    return DetectorConfig()


def small() -> DetectorConfig:
    """Pictures of 64 pixels and narrow heads: minutes on one core."""
    return DetectorConfig(
        model=DetectorModel(
            channels=48, image_size=64, anchor=4, box_features=128, proposals=100, rois=24,
            frozen_stride=0,
        ),
        train=DetectorTrain(
            epochs=4, batch_size=8, lr=1e-3, clip_norm=10, warmup_steps=50, backbone_lr=0.5,
            weight_decay=0.05, val_images=100, workers=0,
        ),
    )  # fmt: skip


RECIPES: dict[str, Callable[[], DetectorConfig]] = {"coco": coco, "small": small}


def recipe(name: str) -> DetectorConfig:
    """The settings of a recipe.

    Raises:
        UnknownNameError: there is no such recipe.
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe of a detector", name, RECIPES)
    return RECIPES[name]()
