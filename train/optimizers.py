"""What moves the weights of a recognition model, and how fast."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import nn

from partlab.errors import ConfigError
from partlab.training.schedule import warm_cosine
from train.settings import OptimConfig


class Trainable(Protocol):
    """What is needed to know of a recognition model."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """All of them."""
        ...

    def new_parameters(self) -> Iterable[nn.Parameter]:
        """Those that are not the backbone's."""
        ...


def make_optimizer(network: Trainable, config: OptimConfig) -> torch.optim.Optimizer:
    """Nesterov SGD or AdamW; biases and norms (one dimension) do not decay (T-02, E1).

    With `frozen_backbone` only the new parameters learn, and the others want no gradient from
    now on: so make it before the network is wrapped for several processes. BatchNorm goes on
    counting, as in the released code (E2).

    Raises:
        ConfigError: there is nothing to learn.
    """
    if config.frozen_backbone:
        _freeze(network)
    learning = [p for p in network.parameters() if p.requires_grad]
    if not learning:
        raise ConfigError("no weight of this model can learn", hint="train.frozen_backbone=false")
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = all(p.device.type == "cuda" for p in learning) or None
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, fused=fused)
    nesterov = config.nesterov and config.momentum > 0
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov, fused=fused
    )


def _freeze(network: Trainable) -> None:
    new = {id(p) for p in network.new_parameters()}
    for parameter in network.parameters():
        if id(parameter) not in new:
            parameter.requires_grad_(False)


def rate(
    step: int,
    total: int,
    config: OptimConfig,
    *,
    epoch_steps: int,
    batch_total: int,
    clean_epochs: int = 0,
) -> float:
    """Learning rate of `step` of `total`: warm-up, then a cosine that ends at `min_lr` (E1).

    `batch_total` is the batch of all processes: rates grow with it over `lr_batch`, the warm-up's
    and the last one too, so that the curve keeps its form. After `clean_epochs` all begins anew,
    since what follows is a training of its own (T-07).

    Raises:
        ConfigError: `min_lr` is above `lr`, so that the rate would rise to the end.
    """
    if config.min_lr > config.lr:
        raise ConfigError(
            f"train.min_lr {config.min_lr:g} is above train.lr {config.lr:g}",
            hint=f"--set train.min_lr={config.lr / 20:g}",
        )
    clean = clean_epochs * epoch_steps
    if 0 < clean < total:
        step, total = (step, clean) if step < clean else (step - clean, total - clean)
    scale = batch_total / config.lr_batch if config.lr_batch else 1.0
    return scale * warm_cosine(
        step,
        total,
        config.lr,
        warmup=round(config.warmup_epochs * epoch_steps),
        start=config.warmup_lr,
        floor=config.min_lr,
        after=config.warmup_prefix,
    )
