"""Free adversarial training (Shafahi et al., 2019): one gradient moves weights and images.

Each batch is shown `replays` times in a row (`replayed`). The loop differentiates; afterwards
the perturbation takes its step from the gradient that came with it, and stays for the next
update, also when that is of other images.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from partlab.errors import ConfigError
from train.attacks.ball import Ball
from train.attacks.situation import Situation
from train.settings import AttackConfig

T = TypeVar("T")


def replayed(plan: Sequence[T], replays: int) -> list[T]:
    """An epoch's batches, each `replays` times in a row."""
    return [batch for batch in plan for _ in range(replays)]


class FreeState:
    """The perturbation between updates, of one process; exact after a resume.

    Call `after` from the loop's hook of that name: a step that was left out moves nothing.
    """

    def __init__(self, config: AttackConfig) -> None:
        self.config = config
        self.noise: Tensor | None = None
        self._raised: tuple[Tensor, Tensor | None] | None = None

    def begin(self, images: Tensor) -> Tensor:
        """The perturbation as a leaf that gradients reach; 0 at first, and for another size."""
        old = self.noise
        if old is None or old.shape != images.shape:
            old = torch.zeros_like(images)
        self._raised = None
        return old.to(images.device).detach().clone().requires_grad_()

    def raised(self, noise: Tensor, gradient: Tensor | None) -> None:
        """`noise` was used; its step follows `gradient`, or the one it is yet to get."""
        self._raised = noise, gradient

    def after(self, step: int) -> None:
        """Move the perturbation by ε uphill, within the ball."""
        if self._raised is None:
            return
        noise, gradient = self._raised
        gradient = gradient if gradient is not None else noise.grad
        if gradient is not None:
            config = self.config
            size = config.step_size if config.step_size is not None else config.eps
            ball = Ball(config.norm, config.eps, config.large_eps)
            self.noise = ball.shrink(ball.step(noise.detach(), gradient, size))
        self._raised = None

    def state_dict(self) -> dict[str, Any]:
        """The perturbation, on the CPU."""
        return {"noise": None if self.noise is None else self.noise.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved perturbation."""
        self.noise, self._raised = state["noise"], None


def free(situation: Situation) -> dict[str, Tensor]:
    """The objective on images with the perturbation kept from the last update.

    Where there are other losses than the class's, the perturbation's gradient is calculated
    apart, of the class loss alone (L-04); that costs one more backward pass to the images.

    Raises:
        ConfigError: the situation has no `FreeState`.
    """
    state = situation.state
    if not isinstance(state, FreeState):
        raise ConfigError(
            "free adversarial training keeps its perturbation between steps, and has no state",
            hint="give the situation state=state_of(config), from train.attacks.methods",
        )
    return moved(
        state,
        situation.images,
        lambda images: situation.objective(situation.outputs(images)),
        ("class",),
    )


def moved(
    state: FreeState,
    images: Tensor,
    losses_of: Callable[[Tensor], dict[str, Tensor]],
    raised: Collection[str],
) -> dict[str, Tensor]:
    """Losses of `images` under the perturbation, which is to raise those named in `raised`.

    `losses_of` gives the training losses of images in 0…1 by name.
    """
    noise = state.begin(images)
    losses = losses_of((images + noise).clamp(0, 1))
    state.raised(noise, _gradient(losses, noise, raised))
    return losses


def _gradient(losses: dict[str, Tensor], noise: Tensor, raised: Collection[str]) -> Tensor | None:
    """None where the loop's own backward pass gives it: there are no other losses."""
    if losses.keys() == set(raised):
        return None
    wanted = torch.stack([losses[name] for name in raised]).sum()
    (gradient,) = torch.autograd.grad(wanted, noise, retain_graph=True)
    return gradient
