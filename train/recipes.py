"""Published trainings by name, and small ones for CPUs, each a function that gives its settings.

The paper's text and the authors' released code disagree in places; a recipe comes as both
(`variant="text"`, `"code"`), and `differences` says where. Ablations are a recipe and the
settings that they change, written as a user would: `model.levels=1`.

Every recipe holds for every kind of model: MPM's differs from the vanilla one's in `model.kind`
and in nothing else (T-04).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from partlab.config import flattened, load_config
from partlab.errors import ConfigError, UnknownNameError
from train.settings import (
    AttackConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    PartConfig,
    TrainConfig,
    ValConfig,
)

Variant = Literal["code", "text"]

_TORCHVISION = "resnet50.tv2_in1k"
"""timm's name for torchvision's resnet50-11ad3fa6, where the paper's models start (T-02)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`make` gives the settings of a variant; `where` is the paper, and the place in it.

    Hingun 2023 is "Scaling Part Models" (UC Berkeley EECS-2023-153), Sitawarin 2023 "Part-Based
    Models Improve Adversarial Robustness" (ICLR), whose code is adv-part-model.
    """

    name: str
    about: str
    where: str
    make: Callable[[Variant], TrainConfig]


def recipe(name: str, variant: str = "code", *, kind: str | None = None) -> TrainConfig:
    """The settings of a recipe; `kind` is the kind of model, `vanilla`, `mpm`, ….

    Raises:
        UnknownNameError: there is no such recipe.
        ConfigError: no such variant.
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    for each in get_args(Variant):
        if each == variant:
            made = RECIPES[name].make(each)
            return changed(made, [f"model.kind={kind}"]) if kind else made
    raise ConfigError(f"no variant {variant!r}", hint="the variants are code and text")


