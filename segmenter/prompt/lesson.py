"""One picture's lesson for a prompt head: boxes and clicks simulated from its masks."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from partlab.masks import BoolMask
from segmenter.prompt.head import SIDE, PromptHead, Views
from segmenter.prompt.layers import box_iou
from segmenter.prompt.look import Floats, Look, Looker
from segmenter.prompt.prompts import Box, Click
from segmenter.prompt.simulate import depth, next_click
from segmenter.prompt.trained import window_of
from segmenter.prompt.views import cut, moved, views_of, windows_about
from segmenter.protocol import Pixels

_BOXED = 0.25  # of the masks: the annotator begins with a box
_NAMELESS = 0.3  # of the masks: the part's name is not told
_MOVED = 0.5  # of the rounds: the window follows the mask


@dataclass(frozen=True, slots=True)
class Lesson:
    """A picture (H, W, 3), some of its masks (M, H, W) and their 0-based labels (M,)."""

    pixels: Pixels
    masks: BoolMask
    labels: NDArray[np.int64]


def losses(
    head: PromptHead, looker: Looker, lesson: Lesson, rounds: int, random: Generator
) -> dict[str, Tensor]:
    """Mask and judgement loss of one picture, over as many rounds of clicks."""
    look = looker.look(lesson.pixels)
    pupils = _Pupils.of(looker, look, lesson, random)
    masks, judgements = [], []
    last: Tensor | None = None
    for _ in range(rounds):
        logits, judged = head(pupils.views(looker, look, last))
        targets = pupils.targets(logits.device)
        masks.append(_mask_loss(logits, targets))
        judgements.append(F.l1_loss(judged.sigmoid(), pupils.reached(logits, targets)))
        pupils.click(logits, targets)
        last = pupils.follow(logits, random)
    return {"mask": torch.stack(masks).mean(), "judge": torch.stack(judgements).mean()}


def _mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy, and Dice so that thin parts count."""
    dice = 1 - (2 * (logits.sigmoid() * targets).sum((1, 2)) + 1) / (
        logits.sigmoid().sum((1, 2)) + targets.sum((1, 2)) + 1
    )
    return F.binary_cross_entropy_with_logits(logits, targets) + dice.mean()


@dataclass
class _Pupils:
    """The masks to learn in one picture: where each is looked at, and what was clicked so far."""

    truth: Tensor  # (M, 1, H, W)
    windows: Floats
    clicks: list[list[Click]]
    boxes: list[Box | None]
    labels: NDArray[np.int64]
    scores: Floats

    @classmethod
    def of(cls, looker: Looker, look: Look, lesson: Lesson, random: Generator) -> "_Pupils":
        """The first prompts: a click in each mask, or a box about it."""
        clicks: list[list[Click]] = []
        boxes: list[Box | None] = []
        places = []
        for mask in lesson.masks:
            tight = _tight(mask)
            if random.random() < _BOXED:
                place = _shaken(tight, random, 0.05)
                boxes.append(_as_box(place))
                clicks.append([])
            else:
                click = _first(mask, random)
                place = _place(look, tight, click, random)
                boxes.append(None)
                clicks.append([click])
            places.append(place)
        where = np.stack(places).astype(np.float32)
        likely = looker.likely(look, where).probabilities
        nameless = random.random(len(where)) < _NAMELESS
        labels = np.where(nameless, -1, lesson.labels)
        any_part = likely.sum(1)
        own = np.where(nameless, any_part, likely[np.arange(len(where)), lesson.labels])
        truth = torch.from_numpy(lesson.masks.astype(np.float32))[:, None]
        scores = np.stack([own, any_part], 1).astype(np.float32)
        return cls(truth, windows_about(where), clicks, boxes, labels, scores)

    def views(self, looker: Looker, look: Look, last: Tensor | None) -> Views:
        """What the head sees of them now."""
        return views_of(
            looker, look, self.windows, self.clicks,
            labels=self.labels, scores=self.scores, box=self.boxes, last=last,
        )  # fmt: skip

    def targets(self, device: torch.device) -> Tensor:
        """(M, SIDE, SIDE): the truth in each window."""
        return (cut(self.truth, self.windows)[:, 0] > 0.5).float().to(device)

    def reached(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The IoU (M,) of the masks with the truth, what lies beyond the window included."""
        mask = (logits.detach() > 0).float()
        sides = torch.from_numpy(self.windows[:, 2:] - self.windows[:, :2])
        cell = (sides.prod(1) / SIDE**2).to(logits.device)
        whole = self.truth.sum((1, 2, 3)).to(logits.device) / cell
        both = (mask * targets).sum((1, 2))
        return both / (mask.sum((1, 2)) + whole - both).clamp(min=1)

    def click(self, logits: Tensor, targets: Tensor) -> None:
        """The next click in each: in the middle of the largest region that is wrong."""
        masks, truths = (logits > 0).cpu().numpy(), (targets > 0.5).cpu().numpy()
        for clicks, window, mask, truth in zip(
            self.clicks, self.windows, masks, truths, strict=True
        ):
            if (found := next_click(mask, truth)) is not None:
                x, y = window[:2] + np.array([found.x, found.y]) / SIDE * (window[2:] - window[:2])
                clicks.append(Click(float(x), float(y), found.positive))

    def follow(self, logits: Tensor, random: Generator) -> Tensor:
        """Let some windows follow their mask; the logits as the windows see them now."""
        old = self.windows.copy()
        for at in np.flatnonzero(random.random(len(old)) < _MOVED):
            self.windows[at] = window_of(logits[at], old[at], self.clicks[at])
        return moved(logits, old, self.windows)


def _tight(mask: BoolMask) -> Floats:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _as_box(box: Floats) -> Box:
    x1, y1, x2, y2 = (float(side) for side in box)
    return x1, y1, x2, y2


def _first(mask: BoolMask, random: Generator) -> Click:
    """Somewhere well inside; half the time in the very middle."""
    inside = depth(mask)
    least = inside.max() * (1 if random.random() < 0.5 else 0.5)
    rows, columns = np.nonzero(inside >= least)
    at = random.integers(len(rows))
    return Click(float(columns[at]) + 0.5, float(rows[at]) + 0.5)


def _place(look: Look, tight: Floats, click: Click, random: Generator) -> Floats:
    """The mask's box shaken, or one of the network's places that hold the click, good or bad."""
    boxes = look.places.boxes
    point = np.array([click.x, click.y], np.float32)
    holding = (boxes[:, :2] <= point).all(1) & (boxes[:, 2:] > point).all(1)
    overlap = box_iou(boxes, _as_box(tight))
    draw = random.random()
    fitting = np.flatnonzero(holding & (overlap > (0.4 if draw < 0.45 else 0.0)))
    if draw < 0.65 and len(fitting):
        chosen: Floats = boxes[random.choice(fitting)]
        return chosen
    return _shaken(tight, random, 0.2)


def _shaken(box: Floats, random: Generator, amount: float) -> Floats:
    span, middle = box[2:] - box[:2], (box[2:] + box[:2]) / 2
    middle = middle + random.normal(0, amount / 2, 2) * span
    half = span * np.exp(random.normal(0, amount, 2)) / 2
    found: Floats = np.concatenate([middle - half, middle + half]).astype(np.float32)
    return found
