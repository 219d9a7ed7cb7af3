"""Everything that a recognition model is trained with; importing it needs no torch.

A recipe (`train.recipes`) is a function that gives one `TrainConfig`. Sizes are pixels of the
picture the network sees, in which colours lie between 0 and 1; so does ε.
"""

from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from partlab.config import SPEED, Config
from partlab.training.settings import LoopConfig

TINY_EPS = 8 / 255
"""Meant for ℓ∞ when it is named under ℓ2."""

LARGE_EPS = 0.2
"""An ℓ∞ ball as large as this is a slip of 255 in nearly every case (RK-13)."""


def of_colours(eps: float) -> str:
    """How large an ℓ∞ ball is, in words."""
    share = "the whole range" if eps >= 1 else f"{100 * eps:.3g} % of the range"
    return f"eps {eps:g} is {share} of colours, which lie in 0…1"


def _fraction(value: Any) -> Any:
    """Read "4/255" as what it says."""
    if not isinstance(value, str):
        return value
    try:
        return float(Fraction(value.replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        return value  # pydantic says what it is not


Number = Annotated[float, BeforeValidator(_fraction)]
"""A number, which may be written as a fraction: `attack.eps=4/255`."""


class ReadsConfig(Config):
    """What the classifier of a part model of Berkeley reads (MD-07 … MD-10).

    Each kind reads its own: `pooling` the first three, `wbbox` the next four, `pixel` the next two;
    `mask` reads `background`, `hard` and `picture`, `groundtruth` the first and the last of them.
    """

    pool: int = Field(4, ge=1)  # side of the shrunk masks
    norm: bool = False  # BatchNorm and ReLU after the shrinking
    background: bool = True  # the first channel of the masks too (N-04)
    norm_img: bool = False  # centres in −1…1 and spreads in 0…1, not in pixels
    score: bool = True  # of each part, beside its centre and spread
    conv1d: bool = False  # ten numbers of each part, by the same weights
    centroid: bool = False  # each part's centre is learnt, too, beside its mask
    pixels: Literal["mean", "logits_mask", "softmax_mask"] = "mean"  # which pixels count how much
    hard: bool = False  # each pixel is its likeliest part's alone
    picture: bool = False  # the picture beside its masks


class DetectorConfig(Config):
    """The detector of `seq` and `2heads` (MD-13 … MD-15); the published sizes are the default."""

    queries: int = Field(900, ge=1)  # or 100
    layers: int = Field(6, ge=1)  # of encoder and decoder each; or 1
    width: int = Field(256, ge=8, multiple_of=8)  # channels; 8 heads share them
    denoising: int = Field(100, ge=0)  # denoising queries while it learns
    softmax: Literal["parts", "queries"] = "parts"  # of what `seq` reads; the code has `queries`


class QueriesConfig(Config):
    """Mask2Former of `sim`, Mask DINO Simple (MD-16, MD-17); the first published sizes are default.

    `matrix` says to which object each part belongs: 0 and 1, or learnt from there on.
    """

    queries: int = Field(100, ge=1)
    layers: int = Field(9, ge=1)  # of the decoder; or 1
    encoder: int = Field(6, ge=1)  # layers before it
    width: int = Field(256, ge=32, multiple_of=32)  # channels, in 32 groups; 8 heads share them
    matrix: Literal["fixed", "learned"] = "fixed"


class ModelConfig(Config):
    """Which network (requirements MD-01 … MD-12).

    `weights` is where the backbone starts: `none`, `timm`, `package` or a file. `start` is a
    run or an exported model of the same kind, whose weights are all taken over (T-07).
    """

    kind: str = "vanilla"  # or mpm, two_stage, pooling, …; `train.models.kinds`
    backbone: str = "resnet50"  # any timm model with hierarchical features; an encoder (MD-11)
    gelu: bool = True  # in place of every ReLU (MD-01)
    weights: str = "none"
    start: str | None = None
    levels: int = Field(3, ge=1, le=3)  # resolutions with part supervision, from the coarsest
    top_down: bool = True
    decoder: int = Field(256, ge=1)  # channels of DeepLabV3+'s decoder
    reads: ReadsConfig = ReadsConfig()
    detector: DetectorConfig = DetectorConfig()
    masked: QueriesConfig = QueriesConfig()


class PartConfig(Config):
    """The part loss (L-01 … L-07). Ignored by models without part outputs.

    `targets` is what a pixel is asked: its part (K + 1 channels), its object category, or
    whether it belongs to an object. `labels` says whose label maps are used: `human` makes
    pictures with pseudo labels class-only; `shuffled` gives each picture the map of another one
    of its class, a control that keeps what masks say of the class and nothing of the picture.
    Of `human_share` of the pictures with people's masks, class by class, the masks are used; the
    others are class-only. Without `background` only pixels that show a part are asked (A13).

    With `share`, Hingun's c_seg, the loss is (1 − share) · L_cls + share · L_seg (L-05), and
    `weight` is not read. 0 is 0: the class alone; 1 learns nothing but parts.
    """

    targets: Literal["parts", "objects", "foreground"] = "parts"
    labels: Literal["all", "human", "shuffled"] = "all"
    human_share: float = Field(1.0, gt=0, le=1)
    background: bool = True
    weight: float = Field(1.0, ge=0)  # λ (L-01)
    share: float | None = Field(None, ge=0, le=1)  # c_seg (L-05)
    gamma: float = Field(2.0, ge=0)  # focal (L-03)
    smoothing: float = Field(0.1, ge=0, lt=1)
    ignore_blank: bool = True  # a crop without any part says nothing (B3)
    pseudo_weight: float = Field(1.0, ge=0)  # of pictures with pseudo labels (P-04)
    shrink: Literal["centre", "area"] = "centre"  # coarser targets: as the code does, or means


class AttackConfig(Config):
    """What the training attacks itself with (L-04, T-01); `method=none` is standard training."""

    method: str = "pgd"  # none, pgd, trades, awp, free, nfgsm; `train.attacks.methods`
    norm: Literal["linf", "l2"] = "linf"
    eps: Number = Field(4 / 255, ge=0)
    steps: int = Field(2, ge=1)
    step_size: Number | None = Field(None, gt=0)  # None: 2 ε / steps
    random_start: bool = True
    warmup_epochs: int = Field(0, ge=0)  # the step size grows from 0 over these (E1)
    clean_epochs: int = Field(0, ge=0)  # first trained without attack, then anew (T-07)
    best: Literal["last", "batch"] = "last"  # `batch`: the iterate with the highest mean loss
    beta: float = Field(6.0, gt=0)  # TRADES
    weight_eps: float = Field(0.005, gt=0)  # AWP: share of each layer's norm
    replays: int = Field(4, ge=1)  # free-AT: updates on one batch
    noise: float = Field(2.0, gt=0)  # N-FGSM: times ε
    large_eps: bool = False  # allow ε >= 0.2 under ℓ∞

    @model_validator(mode="after")
    def _no_slip(self) -> Self:
        if self.norm == "linf" and self.eps >= LARGE_EPS and not self.large_eps:
            raise ValueError(
                f"{of_colours(self.eps)}: "
                f"write eps={self.eps:g}/255, or attack.large_eps=true if you mean it"
            )
        if self.norm == "l2" and 0 < self.eps <= TINY_EPS:
            raise ValueError(
                f"eps {self.eps:g} is next to nothing under l2, where the colours of all pixels "
                "add up: set attack.eps too, such as 2 at 224 pixels or 0.5 at 64"
            )
        return self


class DataConfig(Config):
    """Which pictures, how often, and what is done to them before the network sees them.

    `human`, `pseudo` and `plain` (only the class is known) are how many times an epoch shows
    each such picture on average.
    """

    size: int = Field(224, ge=16)
    crop: Literal["resized", "padded"] = "resized"  # torchvision's random resized; or shifted
    scale: tuple[float, float] = (0.08, 1.0)  # share of the area, for `resized`
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    shift: int = Field(4, ge=0)  # pixels each way, for `padded`
    flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(0.0, ge=0)  # of brightness, contrast and saturation
    mirror: tuple[tuple[str, str], ...] = ()  # parts that change places, besides left and right
    human: float = Field(1.0, ge=0)
    pseudo: float = Field(1.0, ge=0)
    plain: float = Field(1.0, ge=0)
    balance: bool = False  # every class as often as every other
    eval_crop: float = Field(0.875, gt=0, le=1)  # share of the shorter side, when not training

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high:
                raise ValueError(f"{name} {low:g}, {high:g} is no range of numbers above 0")
        if self.scale[1] > 1:
            raise ValueError(f"scale goes to {self.scale[1]:g}, and a crop is no more than all: 1")
        if 2 * self.shift > self.size:
            raise ValueError(f"shift {self.shift} is more than half of size {self.size}")
        return self


class OptimConfig(LoopConfig):
    """How long, how fast, with which averages; `batch_size` is per process.

    `lr` belongs to batches of `lr_batch` pictures over all processes and grows with them;
    None leaves it as it is.
    """

    epochs: int = Field(80, ge=1)
    batch_size: int = Field(64, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.2, gt=0)
    lr_batch: int | None = Field(512, ge=1)
    min_lr: float = Field(1e-2, ge=0)
    warmup_epochs: float = Field(2, ge=0)
    warmup_lr: float = Field(1e-3, ge=0)
    warmup_prefix: bool = False  # whether the cosine begins after the warm-up
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(1e-4, ge=0)  # not of one-dimensional parameters
    frozen_backbone: bool = False  # only the new layers learn (`pinpp_init`)
    smoothing: float = Field(0.1, ge=0, lt=1)  # of the class (L-07)
    ema: float = Field(0.9998, ge=0, lt=1)  # 0: no average
    clip_norm: float | None = Field(None, gt=0)
    channels_last: bool = True
    compile: bool = False
    checkpoint_steps: Annotated[int, SPEED] = Field(1000, ge=1)


class ValConfig(Config):
    """What is measured after each epoch, on pictures that training does not see."""

    pictures: int = Field(0, ge=0)  # 0: all of them
    batch_size: Annotated[int, SPEED] = Field(64, ge=1)
    steps: int = Field(10, ge=1)  # PGD, its step ε / 4


class TrainConfig(Config):
    """One training of a recognition model."""

    model: ModelConfig = ModelConfig()
    part: PartConfig = PartConfig()
    attack: AttackConfig = AttackConfig()
    data: DataConfig = DataConfig()
    train: OptimConfig = OptimConfig()
    val: ValConfig = ValConfig()

    @model_validator(mode="after")
    def _attacks_at_all(self) -> Self:
        clean, epochs = self.attack.clean_epochs, self.train.epochs
        if self.attack.method != "none" and clean >= epochs:
            raise ValueError(
                f"attack.clean_epochs={clean} leaves no epoch of train.epochs={epochs} to the "
                "attack: lower it, or say attack.method=none"
            )
        return self

    @property
    def chosen_by(self) -> Literal["val_clean", "val_pgd"]:
        """What picks the best checkpoint; in standard training PGD accuracy says little."""
        return "val_clean" if self.attack.method == "none" else "val_pgd"
