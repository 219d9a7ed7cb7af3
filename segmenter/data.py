"""From a part data set to training batches: decode, resize, flip, pad."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from partlab.errors import DatasetError, PartlabError
from partlab.images import load_image
from partlab.labelmap_sources import by_network
from partlab.masks import Rle, decode, from_segmentation, union
from partlab.parts import Parts
from partlab.schema import OURS, Dataset, Image
from segmenter.checks import fits, left_out
from segmenter.strong import strong

Size = tuple[int, int]
MULTIPLE = 32  # the coarsest backbone stride; padded sides are multiples of it


@dataclass(frozen=True, slots=True)
class Sample:
    """One training image (3, H, W) uint8, its boxes (N, 4), 1-based labels, masks (N, H, W).

    `unsure` (H, W) marks where nothing may be learnt as background: crowd regions, and masks
    over the limit; (0, 0) if there are none. `plain` is the picture without strong changes, where
    it has any (those of pseudo labels).
    """

    pixels: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor
    unsure: Tensor
    plain: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Augment:
    """Random horizontal flip and random size; every draw depends on (seed, epoch, image) alone.

    `mirror` are pairs of parts that a flip swaps besides left and right (`Parts.mirrored`).
    """

    flip: float = 0.5
    smallest: float = 0.75
    seed: int = 0
    mirror: tuple[tuple[str, str], ...] = ()


class TrainingSet(TorchDataset[Sample | PartlabError]):
    """Images of a data set with their masks, resized to a long side of `image_size`.

    Index with (epoch, position): the same pair gives the same tensors in any process, so
    training resumes exactly. Positions beyond the images begin anew, with other random draws.
    `unused` are the ids of images to leave out; unless it is given, those with masks that cannot
    be used, and those without any (`segmenter.checks.left_out`).

    Raises:
        DatasetError: no images are left.
        UnknownNameError: a mirrored pair names a part that there is not.
    """

    def __init__(
        self,
        data: Dataset,
        image_size: int,
        augment: Augment | None = None,
        limit: int = 60,
        *,
        unused: frozenset[int] | None = None,
    ) -> None:
        self.data, self.image_size, self.augment, self.limit = data, image_size, augment, limit
        self.twins = mirrored_labels(data.names, augment.mirror if augment else ())
        unused = left_out(data)[0] if unused is None else unused
        self.images = [image for image in data.images if image.id not in unused]
        if not self.images:
            raise DatasetError(
                f"{data.path or 'the data set'} has no image that can be trained on",
                hint="check it: partlab data check DATA",
            )

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def pseudo(self) -> NDArray[np.bool_]:
        """Which images came from a store to people's (`--pseudo`), shape (len(images),)."""
        return np.array([from_store(self.data, image) for image in self.images], bool)

    @property
    def labels(self) -> list[list[int]]:
        """Labels of the masks of each image, crowd regions left out."""
        return [
            [
                self.data.label_of[annotation.category_id]
                for annotation in self.data.annotations_of(image)
                if not annotation.iscrowd
            ]
            for image in self.images
        ]

    def __getitem__(self, key: tuple[int, int]) -> Sample | PartlabError:
        """The sample; or, as a value, why there is none (torch garbles errors of its workers)."""
        try:
            return self._load(*key)
        except PartlabError as error:
            return error

    def _load(self, epoch: int, position: int) -> Sample:
        at = position % len(self.images)
        image = self.images[at]
        pixels = load_image(self.data.image_path(image))
        fits(image, (pixels.shape[1], pixels.shape[0]))
        seed = self.augment.seed if self.augment else 0
        random = np.random.default_rng((seed, epoch, position))
        return self._sample(image, pixels, random, changed=bool(self.augment and self.pseudo[at]))

    def _sample(
        self,
        image: Image,
        pixels: NDArray[np.uint8],
        random: np.random.Generator,
        *,
        changed: bool,
    ) -> Sample:
        side = self.image_size
        if self.augment:
            side = round(side * random.uniform(self.augment.smallest, 1.0))
        size = fitted(pixels.shape[:2], side)
        rles, labels, other = self._masks(image, random)
        masks = torch.from_numpy(_shrink(rles, size))
        unsure = _region(other, size)
        scaled = resize(torch.from_numpy(pixels).permute(2, 0, 1), size)
        if self.augment and random.random() < self.augment.flip:
            scaled, masks, unsure = scaled.flip(-1), masks.flip(-1), unsure.flip(-1)
            labels = self.twins[labels]
        keep = masks.flatten(1).sum(1) >= 4  # vanished by shrinking
        masks = masks[keep]
        boxes, kept = boxes_of(masks), torch.from_numpy(labels)[keep] + 1
        if not changed:
            return Sample(scaled, boxes, kept, masks, unsure)
        return Sample(strong(scaled, random), boxes, kept, masks, unsure, plain=scaled)

    def _masks(
        self, image: Image, random: np.random.Generator
    ) -> tuple[list[Rle], NDArray[np.int64], list[Rle]]:
        """Masks to learn with their labels, and the others: crowd regions, over the limit."""
        rles: list[Rle] = []
        labels: list[int] = []
        other: list[Rle] = []
        for annotation in self.data.annotations_of(image):
            rle = from_segmentation(annotation.segmentation, image.height, image.width)
            if annotation.iscrowd:
                other.append(rle)
                continue
            rles.append(rle)
            labels.append(self.data.label_of[annotation.category_id])
        order = random.permutation(len(rles))
        chosen, over = np.sort(order[: self.limit]), order[self.limit :]
        other += [rles[i] for i in over]
        return [rles[i] for i in chosen], np.array(labels, np.int64)[chosen], other


