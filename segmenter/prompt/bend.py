"""The last word is the annotator's: a mask is bent until it obeys every click."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmenter.prompt.prompts import Click, Prompts
from segmenter.protocol import Pixels

Logits = NDArray[np.float32]
"""(height, width): above 0 is inside."""

FAR = 6.0
"""Logit of what the network is sure of; probabilities are cut there."""
_COLOUR = 30.0  # of 255: pixels that differ by more are taken for another surface
_ROUNDS = 6


def bent(logits: Logits, pixels: Pixels, prompts: Prompts) -> Logits | None:
    """The logits so that every positive click is inside and every negative one outside.

    A click that is not obeyed changes its neighbourhood, the more the nearer a pixel lies and the
    more alike its colour is. Where that undoes another click, it reaches less far. None: the
    clicks contradict each other (one pixel inside and outside).
    """
    found = logits.copy()
    reach = 0.2 * max(np.sqrt(np.count_nonzero(logits > 0)), 0.05 * max(logits.shape))
    for _ in range(_ROUNDS):
        wrong = [c for c in prompts.clicks if (found[c.at] > 0) != c.positive]
        if not wrong:
            return found
        for click in wrong:
            _pull(found, pixels, click, max(float(reach), 0.5))
        reach /= 2
    return found if prompts.obeyed(found > 0) else None


def _pull(logits: Logits, pixels: Pixels, click: Click, reach: float) -> None:
    """Add to the logits about a click what turns its own pixel round."""
    near = _near(click, reach, logits.shape)
    weight = near.weight(pixels)
    sign = 1.0 if click.positive else -1.0
    logits[near.rows, near.columns] += sign * (abs(logits[click.at]) + 2) * weight


@dataclass(frozen=True, slots=True)
class _Window:
    """The pixels within three reaches of a click."""

    rows: slice
    columns: slice
    at: tuple[int, int]
    reach: float

    def weight(self, pixels: Pixels) -> NDArray[np.float32]:
        """1 at the click, less where it is far or of another colour."""
        rows = np.arange(self.rows.start, self.rows.stop, dtype=np.float32)[:, None] - self.at[0]
        columns = np.arange(self.columns.start, self.columns.stop, dtype=np.float32) - self.at[1]
        window = pixels[self.rows, self.columns].astype(np.float32)
        colour = np.square(window - pixels[self.at].astype(np.float32)).sum(-1)
        far = (rows**2 + columns**2) / (2 * self.reach**2)
        weight: NDArray[np.float32] = np.exp(-far - colour / (2 * 3 * _COLOUR**2))
        return weight


def _near(click: Click, reach: float, shape: tuple[int, ...]) -> _Window:
    spans = [
        slice(max(int(at - 3 * reach), 0), min(int(at + 3 * reach) + 2, side))
        for at, side in zip(click.at, shape, strict=True)
    ]
    return _Window(spans[0], spans[1], click.at, reach)
