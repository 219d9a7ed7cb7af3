"""Small residual networks for pictures of 32 to 96 pixels and for computers without a GPU.

A stem of stride 2 without pooling, then four stages of one basic block: strides 2, 4, 8, 16,
so that a picture of 64 pixels has maps of 32, 16, 8 and 4. `small_resnet16` has 0.31 million
parameters. They are registered with timm and are used like any of its networks.
"""

from typing import Any

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, register_model
from timm.models._registry import generate_default_cfgs
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

WIDTHS = (8, 16, 32)
"""For each there is a `small_resnet…`: 0.08, 0.31 and 1.2 million parameters."""


class SmallResNet(ResNet):  # type: ignore[misc]  # timm is untyped
    """timm's ResNet with GELU, one block a stage, and a small stem.

    `width` is that of the first stage; the later ones are twice, four and eight times as wide.
    """

    def __init__(
        self, width: int = 16, in_chans: int = 3, act_layer: Any = "gelu", **settings: Any
    ) -> None:
        settings.update(channels=tuple(width * 2**stage for stage in range(4)))
        settings.setdefault("zero_init_last", False)  # four blocks learn at once, or hardly at all
        super().__init__(
            BasicBlock, (1, 1, 1, 1), in_chans=in_chans, act_layer=act_layer, **settings
        )
        self.conv1 = nn.Conv2d(in_chans, width, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity()
        self.layer1[0].conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.layer1[0].downsample = None
        for stage in self.feature_info[1:]:
            stage["reduction"] //= 2
        self.feature_info[0]["num_chs"] = width
        self.init_weights(zero_init_last=settings["zero_init_last"])


default_cfgs = generate_default_cfgs(
    {
        f"small_resnet{width}.untrained": {
            "input_size": (3, 64, 64),
            "pool_size": (4, 4),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "conv1",
            "classifier": "fc",
        }
        for width in WIDTHS
    }
)


def _build(width: int, settings: dict[str, Any]) -> Any:
    pretrained = settings.pop("pretrained", False)
    name = f"small_resnet{width}"
    return build_model_with_cfg(SmallResNet, name, pretrained, width=width, **settings)


@register_model  # type: ignore[untyped-decorator]
def small_resnet8(**settings: Any) -> Any:
    """Widths 8 to 64: 0.08 million parameters."""
    return _build(8, settings)


@register_model  # type: ignore[untyped-decorator]
def small_resnet16(**settings: Any) -> Any:
    """Widths 16 to 128: 0.31 million parameters."""
    return _build(16, settings)


@register_model  # type: ignore[untyped-decorator]
def small_resnet32(**settings: Any) -> Any:
    """Widths 32 to 256: 1.2 million parameters."""
    return _build(32, settings)
