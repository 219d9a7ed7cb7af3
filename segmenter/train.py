"""From a data set on disk to a run folder: what `partlab segmenter train` does."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from partlab.coco import find_splits, read_coco, read_dataset
from partlab.config import Config, load_config
from partlab.errors import ConfigError, PartlabError
from partlab.files import read_lines
from partlab.schema import Dataset
from partlab.training.process import Process
from partlab.training.runs import claim_run
from segmenter.protocol import backends
from segmenter.runs import best_score

log = logging.getLogger(__name__)


def train_segmenter(
    data: str | Path,
    run: str | Path,
    *,
    split: str = "train",
    val_split: str = "val",
    backend: str = "torchvision",
    recipe: str | None = None,
    config: Config | None = None,
    config_file: str | Path | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    pseudo: Callable[[Dataset, Sequence[Dataset], float], Dataset] | None = None,
) -> dict[str, Any] | None:
    """Train, or go on with an unfinished run; returns what was done.

    Under `torchrun` only the first process touches the folder and returns; the others wait for
    it in `fit`, and return None.

    Settings: the backend's defaults, its `recipe` or `config` < `config_file` < `overrides`
    (`a.b=c`).

    `pseudo` adds pictures with pseudo labels to the training set, given the annotated splits that
    are not trained on and the lowest score to trust (`pseudolabel.second_round`).

    Raises:
        NotFoundError: no data set, or no such split.
        ConfigError: an unknown setting or recipe, a recipe and a config, another backend's config.
        OutputExistsError: `run` holds something else, or the data.
        BusyError: another process is training into `run`.
        BackendUnavailableError: the backend is not installed; the hint is the line that gets it.
    """
    data, run = Path(data), Path(run)
    log.info("reading %s", data)
    train, val = read_splits(
        data, split, val_split
    )  # first: an error in it need not wait for torch
    engine: Any = backends.get(backend)
    if recipe and config:
        raise ConfigError("a recipe and a config were given", hint="leave one of them out")
    settings = training_config(backend, recipe or config, config_file, overrides)
    if pseudo:
        train = pseudo(train, held_out(data, train), settings.train.pseudo_sure)
    leads = Process.current().leads
    if leads and (force or not (run / "config.json").exists()):
        inputs = [data, _path(config_file), train.image_root]
        claim_run(run, force=force, inputs=inputs, early=["train_images.txt"])
    engine.fit(train, val, run, settings)
    if not leads:
        return None
    return {
        "run": str(run),
        "backend": backend,
        "epochs": settings.train.epochs,
        "images": _trained_on(run, train),
        "parts": len(train.names),
        "best_val_ap50": best_score(run),
    }


def _trained_on(run: Path, train: Dataset) -> int:
    """How many images it saw, where the backend says so: some may have been left out."""
    listed = run / "train_images.txt"
    return len(read_lines(listed)) if listed.is_file() else len(train.images)


def training_config(
    backend: str,
    base: str | Config | None,
    config_file: str | Path | None,
    overrides: Sequence[str],
) -> Any:
    """The settings a training would use; `base` is a recipe or a config of the backend's own.

    See `train_segmenter` for their order and errors.
    """
    engine: Any = backends.get(backend)
    if isinstance(base, Config) and not isinstance(base, engine.settings):
        kinds = type(base).__name__, engine.settings.__name__
        raise ConfigError(f"a {kinds[0]} was given, the backend {backend!r} takes a {kinds[1]}")
    values = _recipe(engine, base) if isinstance(base, str) else base.model_dump() if base else None
    return load_config(engine.settings, config_file, overrides, base=values)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def _recipe(engine: Any, name: str) -> dict[str, Any]:
    recipes: dict[str, Any] = getattr(engine, "recipes", {})
    if name not in recipes:
        known = ", ".join(sorted(recipes)) or "none"
        raise ConfigError(f"unknown recipe {name!r}", hint=f"recipes of this backend: {known}")
    values: dict[str, Any] = recipes[name]().model_dump()
    return values


def held_out(data: Path, train: Dataset) -> list[Dataset]:
    """The other splits of a data set that have masks: what a new run may be measured on."""
    others = [path for path in find_splits(data).values() if path != train.path]
    return [each for each in map(read_coco, others) if each.annotations]


def read_splits(data: Path, split: str, val_split: str) -> tuple[Dataset, Dataset | None]:
    """What to train on, and what to validate with where there is such a split.

    Raises:
        NotFoundError: no data set, or no such split.
        PartlabError: the two have other part categories.
    """
    found = find_splits(data)
    if len(found) == 1 and split not in found:
        log.warning("one split only: training without validation (partlab data split makes two)")
        return read_coco(next(iter(found.values()))), None
    train = read_dataset(data, split)
    if val_split not in found or val_split == split:
        return train, None
    val = read_dataset(data, val_split)
    if val.names != train.names:
        raise PartlabError(
            f"the part categories of {val.path} are not those of {train.path}",
            hint="write both splits from one data set: partlab data split DATA --out OUT",
        )
    return train, val