def changed(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """The same settings but for a few, each `a.b=c`."""
    return load_config(TrainConfig, None, overrides, base=config.model_dump())


def differences(name: str) -> dict[str, tuple[Any, Any]]:
    """The settings in which text and code disagree: dotted name -> (text, code)."""
    text, code = (flat(recipe(name, each)) for each in ("text", "code"))
    return {key: (text[key], code[key]) for key in text if text[key] != code[key]}


def described(name: str, *, settings: bool = False) -> dict[str, Any]:
    """A recipe for people and programs; with its `settings`, also where text and code differ.

    Raises:
        UnknownNameError: there is no such recipe.
    """
    values = recipe(name)
    each = RECIPES[name]
    about: dict[str, Any] = {"name": name, "about": each.about, "where": each.where}
    if settings:
        about["settings"] = flat(values)
        about["differences"] = differences(name)
    return about


def flat(config: TrainConfig) -> dict[str, Any]:
    """Every setting by its dotted name, as `--set` takes it."""
    return flattened(config.model_dump(mode="json"))


def pinpp_at(variant: Variant) -> TrainConfig:
    """PIN++ App. F, T-01, T-02: PGD-2 at 4/255 for 80 epochs from torchvision's ResNet-50."""
    code = variant == "code"
    return TrainConfig(
        model=ModelConfig(kind="mpm", backbone=_TORCHVISION, weights="timm"),
        part=PartConfig(
            smoothing=0.1 if code else 0.0,
            shrink="centre" if code else "area",
            ignore_blank=code,
        ),
        attack=AttackConfig(
            warmup_epochs=2 if code else 0,
            best="batch" if code else "last",
        ),
        data=DataConfig(jitter=0.1 if code else 0.0),
        train=OptimConfig(
            nesterov=code,
            warmup_epochs=2 if code else 0,
            min_lr=1e-2 if code else 0.0,
        ),
    )


def pinpp_init(variant: Variant) -> TrainConfig:
    """One epoch on clean pictures in which only the new layers learn; only the code has it."""
    return changed(
        pinpp_at(variant),
        ["attack.method=none", "train.epochs=1", "train.frozen_backbone=true", "train.ema=0"],
    )


def pinpp_standard(variant: Variant) -> TrainConfig:
    """T-03: clean pictures, 100 epochs, from scratch."""
    floor = "1e-3" if variant == "code" else "0"
    return changed(
        pinpp_at(variant),
        ["attack.method=none", "train.epochs=100", "model.weights=none", f"train.min_lr={floor}"],
    )


def pin_at_8(variant: Variant) -> TrainConfig:
    """T-05, App. G: as `pinpp_at` at 8/255, to compare on PartImageNet."""
    return changed(pinpp_at(variant), ["attack.eps=8/255"])


def tiny_pinpp(variant: Variant) -> TrainConfig:
    """App. K.2: the 200 classes of Tiny-ImageNet at 224 pixels, ResNeXt-50 (MD-05)."""
    return changed(pinpp_at(variant), ["model.backbone=resnext50_32x4d.tv2_in1k"])


def sitawarin_at(variant: Variant) -> TrainConfig:
    """Hingun 2023 §2.5, T-07, T-08: 50 clean epochs, then 50 with PGD-10 at 8/255.

    The second half has a schedule of its own.
    """
    code = variant == "code"
    return TrainConfig(
        model=ModelConfig(kind="mpm", backbone=_TORCHVISION, weights="timm", gelu=False),
        part=PartConfig(gamma=0.0, smoothing=0.0, share=0.5),
        attack=AttackConfig(
            eps=8 / 255, steps=10, step_size=1.25 * 8 / 255 / 10 if code else None, clean_epochs=50
        ),
        train=OptimConfig(
            epochs=100, batch_size=32 if code else 64, lr=0.1, lr_batch=None, min_lr=0.0,
            warmup_epochs=0, nesterov=False, weight_decay=5e-4, smoothing=0.0, ema=0.0, amp="off",
        ),
        val=ValConfig(steps=50),
    )  # fmt: skip


def small_at(variant: Variant) -> TrainConfig:
    """Minutes on one core: 64 pixels, a ResNet of four blocks, PGD-2 at 4/255, 20 epochs.

    The attack grows over half of them: against its full strength from the start the plain model
    hardly begins to learn, and what MPM gains would be a better start, not a better end.
    """
    return TrainConfig(
        model=ModelConfig(kind="mpm", backbone="small_resnet16"),
        part=PartConfig(weight=3.0),
        attack=AttackConfig(warmup_epochs=10),
        data=DataConfig(size=64, crop="padded", shift=4, eval_crop=1.0),
        train=OptimConfig(
            epochs=20, batch_size=32, optimizer="adamw", lr=5e-3, lr_batch=None, min_lr=0.0,
            warmup_epochs=2, warmup_prefix=True, warmup_lr=1e-4, weight_decay=0.05, ema=0.0,
            amp="off",
        ),
    )  # fmt: skip


def light_at(variant: Variant) -> TrainConfig:
    """Photographs on a CPU: 128 pixels, EfficientNet-Lite0 from the packaged weights."""
    return changed(
        small_at(variant),
        [
            "model.backbone=tf_efficientnet_lite0",
            "model.weights=package",
            "data.size=128",
            "data.crop=resized",
            "data.scale=[0.35, 1.0]",
            "data.eval_crop=0.875",
            "attack.warmup_epochs=5",
            "train.lr=5e-4",
            "train.epochs=10",
            "train.warmup_epochs=1",
        ],
    )


def _ablation(base: str, *overrides: str) -> Callable[[Variant], TrainConfig]:
    return lambda variant: changed(recipe(base, variant), overrides)


_ALL = (
    Recipe("pinpp_at", "adversarial training of PIN++, 80 epochs", "PIN++ App. F", pinpp_at),
    Recipe("pinpp_init", "one epoch for the new layers alone, before pinpp_at",
           "PIN++ code", pinpp_init),
    Recipe("pinpp_standard", "the same on clean pictures, 100 epochs",
           "PIN++ App. F", pinpp_standard),
    Recipe("pin_at_8", "adversarial training at 8/255, for PartImageNet", "PIN++ App. G", pin_at_8),
    Recipe("tiny_pinpp", "Tiny-ImageNet's classes at 224 px, ResNeXt-50",
           "PIN++ App. K.2", tiny_pinpp),
    Recipe("sitawarin_at", "50 clean epochs, then 50 with PGD-10 at 8/255", "Hingun 2023 §2.5",
           sitawarin_at),
    Recipe("small_at", "minutes on one core, 64 px", "ours", small_at),
    Recipe("light_at", "photographs on a CPU, 128 px, packaged weights", "ours", light_at),
    Recipe("two_stage", "the part model that classifies the mask", "PIN++ Table 6",
           _ablation("pinpp_at", "model.kind=two_stage")),
    Recipe("sv1", "parts at the coarsest resolution only", "PIN++ Table 6",
           _ablation("pinpp_at", "model.levels=1")),
    Recipe("sv2", "parts at the two coarsest resolutions", "PIN++ Table 6",
           _ablation("pinpp_at", "model.levels=2")),
    Recipe("no_top_down", "three resolutions, none told by the coarser", "PIN++ Table 6",
           _ablation("pinpp_at", "model.top_down=false")),
    Recipe("object_masks", "whole objects in place of parts", "PIN++ Table S6",
           _ablation("pinpp_at", "part.targets=objects")),
    Recipe("foreground_masks", "object or not, without its class", "Sitawarin 2023, code",
           _ablation("pinpp_at", "part.targets=foreground")),
    Recipe("human_labels", "people's masks alone; the other pictures have only a class",
           "PIN++ Table 5",
           _ablation("pinpp_at", "part.labels=human")),
    Recipe("human_masks_10", "people's masks on a tenth of their pictures", "Sitawarin 2023, code",
           _ablation("pinpp_at", "part.human_share=0.1")),
    Recipe("no_background", "only pixels that show a part are asked", "Sitawarin 2023, code",
           _ablation("pinpp_at", "part.background=false")),
    *(
        Recipe(f"tiny_lambda_{weight}", f"tiny_pinpp on ResNet-50, part weight {weight}",
               "PIN++ Fig. S3",
               _ablation("tiny_pinpp", f"model.backbone={_TORCHVISION}", f"part.weight={weight}"))
        for weight in ("0.3", "1", "3", "10")
    ),
    Recipe("pinpp_trades", "TRADES in place of plain adversarial training", "ours",
           _ablation("pinpp_at", "attack.method=trades")),
    Recipe("pinpp_awp", "with adversarial weight perturbation", "ours",
           _ablation("pinpp_at", "attack.method=awp")),
    Recipe("pinpp_free", "free adversarial training, 4 updates on a batch", "ours",
           _ablation("pinpp_at", "attack.method=free", "attack.warmup_epochs=0",
                     "train.epochs=20")),
    Recipe("pinpp_nfgsm", "one step from large noise, a third cheaper", "ours",
           _ablation("pinpp_at", "attack.method=nfgsm")),
    Recipe("standard_then_at", "40 clean epochs, then 40 adversarial ones", "ours",
           _ablation("pinpp_at", "attack.clean_epochs=40")),
)  # fmt: skip

RECIPES = {each.name: each for each in _ALL}
