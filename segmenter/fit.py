"""How a segmenter is trained: its step, its validation and its identity, on the training kernel.

The loop itself (exact resume, precision, checkpoints, several processes) is
`partlab.training.loop`.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from partlab.config import Config, deciding, validate
from partlab.errors import ConfigError, DatasetError
from partlab.files import exclusive, sha256_file, sha256_json, write_lines
from partlab.schema import Dataset
from partlab.training.batches import Batches
from partlab.training.device import pick_device
from partlab.training.identity import refuse_another
from partlab.training.loop import Loop, Score
from partlab.training.process import Group, Process
from partlab.training.runs import read_config
from partlab.training.schedule import learning_rate
from partlab.training.settings import LoopConfig
from partlab.truth import usable
from segmenter.carry import carry_over
from segmenter.checks import check_pictures, check_val, left_out, tell_mirrors
from segmenter.data import (
    Augment,
    Batch,
    TrainingSet,
    collate,
    epoch_batches,
    from_store,
    joined_by,
    rare_first,
)
from segmenter.judge import Judge, by_ap
from segmenter.part_rcnn import ModelConfig
from segmenter.protocol import Segmenter
from segmenter.runs import read_run, write_run
from segmenter.teacher import Teach, need_teachable, teacher_of

log = logging.getLogger(__name__)


class TrainConfig(LoopConfig):
    """How a segmenter is trained; sizes are per process.

    `mirror` lists pairs of parts that change places in a mirrored picture, besides those that
    `left` and `right` in their names tell: full names, or bare part names for all objects.
    `repeat_threshold` draws pictures of rare parts more often: those of parts that are in a share f
    of pictures, smaller than it, sqrt(threshold / f) times as often as others; 0: all alike.
    `start` is a run whose best weights it goes on from; `start_parts` says what parts were called
    there, where that was otherwise: new name -> old name (`segmenter.carry`).

    With pseudo labels (`--pseudo`): masks that score less than `pseudo_sure` are ignored;
    `pseudo_share` of the pictures of an epoch are theirs (0: none, as a control of equal length).
    `teacher` is the decay of averaged weights that see the picture without its strong changes:
    where they differ from the store, they count if they are at least `teacher_sure`, and else
    nobody; 0: no teacher, the store counts. Left out, it is 0.99 where the backend can be taught.
    """

    warmup_steps: int = Field(200, ge=0)
    backbone_lr: float = Field(0.25, ge=0)  # times lr
    weight_decay: float = Field(1e-4, ge=0)
    flip: float = Field(0.5, ge=0, le=1)
    mirror: tuple[tuple[str, str], ...] = ()
    smallest: float = Field(0.75, gt=0, le=1)
    masks_per_image: int = Field(60, ge=1)
    repeat_threshold: float = Field(0.0, ge=0, le=1)
    val_images: int = Field(120, ge=0)
    start: str = ""
    start_parts: dict[str, str] = Field(default_factory=dict)
    pseudo_sure: float = Field(0.5, ge=0, le=1)
    pseudo_share: float = Field(0.5, ge=0, lt=1)
    teacher: float | None = Field(None, ge=0, lt=1)
    teacher_sure: float = Field(0.9, ge=0, le=1)


class SegmenterConfig(Config):
    """Everything a run is made with; what decides its weights must not change."""

    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()


class Trainable(Segmenter, Protocol):
    """A segmenter whose network gives its own training losses."""

    @property
    def network(self) -> nn.Module:
        """What is trained; called with (images, sizes, targets) it gives its losses."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        ...

    def normalised(self, batch: Tensor) -> Tensor:
        """Device tensor the network wants, from (B, 3, H, W) uint8."""
        ...


