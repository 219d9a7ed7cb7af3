"""Pictures as a trained detector sees them, and what it finds in them as COCO results."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from partlab.errors import PartlabError
from partlab.schema import Dataset, Image
from segmenter.ap import Result
from segmenter.data import Batch, Sample, TrainingSet, collate
from segmenter.network_segmenter import groups
from segmenter.part_rcnn import Size, Targets
from train.detection.attack import Shown
from train.detection.network import Detector

_ALL = 1_000_000
"""Boxes a picture: in evaluation every one counts."""


class Group(NamedTuple):
    """Pictures of one padded shape, and where they stand among the data set's images."""

    positions: list[int]
    images: list[Image]
    shown: Shown


def to_shown(batch: Batch, device: torch.device, classes: int) -> Shown:
    """A batch on the device, colours in 0…1; boxes of classes after the first `classes` go."""
    images = batch.pixels.to(device, non_blocking=True).float().div_(255)
    targets = []
    for each in batch.targets:
        known = each["labels"] <= classes
        kept = {"boxes": each["boxes"][known], "labels": each["labels"][known]}
        moved = {**kept, "unsure": each["unsure"]}
        targets.append({name: value.to(device) for name, value in moved.items()})
    return Shown(images, batch.sizes, targets)


def shown_in(
    detector: Detector, data: Dataset, positions: Sequence[int], image_size: int, batch: int
) -> Iterator[Group]:
    """The images at `positions` of boxed data, as they are, in groups of at most `batch`.

    Raises:
        NotFoundError, DatasetError: a picture is missing or damaged.
    """
    samples = TrainingSet(data, image_size, limit=_ALL, unused=frozenset())
    device = next(detector.parameters()).device
    for start in range(0, len(positions), batch):
        here = positions[start : start + batch]
        loaded = [_sample(samples[0, at]) for at in here]
        for group in groups([_size(each.pixels) for each in loaded], alone=False):
            made = collate([loaded[at] for at in group])
            assert isinstance(made, Batch)
            own = [here[at] for at in group]
            images = [samples.images[at] for at in own]
            yield Group(own, images, to_shown(made, device, len(detector.classes)))


def _sample(found: Sample | PartlabError) -> Sample:
    if isinstance(found, PartlabError):
        raise found
    return found


def _size(pixels: Tensor) -> Size:
    return int(pixels.shape[1]), int(pixels.shape[2])


def results(found: Targets, images: Sequence[Image], sizes: Sequence[Size]) -> list[Result]:
    """What `Detector.find` gave, as COCO results in pixels of the images themselves."""
    made: list[Result] = []
    for each, image, (height, width) in zip(found, images, sizes, strict=True):
        scale = torch.tensor([image.width / width, image.height / height] * 2)
        boxes = each["boxes"].cpu() * scale
        boxes[:, 2:] -= boxes[:, :2]
        rows = zip(boxes.tolist(), each["labels"].tolist(), each["scores"].tolist(), strict=True)
        made += [
            {"image_id": image.id, "category_id": label, "bbox": box, "score": score}
            for box, label, score in rows
        ]
    return made
