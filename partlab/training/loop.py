"""The training loop: exact resume, precision, clipping, checkpoints, several processes.

Nothing random depends on history: every step starts from generators set by (seed, step, rank)
alone, and batches come from the step alone. So a run that was killed and started again ends
with the same weights as one that was not, on the same machine.

A trainer brings its own step and validation. A step is called as `step(batch, number)` and
gives its losses by name; their sum is differentiated. It may do what it likes before, such as
attack the bare network with `torch.autograd.grad`, in any mode of its norms.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from partlab.errors import DatasetError, OutputExistsError, PartlabError
from partlab.progress import track
from partlab.training.amp import autocast, slow_bf16
from partlab.training.batches import Batches
from partlab.training.checkpoints import STATE, load_state, save_state, save_weights
from partlab.training.identity import ANOTHER
from partlab.training.process import Group
from partlab.training.runs import append_metrics, mean_loss, read_metrics, trim_metrics
from partlab.training.seeds import seed_step
from partlab.training.settings import LoopConfig

log = logging.getLogger(__name__)

LOG_STEPS = 20
Step = Callable[[Any, int], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Score:
    """What a validation found: `best` picks the best checkpoint (more is better)."""

    best: float
    facts: Mapping[str, float]  # for metrics.jsonl
    words: str  # for people


class Stateful(Protocol):
    """Something that is saved with the run and goes on with it, such as averaged weights."""

    def state_dict(self) -> dict[str, Any]:
        """What to save."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take it up again."""
        ...