def fit(
    create: Callable[[str], Trainable],
    train: Dataset,
    val: Dataset | None,
    run: Path,
    config: Any,
    *,
    backend: str,
    judge: Judge = by_ap,
    teach: Teach | None = None,
) -> None:
    """Train what `create(device)` makes into `run`, or go on where a killed run stopped.

    `teach` makes the targets of pseudo labels with averaged weights; see `segmenter.teacher`.

    Raises:
        OutputExistsError: `run` holds a run of other settings, other data or another number
            of processes.
        DatasetError: no masks to train on, or an image that cannot be read.
        UnknownNameError: `train.mirror` names a part that there is not.
        NotFoundError, ConfigError: `train.start` is no run, or its network does not fit; or there
            is nothing to be taught by `train.teacher`.
        PartlabError: the loss stays infinite or NaN.
    """
    need_teachable(config.train.teacher, train, teach)
    here = Process.current()
    val = val if val is not None and val.images and config.train.val_images else None
    with ExitStack() as held, here.joined() as group:
        unused = group.lead(lambda: _begin(held, train, val, run, config, backend))
        torch.manual_seed(config.train.seed)  # new layers start alike in every attempt
        segmenter = create(str(pick_device(here.device())))
        if begun := config.train.start:
            before = config.train.start_parts
            carry_over(segmenter.network, train.names, Path(begun), before, "best")
        _loop(segmenter, train, val, run, config, group, unused, judge, teach).train()


def _begin(
    held: ExitStack, train: Dataset, val: Dataset | None, run: Path, config: Any, backend: str
) -> frozenset[int]:
    """Lock the run and make it, or see that it is the same; the images that are not used."""
    held.enter_context(exclusive(run))
    identity = {
        "backend": backend,
        "config": deciding(config),
        "names": list(train.names),
        "data": train.fingerprint,
        "val": val.fingerprint if val is not None else None,
        "processes": Process.current().world,
    }
    new = read_config(run) is None
    if not new:
        refuse_another(run, _identity(read_run(run), config, train), identity)
    unused, reasons = left_out(train)
    if new:
        _look(train, val, config, unused, reasons)
        write_lines(run / "train_images.txt", _seen(train, config, unused))
        write_run(run, _description(identity, train, val, config))
    return unused


def _seen(train: Dataset, config: Any, unused: frozenset[int]) -> Iterator[str]:
    """Names of the pictures that training draws."""
    for image in train.images:
        if image.id not in unused and (config.train.pseudo_share or not from_store(train, image)):
            yield image.file_name


def _look(
    train: Dataset, val: Dataset | None, config: Any, unused: frozenset[int], reasons: list[str]
) -> None:
    if not train.names:
        raise DatasetError(f"{train.path or 'the data set'} has no part categories")
    TrainingSet(train, config.model.image_size, _augment(config), unused=unused)
    check_pictures(train)
    check_val(val)
    for sentence in reasons:
        log.warning(sentence)
    if config.train.flip:
        tell_mirrors(train.parts, config.train.mirror)


def _description(
    identity: dict[str, Any], train: Dataset, val: Dataset | None, config: Any
) -> dict[str, Any]:
    return {
        **identity,
        "config": config.model_dump(mode="json"),
        "inclusions": train.inclusions,
        "data": _origin(train, identity["data"]),
        "val": _origin(val, identity["val"]) if val is not None else None,
        "torch": torch.__version__,
        **({"pseudo": origin} if (origin := joined_by(train)) else {}),
    }


def _origin(data: Dataset, content: str) -> dict[str, str | None]:
    """Where a data set lies, which may change, and what it holds, which may not."""
    path = str(data.path.resolve()) if data.path else None
    return {"path": path, "fingerprint": content}


def _identity(old: dict[str, Any], config: Any, train: Dataset) -> dict[str, Any]:
    """The identity of a run as its config.json tells it; runs of older versions tell less."""
    known: dict[str, Any] = {key: old[key] for key in ("backend", "names")}
    try:
        known["config"] = deciding(validate(type(config), old["config"], "config.json"))
    except ConfigError:
        known["config"] = old["config"]
    known["data"] = _content(old.get("data") or {}, train)
    if "val" in old:
        known["val"] = (old["val"] or {}).get("fingerprint")
    if "processes" in old:
        known["processes"] = old["processes"]
    return known


