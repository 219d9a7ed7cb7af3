"""A network under attack: in evaluation mode, and afterwards as if nothing had been.

Modes are set on the raw module: those of a compiled wrapper do not reach it (RK-21).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def bare(network: nn.Module) -> nn.Module:
    """`network` without the wrappers of `torch.compile` and of several processes."""
    while True:
        inner: Any = getattr(network, "_orig_mod", None)
        if inner is None and isinstance(network, nn.parallel.DistributedDataParallel):
            inner = network.module
        if inner is None:
            return network
        network = inner


@contextmanager
def as_evaluated(network: nn.Module) -> Iterator[None]:
    """Every submodule in evaluation mode; afterwards each in the mode it had, also on errors."""
    modules = list(bare(network).modules())
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


@contextmanager
def attacked(network: nn.Module) -> Iterator[None]:
    """Gradients with respect to images can be had here, whatever the surroundings.

    Weights keep gradients, flags and BatchNorm statistics. Autocast keeps no copies of weights
    meanwhile: in older torch one made without gradients starves its weight later in the step.
    """
    cached = torch.is_autocast_cache_enabled()
    with as_evaluated(network), torch.inference_mode(False), torch.enable_grad():
        torch.set_autocast_cache_enabled(False)
        try:
            yield
        finally:
            torch.set_autocast_cache_enabled(cached)