@dataclass
class Loop:
    """One training, from wherever it stands to its end.

    Args:
        network: what the optimiser moves, bare; a step calls `group.parallel(network)` for
            its losses.
        rate: learning rate of a step of so many, see `partlab.training.schedule`.
        optimizer: its parameter groups may have a `factor`, their share of the learning rate.
        validate: called by all processes at the end of an epoch, to share the work; the score
            of the one that leads counts. Without it the latest weights are the best known.
        after: called with the number of the step when it has moved the weights.
        kept: is saved and taken up again with the run, by name; the lead's stands for all.
        own: the same, of each process its own.
        weights: the module whose weights are the checkpoints; `network` unless it is another,
            such as an average.
        facts: what else to log with the losses, of the steps since it was asked last:
            `{"part_human": 1.3}`.
        pictures: how many a step takes in all processes; then their number a second is told.
    """

    run: Path
    config: LoopConfig
    group: Group
    network: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    step: Step
    device: torch.device
    rate: Callable[[int, int], float]
    validate: Callable[[], Score | None] | None = None
    after: Callable[[int], None] | None = None
    kept: Mapping[str, Stateful] = field(default_factory=dict)
    own: Mapping[str, Stateful] = field(default_factory=dict)
    weights: nn.Module | None = None
    facts: Callable[[], Mapping[str, float]] | None = None
    pictures: int = 0

    done: int = field(default=0, init=False)  # steps
    best: float = field(default=-1.0, init=False)
    bad_steps: int = field(default=0, init=False)
    _clock: tuple[float, int] = field(default=(0.0, 0), init=False)  # speed counts from here

    @cached_property
    def total(self) -> int:
        """Steps in all."""
        return self.batches.epoch_steps * self.config.epochs

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.group.process.leads

    def train(self) -> None:
        """Take up the newest saved state, then run the remaining steps.

        Raises:
            OutputExistsError: the saved state is of other data or another number of processes.
            DatasetError: the saved state is damaged, or a batch cannot be had.
            PartlabError: the gradient stays infinite or NaN.
        """
        if self.leads and (slow := slow_bf16(self.device, self.config.amp)):
            log.warning(slow)
        self._resume()
        if self.done >= self.total:
            return
        started = monotonic()
        self._clock = started, self.done
        left = range(self.done, self.total)
        shown = track(left, self._words(), len(left))
        batches = self.batches.start(self.done, self.config.epochs)
        for _, batch in zip(shown, batches, strict=False):
            if isinstance(batch, PartlabError):
                raise batch
            losses = self._update(batch)
            self._record(losses, started)

    def _words(self) -> str:
        steps = f" in steps of {self.pictures} pictures" if self.pictures else ""
        return f"training {self.config.epochs} epochs{steps}"

    def _resume(self) -> None:
        self.group.lead(self._refuse_other_steps)
        state = load_state(self.run, self.device)
        if state is None:
            if self.leads:
                trim_metrics(self.run, 0)
            return
        try:
            self.network.load_state_dict(state["model"])
            if (rank := self.group.process.rank) and state.get("buffers"):
                self.network.load_state_dict(state["buffers"][rank - 1], strict=False)
            self.optimizer.load_state_dict(state["optimizer"])
            for name, each in self.kept.items():
                each.load_state_dict(state["kept"][name])
            for name, each in self.own.items():
                each.load_state_dict(state["own"][rank][name])
            self.done, self.best = state["step"], state["best"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise DatasetError(
                f"{self.run / STATE} is of another network: {str(error).splitlines()[0]}",
                hint=ANOTHER,
            ) from error
        if self.leads:
            trim_metrics(self.run, self.done)
            at = "finished already: step" if self.done == self.total else "going on at step"
            log.info("%s %d of %d", at, self.done, self.total)

    def _refuse_other_steps(self) -> None:
        """The metrics say how long an epoch was, also where an older version noted nothing."""
        steps = self.batches.epoch_steps
        for m in read_metrics(self.run):
            if (m["step"] - 1) // steps + 1 != m["epoch"]:
                raise OutputExistsError(
                    f"{self.run} was begun with epochs of another length than {steps} steps: "
                    "with other images, or another number of processes",
                    hint=f"go on as it was begun; or {ANOTHER}",
                )

    def _update(self, batch: Any) -> Mapping[str, Tensor]:
        self.network.train()
        seed_step(self.config.seed, self.done, self.group.process.rank)
        rate = self.rate(self.done, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        before = [buffer.clone() for buffer in self._statistics()]
        with autocast(self.device, self.config.amp):
            losses = self.step(batch, self.done)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        self._apply(before)
        return losses

    def _statistics(self) -> list[Tensor]:
        """BatchNorm's, which a forward pass of infinite values would spoil for good."""
        return [each for each in self.network.buffers() if each.is_floating_point()]

    def _apply(self, before: Sequence[Tensor]) -> None:
        norm = clip_grad_norm_(self.network.parameters(), self.config.clip_norm or math.inf)
        if torch.isfinite(norm):
            self.bad_steps = 0
            self.optimizer.step()
            if self.after:
                self.after(self.done)
            return
        self.bad_steps += 1
        with torch.no_grad():
            for buffer, old in zip(self._statistics(), before, strict=True):
                buffer.copy_(old)
        if self.leads:
            log.warning("step %d: the gradient is not finite; this step is left out", self.done)
        if self.bad_steps >= 5:
            raise PartlabError(
                f"five steps in a row without a finite gradient (step {self.done})",
                hint=f"lower the learning rate, e.g. --set train.lr={self.config.lr / 4:g}, "
                "or --set train.amp=off",
            )

    def _record(self, losses: Mapping[str, Tensor], started: float) -> None:
        self.done += 1
        ends_epoch = self.done % self.batches.epoch_steps == 0
        if self.leads and (self.done % LOG_STEPS == 0 or ends_epoch):
            self._log(losses, started)
        if ends_epoch:
            self._end_epoch()
            self._clock = monotonic(), self.done  # validation is not training
        if ends_epoch or self.done % self.config.checkpoint_steps == 0:
            self._save_state()

    def _log(self, losses: Mapping[str, Tensor], started: float) -> None:
        each = {name: float(loss.detach()) for name, loss in losses.items()}
        record = {"step": self.done, "epoch": self._epoch(), "loss": sum(each.values()), **each}
        record["lr"] = self.optimizer.param_groups[-1]["lr"]
        now = monotonic()
        record["seconds"] = round(now - started, 1)
        if self.pictures:
            since, step = self._clock
            record["pictures_per_second"] = round(
                (self.done - step) * self.pictures / (now - since), 1
            )
            self._clock = now, self.done
        record.update(self.facts() if self.facts else {})
        append_metrics(self.run, record)

    def _epoch(self) -> int:
        return (self.done - 1) // self.batches.epoch_steps + 1

    def _end_epoch(self) -> None:
        """All validate, since each does its share; the one that leads writes."""
        for module in filter(None, (self.network, self.weights)):
            self.group.share_buffers(module)
        score = self.validate() if self.validate else None
        if self.leads:
            value = self._tell(score)
            self._save_weights("last")
            if value >= self.best:
                self.best = value
                self._save_weights("best")
        self.group.wait()

    def _tell(self, score: Score | None) -> float:
        epoch = self._epoch()
        where = f"epoch {epoch} of {self.config.epochs}: loss {mean_loss(self.run, epoch):.3f}"
        where += self._speed()
        if score is None:
            log.info(where)
            return float(epoch)  # without validation the latest weights are the best we know
        append_metrics(self.run, {"step": self.done, "epoch": epoch, **score.facts})
        log.info("%s, %s", where, score.words)
        return score.best

    def _speed(self) -> str:
        """As the metrics have it last, of steps without validation."""
        told = [m.get("pictures_per_second") for m in read_metrics(self.run) if "loss" in m][-1:]
        return f", {told[0]:,.0f} pictures/s" if told and told[0] else ""

    def _save_weights(self, name: str) -> None:
        save_weights(self.run, name, (self.weights or self.network).state_dict())

    def _save_state(self) -> None:
        """All come here: between epochs BatchNorm may have counted otherwise in each process."""
        buffers = {name: buffer.cpu() for name, buffer in self.network.named_buffers()}
        own = {name: each.state_dict() for name, each in self.own.items()}
        if self.facts:
            self.facts()  # counted anew from here, as by whoever goes on from this state
        every = self.group.gather((buffers, own))
        if not self.leads:
            return
        state = {
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "buffers": [each for each, _ in every[1:]],
            "own": [each for _, each in every],
            "kept": {name: each.state_dict() for name, each in self.kept.items()},
            "step": self.done,
            "best": self.best,
        }
        save_state(self.run, state)
