"""What a forward pass costs, counted and not timed."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def flops_of(model: nn.Module, size: int, *, parts: bool = False) -> int:
    """Floating-point operations of one picture of `size` pixels; a multiply-add is two.

    Convolutions and matrix products are counted, as in robustness tables; papers that speak of
    "FLOPs" mostly count multiply-adds, half of this. Runs in evaluation mode.
    """
    was = model.training
    device = next(model.parameters()).device
    options = {"parts": True} if parts else {}
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            model.eval()(torch.zeros(1, 3, size, size, device=device), **options)
    finally:
        model.train(was)
    return int(counter.get_total_flops())
