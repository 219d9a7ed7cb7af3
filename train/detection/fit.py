"""How a detector is trained: plainly or by free adversarial training, on the training kernel."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from partlab.config import deciding
from partlab.errors import DatasetError
from partlab.files import exclusive
from partlab.schema import Dataset
from partlab.training.amp import autocast
from partlab.training.batches import Batches
from partlab.training.device import pick_device
from partlab.training.identity import refuse_another
from partlab.training.loop import Loop, Score
from partlab.training.process import Group, Process
from partlab.training.runs import read_config
from segmenter.ap import mask_ap
from segmenter.checks import check_pictures, check_val, left_out
from segmenter.data import Augment, Batch, TrainingSet, collate, epoch_batches
from train.attacks.free import FreeState, moved, replayed
from train.detection.body import Start
from train.detection.boxes import boxed, class_names
from train.detection.network import Detector, Losses
from train.detection.runs import read_run, settings_of, write_run
from train.detection.settings import DetectorConfig, DetectorTrain
from train.detection.shown import results, shown_in, to_shown

log = logging.getLogger(__name__)

RAISED = ("classifier", "box")
"""What the perturbation of free adversarial training raises: the heads' losses, as Li et al."""


def fit(
    network: nn.Module,
    start: Start,
    train: Dataset,
    val: Dataset | None,
    run: Path,
    config: DetectorConfig,
    *,
    device: str | None = None,
) -> None:
    """Train a detector on the backbone `network` into `run`, or go on where a killed run stopped.

    Raises:
        OutputExistsError: `run` holds a run of other settings, data, backbone or number of
            processes.
        DatasetError: there is nothing to find, or a picture cannot be read.
        ConfigError: the backbone gives no maps to build on.
        PartlabError: the loss stays infinite or NaN.
    """
    here = Process.current()
    val = val if val is not None and val.images and config.train.val_images else None
    classes = class_names(train, config.boxes)
    with ExitStack() as held, here.joined() as group:
        torch.manual_seed(config.train.seed)  # new layers start alike in every attempt
        detector = Detector(network, start, classes, config.model)
        unused = group.lead(partial(_begin, held, train, val, run, config, start))
        place = pick_device(device or here.device())
        _loop(detector.to(place), train, val, run, config, group, unused).train()


def _begin(
    held: ExitStack,
    train: Dataset,
    val: Dataset | None,
    run: Path,
    config: DetectorConfig,
    start: Start,
) -> frozenset[int]:
    """Lock the run and make it, or see that it is the same; the images that are not used."""
    held.enter_context(exclusive(run))
    about = {key: value for key, value in start.as_json().items() if key != "source"}
    identity = {
        "config": deciding(config),
        "classes": class_names(train, config.boxes),
        "backbone": about,
        "data": train.fingerprint,
        "val": val.fingerprint if val is not None else None,
        "processes": Process.current().world,
    }
    new = read_config(run) is None
    if not new:
        refuse_another(run, _identity(read_run(run), run), identity)
    unused, reasons = left_out(train)
    if new:
        if len(unused) == len(train.images):
            raise DatasetError(
                f"{train.path or 'the data set'} has no image that can be trained on",
                hint="check it: partlab data check DATA",
            )
        check_pictures(train)
        check_val(val)
        for sentence in reasons:
            log.warning(sentence)
        used = len(train.images) - len(unused)
        write_run(run, _description(identity, config, start, used))
    return unused


def _description(
    identity: dict[str, Any], config: DetectorConfig, start: Start, images: int
) -> dict[str, Any]:
    return {
        **identity,
        "config": config.model_dump(mode="json"),
        "backbone": start.as_json(),
        "images": images,
        "torch": torch.__version__,
    }


def _identity(old: dict[str, Any], run: Path) -> dict[str, Any]:
    """The identity of a run as its config.json tells it."""
    backbone = {key: value for key, value in old["backbone"].items() if key != "source"}
    return {**old, "config": deciding(settings_of(old, run)), "backbone": backbone}


