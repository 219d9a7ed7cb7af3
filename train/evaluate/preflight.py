"""What an evaluation will cost, before it begins (RK-14)."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from partlab.errors import ConfigError, PartlabError
from train.evaluate.attacks import Attack
from train.evaluate.autoattack import targets
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim

Pair = tuple[Threat, Attack]


@dataclass(frozen=True, slots=True)
class Preflight:
    """The most that what is left can take: no picture breaks before the last stage.

    `verdicts` are asked for, each of a picture under one condition, `done` of them are there
    already. `forwards` and `gradients` count single pictures; `memory` is bytes of one batch's
    activations and copies, of which `free` are there (0: not known); `hours` is at the pace
    this machine has now.
    """

    images: int
    verdicts: int
    done: int
    forwards: int
    gradients: int
    memory: int
    hours: float
    free: int

    def __str__(self) -> str:
        there = f" ({self.done:,} more are there already)" if self.done else ""
        return (
            f"{self.images:,} pictures, {self.verdicts - self.done:,} verdicts{there}: at most "
            f"{self.forwards:,} forward passes and {self.gradients:,} gradients of one picture, "
            f"{self.memory / 2**20:,.0f} MiB, {told(3600 * self.hours)}"
        )

    def as_json(self) -> dict[str, Any]:
        """For `--json` and the record."""
        return asdict(self)

    def check(self, max_hours: float | None) -> None:
        """Refuse what takes longer than allowed, or more memory than there is.

        Raises:
            ConfigError: more hours than `max_hours`.
            PartlabError: more memory than is free.
        """
        if max_hours is not None and self.hours > max_hours:
            raise ConfigError(
                f"this may take {told(3600 * self.hours)}, more than --max-hours {max_hours:g}",
                hint="fewer pictures, or fewer threats, attacks or corruptions; or more "
                "--max-hours",
            )
        if self.free and self.memory > self.free:
            raise PartlabError(
                f"a batch needs {self.memory / 2**20:,.0f} MiB of memory, and "
                f"{self.free / 2**20:,.0f} are free",
                hint="a smaller --batch",
            )


_ASIDE = {"pgd-cls": 2, "pgd-seg": 3, "pgd-sum": 3, "pgd-seg-guided": 5}
"""Forward passes of an attack through parts besides those of its steps."""


def passes(threat: Threat, attack: Attack, classes: int) -> tuple[int, int]:
    """Forward passes and gradients that one picture takes if it stands: counted, not guessed."""
    if threat.eps == 0:
        return 2, 0
    if attack.aim:
        return 3 + attack.restarts * (attack.steps + _ASIDE[attack.aim]), (
            attack.restarts * attack.steps
        )
    if attack.steps:
        return 4 + attack.restarts * (attack.steps + 2), attack.restarts * attack.steps
    aims, l1 = targets(threat, classes), threat.norm == "l1"
    apgd, run = (5 * 103 if l1 else 101), (103 if l1 else 101)
    at, fab = aims["apgd-t"], aims["fab-t"]
    forwards = {
        "apgd-ce": apgd + 2,
        "apgd-dlr": apgd + 2,
        "apgd-t": at * (run + 1) + 2,
        "fab": 205,
        "fab-t": fab * 203 + 3,
        "square": 5005,
    }
    gradients = {
        "apgd-ce": apgd,
        "apgd-dlr": apgd,
        "apgd-t": at * run,
        "fab": 100 * classes,
        "fab-t": fab * 100,
        "square": 0,
    }
    total = sum(forwards[stage] for stage in attack.stages) + 3
    return total, sum(gradients[stage] for stage in attack.stages)


def preflight(
    victim: Victim,
    images: Tensor,
    left: Mapping[Pair | None, int],
    *,
    total: int,
    beside: tuple[int, int] = (0, 0),
) -> Preflight:
    """Count passes of the pictures that are `left` for each attack, and time a batch (`images`).

    None among the attacks stands for pictures as they are. `total` pictures are in the list;
    `beside` are forward passes and gradients that are made for other things.
    """
    each = {p: passes(*p, len(victim.classes)) if p else (2, 0) for p in left}
    forwards, gradients = (
        beside[at] + sum(n * each[p][at] for p, n in left.items()) for at in (0, 1)
    )
    parts = any(pair[1].aim for pair in left if pair)
    memory, forward, gradient = measured(
        images, lambda: _forward(victim, images, parts), lambda: _gradient(victim, images, parts)
    )
    seconds = (forwards - gradients) * forward + gradients * gradient
    hours = max(seconds, 0) / len(images) / 3600
    verdicts = total * len(left)
    return Preflight(
        total, verdicts, verdicts - sum(left.values()), forwards, gradients, memory, hours,
        free_memory(images.device),
    )  # fmt: skip


def measured(
    images: Tensor, forward: Callable[[], Any], gradient: Callable[[], Any]
) -> tuple[int, float, float]:
    """Bytes of a batch with gradient; seconds of a forward pass, and of one with gradient."""
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        gradient()
    pace = [min(_timed(work, images) for _ in range(3)) for work in (forward, gradient)]
    copies = 8 * images.numel() * images.element_size()  # what the attacks keep of each picture
    return sum(kept.values()) + copies, pace[0], pace[1]


@torch.no_grad()
def _forward(victim: Victim, images: Tensor, parts: bool) -> None:
    victim(images, parts=parts)


def _gradient(victim: Victim, images: Tensor, parts: bool) -> None:
    with torch.enable_grad():
        point = images.detach().requires_grad_()
        said: Any = victim(point, parts=parts)
        logits, maps = said[:2] if parts else (said, ())
        loss = F.cross_entropy(logits, logits.argmax(1), reduction="sum")
        loss = loss + sum(each.logsumexp(1).mean() for each in maps)
        torch.autograd.grad(loss, point, allow_unused=True)


def _timed(work: Any, images: Tensor) -> float:
    began = time.perf_counter()
    work()
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


@torch.no_grad()
def forward_memory(victim: Any, images: Tensor) -> int:
    """Bytes of a forward pass without gradients, roughly: twice the largest output of a layer."""
    sizes = [0]

    def count(_: Any, __: Any, made: Any) -> None:
        if isinstance(made, Tensor):
            sizes.append(made.numel() * made.element_size())

    hooks = [each.register_forward_hook(count) for each in victim.modules()]
    try:
        victim(images)
    finally:
        for hook in hooks:
            hook.remove()
    return 2 * max(sizes)


def free_memory(device: torch.device) -> int:
    """Bytes of memory for new things; 0 where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:  # what caches hold counts as free, which sysconf does not know
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = (line.split()[1] for line in lines if line.startswith("MemAvailable"))
    return 1024 * int(next(found, "0"))


def told(seconds: float) -> str:
    """`3 h 20 min`, `12 min`, `40 s`."""
    if seconds >= 3600:
        return f"{int(seconds // 3600):,} h {int(seconds % 3600 // 60)} min"
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


def together(costs: Sequence[Preflight]) -> Preflight:
    """Of several models, one after the other."""
    return Preflight(
        sum(each.images for each in costs),
        sum(each.verdicts for each in costs),
        sum(each.done for each in costs),
        sum(each.forwards for each in costs),
        sum(each.gradients for each in costs),
        max(each.memory for each in costs),
        sum(each.hours for each in costs),
        min(each.free for each in costs),
    )
