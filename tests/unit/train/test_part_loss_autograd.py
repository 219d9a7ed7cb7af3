"""How the part loss sits in autograd: layouts, precisions, graphs, memory, compilation."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode

from partlab.errors import ConfigError, DatasetError, PartlabError
from train import part_loss as module
from train.part_loss import part_loss

PAPER: dict[str, Any] = {"gamma": 2.0, "smoothing": 0.1, "shrink": "centre"}


def batch(channels: int, images: int = 3, side: int = 8, ignored: bool = True) -> Any:
    draw = torch.Generator().manual_seed(channels)
    outputs = [
        torch.randn(images, channels, s, s, generator=draw) * 2
        for s in (side, side // 2, side // 4)
    ]
    labels = torch.randint(0, channels + ignored, (images, side, side), generator=draw)
    return outputs, labels, torch.linspace(0.5, 1, images)


def gradients(outputs: list[Tensor], labels: Tensor, weights: Tensor, by: float = 1.0) -> Any:
    asked = [z.detach().requires_grad_() for z in outputs]
    found = part_loss(asked, labels, weights, **PAPER)
    return found, torch.autograd.grad(by * found.total, asked)


def test_channels_last_stays_channels_last() -> None:
    outputs, labels, weights = batch(6)
    found, plain = gradients(outputs, labels, weights)
    last = [z.contiguous(memory_format=torch.channels_last) for z in outputs]
    other, turned = gradients(last, labels, weights)
    torch.testing.assert_close(found.per_image, other.per_image)
    for one, two in zip(plain, turned, strict=True):
        assert one.is_contiguous()
        assert two.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(
    "odd",
    [
        lambda z: torch.cat([z, z], 3)[..., : z.shape[3]],
        lambda z: torch.cat([z, z], 1)[:, ::2].repeat(1, 2, 1, 1)[:, : z.shape[1]],
        lambda z: z[:1].expand(len(z), -1, -1, -1),
        lambda z: z.transpose(2, 3),
    ],
)
def test_any_strides(odd: Callable[[Tensor], Tensor]) -> None:
    outputs, labels, weights = batch(6)
    strange = [odd(z) for z in outputs]
    found, got = gradients(strange, labels, weights)
    same, expected = gradients([z.contiguous() for z in strange], labels, weights)
    torch.testing.assert_close(found, same)
    torch.testing.assert_close(got, expected)


def test_only_what_asks_gets_a_gradient() -> None:
    outputs, labels, weights = batch(6)
    _, expected = gradients(outputs, labels, weights)
    outputs[1].requires_grad_()
    found = part_loss(outputs, labels, weights, **PAPER)
    found.total.backward()
    torch.testing.assert_close(outputs[1].grad, expected[1])
    assert outputs[0].grad is None
    with torch.no_grad():
        assert not part_loss(outputs, labels, weights, **PAPER).total.requires_grad


def test_kept_graphs_are_asked_again() -> None:
    """The gradient is scaled in place, but not while somebody may still ask for it."""
    outputs, labels, weights = batch(6)
    _, expected = gradients(outputs, labels, weights)
    asked = [z.requires_grad_() for z in outputs]
    total = part_loss(asked, labels, weights, **PAPER).total
    first = torch.autograd.grad(2 * total, asked, retain_graph=True)
    second = torch.autograd.grad(3 * total, asked)
    torch.testing.assert_close(first, tuple(2 * each for each in expected))
    torch.testing.assert_close(second, tuple(3 * each for each in expected))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(total, asked)


def test_second_derivatives_are_refused() -> None:
    outputs, labels, weights = batch(6)
    asked = [z.requires_grad_() for z in outputs]
    total = part_loss(asked, labels, weights, **PAPER).total
    with pytest.raises(PartlabError, match="differentiated once"):
        torch.autograd.grad(total, asked, create_graph=True)


def test_bf16_under_autocast() -> None:
    """Logits of a convolution in bf16 are taken as they are and calculated with in float32."""
    outputs, labels, weights = batch(6)
    head = nn.Conv2d(6, 6, 1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = [head(z).detach().requires_grad_() for z in outputs]
        found = part_loss(logits, labels, weights, **PAPER)
    assert found.total.dtype == torch.float32
    got = torch.autograd.grad(3 * found.total, logits)
    wide, expected = gradients([z.float() for z in logits], labels, weights, 3.0)
    torch.testing.assert_close(found.total, wide.total, rtol=1e-6, atol=0)
    for one, two in zip(got, expected, strict=True):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.float(), two, rtol=1e-2, atol=1e-9)


def test_fp16_with_a_scaled_loss() -> None:
    """Gradients of 1e-8 vanish in float16 unless the loss was scaled; so they come scaled."""
    outputs, labels, weights = batch(500, side=16)
    halves = [z.half() for z in outputs]
    _, got = gradients(halves, labels, weights, 2.0**16)
    _, expected = gradients([z.float() for z in halves], labels, weights, 2.0**16)
    for one, two in zip(got, expected, strict=True):
        assert one.dtype == torch.float16
        torch.testing.assert_close(one.float(), two, rtol=2e-3, atol=1e-6)
        assert (one != 0).float().mean() > 0.99


def test_same_bits_every_time() -> None:
    given = batch(40, 4, 16)
    (one, first), (two, second) = gradients(*given), gradients(*given)
    assert torch.equal(one.total, two.total)
    assert all(map(torch.equal, first, second))


def test_one_graph_break_under_compile() -> None:
    outputs, labels, weights = batch(6)
    head = nn.Conv2d(6, 6, 1)

    def total(*images: Tensor) -> Tensor:
        logits = [head(each) * 2 for each in images]
        return part_loss(logits, labels, weights, **PAPER).total * 2

    def slope(function: Callable[..., Tensor]) -> Tensor:
        head.zero_grad()
        function(*outputs).backward()
        assert head.weight.grad is not None
        return head.weight.grad.clone()

    expected = slope(total)
    graphs = CompileCounterWithBackend("aot_eager")
    torch.testing.assert_close(slope(torch.compile(total, backend=graphs)), expected)
    assert graphs.frame_count == 2  # before the loss and after it


class Allocated(TorchDispatchMode):
    """Numbers of elements of the storages that operations have made."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        taken = {self._place(each) for each in self._tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for each in self._tensors(result):
            if self._place(each) not in taken:
                self.sizes.append(each.untyped_storage().nbytes() // each.element_size())
        return result

    @staticmethod
    def _place(tensor: Tensor) -> int:
        return tensor.untyped_storage().data_ptr()

    @staticmethod
    def _tensors(tree: Any) -> list[Tensor]:
        leaves = torch.utils._pytree.tree_leaves(tree)
        return [each for each in leaves if isinstance(each, Tensor)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_nothing_as_large_as_the_logits_but_their_gradient(
    kind: torch.dtype, layout: torch.memory_format
) -> None:
    outputs, labels, weights = batch(2000, 4, 28)
    labels[2] = 2000  # class-only
    asked = [z.to(kind).contiguous(memory_format=layout).requires_grad_() for z in outputs]
    with Allocated() as seen:
        total = part_loss(asked, labels, weights, **PAPER).total
        got = torch.autograd.grad(total, asked)
    whole = sorted(z.numel() for z in got)
    assert sum(sorted(seen.sizes)[-3:]) >= sum(whole)
    rest = list(seen.sizes)
    for size in whole:
        rest.remove(size)
    one_image = max(asked[0][0].numel(), module._CACHED)
    assert max(rest) <= (one_image if kind == torch.bfloat16 else 20 * labels.numel())


def test_without_a_gradient_only_one_image_is_held() -> None:
    outputs, labels, weights = batch(2000, 4, 28)
    with Allocated() as seen:
        part_loss(outputs, labels, weights, **PAPER)
    assert max(seen.sizes) <= max(outputs[0][0].numel(), module._CACHED)


def test_images_without_labels_cost_nothing() -> None:
    outputs, labels, weights = batch(50, 4, 16)
    labels[:] = 50
    with Allocated() as seen:
        found = part_loss(outputs, labels, weights, **PAPER)
    assert found.total == 0
    assert max(seen.sizes) <= labels.numel() < outputs[0].numel() / 10


def test_a_side_that_does_not_divide() -> None:
    _, labels, weights = batch(6)
    with pytest.raises(ConfigError, match=r"5 x 5 cells .* 8 x 8") as told:
        part_loss([torch.zeros(3, 6, 5, 5)], labels, weights, **PAPER)
    assert told.value.hint
    with pytest.raises(ConfigError, match="16 x 16 cells"):
        part_loss([torch.zeros(3, 6, 16, 16)], labels, weights, **PAPER)


def test_shapes_that_do_not_fit() -> None:
    outputs, labels, weights = batch(6)
    for wrong in (
        (outputs, labels[:2], weights),
        (outputs, labels, weights[:2]),
        (outputs, labels[:, None], weights),
        ([outputs[0][0]], labels, weights),
    ):
        with pytest.raises(ConfigError, match="do not fit"):
            part_loss(*wrong, **PAPER)
    with pytest.raises(ConfigError, match="has none"):
        part_loss([], labels, weights, **PAPER)
    with pytest.raises(ConfigError, match="do not fit"):
        part_loss([outputs[0], outputs[1][:, :5]], labels, weights, **PAPER)


@pytest.mark.parametrize("wrong", [-1, 7, 255])
def test_labels_of_another_label_space(wrong: int) -> None:
    outputs, labels, weights = batch(6)
    labels[1, 2, 3] = wrong
    with pytest.raises(DatasetError, match=rf"label {wrong} .* 6 channels") as told:
        part_loss(outputs, labels, weights, **PAPER)
    assert told.value.hint
