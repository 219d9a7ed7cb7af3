"""How far scores in a store can be taken at their word, where the truth is known."""

import numpy as np
from numpy.typing import NDArray

from pseudolabel.matching import Matched
from segmenter.label_space import truth_layers
from segmenter.tuning.looked import what_masks_add
from segmenter.tuning.scale import Reliability, reliability


def reliability_of(matched: Matched) -> Reliability:
    """Scores beside what the masks add: of each one's pixels, the share that is right and in no
    surer mask of its part. Parts that the truth does not have, and masks in crowd regions, are
    left out."""
    scores: list[NDArray[np.float64]] = [np.zeros(0)]
    added: list[NDArray[np.float64]] = [np.zeros(0)]
    place = {name: at for at, name in enumerate(matched.truth.names)}
    for row, image in matched.rows:
        known = [m for m in row.masks if matched.store.names[m.label] in place]
        known.sort(key=lambda mask: -mask.score)
        drawn = truth_layers(matched.truth, image)
        labels = [place[matched.store.names[mask.label]] for mask in known]
        scores.append(np.array([mask.score for mask in known], float))
        added.append(what_masks_add(labels, [m.rle for m in known], drawn.layers, drawn.ignored))
    said, true = np.concatenate(scores), np.concatenate(added)
    counting = ~np.isnan(true)
    return reliability(said[counting], true[counting])
