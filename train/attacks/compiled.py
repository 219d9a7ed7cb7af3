"""The attack's gradient as one compiled graph, without the weights' gradients.

Compiled, `torch.autograd.grad` alone would calculate those too: the graph is made before anyone
says what is asked for. `torch.func.grad` where nothing else wants gradients tells it (D4.1).
Set modes on the raw module (`train.attacks.modes`): those of a compiled one do not reach it.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from partlab.errors import BackendUnavailableError
from train.attacks.pgd import Ascent, Loss


def functional_ascent(network: nn.Module, point: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """As `train.attacks.pgd.ascent`, in a form that compiles to one graph."""

    def total(images: Tensor) -> tuple[Tensor, Tensor]:
        losses = loss(network(images))
        return losses.sum(), losses

    gradient, losses = torch.func.grad(total, has_aux=True)(point)
    return gradient, losses


@cache
def compiled_ascent(device: str, backend: Any = "inductor") -> Ascent:
    """For `pgd(…, ascent=…)` on networks on `device` ("cpu", "cuda"); compiled when first used.

    A network and a size of batch are compiled once, in a minute or so. The loss must be a plain
    function of tensors. `backend` is torch.compile's.

    Raises:
        BackendUnavailableError: torch finds no compiler here.
    """
    if backend == "inductor" and (reason := no_compiler(device)):
        raise BackendUnavailableError(
            f"nothing can be compiled for {device} here: {reason}",
            hint="install g++ (or triton, on a GPU), or --set train.compile=false",
        )
    inner = torch.compile(functional_ascent, dynamic=False, backend=backend)

    def ascent(network: nn.Module, point: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            found: tuple[Tensor, Tensor] = inner(network, point.detach(), loss)
        return found

    return ascent


def no_compiler(device: str) -> str | None:
    """Why torch cannot compile for `device`; None if it can."""
    if device == "cuda":
        from torch.utils._triton import has_triton

        return None if has_triton() else "triton is not there, or not for this GPU"
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except (exc.InvalidCxxCompiler, RuntimeError) as error:
        return str(error).strip().splitlines()[0]
    return None