def joined_by(data: Dataset) -> dict[str, Any] | None:
    """What is noted of a store whose pictures joined this data set (`--pseudo`); None: none did."""
    found: dict[str, Any] | None = (data.top.get(OURS) or {}).get("pseudo")
    return found


def from_store(data: Dataset, image: Image) -> bool:
    """Whether an image came with a store, so that its masks are pseudo labels."""
    return joined_by(data) is not None and by_network(image)


def fitted(size: Sequence[int], long_side: int) -> Size:
    """(height, width) scaled so that the longer one is `long_side`; neither under 1."""
    scale = long_side / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def resize(pixels: Tensor, size: Size) -> Tensor:
    """Bilinear with antialiasing, (3, H, W) uint8 in and out."""
    if tuple(pixels.shape[-2:]) == size:
        return pixels.contiguous()
    scaled: Tensor = F.interpolate(
        pixels[None].float(), size, mode="bilinear", antialias=True, align_corners=False
    )
    return scaled[0].round().clamp(0, 255).byte()


def mirrored_labels(
    names: Sequence[str], pairs: Sequence[tuple[str, str]] = ()
) -> NDArray[np.int64]:
    """`Parts.mirrored` as an array to index labels with, shape (len(names),)."""
    return np.array(Parts.of(names).mirrored(pairs), np.int64)


def _shrink(rles: Sequence[Rle], size: Size) -> NDArray[np.uint8]:
    """Nearest pixels, shape (N, *size); one mask at a time is decoded at full size."""
    small = np.zeros((len(rles), *size), np.uint8)
    for target, rle in zip(small, rles, strict=True):
        mask = decode(rle)
        rows = (np.arange(size[0]) + 0.5) * mask.shape[0] / size[0]
        columns = (np.arange(size[1]) + 0.5) * mask.shape[1] / size[1]
        target[:] = mask[rows.astype(int)][:, columns.astype(int)]
    return small


def _region(rles: Sequence[Rle], size: Size) -> Tensor:
    if not rles:
        return torch.zeros((0, 0), dtype=torch.bool)
    return torch.from_numpy(_shrink([union(rles)], size)[0]).bool()


def boxes_of(masks: Tensor) -> Tensor:
    """Tight x1, y1, x2, y2 of non-empty (N, H, W) masks; x2 and y2 lie just outside."""
    boxes = torch.zeros((len(masks), 4))
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        box[:] = torch.stack([columns[0, 0], rows[0, 0], columns[-1, 0] + 1, rows[-1, 0] + 1])
    return boxes


