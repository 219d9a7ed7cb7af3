"""A model's answers to the stimuli of the human experiments: accuracy and shape bias."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from partlab.errors import DatasetError, NotFoundError
from train.people.categories import NAMES, choose

Transform = Callable[[Image.Image], torch.Tensor]


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
    suffixes = {".png", ".jpg", ".jpeg"}
    return sorted(each for each in folder.glob("*") if each.suffix.lower() in suffixes)


def answers(
    model: nn.Module, transform: Transform, files: Sequence[Path], batch: int = 32
) -> list[str]:
    """The category a model answers for each picture; `transform` makes its input of a picture.

    Raises:
        ConfigError: the model has no 1,000-class head.
        DatasetError: a picture cannot be read.
    """
    model.eval()
    told: list[str] = []
    with torch.inference_mode():
        for start in range(0, len(files), batch):
            inputs = torch.stack([_read(each, transform) for each in files[start : start + batch]])
            told += choose(model(inputs))
    return told


def _read(file: Path, transform: Transform) -> torch.Tensor:
    try:
        with Image.open(file) as picture:
            return transform(picture.convert("RGB"))
    except OSError as error:
        raise DatasetError(f"{file} cannot be read as a picture", hint="copy it again") from error


def texture(file: Path) -> str:
    """The texture of a cue-conflict stimulus: `cat7-truck3.png` shows a cat made of truck."""
    return re.sub(r"\d", "", re.split(r"[-_]", file.stem)[-1])


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
