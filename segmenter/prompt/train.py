"""Train a prompt head on one's own part masks: what `partlab segmenter prompt-head` does."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from partlab.coco import read_dataset
from partlab.config import Config, deciding, load_config
from partlab.errors import ConfigError, DatasetError, PartlabError
from partlab.files import exclusive, need_new_file, sha256_file
from partlab.images import load_image
from partlab.masks import decode_many
from partlab.schema import Dataset, Image
from partlab.training.batches import Batches
from partlab.training.identity import refuse_another
from partlab.training.loop import Loop
from partlab.training.process import Group, Process
from partlab.training.runs import read_config, read_metrics, write_config
from partlab.training.schedule import learning_rate
from partlab.training.settings import LoopConfig
from partlab.truth import drawn_masks
from segmenter.checks import fits
from segmenter.data import epoch_batches, mirrored_labels
from segmenter.prompt.choose import has_heads
from segmenter.prompt.head import PromptHead
from segmenter.prompt.head_file import files, save_head
from segmenter.prompt.lesson import Lesson, losses
from segmenter.prompt.look import Looker
from segmenter.runs import load_segmenter
from segmenter.torchvision_backend import MaskRCNN

log = logging.getLogger(__name__)

TRAINING = "prompt-training"
"""Folder in the run that holds an unfinished training; gone when the head is there."""
_NEW = 2.0  # learning rate of what the run's mask head did not have, times lr


class PromptHeadConfig(LoopConfig):
    """How a prompt head is trained; the backbone and the run's other heads stay as they are."""

    epochs: int = Field(4, ge=1)
    batch_size: int = Field(2, ge=1)
    lr: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(30, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    masks_per_image: int = Field(6, ge=1)
    rounds: int = Field(3, ge=1)  # of clicks for each mask
    flip: float = Field(0.5, ge=0, le=1)
    mirror: tuple[tuple[str, str], ...] = ()
    images: int | None = Field(None, ge=1)  # an epoch; None: all


class _Settings(Config):
    """So that settings are written `train.lr=1e-3`, as a segmenter's are."""

    train: PromptHeadConfig = PromptHeadConfig()


class Lessons(TorchDataset[Lesson | PartlabError]):
    """Pictures with a few of their masks; index with (epoch, position)."""

    def __init__(self, data: Dataset, labels: dict[int, int], config: PromptHeadConfig) -> None:
        self.data, self.labels, self.config = data, labels, config
        twins = mirrored_labels(data.names, config.mirror)
        own = {at: labels[c.id] for at, c in enumerate(data.categories) if c.id in labels}
        self.twins = {own[at]: own.get(int(twins[at]), own[at]) for at in own}
        self.images = [image for image in data.images if self._of(image)]
        if not self.images:
            raise DatasetError(
                f"{data.path or 'the data set'} has no masks of parts this segmenter knows",
                hint="give the data set it was trained on, or one with the same part categories",
            )

    def _of(self, image: Image) -> bool:
        return any(
            a.category_id in self.labels and not a.iscrowd for a in self.data.annotations_of(image)
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> Lesson | PartlabError:
        """The lesson; or, as a value, why there is none (torch garbles errors of its workers)."""
        try:
            return self._lesson(
                self.images[key[1]], np.random.default_rng((self.config.seed, *key))
            )
        except PartlabError as error:
            return error

    def _lesson(self, image: Image, random: np.random.Generator) -> Lesson:
        pixels = load_image(self.data.image_path(image))
        fits(image, (pixels.shape[1], pixels.shape[0]))
        drawn = [m for m in drawn_masks(self.data, image).masks if m[0].category_id in self.labels]
        if not drawn:
            raise DatasetError(
                f"{image.file_name} has no mask that can be used",
                hint="see why: partlab data check DATA",
            )
        some = random.permutation(len(drawn))[: self.config.masks_per_image]
        masks = decode_many([drawn[at][1] for at in some])
        labels = [self.labels[drawn[at][0].category_id] for at in some]
        if random.random() < self.config.flip:
            pixels, masks = pixels[:, ::-1], masks[:, :, ::-1]
            labels = [self.twins[label] for label in labels]
        return Lesson(np.ascontiguousarray(pixels), masks.copy(), np.array(labels, np.int64))


def train_prompt_head(
    run: str | Path,
    data: str | Path,
    *,
    split: str = "train",
    checkpoint: str = "best",
    overrides: Sequence[str] = (),
    force: bool = False,
) -> dict[str, Any]:
    """Train a prompt head beside a run, or go on with an unfinished training; what was done.

    Raises:
        NotFoundError: no run, no data set, or no such split.
        ConfigError: an unknown setting, or a run whose heads cannot be asked (detectron2's).
        DatasetError: no mask of a part the segmenter knows, or a picture cannot be read.
        OutputExistsError: there is a prompt head already; or an unfinished one with other settings.
        BusyError: another process is training one.
    """
    run, config = Path(run), load_config(_Settings, overrides=overrides).train
    dataset = read_dataset(Path(data), split)
    if not force and not (run / TRAINING).is_dir():
        need_new_head(run)
    segmenter: Any = load_segmenter(run, checkpoint=checkpoint)
    if not has_heads(segmenter):
        raise ConfigError(
            f"{run} is a segmenter whose mask head cannot be trained further here",
            hint="prompt heads are for runs of the torchvision backend",
        )
    own = segmenter.parts.label
    labels = {c.id: own[c.name] for c in dataset.categories if c.name in own}
    lessons = Lessons(dataset, labels, config)
    return _train(cast(MaskRCNN, segmenter), lessons, run, config, force=force)


def need_new_head(run: Path) -> None:
    """See that no prompt head would be written over.

    Raises:
        OutputExistsError: there is one.
    """
    for file in files(run):
        need_new_file(file)


def _train(
    segmenter: MaskRCNN, lessons: Lessons, run: Path, config: PromptHeadConfig, *, force: bool
) -> dict[str, Any]:
    folder = run / TRAINING
    folder.mkdir(exist_ok=True)
    with exclusive(folder), Process.current().joined() as group:
        identity = {
            "kind": "prompt head",
            "config": deciding(config),
            "data": lessons.data.fingerprint,
            "weights": sha256_file(_file_of(segmenter)),
        }
        if force:
            _clear(folder)
        if (old := read_config(folder)) is not None:
            refuse_another(folder, old, identity)
        else:
            write_config(folder, identity)
        torch.manual_seed(config.seed)
        loop = _loop(segmenter, lessons, folder, config, group)
        loop.train()
        facts = {**identity, "config": config.model_dump(mode="json"), **_measured(folder)}
        save_head(run, loop.network.state_dict(), facts)
    _remove(folder)
    return {
        "run": str(run),
        "head": str(files(run)[1]),
        "images": len(lessons),
        "epochs": config.epochs,
        "loss": facts["loss"],
    }


def _remove(folder: Path) -> None:
    """Away at once: half of it would be taken for a training to go on with."""
    over = folder.with_name(f"{TRAINING}-over")
    shutil.rmtree(over, ignore_errors=True)  # of one that was killed here
    folder.rename(over)
    shutil.rmtree(over, ignore_errors=True)


def _file_of(segmenter: MaskRCNN) -> Path:
    assert segmenter.weights is not None  # it was loaded from a run
    return segmenter.weights


def _clear(folder: Path) -> None:
    for file in folder.iterdir():
        if file.name != ".lock":
            file.unlink()


def _measured(folder: Path) -> dict[str, float]:
    """The mean losses of the last epoch."""
    logged = [m for m in read_metrics(folder) if "loss" in m]
    last = [m for m in logged if m["epoch"] == logged[-1]["epoch"]]
    return {
        name: round(float(np.mean([m[name] for m in last])), 4)
        for name in ("loss", "mask", "judge")
    }


def _loop(
    segmenter: MaskRCNN, lessons: Lessons, folder: Path, config: PromptHeadConfig, group: Group
) -> Loop:
    head = PromptHead.of(segmenter.network.roi_heads.part_masks).to(segmenter.device)
    looker = Looker(segmenter)

    def step(batch: list[Lesson], number: int) -> dict[str, Tensor]:
        random = np.random.default_rng((config.seed, number, group.process.rank))
        each = [losses(head, looker, lesson, config.rounds, random) for lesson in batch]
        return {name: torch.stack([one[name] for one in each]).mean() for name in each[0]}

    def plan(epoch: int) -> list[list[int]]:
        aspects = [image.width / max(image.height, 1) for image in lessons.images]
        batches = epoch_batches(
            aspects, config.batch_size, seed=config.seed, epoch=epoch, rank=0, world=1
        )
        return (
            batches if config.images is None else batches[: -(-config.images // config.batch_size)]
        )

    return Loop(
        run=folder,
        config=config,
        group=group,
        network=head,
        optimizer=_optimizer(head, config),
        batches=Batches(lessons, plan, _together, config.workers),
        step=step,
        device=segmenter.device,
        rate=lambda step, total: learning_rate(step, total, config.lr, config.warmup_steps),
    )


def _together(lessons: list[Lesson | PartlabError]) -> list[Lesson] | PartlabError:
    good: list[Lesson] = []
    for lesson in lessons:
        if isinstance(lesson, PartlabError):
            return lesson
        good.append(lesson)
    return good


def _optimizer(head: PromptHead, config: PromptHeadConfig) -> torch.optim.Optimizer:
    new = [p for part in (head.narrow, head.fine, head.judge) for p in part.parameters()]
    ours = {id(p) for p in new}
    old = [p for p in head.parameters() if id(p) not in ours]
    groups = [{"params": new, "factor": _NEW}, {"params": old, "factor": 1.0}]
    return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
