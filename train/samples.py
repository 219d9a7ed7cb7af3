"""From a picture and its label map to a batch: decode, cut, turn, resize both together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from partlab.errors import DatasetError, PartlabError
from partlab.images import load_image
from partlab.workers import end_with_parent
from train.colours import jitter
from train.crops import View, cut, eval_view, middle, training_view
from train.pictures import PLAIN, Pictures
from train.sampling import partners
from train.settings import DataConfig

__all__ = [
    "Batch",
    "EvalPictures",
    "Sample",
    "TrainingPictures",
    "collate",
    "eval_batches",
    "jitter",
]


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture as the network sees it: (3, S, S) uint8, and its label map (F, F) int32."""

    pixels: Tensor
    class_: int
    labels: Tensor
    source: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Pixels uint8 (B, 3, S, S), classes int64 (B,), labels int32 (B, F, F), sources uint8 (B,).

    Labels: 0 background, 1…K parts, K + 1 nothing known (everywhere, in class-only pictures).
    """

    pixels: Tensor
    classes: Tensor
    labels: Tensor
    sources: Tensor

    def pin_memory(self) -> "Batch":
        """Called by the loader on machines with a GPU."""
        return self._each(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device | str) -> "Batch":
        """On another device; does not wait where the memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, what: Any) -> "Batch":
        return replace(self, **{one.name: what(getattr(self, one.name)) for one in fields(self)})


def collate(samples: Sequence[Sample | PartlabError]) -> Batch | PartlabError:
    """Stack a few samples; an error among them stands for all."""
    good: list[Sample] = []
    for sample in samples:
        if isinstance(sample, PartlabError):
            return sample
        good.append(sample)
    return Batch(
        torch.stack([sample.pixels for sample in good]),
        torch.tensor([sample.class_ for sample in good]),
        torch.stack([sample.labels for sample in good]),
        torch.tensor([sample.source for sample in good], dtype=torch.uint8),
    )


class _Cutter:
    """What training and evaluation share: reading a picture and cutting its label map."""

    def __init__(
        self,
        pictures: Pictures,
        config: DataConfig,
        side: int,
        mirror: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.pictures, self.config, self.side = pictures, config, side
        self._twins = np.array(pictures.parts.mirrored(mirror), np.int64)

    def labels(self, index: int, view: View, size: tuple[int, int] | None) -> Tensor:
        """The label map of a picture in a view; `size` (height, width) is to fit, unless None."""
        if self.pictures.source[index] == PLAIN:
            return self._unknown()
        found = self.pictures.labels(index)
        if found is None:
            return self._unknown()
        if size is not None:
            _fits(size, found.shape, self.pictures.path(index))
        ignore = self.pictures.ignore
        cells = view.labels(found, self.config.size, self.side, ignore, self._twins)
        return torch.from_numpy(cells)

    def _unknown(self) -> Tensor:
        return torch.full((self.side, self.side), self.pictures.ignore, dtype=torch.int32)

    def sample(self, index: int, pixels: NDArray[np.uint8], labels: Tensor) -> Sample:
        """Put together; the pixels' order becomes that of tensors."""
        channels_first = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        owner, source = int(self.pictures.class_of[index]), int(self.pictures.source[index])
        return Sample(torch.from_numpy(channels_first), owner, labels, source)


def _fits(size: tuple[int, ...], labels: tuple[int, ...], path: Path) -> None:
    """A copy of another size is fine, another shape is not: the map would lie askew."""
    if abs(size[0] * labels[1] - size[1] * labels[0]) > max(*size, *labels):
        raise DatasetError(
            f"{path} has {size[1]} x {size[0]} pixels, and its label map {labels[1]} x {labels[0]}",
            hint="the picture was changed after it was labelled: restore it, or label it anew",
        )


class TrainingPictures(Dataset[Sample | PartlabError]):
    """Pictures cut, turned and resized at random, with their label maps at side x side cells.

    Index with (epoch, position), where `position` comes from `train.sampling.epoch_plan`: the
    same pair gives the same tensors in any process. A picture that cannot be read gives its
    error as a value. `shuffled` gives each picture the label map of another one of its class,
    always the same (`labels=shuffled`): cut at the same place, as shares of the other's size.

    Raises:
        UnknownNameError: a mirrored pair names a part that there is not.
    """

    def __init__(
        self,
        pictures: Pictures,
        config: DataConfig,
        side: int,
        seed: int,
        *,
        shuffled: bool = False,
    ) -> None:
        self.pictures, self.config, self.seed = pictures, config, seed
        self._cutter = _Cutter(pictures, config, side, config.mirror)
        self._partners = partners(pictures, seed) if shuffled else None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, key: tuple[int, int]) -> Sample | PartlabError:
        """The sample; or, as a value, why there is none (torch garbles errors of its workers)."""
        try:
            return self._load(*key)
        except PartlabError as error:
            return error

    def _load(self, epoch: int, position: int) -> Sample:
        index = position % len(self.pictures)  # a second showing in an epoch has its own crop
        pixels = load_image(self.pictures.path(index))
        size = (pixels.shape[0], pixels.shape[1])
        random = np.random.default_rng((self.seed, epoch, position))
        view, box = training_view(size, self.config, random)
        seen = cut(pixels, box, view, self.config.size)
        if self._partners is None:
            labels = self._cutter.labels(index, view, size)
        else:
            labels = self._cutter.labels(int(self._partners[index]), view, None)
        return self._cutter.sample(index, seen, labels)


class EvalPictures(Dataset[Sample | PartlabError]):
    """Pictures resized and cut in the middle (E-06), with their label maps; nothing is random.

    The shorter side becomes size / eval_crop (256 for 224), bicubic. Index with a position.
    """

    def __init__(self, pictures: Pictures, config: DataConfig, side: int) -> None:
        self.pictures, self.config = pictures, config
        self._cutter = _Cutter(pictures, config, side)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample | PartlabError:
        """The sample; or, as a value, why there is none."""
        try:
            return self._load(index)
        except PartlabError as error:
            return error

    def _load(self, index: int) -> Sample:
        pixels = load_image(self.pictures.path(index))
        size = (pixels.shape[0], pixels.shape[1])
        _, view, _ = eval_view(size, self.config)
        seen = middle(pixels, self.config)
        return self._cutter.sample(index, seen, self._cutter.labels(index, view, size))


def eval_batches(
    pictures: Pictures,
    config: DataConfig,
    side: int,
    batch_size: int,
    positions: Sequence[int],
    *,
    workers: int = 0,
    pin: bool = False,
) -> Iterator[Batch]:
    """Batches of these pictures in this order; the last one may be smaller.

    Raises:
        NotFoundError, DatasetError: a picture is missing or damaged.
    """
    loader: DataLoader[Any] = DataLoader(
        EvalPictures(pictures, config, side),
        batch_size=batch_size,
        sampler=[int(at) for at in positions],
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=end_with_parent,
        pin_memory=pin,
        generator=torch.Generator().manual_seed(0),  # else it draws from the global one
    )
    for batch in loader:
        if isinstance(batch, PartlabError):
            raise batch
        yield batch
