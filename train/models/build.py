"""Recognition models by name, new or from pretrained weights."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Literal

from partlab.config import validate
from partlab.errors import ConfigError, NotFoundError, UnknownNameError
from segmenter.backbone import load_backbone_weights
from train.models.backbones import BACKBONES, build_backbone
from train.models.base import Design, Recognizer
from train.models.kinds import kinds, needs_parts
from train.models.start import take_over
from train.settings import ModelConfig

Targets = Literal["parts", "objects", "foreground"]


def create_model(
    name: str,
    *,
    classes: int | Sequence[str],
    parts: int | Sequence[str] = 0,
    targets: Targets = "parts",
    size: int | None = None,
    **options: object,
) -> Recognizer:
    """A model by name, KIND_BACKBONE: `mpm_resnet50`, `vanilla_convnext_tiny`, …

    `classes` and `parts` are names, or how many there are. `options` are the settings of
    `ModelConfig`: gelu, weights, start, levels, top_down, …. The rest is as in `build_model`.

    Raises:
        NotFoundError: there is no such kind or backbone; near names are suggested.
        ConfigError: an option is unknown, or as `build_model`.
    """
    kind, backbone = split_model_name(name)
    config = validate(ModelConfig, {**options, "kind": kind, "backbone": backbone}, "create_model")
    return build_model(
        config, _names(classes, "class "), _names(parts, "object:part "), targets=targets, size=size
    )


def _names(given: int | Sequence[str], prefix: str) -> tuple[str, ...]:
    if isinstance(given, int):
        return tuple(f"{prefix}{number}" for number in range(given))
    return tuple(given)


def split_model_name(name: str) -> tuple[str, str]:
    """(kind, backbone) of KIND_BACKBONE.

    Raises:
        NotFoundError: it begins with no kind; near names are suggested.
    """
    for kind in sorted(kinds.names(), key=len, reverse=True):
        if name.startswith(f"{kind}_"):
            return kind, name.removeprefix(f"{kind}_")
    known = [*kinds.names(), *(f"{kind}_{each}" for kind in kinds.names() for each in BACKBONES)]
    plain = [f"{kind}_{name}" for kind in ("vanilla", "mpm")]  # a backbone alone is often meant
    if near := plain if name in BACKBONES else get_close_matches(name, known):
        raise UnknownNameError("model", name, near)
    raise NotFoundError(
        f"unknown model {name!r}",
        hint=f"a model is called KIND_BACKBONE, such as mpm_resnet18; the kinds are "
        f"{', '.join(kinds.names())}",
    )


def build_model(
    config: ModelConfig,
    classes: Sequence[str],
    parts: Sequence[str],
    *,
    targets: Targets = "parts",
    size: int | None = None,
) -> Recognizer:
    """The model of these settings, in training mode, on the CPU, with the weights they name.

    `size` is the side of the pictures in pixels, which only some backbones need (Swin). New
    weights are drawn from torch's generator, the backbone's first: models of one backbone
    begin alike after one seed.

    Raises:
        UnknownNameError: there is no such kind or backbone.
        ConfigError: the settings do not fit each other, or the weights do not fit the model.
        NotFoundError: a file of weights, or the run to start from, is not there.
        BackendUnavailableError: timm's weights cannot be downloaded.
    """
    make = kinds.get(config.kind)
    design = _design(config, tuple(classes), tuple(parts), targets)
    if config.start is not None:  # all weights come from there
        model = _made(make, config.model_copy(update={"weights": "none"}), design, size)
        take_over(model, config.start)
        return model
    return _made(make, config, design, size)


def _made(make: Any, config: ModelConfig, design: Design, size: int | None) -> Recognizer:
    """By the kind itself, where it takes no classification network of timm's; else of one."""
    model: Recognizer
    if hasattr(make, "from_settings"):
        model = make.from_settings(config, design, size)
    else:
        network, body = build_backbone(
            config.backbone, len(design.classes), gelu=config.gelu, size=size
        )
        load_backbone_weights(network, config.backbone, config.weights, classifier=body.classifier)
        model = make(network, body, design)
    model.kind = config.kind
    return model


def _design(
    config: ModelConfig, classes: tuple[str, ...], parts: tuple[str, ...], targets: Targets
) -> Design:
    if len(classes) < 2:
        raise ConfigError(f"a recognition model needs two classes or more, not {len(classes)}")
    for kind, names in (("class", classes), ("part", parts)):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"{kind} {twice!r} is named twice")
    channels = {"parts": len(parts), "objects": len(classes), "foreground": 1}[targets] + 1
    if channels < 2 and needs_parts(config.kind):
        raise ConfigError(
            f"a model of kind {config.kind!r} needs at least one part",
            hint="give the names of the parts, or use the kind vanilla",
        )
    named = parts if targets == "parts" and needs_parts(config.kind) else ()
    return Design(classes, named, channels, config.levels, config.top_down, config.detector)
