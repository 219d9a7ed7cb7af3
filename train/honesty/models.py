"""Honesty checks and transfer of any model that can be evaluated, on a data set's pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partlab.errors import ConfigError
from train.attacks.ball import Ball
from train.evaluate.chunk import load_chunk
from train.evaluate.opened import Opened, open_model
from train.evaluate.outcomes import keep_honesty
from train.evaluate.shown import Shown, shown_to
from train.evaluate.victim import Victim
from train.honesty.check import check_honesty
from train.honesty.finding import Honesty
from train.honesty.transfer import Transfer, transfer_matrix


@dataclass(frozen=True, slots=True)
class Looked:
    """Which pictures are looked at: `images` of a split, drawn without regard to class.

    They depend on the seed and on how many there are alone.
    """

    data: str | Path
    cache: Path
    split: str | None = "val"
    images: int = 64
    seed: int = 0

    def at(self, victim: Victim) -> Shown:
        """All of the split's pictures, as the victim calls their classes.

        Raises:
            ConfigError: fewer than one image is asked for.
            NotFoundError, DatasetError: as `shown_to`.
        """
        if self.images < 1:
            raise ConfigError(f"{self.images} images", hint="--images 64")
        return shown_to(victim, self.data, split=self.split, cache=self.cache)


def check_model(
    model: Opened, looked: Looked, ball: Ball, *, keep_in: str | Path | None = None
) -> Honesty:
    """`check_honesty` of a model on pictures of a data set.

    Args:
        keep_in: an evaluation of the same weights, whose record gets the findings.

    Raises:
        NotFoundError: no such data set, split or evaluation.
        DatasetError: the data set has classes that the model has not, or a damaged picture.
        SchemaError, ConfigError, BusyError: as `keep_honesty`.
    """
    if keep_in:
        keep_honesty(keep_in, model.sha256, None)  # before the work
    victim = Victim(model.network, model.classes)
    shown = looked.at(victim)
    chunk = load_chunk(model, victim.classes, shown, shown.drawn(looked.images, looked.seed))
    found = check_honesty(victim, chunk.images, chunk.targets, ball, seed=looked.seed)
    if keep_in:
        keep_honesty(keep_in, model.sha256, found.as_json())
    return found


def transfer_of(
    paths: Sequence[str | Path],
    looked: Looked,
    ball: Ball,
    *,
    steps: int = 20,
    checkpoint: str = "best",
    device: str | None = None,
) -> Transfer:
    """`transfer_matrix` of several models on the same pictures.

    Raises:
        ConfigError: models of other classes or preprocessing, or one named twice.
        NotFoundError, DatasetError: as `open_model` and `check_model`.
    """
    names = _names(paths)
    models = [open_model(path, checkpoint=checkpoint, device=device) for path in paths]
    _alike(paths, models)
    victims = [Victim(each.network, each.classes) for each in models]
    shown = looked.at(victims[0])
    chunk = load_chunk(
        models[0], victims[0].classes, shown, shown.drawn(looked.images, looked.seed)
    )
    given: dict[str, Any] = {"steps": steps, "seed": looked.seed}
    both = dict(zip(names, victims, strict=True))
    return transfer_matrix(both, chunk.images, chunk.targets, ball, **given)


def _names(paths: Sequence[str | Path]) -> list[str]:
    """The folders' own names where they differ, else all of their paths."""
    whole = [str(Path(path).resolve()) for path in paths]
    if len(set(whole)) < len(whole):
        twice = next(path for at, path in enumerate(paths) if whole[at] in whole[:at])
        raise ConfigError(f"{twice} is named twice", hint="name each model once")
    short = [Path(path).resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _alike(paths: Sequence[str | Path], models: Sequence[Opened]) -> None:
    """See that all models can be shown the same pictures."""
    first, seen = models[0], _sight(models[0])
    for path, model in zip(paths[1:], models[1:], strict=True):
        if model.classes != first.classes:
            raise ConfigError(
                f"{path} knows other classes than {paths[0]}, or in another order",
                hint="compare models of the same classes",
            )
        if (other := _sight(model)) != seen:
            raise ConfigError(
                f"{path} sees the middle {other[0]} of pictures of {other[1]} pixels, {other[2]}; "
                f"{paths[0]} {seen[0]} of {seen[1]}, {seen[2]}",
                hint="adversarial images can be tried only on models that see the same pictures",
            )


def _sight(model: Opened) -> tuple[int, int, str]:
    """Pixels a side, of pictures with this shorter side, resized in this way."""
    return model.data.size, int(model.preprocessing["shorter_side"]), model.interpolation
