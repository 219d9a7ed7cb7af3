"""What measuring a detector will cost, before it begins (RK-14)."""

import time

import torch

from train.detection.attack import attack, losses_attacked
from train.detection.evaluate import CLEAN, DetectorPlan
from train.detection.shown import Group
from train.evaluate.preflight import Preflight, free_memory, measured

_ASIDE = 3
"""Forward passes of an attack besides those of its steps: losses before and after, and finding."""


def estimate_detector(plan: DetectorPlan) -> Preflight:
    """What is not in the plan's folder yet takes; one batch is timed as it is and in one step.

    Raises:
        NotFoundError, DatasetError: a picture is missing or damaged.
    """
    left, steps = plan.left(), plan.manner.steps
    attacked = sum(n for name, n in left.items() if name != CLEAN)
    group = next(iter(plan.groups(range(min(plan.manner.batch, len(plan.truth.images))))))
    images, name = group.shown.images, _dearest(plan)
    memory, found, step = measured(
        images,
        lambda: plan.detector.find(images, group.shown.sizes),
        lambda: _step(plan, group, name),
    )
    reading = _reading(plan, len(images))
    seconds = left[CLEAN] * (found + reading)
    seconds += attacked * (steps * step + _ASIDE * found + reading)
    verdicts = len(plan.truth.images) * len(left)
    forwards = left[CLEAN] + attacked * (steps + _ASIDE)
    return Preflight(
        len(plan.truth.images), verdicts, verdicts - sum(left.values()), forwards,
        attacked * steps, memory, seconds / len(images) / 3600, free_memory(images.device),
    )  # fmt: skip


def _dearest(plan: DetectorPlan) -> str:
    """The attack that raises most losses; that of plain pictures is any."""
    asked = [name for name in plan.names if name != CLEAN]
    return max(asked or ["cls"], key=lambda name: len(losses_attacked(name)))


def _step(plan: DetectorPlan, group: Group, name: str) -> None:
    with torch.enable_grad():
        attack(plan.detector, group.shown, name, plan.manner.ball, steps=1)


def _reading(plan: DetectorPlan, count: int) -> float:
    """Seconds that it takes to read as many pictures."""
    began = time.perf_counter()
    list(plan.groups(range(min(count, len(plan.truth.images)))))
    return time.perf_counter() - began