def _content(origin: dict[str, Any], train: Dataset) -> str:
    """What a run was trained on; older versions noted the hash of the file."""
    if "fingerprint" in origin:
        found: str = origin["fingerprint"]
        return found
    if train.path is not None:
        now = sha256_file(train.path)
    else:
        records = [[r.raw for r in each] for each in (train.images, train.annotations)]
        now = sha256_json([records, train.names])
    return train.fingerprint if origin.get("sha256") == now else "another"


def _loop(
    segmenter: Trainable,
    train: Dataset,
    val: Dataset | None,
    run: Path,
    config: Any,
    group: Group,
    unused: frozenset[int],
    judge: Judge,
    teach: Teach | None,
) -> Loop:
    settings: TrainConfig = config.train
    data = TrainingSet(
        train,
        config.model.image_size,
        _augment(config),
        limit=settings.masks_per_image,
        unused=unused,
    )
    model = group.parallel(segmenter.network)
    teacher = teacher_of(segmenter, teach, settings) if data.pseudo.any() else None

    def step(batch: Batch, number: int) -> dict[str, Tensor]:
        targets = [{k: v.to(segmenter.device) for k, v in each.items()} for each in batch.targets]
        if teacher and number >= settings.warmup_steps:
            teacher.correct(batch, targets)
        losses: dict[str, Tensor] = model(segmenter.normalised(batch.pixels), batch.sizes, targets)
        return losses

    return Loop(
        run=run,
        config=settings,
        group=group,
        network=segmenter.network,
        optimizer=_optimizer(segmenter.network, settings),
        batches=_batches(data, settings, group.process, pin=segmenter.device.type == "cuda"),
        step=step,
        device=segmenter.device,
        rate=lambda step, total: learning_rate(step, total, settings.lr, settings.warmup_steps),
        validate=_validation(segmenter, val, settings, group, judge),
        after=teacher.follow if teacher else None,
        kept={"teacher": teacher.average} if teacher else {},
    )


def _augment(config: Any) -> Augment:
    train: TrainConfig = config.train
    return Augment(train.flip, train.smallest, train.seed, train.mirror)


def _batches(data: TrainingSet, config: TrainConfig, here: Process, *, pin: bool) -> Batches:
    aspects = [image.width / max(image.height, 1) for image in data.images]
    weights = _weights(data, config)

    def plan(epoch: int) -> list[list[int]]:
        return epoch_batches(
            aspects,
            config.batch_size,
            seed=config.seed,
            epoch=epoch,
            rank=here.rank,
            world=here.world,
            weights=weights,
        )

    return Batches(data, plan, collate, config.workers, pin)


def _weights(data: TrainingSet, config: TrainConfig) -> NDArray[np.float64] | None:
    """How often each image is drawn, in proportion; None where all are alike."""
    if not config.repeat_threshold and not data.pseudo.any():
        return None
    found = rare_first(data.labels, config.repeat_threshold)
    for chosen, share in (
        (data.pseudo, config.pseudo_share), (~data.pseudo, 1 - config.pseudo_share)
    ):  # fmt: skip
        if data.pseudo.any() and chosen.any():
            found[chosen] *= share / found[chosen].sum()
    return found


def _validation(
    segmenter: Segmenter, val: Dataset | None, config: TrainConfig, group: Group, judge: Judge
) -> Callable[[], Score | None] | None:
    """Each process predicts its share of the images; the one that leads scores them all."""
    if val is None:
        return None
    chosen = np.random.default_rng(config.seed).permutation(len(val.images))[: config.val_images]
    some, _ = usable(val.subset(val.images[int(position)].id for position in chosen))

    def validate() -> Score | None:
        mine = judge.look(segmenter, some, group.process.share(list(some.images)))
        found = group.gather(mine)
        return judge.score(some, chain(*found)) if group.process.leads else None

    return validate


def _optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    bodies = (".body.", ".bottom_up.")  # timm's and detectron2's
    body = {id(p) for name, p in network.named_parameters() if any(b in name for b in bodies)}
    groups = [
        {
            "params": [p for p in network.parameters() if id(p) in body],
            "factor": config.backbone_lr,
        },
        {"params": [p for p in network.parameters() if id(p) not in body], "factor": 1.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
