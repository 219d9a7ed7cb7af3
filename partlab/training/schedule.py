"""Learning rates as functions of the step."""

import math


def learning_rate(step: int, total: int, lr: float, warmup_steps: int) -> float:
    """Linear warm-up, then a cosine down to 1 % of `lr`."""
    warmup = min(warmup_steps, total // 4)
    return warm_cosine(step, total, lr, warmup=warmup, start=lr / max(warmup, 1), floor=0.01 * lr)


def warm_cosine(
    step: int,
    total: int,
    peak: float,
    *,
    warmup: int,
    start: float,
    floor: float,
    after: bool = True,
) -> float:
    """From `start` to `peak` in `warmup` steps, then half a cosine that ends at `floor`.

    `after`: the cosine begins when the warm-up has ended; else its clock has run meanwhile, as
    timm's does without `warmup_prefix`.
    """
    if step < warmup:
        return start + (peak - start) * step / max(warmup - 1, 1)
    begun = warmup if after else 0
    done = (step - begun) / max(total - begun, 1)
    return floor + (peak - floor) * (1 + math.cos(math.pi * done)) / 2
