"""Learning rates as functions of the step."""

import math

from partlab.training.settings import LoopConfig


def learning_rate(step: int, total: int, config: LoopConfig) -> float:
    """Linear warm-up, then a cosine down to 1 % of `lr`."""
    warmup = min(config.warmup_steps, total // 4)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    done = (step - warmup) / max(total - warmup, 1)
    return config.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
