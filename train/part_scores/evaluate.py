"""Part metrics and accuracy of recognition runs, clean and under PGD, kept beside each run's name.

Both kinds of model are measured both ways (Hingun 2023, Tables 2.2 and 2.3).
"""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from partlab.errors import DatasetError
from partlab.files import exclusive, read_json, sha256_file, write_json
from partlab.progress import track
from train.attacks.ball import Ball
from train.attacks.evaluation import attack
from train.evaluate.album import part_names
from train.losses import ignored_label, part_labels
from train.models.base import Recognizer
from train.models.load import load_model
from train.part_scores.found import finds_boxes, found_parts
from train.part_scores.scores import ScoreMeter
from train.pictures import PLAIN, Pictures, open_pictures
from train.runs import read_run, settings_of
from train.samples import Batch, eval_batches
from train.settings import TrainConfig

log = logging.getLogger(__name__)
RECORD = "parts.json"


@dataclass(frozen=True)
class Manner:
    """Which pictures, and how they are attacked: PGD on the class, steps of ε / 4, one start."""

    split: str | None = "val"
    limit: int | None = None  # only so many pictures, evenly spread
    eps: float = 8 / 255
    steps: int = 20  # 0: no attack; 100 as published
    batch: int = 25
    seed: int = 0
    checkpoint: str = "best"


@dataclass(frozen=True)
class Subject:
    """A run's model, and the pictures of a split that have masks."""

    network: Recognizer
    config: TrainConfig
    pictures: Pictures
    positions: list[int]

    @property
    def names(self) -> list[str]:
        """What its masks or boxes tell apart, without background."""
        return list(_names(self.network, self.config))

    def truth(self, batch: Batch) -> tuple[NDArray[Any], int]:
        """Label maps (B, S, S) of what it is asked, and the label that does not count."""
        given: dict[str, Any] = {"parts": len(self.pictures.parts.names),
                                 "n_classes": len(self.network.classes)}  # fmt: skip
        targets = self.config.part.targets
        asked = part_labels(batch.labels, batch.classes, targets=targets, **given)
        return asked.numpy(), ignored_label(targets, **given)

    def batches(self, size: int) -> Iterator[Batch]:
        """Pictures as the network sees them, with label maps of their size."""
        data = self.config.data
        return eval_batches(self.pictures, data, data.size, size, self.positions)

    def images(self, batch: Batch) -> Tensor:
        """(B, 3, S, S) in 0…1, beside the network."""
        here = next(self.network.parameters()).device
        return batch.pixels.to(here).float() / 255


def _names(network: Recognizer, config: TrainConfig) -> list[str] | tuple[str, ...]:
    if finds_boxes(network) and config.part.targets != "parts":
        return network.classes if config.part.targets == "objects" else ("object",)
    return network.parts if network.parts else part_names(network)


def subject(
    run: str | Path, data: str | Path, manner: Manner, cache: Path, device: str | None = None
) -> Subject:
    """A run that finds parts, and the pictures to find them in.

    Raises:
        NotFoundError: no such run, checkpoint, data set or split.
        ConfigError: the model says nothing of parts.
        DatasetError: no picture has masks, or the data's parts are others than the model's.
    """
    config = settings_of(read_run(run), Path(run))
    network = load_model(run, checkpoint=manner.checkpoint, device=device)
    finds_boxes(network)
    pictures = open_pictures([data], split=manner.split, cache=cache, classes=network.classes)
    told = read_run(run)["parts"]
    if list(pictures.parts.names) != told:
        raise DatasetError(
            f"{data} has {len(pictures.parts.names)} parts, and {run} was trained with "
            f"{len(told)} others",
            hint="measure it on data of the same parts, in the same order",
        )
    known = np.flatnonzero(np.asarray(pictures.source) != PLAIN)
    if not len(known):
        raise DatasetError(f"no picture of {data} has masks", hint="name data with part masks")
    return Subject(network, config, pictures, _some(known.tolist(), manner.limit))


def _some(every: list[int], limit: int | None) -> list[int]:
    if limit is None or limit >= len(every):
        return every
    return [every[at * len(every) // limit] for at in range(limit)]


def measure_parts(
    run: str | Path,
    data: str | Path,
    out: Path,
    manner: Manner,
    device: str | None = None,
) -> dict[str, Any]:
    """The record of a run, which is kept in `out`; one of the same weights and manner is taken.

    Raises:
        NotFoundError, ConfigError, DatasetError: as `subject`.
        BusyError: another process works on `out`.
    """
    asked = subject(run, data, manner, out.parent / ".label-maps", device)
    weights = sha256_file(Path(run) / f"{manner.checkpoint}.safetensors")
    identity = {
        "weights_sha256": weights,
        "data": asked.pictures.fingerprint,
        "manner": asdict(manner),
    }
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out):
        file = out / RECORD
        old = read_json(file) if file.is_file() else {}
        if isinstance(old, dict) and {key: old.get(key) for key in identity} == identity:
            log.info("%s is measured already: %s", run, file)
            return old
        record = {"run": str(run), **_described(asked, manner), **identity,
                  **_measured(asked, manner)}  # fmt: skip
        write_json(file, record)
        return record


def _described(asked: Subject, manner: Manner) -> dict[str, Any]:
    network = asked.network
    return {
        "kind": network.kind,
        "backbone": network.body.name,
        "finds": "boxes" if finds_boxes(network) else "masks",
        "parameters": sum(each.numel() for each in network.parameters()),
        "pictures": len(asked.positions),
    }


def _measured(asked: Subject, manner: Manner) -> dict[str, Any]:
    ignored = ignored_label(
        asked.config.part.targets,
        parts=len(asked.pictures.parts.names),
        n_classes=len(asked.network.classes),
    )
    meters = {"clean": ScoreMeter(asked.names, ignored)}
    if manner.steps:
        meters["attacked"] = ScoreMeter(asked.names, ignored)
    places, done = asked.positions, 0
    number = -(-len(places) // manner.batch)
    for batch in track(asked.batches(manner.batch), "measuring parts", number):
        images, (truth, _) = asked.images(batch), asked.truth(batch)
        _count(meters["clean"], asked.network, images, batch, truth)
        if manner.steps:
            moved = attacked(asked.network, images, batch.classes, places[done:], manner)
            _count(meters["attacked"], asked.network, moved, batch, truth)
        done += len(images)
    return {name: asdict(meter.result()) for name, meter in meters.items()}


def attacked(
    network: Recognizer, images: Tensor, classes: Tensor, positions: list[int], manner: Manner
) -> Tensor:
    """The pictures under PGD on the class loss; their positions decide the noise."""
    return attack(
        network,
        images,
        classes.to(images.device),
        Ball("linf", manner.eps),
        steps=manner.steps,
        seed=manner.seed,
        positions=positions[: len(images)],
    )


def _count(
    meter: ScoreMeter, network: Recognizer, images: Tensor, batch: Batch, truth: NDArray[Any]
) -> None:
    logits, found = found_parts(network, images)
    right = (logits.argmax(1).cpu() == batch.classes).tolist()
    for each, own, good in zip(truth, found, right, strict=True):
        meter.update(each, own, good)
