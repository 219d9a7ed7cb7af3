"""Settings of the detectron2 backend; importing them needs no detectron2."""

from typing import Literal

from pydantic import Field

from partlab.config import Config
from segmenter.category_filter import LabelRule
from segmenter.fit import TrainConfig


class Detectron2ModelConfig(Config):
    """Shape of the network; defaults follow detectron2's R50-FPN and the authors' sizes (B1).

    `weights` is "none" or a checkpoint file in detectron2's format: an ImageNet backbone or a
    whole network (layers of another shape are left as they are). `norm` "auto" is FrozenBN with
    weights, GN without: small batches cannot estimate BatchNorm's statistics.
    """

    depth: Literal[18, 34, 50, 101, 152] = 50
    weights: str = "none"
    norm: Literal["auto", "FrozenBN", "BN", "GN"] = "auto"
    freeze_at: int = Field(0, ge=0, le=5)  # backbone stages that are not trained
    channels: int = Field(256, ge=32, multiple_of=32)
    image_size: int = Field(500, ge=64)  # long side in pixels, aspect ratio kept
    box_features: int = Field(1024, ge=16)
    box_regression: Literal["specific", "agnostic"] = "agnostic"
    mask_head: Literal["specific", "agnostic"] = "specific"
    mask_channels: int = Field(256, ge=8)
    mask_layers: int = Field(4, ge=1)
    loss: Literal["softmax", "sigmoid"] = "softmax"  # the authors' benchmark: sigmoid
    rois: int = Field(128, ge=8)  # per image, in training
    proposals: int = Field(200, ge=10)  # per image, in prediction
    label_rule: LabelRule = "argmax"
    score_threshold: float = Field(0.05, ge=0, le=1)
    nms_threshold: float = Field(0.5, gt=0, le=1)
    detections: int = Field(100, ge=1)


class Detectron2Config(Config):
    """Everything that decides a run's weights."""

    model: Detectron2ModelConfig = Detectron2ModelConfig()
    train: TrainConfig = TrainConfig()


def small() -> Detectron2Config:
    """Minutes on two cores: 192 pixels, ResNet-18 and narrow heads, for worlds and tests."""
    model = Detectron2ModelConfig(
        depth=18,
        channels=64,
        image_size=192,
        box_features=256,
        mask_channels=48,
        mask_layers=2,
        rois=48,
        proposals=100,
    )
    train = TrainConfig(epochs=8, batch_size=4, lr=1e-3, workers=0, val_images=40)
    return Detectron2Config(model=model, train=train)
