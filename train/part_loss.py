"""The part loss of MPM from label maps, without a dense target (L-02, L-03, L-07).

The released code builds a one-hot map of K + 1 channels, smooths it and shrinks it. Of all that
only a few numbers a cell are used, so here a target stays what it is: the labels of a cell. With

    q = (1 − s) · mean_j onehot(y_j) + s / K'        the smoothed target of a cell
    CE = logsumexp(z) − (1 − s) · mean_j z[y_j] − s · mean(z)

the loss of a cell is (1 − e^−CE)^γ · CE. The gradient is known as soon as the loss is, so it is
made at once, in the one array of its size; nothing else as large as the logits is held.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from partlab.errors import ConfigError, DatasetError, PartlabError

Shrink = Literal["centre", "area"]

_CACHED, _BUSY = 2**20, 2**26
"""Logits worked on at a time: few enough for a processor's cache; enough to keep a GPU busy."""


F = TypeVar("F", bound=Callable[..., Any])


def _eager(function: F) -> F:
    """Left out by torch.compile: what it does depends on the labels, and nothing can be fused."""
    return cast(F, torch.compiler.disable(function))  # type: ignore[no-untyped-call]


class PartLoss(NamedTuple):
    """What `part_loss` gives."""

    total: Tensor  # scalar, differentiable
    per_image: Tensor  # (B,) detached, unweighted; 0 where an image has no valid cell


class Cells(NamedTuple):
    """The targets of one resolution: n labels for each of the P cells."""

    ids: Tensor  # (B, n, P) int64; 0 where ignored
    known: Tensor  # (B, n, P) bool, not ignored

    @property
    def valid(self) -> Tensor:
        """Cells with any label that is not ignored, (B, P)."""
        return self.known.any(1)


@_eager
def part_loss(
    outputs: Sequence[Tensor],
    labels: Tensor,
    weights: Tensor,
    *,
    gamma: float,
    smoothing: float,
    shrink: Shrink,
) -> PartLoss:
    """Focal loss against smoothed soft targets, the mean over resolutions (L-02, L-03, L-07).

    An image's loss is the mean over its valid cells. `total` is the sum of weight · loss divided
    by the number of all images: as in the released code, images of weight 0 still count, so that
    a few images with masks do not get full weight. It can be differentiated once.

    Args:
        outputs: logits (B, K', h, w), fine to coarse; any layout and any float type.
        labels: (B, F, F) integers, 0 background, 1…K'-1, K' ignored.
        weights: (B,) floats.
        gamma: of the focal factor; 0 is plain cross-entropy.
        smoothing: share of the target that is spread evenly over the K' channels.
        shrink: which labels make the target of a coarser cell: `centre`, the middle 2 x 2 (what
            the bilinear shrinking of the released code comes to), or `area`, all of them.

    Raises:
        ConfigError: no outputs, shapes that do not fit each other, or a side that does not
            divide the label map's.
        DatasetError: a label is not one of the network's (told on the CPU only).
    """
    _check(outputs, labels, weights)
    cells = [label_cells(labels, z, shrink) for z in outputs]
    total, per_image = _PartLoss.apply(cells, weights, _Form(gamma, smoothing), *outputs)
    return PartLoss(total, per_image)


def label_cells(labels: Tensor, output: Tensor, shrink: Shrink) -> Cells:
    """The labels that make the target of each cell of an output (B, K', h, w)."""
    batch, channels, height, width = output.shape
    rows, columns = labels.shape[1] // height, labels.shape[2] // width
    blocks = labels.reshape(batch, height, rows, width, columns)
    blocks = blocks[:, :, _picked(rows, shrink), :, _picked(columns, shrink)]
    ids = blocks.permute(0, 2, 4, 1, 3).reshape(batch, -1, height * width).long()
    known = ids != channels
    return Cells(ids.where(known, 0), known)


