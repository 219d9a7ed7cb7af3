"""Attacks that aim at a model's part outputs as well as at its class (E-10).

A part model may be fooled by way of its parts more easily than through the class alone. Each
attack is judged by the class: what it gives back of an image is the input with the least margin
that it came across, whatever it aimed at.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from partlab.errors import ConfigError, UnknownNameError
from train.attacks.ball import Ball
from train.attacks.modes import as_evaluated
from train.attacks.pgd import pgd
from train.honesty.watched import Watched, margin, restart
from train.models.base import Outputs
from train.part_loss import part_loss

Adaptive = Callable[[nn.Module, Tensor, Tensor, Tensor | None, Ball, int, int], Tensor]
"""(model, images (B, 3, H, W), labels (B,), label maps (B, F, F) or None, ball, steps, seed) ->
the worst about each image, (B, 3, H, W)."""

Aim = Callable[[Outputs], Tensor]
"""What is to grow of each image, (B,)."""


def pgd_cls(
    model: nn.Module, images: Tensor, labels: Tensor, maps: Tensor | None,
    ball: Ball, steps: int, seed: int,
) -> Tensor:  # fmt: skip
    """PGD on L_cls, the cross-entropy of the class."""
    watched = _watch(model, images, labels)
    _ascend(watched, images, _class_loss(labels), ball, steps, restart(images, ball, seed))
    return watched.worst


def pgd_seg(
    model: nn.Module, images: Tensor, labels: Tensor, maps: Tensor | None,
    ball: Ball, steps: int, seed: int,
) -> Tensor:  # fmt: skip
    """PGD on L_seg: away from the true part maps, or from those predicted where none are given."""
    watched = _watch(model, images, labels)
    aim = _part_loss(_known(model, images, maps))
    _ascend(watched, images, aim, ball, steps, restart(images, ball, seed))
    return watched.worst


def pgd_sum(
    model: nn.Module, images: Tensor, labels: Tensor, maps: Tensor | None,
    ball: Ball, steps: int, seed: int,
) -> Tensor:  # fmt: skip
    """PGD on L_cls + L_seg."""
    watched = _watch(model, images, labels)
    of_class, of_parts = _class_loss(labels), _part_loss(_known(model, images, maps))
    start = restart(images, ball, seed)
    _ascend(watched, images, lambda o: of_class(o) + of_parts(o), ball, steps, start)
    return watched.worst


def pgd_seg_guided(
    model: nn.Module, images: Tensor, labels: Tensor, maps: Tensor | None,
    ball: Ball, steps: int, seed: int,
) -> Tensor:  # fmt: skip
    """Two stages: the part maps go toward those of another class, then the class is attacked.

    The goal of an image is the map of the picture of the batch, of another class, whose class
    the model finds likeliest here; where the batch has one class only, the way leads away from
    the image's own map. Half of the steps go to either stage.
    """
    watched = _watch(model, images, labels)
    known = _known(model, images, maps)
    goals, sign = _goals(model, images, labels, known)
    toward = _part_loss(goals)
    first, start = steps // 2, restart(images, ball, seed)
    if first:
        start = _ascend(watched, images, lambda o: sign * toward(o), ball, first, start)
    _ascend(watched, images, _class_loss(labels), ball, steps - first, start)
    return watched.worst


ADAPTIVE: dict[str, Adaptive] = {
    "pgd-cls": pgd_cls,
    "pgd-seg": pgd_seg,
    "pgd-sum": pgd_sum,
    "pgd-seg-guided": pgd_seg_guided,
}
"""Attacks on part models by name."""


def worst_of(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    maps: Tensor | None,
    ball: Ball,
    steps: int = 20,
    *,
    seed: int = 0,
    names: Sequence[str] = tuple(ADAPTIVE),
) -> tuple[Tensor, dict[str, Tensor]]:
    """The worst that several attacks find about each image, which is what is to be reported.

    Args:
        model: called as `model(images, parts=True)` for `Outputs`; used in evaluation mode.
        images: (B, 3, H, W) float in [0, 1].
        labels: (B,) integers.
        maps: (B, F, F), labels of what the part outputs are asked (`train.losses.part_labels`);
            None: the parts that the model sees in the clean images.

    Returns:
        (B, 3, H, W), and by attack which images it leaves right, (B,) bool.

    Raises:
        UnknownNameError: there is no such attack.
        ConfigError: the model has no part outputs, or no attack was named.
    """
    if not names:
        raise ConfigError("no adaptive attack was named", hint=f"there are {', '.join(ADAPTIVE)}")
    worst, least = images, torch.full(labels.shape, torch.inf, device=images.device)
    right = {}
    for name in names:
        if name not in ADAPTIVE:
            raise UnknownNameError("adaptive attack", name, list(ADAPTIVE))
        found = ADAPTIVE[name](model, images, labels, maps, ball, steps, seed)
        with as_evaluated(model), torch.no_grad():
            margins = margin(_outputs(model, found).logits, labels)
        right[name] = margins > 0
        lower = margins < least
        worst = torch.where(lower.view(-1, 1, 1, 1), found, worst)
        least = torch.minimum(margins, least)
    return worst, right


def _watch(model: nn.Module, images: Tensor, labels: Tensor) -> Watched:
    return Watched(model, images, labels, parts=True)


def _ascend(
    watched: Watched, images: Tensor, aim: Aim, ball: Ball, steps: int, start: Tensor
) -> Tensor:
    """Where PGD ends; `watched` sees every point of the way, the last included."""
    end = pgd(
        watched, images, aim,  # type: ignore[arg-type]  # a loss of outputs instead of logits
        norm=ball.norm, eps=ball.eps, steps=steps, step_size=ball.eps / 4, start=start,
        large_eps=ball.large_eps,
    )  # fmt: skip
    with as_evaluated(watched), torch.no_grad():
        watched(end)
    ball.verify(watched.worst, images)
    return end


def _outputs(model: nn.Module, images: Tensor) -> Outputs:
    outputs: Outputs = model(images, parts=True)
    return outputs


def _class_loss(labels: Tensor) -> Aim:
    return lambda outputs: F.cross_entropy(outputs.logits.float(), labels, reduction="none")


def _part_loss(maps: Tensor) -> Aim:
    """Plain cross-entropy of the cells, the mean of each image; no focal factor, which would
    take the slope away where the model is sure."""

    def loss(outputs: Outputs) -> Tensor:
        weights = torch.ones(len(maps), device=maps.device)
        total, each = part_loss(outputs.parts, maps, weights, gamma=0, smoothing=0, shrink="centre")
        return each + (total - total.detach())  # summed over images: the sum, with its gradient

    return loss


def _known(model: nn.Module, images: Tensor, maps: Tensor | None) -> Tensor:
    """Label maps (B, F, F): those given, or what the model itself sees."""
    with as_evaluated(model), torch.no_grad():
        parts = _outputs(model, images if maps is None else images[:1]).parts
    if not parts:
        raise ConfigError(
            "this model has no part outputs to be attacked",
            hint="use pgd or autoattack; an exported model has none, its run folder may have",
        )
    return _seen(parts) if maps is None else maps


def _seen(parts: Sequence[Tensor]) -> Tensor:
    """The finest output's parts, repeated until the sides of all outputs divide the map's."""
    seen = parts[0].argmax(1)
    for axis in (1, 2):
        side = math.lcm(*(each.shape[axis + 1] for each in parts))
        seen = seen.repeat_interleave(side // seen.shape[axis], dim=axis)
    return seen


def _goals(
    model: nn.Module, images: Tensor, labels: Tensor, known: Tensor
) -> tuple[Tensor, Tensor]:
    """Label maps (B, F, F), and (B,) -1 where they are to be reached, 1 where to be left."""
    with as_evaluated(model), torch.no_grad():
        logits = _outputs(model, images).logits
    likely = logits[:, labels].masked_fill(labels[:, None] == labels[None], -torch.inf)  # (B, B)
    best, which = likely.max(1)
    other = best.isfinite()
    goals = known.where(~other[:, None, None], known[which])
    return goals, torch.where(other, -1.0, 1.0).to(images.device)