def _loop(
    detector: Detector,
    train: Dataset,
    val: Dataset | None,
    run: Path,
    config: DetectorConfig,
    group: Group,
    unused: frozenset[int],
) -> Loop:
    settings = config.train
    device = next(detector.parameters()).device
    data = TrainingSet(
        boxed(train, config.boxes),
        config.model.image_size,
        Augment(settings.flip, settings.smallest, settings.seed),
        limit=settings.boxes_per_image,
        unused=unused,
    )
    state = FreeState(config.attack) if config.attack.method == "free" else None
    trainer = Trainer(
        group.parallel(detector, one_norm=False), len(detector.classes), device, state
    )
    return Loop(
        run=run,
        config=settings,
        group=group,
        network=detector,
        optimizer=make_optimizer(detector, settings),
        batches=_batches(data, config, group.process, pin=device.type == "cuda"),
        step=trainer.step,
        device=device,
        rate=partial(rate, config=settings),
        validate=Validation(detector, boxed(val, config.boxes, detector.classes), config, group)
        if val is not None
        else None,
        after=state.after if state else None,
        own={"attack": state} if state else {},
        pictures=settings.batch_size * group.process.world,
    )


def _batches(data: TrainingSet, config: DetectorConfig, here: Process, *, pin: bool) -> Batches:
    aspects = [image.width / max(image.height, 1) for image in data.images]
    settings, attack = config.train, config.attack

    def plan(epoch: int) -> list[list[int]]:
        batches = epoch_batches(
            aspects,
            settings.batch_size,
            seed=settings.seed,
            epoch=epoch,
            rank=here.rank,
            world=here.world,
        )
        return replayed(batches, attack.replays if attack.method == "free" else 1)

    return Batches(data, plan, collate, settings.workers, pin)


@dataclass
class Trainer:
    """Gives the losses of a batch; `model` learns, `state` is the perturbation's or None."""

    model: nn.Module
    classes: int
    device: torch.device
    state: FreeState | None

    def step(self, batch: Batch, _number: int) -> Losses:
        """The losses by name, whose sum is differentiated."""
        images, sizes, targets = to_shown(batch, self.device, self.classes)
        if self.state is None:
            found: Losses = self.model(images, sizes, targets)
            return found
        return moved(self.state, images, lambda noisy: self.model(noisy, sizes, targets), RAISED)


def rate(step: int, total: int, config: DetectorTrain) -> float:
    """Learning rate: linear warm-up from a thousandth, then `lr`, at last a tenth of it."""
    warmup = min(config.warmup_steps, total // 4)
    if step < warmup:
        return config.lr * (0.001 + 0.999 * step / warmup)
    return config.lr * (0.1 if step >= config.decay_at * total else 1.0)


def make_optimizer(detector: Detector, config: DetectorTrain) -> torch.optim.Optimizer:
    """AdamW; the backbone learns at `backbone_lr`, biases and norms do not decay."""
    body = {id(parameter) for parameter in detector.pyramid.body.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in filter(lambda each: each.requires_grad, detector.parameters()):
        factor = config.backbone_lr if id(parameter) in body else 1.0
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": own, "factor": factor, "weight_decay": decay}
            for (factor, decay), own in groups.items()
        ],
        lr=config.lr,
    )


class Validation:
    """AP and AP50 of boxes after each epoch, on pictures as they are, never attacked.

    Each process looks at its share of the images; the one that leads scores them all.
    """

    def __init__(
        self, detector: Detector, val: Dataset, config: DetectorConfig, group: Group
    ) -> None:
        self.detector, self.config, self.group = detector, config, group
        order = np.random.default_rng(config.train.seed).permutation(len(val.images))
        chosen = order[: config.train.val_images]
        self.val = val.subset(val.images[int(position)].id for position in chosen)

    def __call__(self) -> Score | None:
        """The score, in the process that leads."""
        size, batch = self.config.model.image_size, self.config.train.batch_size
        mine = self.group.process.share(list(range(len(self.val.images))))
        found = []
        for each in shown_in(self.detector, self.val, mine, size, batch):
            with autocast(each.shown.images.device, self.config.train.amp):
                boxes = self.detector.find(each.shown.images, each.shown.sizes)
            found += results(boxes, each.images, each.shown.sizes)
        shares = self.group.gather(found)
        return self._score(list(chain(*shares))) if self.group.process.leads else None

    def _score(self, found: list[dict[str, Any]]) -> Score:
        scored = mask_ap(self.val, found, of="bbox")
        ap, ap50 = scored.ap or 0.0, scored.ap50 or 0.0
        if not found:
            log.warning(
                "nothing is found in any validation picture: train longer, or raise train.lr"
            )
        words = f"validation box AP {100 * ap:.1f} AP50 {100 * ap50:.1f}"
        return Score(ap, {"val_ap": ap, "val_ap50": ap50}, words)
