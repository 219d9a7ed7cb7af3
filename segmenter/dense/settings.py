"""Settings of the dense backend and its recipes."""

from typing import Literal

from pydantic import Field

from partlab.config import Config
from segmenter.fit import TrainConfig

Filter = Literal["before", "after"]
"""Where the category filter stands: before the softmax, which then shares all probability among
the background and the image's own parts, or after it, as in the paper's equation (P-02)."""


class DenseModelConfig(Config):
    """Shape of the network and what it keeps when it predicts."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "package"
    first_stride: Literal[4, 8] = 4  # of the finest map, and of what is decided
    channels: int = Field(96, ge=16)  # of the pyramid
    width: int = Field(128, ge=16, multiple_of=16)  # of the decoder
    image_size: int = Field(288, ge=64)  # long side in pixels, aspect ratio kept
    category_filter: Filter = "before"
    object_input: bool = True  # whether the decoder is told which parts there may be
    untold: float = Field(0.1, ge=0, le=1)  # share of training pictures whose object it is not told
    dice: float = Field(1.0, ge=0)  # weight beside the cross-entropy
    score_threshold: float = Field(0.05, ge=0, le=1)
    smallest_region: float = Field(1e-4, ge=0, lt=1)  # share of the picture
    detections: int = Field(100, ge=1)
    freeze_norm: bool = True
    frozen_stride: Literal[0, 2, 4, 8] = 4  # pretrained layers up to this stride stay as they are


class DenseTrainConfig(TrainConfig):
    """How it is trained; only the defaults are its own."""

    lr: float = Field(1e-3, gt=0)
    masks_per_image: int = Field(200, ge=1)
    repeat_threshold: float = Field(0.1, ge=0, le=1)


class DenseConfig(Config):
    """Everything a run is made with; what decides its weights must not change."""

    model: DenseModelConfig = DenseModelConfig()
    train: DenseTrainConfig = DenseTrainConfig()


def light() -> DenseConfig:
    """The default: EfficientNet-Lite0 with packaged ImageNet weights, 288 pixels; fits a CPU."""
    return DenseConfig()


def small() -> DenseConfig:
    """Minutes on two cores: 128 pixels and a narrow decoder, for generated worlds and tests."""
    model = DenseModelConfig(image_size=128, channels=64, width=64)
    train = DenseTrainConfig(epochs=8, batch_size=4, workers=0, val_images=40)
    return DenseConfig(model=model, train=train)


def resnet50() -> DenseConfig:
    """ResNet-50 at the authors' size (long side 500, App. B1) for one or more GPUs."""
    model = DenseModelConfig(
        backbone="resnet50", weights="timm", channels=256, width=256, image_size=500
    )
    return DenseConfig(model=model, train=DenseTrainConfig(epochs=24, batch_size=16, workers=8))
