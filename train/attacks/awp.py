"""Adversarial weight perturbation (Wu et al., 2020), in its form for adversarial training."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from train.attacks.situation import Situation


def awp(situation: Situation) -> dict[str, Tensor]:
    """The objective on attacked images, at weights moved to where their class loss is worse.

    A weight w goes to w + γ ‖w‖ g / ‖g‖ with the gradient g of the class loss and γ =
    `weight_eps`; biases and norms stay. The gradient there is applied to w itself. Where several
    processes train, each moves its weights by its own share of the batch.
    """
    moved = situation.adversarial()
    steps = weight_steps(situation, moved)
    model = situation.model
    weights = {name: p + steps[p] for name, p in model.named_parameters() if p in steps}
    outputs = functional_call(model, weights, (moved,), {"parts": True})
    return situation.objective(outputs)


def weight_steps(situation: Situation, images: Tensor) -> dict[nn.Parameter, Tensor]:
    """What is added to each weight of more than one dimension that the class loss reaches.

    Looked for in training mode, as the paper does; BatchNorm's statistics stay as they were.
    """
    network = situation.network
    weights = [p for p in network.parameters() if p.ndim > 1 and p.requires_grad]
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    loss = situation.class_loss(functional_call(network, buffers, (images,))).mean()
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    share = situation.config.weight_eps
    return {p: _step(p, gradient, share) for p, gradient in pairs if gradient is not None}


@torch.no_grad()
def _step(weight: nn.Parameter, gradient: Tensor, share: float) -> Tensor:
    """`share` of the weight's norm long, along the gradient; no gradient, no step."""
    length = gradient.norm()
    size: Tensor = share * weight.norm() / torch.where(length == 0, 1, length)
    return gradient * size
