"""A model's answers to the stimuli of the human experiments: accuracy and shape bias."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from partlab.errors import ConfigError, DatasetError, NotFoundError
from partlab.images import is_image_name
from partlab.progress import track
from train.people.categories import CATEGORIES, NAMES

_PAIR = re.compile(r"[a-z]+\d+[-_][a-z]+\d+")
Load = Callable[[Sequence[Path]], Tensor]


@dataclass(frozen=True, slots=True)
class ShapeBias:
    """Counts of answers to cue-conflict stimuli; `same` (shape = texture) are left out."""

    shape: int
    texture: int
    other: int
    same: int

    @property
    def bias(self) -> float | None:
        """shape / (shape + texture); none where no answer was either (robustness.md C2)."""
        decided = self.shape + self.texture
        return self.shape / decided if decided else None


def stimuli(folder: Path) -> list[tuple[Path, str]]:
    """Pictures in folders named after the 16 categories, with their category, in order.

    Raises:
        NotFoundError: there is no such folder.
        DatasetError: it holds no stimuli.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no folder {folder}")
    found = [(file, name) for name in NAMES for file in _pictures(folder / name)]
    if not found:
        raise DatasetError(
            f"{folder} holds no stimuli",
            hint="give a folder with one folder of pictures per category (airplane, bear, ...)",
        )
    return found


def _pictures(folder: Path) -> list[Path]:
    return sorted(each for each in folder.glob("*") if is_image_name(each))


def answers(model: nn.Module, pictures: Load, files: Sequence[Path], batch: int = 32) -> list[str]:
    """The category a model answers for each picture; `pictures` makes its input of some files.

    Raises:
        ConfigError: the model has no 1,000-class head.
        NotFoundError, DatasetError: a picture is missing or cannot be read.
    """
    model.eval()
    told: list[str] = []
    with torch.inference_mode():
        for start in track(range(0, len(files), batch), "batches of stimuli"):
            told += choose(model(pictures(files[start : start + batch])))
    return told


def choose(logits: Tensor) -> list[str]:
    """The category of each row of logits (N, 1000): greatest mean probability; ties go first.

    Raises:
        ConfigError: the model has no 1,000-class head.
    """
    if logits.ndim != 2 or logits.shape[1] != 1000:
        raise ConfigError(
            f"the model has {logits.shape[-1]} classes; the 16 categories of the human "
            "experiments are made of the 1,000 ImageNet classes",
            hint="use a model with the 1,000-class ImageNet head",
        )
    means = mean_probabilities(logits, list(CATEGORIES.values()))
    return [NAMES[place] for place in means.argmax(1).tolist()]


def mean_probabilities(logits: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """(N, C) to (N, groups), float64: of each group of classes, the mean of their chances (C2)."""
    chances = logits.double().softmax(1)
    return torch.stack([chances[:, list(each)].mean(1) for each in groups], 1)


def texture(file: Path) -> str:
    """The texture of a cue-conflict stimulus: `cat7-truck3.png` shows a cat made of truck."""
    return re.sub(r"\d", "", re.split(r"[-_]", file.stem)[-1])


def of_conflict(shown: Sequence[tuple[Path, str]]) -> bool:
    """Whether these are cue-conflict stimuli, by their names.

    Raises:
        DatasetError: some are and some are not.
    """
    others = [f for f, _ in shown if not (_PAIR.fullmatch(f.stem) and texture(f) in NAMES)]
    if 0 < len(others) < len(shown):
        raise DatasetError(
            f"{others[0]} names no shape and texture, as {len(shown) - len(others)} others here do",
            hint="keep cue-conflict stimuli in a folder of their own",
        )
    return not others


def shape_bias(shown: Sequence[tuple[Path, str]], told: Sequence[str]) -> ShapeBias:
    """Counts of shape, texture and other answers (Geirhos et al. 2019)."""
    counts = {"shape": 0, "texture": 0, "other": 0, "same": 0}
    for (file, shape), answer in zip(shown, told, strict=True):
        if (grain := texture(file)) not in NAMES:
            raise DatasetError(f"{file} names no texture of the 16 categories: {grain!r}")
        if grain == shape:
            counts["same"] += 1
        else:
            counts[{shape: "shape", grain: "texture"}.get(answer, "other")] += 1
    return ShapeBias(**counts)
