"""Random numbers that depend on (seed, step, rank) alone, never on what came before."""

import random

import numpy as np
import torch


def seed_step(seed: int, step: int, rank: int) -> None:
    """Set the generators of torch (all devices), NumPy and Python for one step."""
    words = np.random.SeedSequence((seed, step, rank)).generate_state(4)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2])
    random.seed(int(words[3]))
