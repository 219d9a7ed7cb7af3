"""Settings that a training does not read, which whoever set them should know; needs no torch."""

from train.models.kinds import kinds
from train.recipes import differences, flat, recipe
from train.settings import DetectorConfig, ReadsConfig, TrainConfig

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
                "pseudo_weight", "shrink", "share",
            )
        ),
    ),
    "two_stage": _BYPASS,
}  # fmt: skip
_READS = {
    "pooling": ("pool", "norm", "background"),
    "wbbox": ("norm_img", "score", "conv1d"),
    "2heads_e": (),
    "2heads_d": (),
    "pixel": ("pixels",),
    "mask": ("background", "picture"),
    "headed": (),
}
_DETECTORS = ("seq", "2heads")
"""Of `model.reads`, by kinds on DeepLabV3+; the others read none of it."""


def unread(config: TrainConfig) -> set[str]:
    """Dotted names of settings that this method and this kind of model do not read."""
    kind = config.model.kind
    attack = (f"attack.{name}" for name in _METHODS.get(config.attack.method, ()))
    idle = {*attack, *_KINDS.get(kind, ()), *_unread_by_classifier(kind)}
    if config.part.share is not None:
        idle.add("part.weight")
    return idle


def _unread_by_classifier(kind: str) -> set[str]:
    if kind in kinds.names() and kind not in (*_KINDS, "mpm", *_READS, *_DETECTORS):
        return set()  # of another distribution
    found = {f"model.detector.{name}" for name in DetectorConfig.model_fields}
    if kind in _DETECTORS:
        dense = {f"part.{name}" for name in ("gamma", "smoothing", "shrink")}
        found = {"model.detector.softmax"} if kind == "2heads" else set()
        found |= {*dense, "part.pseudo_weight", *_BYPASS}
    reads = {f"model.reads.{name}" for name in ReadsConfig.model_fields}
    reads -= {f"model.reads.{name}" for name in _READS.get(kind, ())}
    if kind not in _READS:
        return {*found, *reads, "model.decoder"}
    masks = _KINDS["vanilla"] if kind == "headed" else ()
    return {*found, *reads, *_BYPASS, *masks}


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
