"""Model help by the segmenter's own heads: parts it finds, or its mask head on a box."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partlab.masks import BoolMask
from segmenter.prompt.base import Asked, Guess, PrompterBase
from segmenter.prompt.bend import FAR, Logits
from segmenter.prompt.cache import DEFAULT_BYTES
from segmenter.prompt.layers import box_iou
from segmenter.prompt.look import Floats, Look, Looker, Places, at_points, spread
from segmenter.prompt.prompts import Box, Prompts
from segmenter.prompt.wanted import Wanted
from segmenter.protocol import Pixels
from segmenter.torchvision_backend import MaskRCNN

FITS = 0.8  # least IoU of a found part's box with the annotator's
FOUND = 0.3  # least score of a place to be called a part that was found
_MOST = 32  # places whose masks are looked at
_WINDOWS = (0.06, 0.12, 0.25, 0.5)  # sides of boxes about a click, of the picture's long side


class NetworkPrompter(PrompterBase[Look]):
    """Answers from a Mask R-CNN's own heads (the `Prompter` protocol); nothing was trained for it.

    A part that it finds under the prompt ("layer"); where none fits, its mask head on the
    annotator's box, or on a box about the click that its box head moved ("box"). Positive clicks
    that one mask does not hold may add a second one; what still disobeys a click is bent.
    """

    def __init__(self, segmenter: MaskRCNN, *, cache_bytes: int = DEFAULT_BYTES) -> None:
        super().__init__(cache_bytes)
        self.segmenter, self.looker = segmenter, Looker(segmenter)

    def look(self, pixels: Pixels) -> Look:
        """Feature maps, and what the network proposes."""
        return self.looker.look(pixels)

    def guess(self, look: Look, pixels: Pixels, asked: Asked) -> Guess | None:
        """The places that the prompts mean, together."""
        wanted = Wanted.of(self.segmenter.parts, asked.part, asked.objects)
        places = places_under(self.looker, look, asked.prompts, wanted)
        if not len(places):
            return None
        masked = self._masked(look, places, asked.prompts, wanted)
        chosen = masked.cover()
        first, score = chosen[0], float(masked.scores[chosen[0]])
        box_given = asked.prompts.box is not None and first == len(places) - 1
        way = "box" if box_given or score < FOUND else "layer"
        name = wanted.name(self.segmenter.parts, int(masked.labels[first]))
        return Guess(masked.together(chosen, look.size), name, score, way)

    def _masked(self, look: Look, places: Places, prompts: Prompts, wanted: Wanted) -> "_Masked":
        labels = wanted.likeliest(places.probabilities)
        logits = self.looker.masks(look, places.boxes, labels)
        scores = wanted.scores(places.probabilities)
        fit = scores.copy()
        if prompts.box is not None:  # the annotator's own box comes last
            fit *= box_iou(places.boxes, prompts.box)
            fit[-1] = max(fit[-1], FOUND)
        return _Masked(places.boxes, logits, labels, scores, fit, prompts)


def places_under(
    looker: Looker, look: Look, prompts: Prompts, wanted: Wanted, *, most: int = _MOST
) -> Places:
    """Where the mask may lie: likely places under the prompt, best first.

    With a box those that fit it, and as the last the box itself. With clicks alone the network's
    places that hold a positive one, and those its box head makes of boxes about the last one.
    """
    if prompts.box is not None:
        fitting = np.flatnonzero(box_iou(look.places.boxes, prompts.box) >= FITS)
        own = looker.likely(look, np.array([prompts.box], np.float32))
        near = _best(look.places.of(fitting), wanted, most)
        return near.beside(own)
    if not prompts.positive:
        return look.places.of([])
    points = np.array([(click.x, click.y) for click in prompts.positive], np.float32)
    holding = np.flatnonzero(_inside(look.places.boxes, points).any(1))
    found = _best(look.places.of(holding), wanted, most)
    windows = np.array(
        [_window(points[-1], side * max(look.size)) for side in _WINDOWS], np.float32
    )
    about = looker.places(look, look.scaled(windows))
    return found.beside(about.of(np.flatnonzero(_inside(about.boxes, points).any(1))))


def _best(places: Places, wanted: Wanted, most: int) -> Places:
    return places.of(np.argsort(-wanted.scores(places.probabilities), kind="stable")[:most])


def _inside(boxes: Floats, points: Floats) -> BoolMask:
    """(N, C): whether each box holds each point."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    inside: BoolMask = np.all((points >= low) & (points < high), axis=-1)
    return inside


def _window(point: Floats, side: float) -> Box:
    x, y = (float(each) for each in point)
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


@dataclass(frozen=True, slots=True)
class _Masked:
    """Places with their masks (N, m, m): which of them the prompts mean."""

    boxes: Floats
    logits: Floats
    labels: NDArray[np.int64]
    scores: Floats
    fit: Floats
    prompts: Prompts

    def cover(self) -> list[int]:
        """The place that obeys most clicks, then others of its label that hold more of them."""
        points = np.array([(c.x, c.y) for c in self.prompts.clicks], np.float32).reshape(-1, 2)
        positive = np.array([c.positive for c in self.prompts.clicks], bool)
        held = at_points(self.logits, self.boxes, points) > 0
        obeyed = (held == positive).sum(1)
        chosen = [int(np.argmax(obeyed + np.minimum(self.fit, 0.999)))]
        clean = ~held[:, ~positive].any(1) & (self.labels == self.labels[chosen[0]])
        while True:
            missing = positive & ~held[chosen].any(0)
            more = np.where(clean & (self.scores >= FOUND), held[:, missing].sum(1), 0)
            if not more.any():
                return chosen
            chosen.append(int(np.argmax(more + np.minimum(self.fit, 0.999) * (more > 0))))

    def together(self, chosen: list[int], size: tuple[int, int]) -> Logits:
        """The union of some masks, as logits of the whole picture."""
        whole = np.full(size, -FAR, np.float32)
        for at in chosen:
            np.maximum(whole, spread(_sure(self.logits[at]), self.boxes[at], size), out=whole)
        return whole


def _sure(logits: Floats) -> Floats:
    """Logits of which some are inside: where the head was sure of no pixel, the likelier half."""
    return logits if (logits > 0).any() else logits - np.float32(np.median(logits) - 1e-3)
