"""Model help of any segmenter: the part it found under the prompt, bent by further clicks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partlab.masks import BoolMask, decode
from segmenter.prompt.base import Asked, Guess, PrompterBase
from segmenter.prompt.cache import DEFAULT_BYTES
from segmenter.prompt.prompts import Box, Prompts
from segmenter.prompt.wanted import Wanted
from segmenter.protocol import Detections, Pixels, Segmenter

_SURE = 2.0  # logit of a mask that comes without probabilities
_FITS = 0.5  # least IoU of a layer's box with the annotator's


@dataclass(frozen=True, slots=True)
class Found:
    """The detections of one picture, down to a low score."""

    detections: Detections

    @property
    def nbytes(self) -> int:
        """Bytes of arrays and run lengths."""
        each = self.detections
        arrays = (each.boxes, each.labels, each.scores, each.probabilities)
        return sum(a.nbytes for a in arrays) + sum(len(m["counts"]) for m in each.masks)


class LayersPrompter(PrompterBase[Found]):
    """Answers from a segmenter's detections alone (the `Prompter` protocol).

    For segmenters whose network cannot be asked for a mask at a place: detectron2's, served ones.
    Where none of their layers fits the prompt there is no answer.
    """

    def __init__(
        self, segmenter: Segmenter, *, cache_bytes: int = DEFAULT_BYTES, threshold: float = 0.05
    ) -> None:
        super().__init__(cache_bytes)
        self.segmenter, self.threshold = segmenter, threshold

    def look(self, pixels: Pixels) -> Found:
        """Its detections."""
        (found,) = self.segmenter.predict([pixels], threshold=self.threshold)
        return Found(found)

    def guess(self, look: Found, pixels: Pixels, asked: Asked) -> Guess | None:
        """The layer that fits the prompt best."""
        found = look.detections
        wanted = Wanted.of(self.segmenter.parts, asked.part, asked.objects)
        chosen = _chosen(found, asked.prompts, wanted)
        if chosen is None:
            return None
        at, mask = chosen
        vectors = found.probabilities[at : at + 1]
        name = wanted.name(self.segmenter.parts, int(wanted.likeliest(vectors)[0]))
        logits = np.where(mask, _SURE, -_SURE).astype(np.float32)
        return Guess(logits, name, float(wanted.scores(vectors)[0]), "layer")


def _chosen(found: Detections, prompts: Prompts, wanted: Wanted) -> tuple[int, BoolMask] | None:
    """The layer that obeys most clicks, among such the likeliest; None where none fits."""
    if not len(found):
        return None
    scores = wanted.scores(found.probabilities)
    overlap = box_iou(found.boxes, prompts.box) if prompts.box else np.ones(len(found), np.float32)
    best: tuple[float, int, BoolMask] | None = None
    for at in np.flatnonzero((overlap >= _FITS) & (scores > 0)).tolist():
        mask = decode(found.masks[at])
        held = sum(bool(mask[click.at]) for click in prompts.positive)
        if (prompts.positive and not held) or not mask.any():
            continue
        right = sum(bool(mask[click.at]) == click.positive for click in prompts.clicks)
        rank = right + float(scores[at] * overlap[at])
        if best is None or rank > best[0]:
            best = rank, at, mask
    return best[1:] if best else None


def box_iou(boxes: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """IoU of (N, 4) boxes with one."""
    one = np.asarray(box, np.float32)
    low, high = np.maximum(boxes[:, :2], one[:2]), np.minimum(boxes[:, 2:], one[2:])
    both = np.clip(high - low, 0, None).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (one[2:] - one[:2]).prod()
    found: NDArray[np.float32] = both / np.maximum(areas - both, 1e-6)
    return found
