"""Settings that a training does not read, which whoever set them should know; needs no torch."""

from train.recipes import differences, flat, recipe
from train.settings import TrainConfig

_PGD = ("steps", "best", "random_start")
_METHODS = {
    "none": (*_PGD, "step_size", "warmup_epochs", "beta", "weight_eps", "replays", "noise"),
    "pgd": ("beta", "weight_eps", "replays", "noise"),
    "trades": ("weight_eps", "replays", "noise"),
    "awp": ("beta", "replays", "noise"),
    "nfgsm": (*_PGD, "beta", "weight_eps", "replays"),
    "free": (*_PGD, "warmup_epochs", "beta", "weight_eps", "noise"),
}
"""Of `attack`; a method of another distribution may read everything."""
_BYPASS = ("model.levels", "model.top_down")
_KINDS = {
    "vanilla": (
        *_BYPASS,
        *(
            f"part.{name}"
            for name in (
                "targets", "background", "weight", "gamma", "smoothing", "ignore_blank",
                "pseudo_weight", "shrink",
            )
        ),
    ),
    "two_stage": _BYPASS,
}  # fmt: skip


def unread(config: TrainConfig) -> set[str]:
    """Dotted names of settings that this method and this kind of model do not read."""
    attack = (f"attack.{name}" for name in _METHODS.get(config.attack.method, ()))
    return {*attack, *_KINDS.get(config.model.kind, ())}


def told(config: TrainConfig, name: str, variant: str) -> list[str]:
    """Sentences about what was set beside a recipe and changes nothing; mostly none."""
    base, now = flat(recipe(name, variant)), flat(config)
    idle = [key for key in now if key in unread(config) and now[key] != base[key]]
    found = []
    if idle:
        found.append(
            f"{', '.join(idle)}: not read with attack.method={config.attack.method} and "
            f"model.kind={config.model.kind}, so this changes nothing"
        )
    if variant != "code" and not differences(name):
        found.append(f"{name} has one variant: --variant {variant} changes nothing")
    return found
