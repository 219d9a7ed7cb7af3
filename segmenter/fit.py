"""The training loop every backend of ours shares: exact resume, AMP, several processes.

Nothing random depends on history: the order, the augmentation and the sampling of anchors and
regions are drawn from (seed, step) alone. So a run that was killed and started again ends
with the same weights as one that was not, on the same machine.
"""

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from partlab.config import Config
from partlab.errors import DatasetError, OutputExistsError, PartlabError
from partlab.files import exclusive, replacing, sha256_file, sha256_json, write_lines
from partlab.progress import track
from partlab.schema import Dataset
from partlab.workers import end_with_parent
from segmenter.data import (
    Augment,
    Batch,
    TrainingSet,
    check_pictures,
    collate,
    count_unusable,
    epoch_batches,
)
from segmenter.part_rcnn import ModelConfig
from segmenter.protocol import Segmenter
from segmenter.quick_ap import quick_ap
from segmenter.runs import append_metrics, read_metrics, read_run, trim_metrics, write_run

log = logging.getLogger(__name__)


class TrainConfig(Config):
    """How long and how fast to train; sizes are per process."""

    epochs: int = Field(12, ge=1)
    batch_size: int = Field(4, ge=1)
    lr: float = Field(4e-4, gt=0)
    backbone_lr: float = Field(0.25, ge=0)  # times lr
    weight_decay: float = Field(1e-4, ge=0)
    warmup_steps: int = Field(200, ge=0)
    clip_norm: float = Field(5.0, gt=0)
    flip: float = Field(0.5, ge=0, le=1)
    smallest: float = Field(0.75, gt=0, le=1)
    masks_per_image: int = Field(60, ge=1)
    seed: int = 0
    workers: int = Field(1, ge=0)
    amp: Literal["auto", "bf16", "off"] = "auto"
    checkpoint_steps: int = Field(200, ge=1)
    val_images: int = Field(120, ge=0)


class SegmenterConfig(Config):
    """Everything that decides a run's weights."""

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


@dataclass(frozen=True, slots=True)
class Process:
    """This process among those that `torchrun` started (one of one without it)."""

    rank: int
    world: int
    device: str

    @classmethod
    def here(cls) -> "Process":
        """Read torchrun's variables and join the group."""
        world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        cuda = torch.cuda.is_available()
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if cuda else "cpu"
        if cuda:
            torch.cuda.set_device(device)
        if world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo")
        return cls(rank, world, device)

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0


def fit(
    create: Callable[[str], Trainable],
    train: Dataset,
    val: Dataset | None,
    run: Path,
    config: Any,
    *,
    backend: str,
) -> None:
    """Train what `create(device)` makes into `run`, or go on where a killed run stopped.

    Raises:
        OutputExistsError: `run` holds a run of other settings or other data.
        DatasetError: no masks to train on, or an image that cannot be read.
        PartlabError: the loss stays infinite or NaN.
    """
    here = Process.here()
    with exclusive(run) if here.leads else nullcontext():
        if here.leads:
            _describe(train, val, run, config, backend)
        if here.world > 1:
            dist.barrier()
        torch.manual_seed(config.train.seed)  # new layers start alike in every attempt
        trainer = _Trainer(create(here.device), train, val, run, config.train, here)
        trainer.resume()
        trainer.train()
    if here.world > 1:
        dist.destroy_process_group()


def _describe(
    train: Dataset,
    val: Dataset | None,
    run: Path,
    config: Any,
    backend: str,
) -> None:
    description = {
        "backend": backend,
        "config": config.model_dump(),
        "names": list(train.names),
        "inclusions": train.inclusions,
        "data": _origin(train),
        "torch": torch.__version__,
    }
    if (run / "config.json").exists():
        old = read_run(run)
        for key in ("backend", "config", "names", "data"):
            if _identity(old.get(key)) != _identity(description[key]):
                raise OutputExistsError(
                    f"{run} holds a run with another {key}",
                    hint="choose another --out, or pass --force to replace it",
                )
        return
    if not train.names:
        raise DatasetError(f"{train.path or 'the data set'} has no part categories")
    check_pictures(train)
    if val is not None:
        _check_val(val)
    bad = count_unusable(train)
    if bad:
        log.warning("%d masks cannot be decoded and are left out (partlab data check)", bad)
    write_lines(run / "train_images.txt", (image.file_name for image in train.images))
    write_run(run, description)


