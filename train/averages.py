"""The average of a network's weights over its training."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Average:
    """Exponential moving average of all weights and buffers, BatchNorm's statistics included.

    Every update is a ← d · a + (1 − d) · w, from the weights the network had when this was
    made, as timm's `ModelEmaV2` in the released code does (E1); torch's own `AveragedModel` would
    forget those at its first update. Counters, which are integers, are copied.

    `module` is a network like the one given, in evaluation mode. Make it when the network is on
    its device and in its memory format.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._model = AveragedModel(network, multi_avg_fn=self._mix, use_buffers=True)
        self._model.n_averaged.fill_(1)  # at 0 the first update is a copy
        self._model.eval().requires_grad_(False)

    @property
    def module(self) -> nn.Module:
        """The network with the averaged weights."""
        module: nn.Module = self._model.module
        return module

    def update(self, network: nn.Module) -> None:
        """Take in the weights that `network`, bare, has now."""
        self._model.update_parameters(network)

    def state_dict(self) -> dict[str, Any]:
        """Everything a resume needs."""
        return self._model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            RuntimeError: it is of another network.
        """
        self._model.load_state_dict(state)

    @torch.no_grad()
    def _mix(self, averages: Any, current: Any, _count: Tensor | int) -> None:
        """One call for all tensors of a type."""
        if averages[0].is_floating_point() or averages[0].is_complex():
            torch._foreach_lerp_(averages, current, 1 - self.decay)
        else:
            torch._foreach_copy_(averages, current)