def pad_batch(pictures: Sequence[Tensor]) -> tuple[Tensor, list[Size]]:
    """Stack (3, H, W) pictures, padded right and below to sides that are multiples of 32."""
    sizes = [(int(p.shape[1]), int(p.shape[2])) for p in pictures]
    height = _round_up(max(size[0] for size in sizes))
    width = _round_up(max(size[1] for size in sizes))
    batch = torch.zeros((len(pictures), 3, height, width), dtype=torch.uint8)
    for target, picture in zip(batch, pictures, strict=True):
        target[:, : picture.shape[1], : picture.shape[2]] = picture
    return batch, sizes


def _round_up(side: int) -> int:
    return -(-side // MULTIPLE) * MULTIPLE


def epoch_batches(
    aspects: Sequence[float],
    size: int,
    *,
    seed: int,
    epoch: int,
    rank: int,
    world: int,
    weights: NDArray[np.float64] | None = None,
) -> list[list[int]]:
    """The batches of positions this process sees in an epoch.

    A seeded shuffle, divided evenly among processes; within windows of 16 batches images of
    like shape (`aspects`: width / height) are put together, so that little is padding. With
    `weights` there are as many positions, some images left out and others drawn again, in
    proportion; the second draw of image i is position i + number of images, and so on.
    """
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(aspects) if weights is None else _drawn(weights, random))
    if len(order) >= world:
        order = order[: len(order) - len(order) % world][rank::world]
    found: list[list[int]] = []
    for start in range(0, len(order), 16 * size):
        window = sorted(
            order[start : start + 16 * size], key=lambda i: (aspects[i % len(aspects)], i)
        )
        groups = [window[at : at + size] for at in range(0, len(window), size)]
        found += [[int(i) for i in groups[g]] for g in random.permutation(len(groups))]
    return found


def _drawn(weights: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """As many positions as weights, each image's within one of its proportional number."""
    count = len(weights)
    ends = np.cumsum(weights) / weights.sum() * count
    images = np.searchsorted(ends, np.arange(count) + random.uniform(), side="right")
    images = np.minimum(images, count - 1)
    again = np.arange(count) - np.searchsorted(images, images)  # which draw of its image it is
    return images + again * count


def rare_first(images: Sequence[Collection[int]], threshold: float) -> NDArray[np.float64]:
    """How often each image is to be drawn: those of rare parts more (LVIS's repeat factors).

    `images` are the labels in each. A part in a share f < threshold of images counts
    sqrt(threshold / f), an image as its rarest part, and 1 at least.
    """
    number = Counter(label for labels in images for label in set(labels))
    share = {label: count / len(images) for label, count in number.items()}
    return np.array(
        [max([1.0, *((threshold / share[label]) ** 0.5 for label in own)]) for own in images]
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded uint8 pixels (B, 3, H, W), unpadded sizes, and one target dict per image.

    `pseudo` are the positions of the images with pseudo labels, `plain` (len(pseudo), 3, H, W)
    those without strong changes.
    """

    pixels: Tensor
    sizes: list[tuple[int, int]]
    targets: list[dict[str, Tensor]]
    pseudo: list[int] = field(default_factory=list)
    plain: Tensor | None = None

    def pin_memory(self) -> "Batch":
        """Called by the loader on machines with a GPU."""
        plain = None if self.plain is None else self.plain.pin_memory()
        return replace(self, pixels=self.pixels.pin_memory(), plain=plain)


def collate(samples: list[Sample | PartlabError]) -> Batch | PartlabError:
    """Pad a few samples into one batch; an error among them stands for all."""
    good: list[Sample] = []
    for sample in samples:
        if isinstance(sample, PartlabError):
            return sample
        good.append(sample)
    pixels, sizes = pad_batch([sample.pixels for sample in good])
    names = ("boxes", "labels", "masks", "unsure")
    targets = [{name: getattr(sample, name) for name in names} for sample in good]
    pseudo = [at for at, sample in enumerate(good) if sample.plain is not None]
    plain = pad_batch([s.pixels if s.plain is None else s.plain for s in good])[0][pseudo]
    return Batch(pixels, sizes, targets, pseudo, plain if pseudo else None)