def _check_val(val: Dataset) -> None:
    """What would stop the first validation, an epoch from now, stops the run at once."""
    check_pictures(val)
    bad = count_unusable(val)
    if bad:
        raise DatasetError(
            f"{val.path or 'the validation set'} has {bad} masks that cannot be decoded",
            hint="see which: partlab data check DATA; repair: partlab data check DATA --fix OUT",
        )


def _origin(data: Dataset) -> dict[str, str | None]:
    """Where the data set lies, and the hash of its file (or, without one, of its records)."""
    if data.path is None:
        records = [[r.raw for r in each] for each in (data.images, data.annotations)]
        return {"path": None, "sha256": sha256_json([records, data.names])}
    return {"path": str(data.path.resolve()), "sha256": sha256_file(data.path)}


def _identity(value: Any) -> Any:
    """What must not change in a run; a data set may move."""
    return value.get("sha256", value) if isinstance(value, dict) else value


class _Trainer:
    def __init__(
        self,
        segmenter: Trainable,
        train: Dataset,
        val: Dataset | None,
        run: Path,
        config: TrainConfig,
        here: Process,
    ) -> None:
        self.segmenter, self.run, self.config, self.here = segmenter, run, config, here
        model: Any = getattr(segmenter, "config", None)
        augment = Augment(config.flip, config.smallest, config.seed)
        self.data = TrainingSet(train, model.image_size, augment, config.masks_per_image)
        self.val = _some(val, config.val_images, config.seed)
        self.optimizer = _optimizer(segmenter.network, config)
        self.epoch_steps = len(self._batches(0))
        self.total = self.epoch_steps * config.epochs
        self.step = 0
        self.best = -1.0
        self.bad_steps = 0
        amp = config.amp == "bf16" or (config.amp == "auto" and segmenter.device.type == "cuda")
        self.autocast = torch.autocast(segmenter.device.type, torch.bfloat16, enabled=amp)

    def resume(self) -> None:
        """Take up the newest saved state, if there is one."""
        file = self.run / "state.pt"
        if not file.exists():
            return
        state = torch.load(file, map_location=self.segmenter.device, weights_only=True)
        self.segmenter.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = state["step"], state["best"]
        if self.here.leads:
            trim_metrics(self.run, self.step)
            log.info("going on at step %d of %d", self.step, self.total)

    def train(self) -> None:
        """Run the remaining steps; an epoch ends with validation and a checkpoint."""
        network = self.segmenter.network
        model = DistributedDataParallel(network) if self.here.world > 1 else network
        started = monotonic()
        what = f"training {self.config.epochs} epochs"
        left = range(self.step, self.total)
        for _, batch in zip(track(left, what, len(left)), self._loader(), strict=False):
            if isinstance(batch, PartlabError):
                raise batch
            losses = self._update(model, batch)
            self.step += 1
            ends_epoch = self.step % self.epoch_steps == 0
            if self.here.leads and (self.step % 20 == 0 or ends_epoch):
                self._log(losses, started)
            if ends_epoch:
                self._end_epoch()
            if self.here.leads and (ends_epoch or self.step % self.config.checkpoint_steps == 0):
                self._save_state()

    def _update(self, model: nn.Module, batch: Batch) -> dict[str, float]:
        model.train()
        torch.manual_seed((self.config.seed * 1_000_003 + self.step) * 64 + self.here.rank)
        rate = learning_rate(self.step, self.total, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        device = self.segmenter.device
        targets = [{k: v.to(device) for k, v in target.items()} for target in batch.targets]
        with self.autocast:
            losses = model(self.segmenter.normalised(batch.pixels), batch.sizes, targets)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        self._apply()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _apply(self) -> None:
        norm = nn.utils.clip_grad_norm_(self.segmenter.network.parameters(), self.config.clip_norm)
        if torch.isfinite(norm):
            self.bad_steps = 0
            self.optimizer.step()
            return
        self.bad_steps += 1
        log.warning("step %d: the gradient is not finite; this step is left out", self.step)
        if self.bad_steps >= 5:
            raise PartlabError(
                f"five steps in a row without a finite gradient (step {self.step})",
                hint=f"lower the learning rate, e.g. --set train.lr={self.config.lr / 4:g}, "
                "or --set train.amp=off",
            )

    def _log(self, losses: dict[str, float], started: float) -> None:
        epoch = (self.step - 1) // self.epoch_steps + 1
        record = {"step": self.step, "epoch": epoch, "loss": sum(losses.values()), **losses}
        record["lr"] = self.optimizer.param_groups[-1]["lr"]
        record["seconds"] = round(monotonic() - started, 1)
        append_metrics(self.run, record)

    def _end_epoch(self) -> None:
        if self.here.leads:
            score = self._validate()
            self._save_weights("last")
            if score >= self.best:
                self.best = score
                self._save_weights("best")
        if self.here.world > 1:
            dist.barrier()

    def _validate(self) -> float:
        epoch = self.step // self.epoch_steps
        loss = _mean_loss(self.run, epoch)
        if self.val is None:
            log.info("epoch %d of %d: loss %.3f", epoch, self.config.epochs, loss)
            return float(epoch)  # without validation the latest weights are the best we know
        ap, ap50 = quick_ap(self.segmenter, self.val)
        record = {"step": self.step, "epoch": epoch, "val_ap": ap, "val_ap50": ap50}
        append_metrics(self.run, record)
        log.info(
            "epoch %d of %d: loss %.3f, validation AP %.1f AP50 %.1f (with category filter)",
            epoch, self.config.epochs, loss, 100 * ap, 100 * ap50,
        )  # fmt: skip
        return ap50

    def _save_weights(self, name: str) -> None:
        state = {k: v.contiguous().cpu() for k, v in self.segmenter.network.state_dict().items()}
        with replacing(self.run / f"{name}.safetensors") as scratch:
            save_file(state, scratch)
            scratch.chmod(0o644)  # safetensors lets nobody else read it

    def _save_state(self) -> None:
        state = {
            "model": self.segmenter.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "best": self.best,
        }
        with replacing(self.run / "state.pt") as scratch:
            torch.save(state, scratch)

    def _batches(self, epoch: int) -> list[list[int]]:
        aspects = [image.width / max(image.height, 1) for image in self.data.images]
        return epoch_batches(
            aspects,
            self.config.batch_size,
            seed=self.config.seed,
            epoch=epoch,
            rank=self.here.rank,
            world=self.here.world,
        )

    def _keys(self) -> Iterator[list[tuple[int, int]]]:
        first, skip = divmod(self.step, self.epoch_steps)
        for epoch in range(first, self.config.epochs):
            for positions in self._batches(epoch)[skip if epoch == first else 0 :]:
                yield [(epoch, position) for position in positions]

    def _loader(self) -> Iterable[Batch | PartlabError]:
        keys: Any = self._keys()  # (epoch, position) pairs, where torch expects integers
        return DataLoader(
            self.data,
            batch_sampler=keys,
            collate_fn=collate,
            num_workers=self.config.workers,
            worker_init_fn=end_with_parent,
            pin_memory=self.segmenter.device.type == "cuda",
            generator=torch.Generator().manual_seed(0),
        )


def learning_rate(step: int, total: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine down to 1 % of `lr`."""
    warmup = min(config.warmup_steps, total // 4)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    done = (step - warmup) / max(total - warmup, 1)
    return config.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


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


def _some(val: Dataset | None, count: int, seed: int) -> Dataset | None:
    if val is None or not val.images or count == 0:
        return None
    chosen = np.random.default_rng(seed).permutation(len(val.images))[:count]
    return val.subset(val.images[int(position)].id for position in chosen)


def _mean_loss(run: Path, epoch: int) -> float:
    losses: list[float] = [
        m["loss"] for m in read_metrics(run) if m["epoch"] == epoch and "loss" in m
    ]
    return sum(losses) / max(len(losses), 1)
