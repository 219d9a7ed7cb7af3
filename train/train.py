"""From data on disk to a run folder: what `partlab train run` does."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partlab.coco import find_splits
from partlab.config import load_config
from partlab.errors import ConfigError, NotFoundError
from partlab.files import may_be_same
from partlab.places import located
from partlab.training.process import Process
from partlab.training.runs import read_metrics
from train.pictures import Pictures, open_pictures
from train.recipes import Variant, flat
from train.recipes import recipe as recipe_settings
from train.runs import best_validation, read_run, settings_of
from train.settings import TrainConfig

log = logging.getLogger(__name__)

Place = str | Path


def train_model(
    data: Place | Sequence[Place],
    run: Place,
    *,
    recipe: str | None = None,
    variant: Variant = "code",
    model: str | None = None,
    plain: Sequence[Place] = (),
    split: str = "train",
    val: Place | None = None,
    val_split: str | None = None,
    config: TrainConfig | None = None,
    config_file: Place | None = None,
    overrides: Sequence[str] = (),
    device: str | None = None,
    force: bool = False,
) -> dict[str, Any] | None:
    """Train a recognition model, or go on with an unfinished run; returns what was done.

    `data` are part data sets and label-map files, `plain` folders with one sub-folder of
    pictures per class. `val` is a data set to validate on, else the first data set that has the
    split `val_split` (`val`, where there is one, unless named). Settings: `recipe` or `config`
    < `config_file` < `overrides` (`a.b=c`); `model`, such as `mpm_resnet18` or `vanilla`,
    changes the recipe's.

    Under `torchrun` only the first process touches the folder and returns; the others return
    None.

    Raises:
        NotFoundError: no data, or no such split.
        ConfigError: an unknown setting or recipe, a recipe and a config.
        OutputExistsError: `run` holds something else, or what is read here.
        BusyError: another process is training into `run`.
    """
    from train.fit import fit

    run, places = Path(run), _listed(data)
    if recipe and config:
        raise ConfigError("a recipe and a config were given", hint="leave one of them out")
    settings = training_settings(recipe or config, variant, model, config_file, overrides)
    pictures, tested = open_data(
        places, run.parent / "label-maps", plain, split, val=val, val_split=val_split
    )
    inputs = [*places, *(located(each) for each in (*plain, val, config_file) if each)]
    inputs += [*pictures.roots, *(tested.roots if tested else ())]
    from_ = {"recipe": recipe, "variant": variant} if recipe else {}
    fit(pictures, tested, run, settings, device=device, force=force, inputs=inputs, said=from_)
    if not Process.current().leads:
        return None
    return {
        "run": str(run),
        "model": f"{settings.model.kind}_{settings.model.backbone}",
        "epochs": settings.train.epochs,
        "pictures": len(pictures),
        "classes": len(pictures.classes),
        "parts": len(pictures.parts),
        **best_scores(run),
    }


def plan_training(data: Place | Sequence[Place], run: Place, **given: Any) -> dict[str, Any]:
    """What `train_model` would do with the same arguments; opens the data, trains nothing."""
    from train.fit import asked, checked

    base = given.get("recipe") or given.get("config")
    settings = training_settings(
        base,
        given.get("variant", "code"),
        given.get("model"),
        given.get("config_file"),
        given.get("overrides", ()),
    )
    where = {key: given[key] for key in ("plain", "split", "val", "val_split") if key in given}
    pictures, tested = open_data(_listed(data), Path(run).parent / "label-maps", **where)
    pictures = asked(pictures, settings)
    network, steps, _ = checked(pictures, settings, given.get("device"))
    return {
        "model": f"{settings.model.kind}_{settings.model.backbone}",
        "parameters": _size(network),
        "inference_parameters": _size(network.plain()),
        "pictures": pictures.summary,
        "val": None if tested is None else len(tested),
        "classes": len(pictures.classes),
        "parts": len(pictures.parts),
        "epochs": settings.train.epochs,
        "steps": steps * settings.train.epochs,
        "settings": flat(settings),
    }


def _size(network: Any) -> int:
    return sum(each.numel() for each in network.parameters())


def training_settings(
    base: str | TrainConfig | None,
    variant: Variant,
    model: str | None,
    config_file: Place | None,
    overrides: Sequence[str],
) -> TrainConfig:
    """The settings a training would use; see `train_model` for their order and errors."""
    if isinstance(base, str):
        base = recipe_settings(base, variant)
    values = (base or TrainConfig()).model_dump()
    if model:
        values["model"] = {**values["model"], **_named(model)}
    return load_config(TrainConfig, config_file, overrides, base=values)


def _named(model: str) -> dict[str, str]:
    from train.models.build import split_model_name
    from train.models.kinds import kinds

    if model in kinds.names():
        return {"kind": model}
    kind, backbone = split_model_name(model)
    return {"kind": kind, "backbone": backbone}


def open_data(
    places: Sequence[Path],
    cache: Path,
    plain: Sequence[Place] = (),
    split: str = "train",
    *,
    val: Place | None = None,
    val_split: str | None = None,
) -> tuple[Pictures, Pictures | None]:
    """What to train on and what to validate with; label maps are kept in the folder `cache`."""
    pictures = open_pictures(places, split=split, plain=plain, cache=cache)
    split = val_split or "val"
    where = located(val) if val else _with_split(places, split)
    if where is None and val_split:
        raise NotFoundError(f"no data set here has a split {val_split!r}", hint="name one: --val")
    if where is None:
        log.warning("no validation: no data set here has a split %r; name one (--val)", split)
        return pictures, None
    tested = open_pictures(
        [where],
        split=split,
        cache=cache,
        classes=pictures.classes,
        parts=pictures.parts,
    )
    _tell_shared(pictures, tested)
    return pictures, tested


def _tell_shared(pictures: Pictures, tested: Pictures) -> None:
    """Pictures that are trained on and validated with make figures that flatter."""
    there = {_key(tested, at): tested.path(at) for at in range(len(tested))}
    shared = 0
    for at in range(len(pictures)):
        other = there.get(_key(pictures, at))
        shared += other is not None and may_be_same(pictures.path(at), other)
    if shared:
        log.warning(
            "%d of %d validation pictures are trained on as well: accuracy on them says little; "
            "leave them out of --images and --data", shared, len(tested),
        )  # fmt: skip


def _key(pictures: Pictures, at: int) -> tuple[int, str]:
    return int(pictures.class_of[at]), pictures.name(at).rpartition("/")[2]


def _with_split(places: Sequence[Path], split: str) -> Path | None:
    """The first data set that has this split."""
    folders = (place for place in places if place.is_dir())
    return next((place for place in folders if split in find_splits(place)), None)


def _listed(data: Place | Sequence[Place]) -> list[Path]:
    places: Sequence[Place] = data if isinstance(data, list | tuple) else [data]  # type: ignore[list-item]
    return [located(each) for each in places]


def best_scores(run: Path) -> dict[str, float | None]:
    """Clean and PGD accuracy (0…1) of the best checkpoint on the validation pictures."""
    config = settings_of(read_run(run), run)
    best = best_validation(read_metrics(run), config) or {}
    return {name: best.get(name) for name in ("val_clean", "val_pgd")}