def _picked(ratio: int, shrink: Shrink) -> slice:
    """Which of the `ratio` labels of a cell along one axis count."""
    return slice(None) if shrink == "area" else slice((ratio - 1) // 2, ratio // 2 + 1)


def _check(outputs: Sequence[Tensor], labels: Tensor, weights: Tensor) -> None:
    if not outputs:
        raise ConfigError("a part loss needs part outputs, and the model has none")
    channels = outputs[0].shape[1] if outputs[0].ndim > 1 else 0
    shapes = [tuple(each.shape) for each in (*outputs, labels, weights)]
    *taken, given, counted = shapes
    if (
        len(given) != 3
        or given[:1] != counted
        or any(len(each) != 4 or each[:2] != (given[0], channels) for each in taken)
    ):
        raise ConfigError(
            f"part outputs {taken}, label maps {given} and weights {counted} do not fit",
            hint="they are (B, K', h, w) each, (B, F, F) and (B,)",
        )
    for *_, height, width in taken:
        if not (height and width) or given[1] % height or given[2] % width:
            raise ConfigError(
                f"part outputs of {height} x {width} cells cannot be compared with label maps of "
                f"{given[1]} x {given[2]}",
                hint="the label map's side must be a multiple of each output's",
            )
    _check_labels(labels, channels)


def _check_labels(labels: Tensor, channels: int) -> None:
    """On a GPU it would have to be waited for; there an index beyond the end stops the kernel."""
    if labels.device.type != "cpu" or not labels.numel():
        return
    least, most = (int(bound) for bound in labels.aminmax())
    if least < 0 or most > channels:
        wrong = least if least < 0 else most
        raise DatasetError(
            f"label {wrong} in a label map, but the part outputs have {channels} channels",
            hint=f"labels are 0 (background) to {channels - 1}, and {channels} where ignored: are "
            "model and data of the same parts?",
        )


class _Form(NamedTuple):
    gamma: float
    smoothing: float


class _PartLoss(torch.autograd.Function):
    """Loss and gradient in one go, a few images at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        cells: Sequence[Cells],
        weights: Tensor,
        form: _Form,
        *outputs: Tensor,
    ) -> tuple[Tensor, Tensor]:
        kind = torch.float64 if outputs[0].dtype == torch.float64 else torch.float32
        weights = weights.detach().to(outputs[0].device, kind)
        scale = weights / (len(weights) * len(outputs))
        per_image, gradients = torch.zeros_like(weights), []
        for z, level, wanted in zip(outputs, cells, ctx.needs_input_grad[3:], strict=True):
            z = _dense(z.detach())
            gradient = _empty_gradient(z) if wanted else None
            per_image += _level(z, level, scale, form, gradient)
            gradients.append(gradient)
        ctx.types = [z.dtype for z in outputs]
        ctx.save_for_backward(*gradients)
        per_image /= len(outputs)
        ctx.mark_non_differentiable(per_image)
        return (weights * per_image).sum() / len(weights), per_image

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # `once_differentiable` is silent where only logits ask
            raise PartlabError(
                "a part loss can be differentiated once, and create_graph asks for twice",
                hint="leave the part loss out of what is differentiated twice",
            )
        gradients = [
            None if gradient is None else _scaled(gradient, upstream).to(kind)
            for gradient, kind in zip(ctx.saved_tensors, ctx.types, strict=True)
        ]
        return None, None, None, *gradients


def _empty_gradient(z: Tensor) -> Tensor:
    """In the layout of the logits. Of float16 in float32: unscaled, most of it would be 0."""
    return torch.empty_like(z, dtype=torch.float32 if z.dtype == torch.float16 else None)


def _dense(z: Tensor) -> Tensor:
    """The logits in a layout in which an image's rows and columns are one axis."""
    known = z.is_contiguous() or z.is_contiguous(memory_format=torch.channels_last)
    return z if known else z.contiguous()


def _scaled(gradient: Tensor, upstream: Tensor) -> Tensor:
    """In place, unless the graph is kept and may be asked again."""
    if torch._C._autograd._get_current_graph_task_keep_graph():
        return gradient * upstream
    if upstream.device.type == "cpu" and upstream == 1:
        return gradient
    return gradient.mul_(upstream)


def _level(z: Tensor, cells: Cells, scale: Tensor, form: _Form, gradient: Tensor | None) -> Tensor:
    """Loss of each image (B,) at one resolution; fills `gradient`, of the logits' shape."""
    flat, loss = z.flatten(2), torch.zeros_like(scale)
    into = None if gradient is None else gradient.flatten(2)
    for images, asked in _chunks(cells.valid, flat[0].numel()):
        part = None if into is None else into[images]
        if asked:
            some = Cells(cells.ids[images], cells.known[images])
            loss[images] = _some(flat[images], some, scale[images], form, part)
        elif part is not None:
            part.zero_()
    return loss


def _chunks(valid: Tensor, size: int) -> Iterator[tuple[slice, bool]]:
    """Images in a row, and whether any has a valid cell (on a GPU, that is not waited for)."""
    here = valid.device.type == "cpu"
    most = max(1, (_CACHED if here else _BUSY) // size)
    asked = valid.any(1).tolist() if here else [True] * len(valid)
    start = 0
    for end in range(1, len(asked) + 1):
        if end == len(asked) or asked[end] != asked[start] or end - start == most:
            yield slice(start, end), asked[start]
            start = end


def _some(z: Tensor, cells: Cells, scale: Tensor, form: _Form, gradient: Tensor | None) -> Tensor:
    """Loss of each of a few images, z (b, K', P); fills `gradient`, of the same shape."""
    kind, valid = scale.dtype, cells.valid
    number = valid.sum(1, keepdim=True).clamp(min=1)
    share = cells.known.to(kind) / cells.known.sum(1, keepdim=True).clamp(min=1)
    fits = gradient is not None and gradient.dtype == kind
    work = gradient if fits else torch.empty_like(z, dtype=kind)
    assert work is not None
    torch.sub(z, z.amax(1, keepdim=True).to(kind), out=work)  # shifted: the CE is the same
    hit, mean = (work.gather(1, cells.ids) * share).sum(1), work.mean(1)
    total = work.mul_(math.log2(math.e)).exp2_().sum(1)  # 2^x is faster than e^x
    # Not below 0: no shifted logit is above 0, and `total` counts the largest as 1.
    ce = total.log() - (1 - form.smoothing) * hit - form.smoothing * mean
    loss, slope = _focal(ce, form.gamma)
    if gradient is not None:
        slope = slope * valid * scale[:, None] / number
        _differentiate(work, slope[:, None], total[:, None], cells.ids, share, form.smoothing)
        if not fits:
            gradient.copy_(work)
    return ((loss * valid) / number).sum(1)


def _differentiate(
    work: Tensor, slope: Tensor, total: Tensor, ids: Tensor, share: Tensor, smoothing: float
) -> None:
    """From e^(z − max) to slope · (softmax(z) − target), in place."""
    work.mul_(slope / total).sub_(slope * (smoothing / work.shape[1]))
    work.scatter_add_(1, ids, slope * share * (smoothing - 1))


def _focal(ce: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """(1 − e^−c)^γ · c and its derivative; at c = 0 both are 0 unless γ is."""
    miss = -torch.expm1(-ce)
    factor = miss**gamma
    ratio = torch.where(miss > 0, ce / miss, 1.0)
    return factor * ce, factor * (1 + gamma * torch.exp(-ce) * ratio)
