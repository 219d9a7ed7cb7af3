"""From label maps to boxes and back, as Hingun 2023 §2.4 has it (H-04, H-05)."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from partlab.errors import ConfigError

LEAST = 0.01
"""Pieces below this share of the picture are no boxes."""
SURE = 0.2
"""Boxes below this score are not painted."""


class Boxes(NamedTuple):
    """Boxes of one picture: parts (n,) 1…K; centre x, y, width, height (n, 4) in 0…1; (n,)."""

    parts: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]


def boxes_of_labels(
    labels: NDArray[np.integer],
    ignore: int,
    *,
    shares: NDArray[np.floating] | None = None,
    least: float = LEAST,
    connectivity: int = 4,
) -> Boxes:
    """A box for each connected piece of one label in a map (h, w); background has none.

    The score of a box is the mean share of its label over the piece (`shares`, (K + 1, h, w), the
    softmax of part logits), or 1. How pieces are connected is not published: 4 neighbours here.

    Raises:
        ConfigError: connectivity is neither 4 nor 8.
    """
    if connectivity not in (4, 8):
        raise ConfigError(f"connectivity {connectivity}", hint="4 or 8 neighbours")
    height, width = labels.shape
    rows: list[tuple[int, float, float, float, float, float]] = []
    for part in np.unique(labels):
        if part in (0, ignore):
            continue
        found, pieces, stats, _ = cv2.connectedComponentsWithStats(
            (labels == part).astype(np.uint8), connectivity=connectivity
        )
        for piece in range(1, found):
            x, y, wide, high, area = (int(each) for each in stats[piece])
            if area < least * height * width:
                continue
            score = 1.0 if shares is None else float(shares[part][pieces == piece].mean())
            centre = ((x + wide / 2) / width, (y + high / 2) / height)
            rows.append((int(part), *centre, wide / width, high / height, score))
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Boxes(table[:, 0].astype(np.int64), table[:, 1:5], table[:, 5])


def labels_of_boxes(
    found: Boxes, size: tuple[int, int], *, sure: float = SURE
) -> NDArray[np.int64]:
    """A label map (height, width): each pixel shows the surest box over it, else background.

    Boxes below the score `sure` are left out; of two equally sure ones the earlier wins.
    """
    labels = np.zeros(size, np.int64)
    height, width = size
    for at in np.argsort(-found.scores, kind="stable")[::-1]:  # surest last: it paints over
        if found.scores[at] < sure:
            continue
        x, y, wide, high = found.boxes[at]
        left, right = round((x - wide / 2) * width), round((x + wide / 2) * width)
        top, bottom = round((y - high / 2) * height), round((y + high / 2) * height)
        labels[max(top, 0) : bottom, max(left, 0) : right] = found.parts[at]
    return labels
