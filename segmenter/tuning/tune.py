"""Tune a run on images apart: calibrated scores, and thresholds for the best label maps."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partlab.errors import DatasetError
from partlab.files import sha256_file
from partlab.objects import require_ids
from partlab.parts import Parts
from partlab.schema import Dataset
from partlab.truth import need_masks, usable
from segmenter.composite_metrics import PixelMeter
from segmenter.evaluation_file import truth_of
from segmenter.label_space import joined
from segmenter.leaks import leaks
from segmenter.protocol import Segmenter
from segmenter.runs import load_segmenter
from segmenter.thresholds import Thresholds
from segmenter.tuning.choose import Chosen, Sheet, choose
from segmenter.tuning.file import CHECKPOINT, Line, Tuning, write_tuning
from segmenter.tuning.looked import Looked, look
from segmenter.tuning.plot import FILE, write_plot
from segmenter.tuning.scale import Scale, fit_scale, reliability

log = logging.getLogger(__name__)
USUAL = 0.5


@dataclass(frozen=True, slots=True)
class Fitted:
    """What some images say of a segmenter's scores."""

    scale: Scale
    common: tuple[float, float]
    chosen: Chosen


def tune_run(
    run: str | Path, data: str | Path, *, split: str | None = None, device: str | None = None
) -> dict[str, Any]:
    """Tune the best checkpoint of a run and write `RUN/tuned.json` and a plot; what was found.

    `held_out` says what it is worth on images it was not found on: each half of the images judges
    what the other half says. The tuning itself is found on all of them.

    Raises:
        DatasetError: no images or masks, none of its parts, or images that it was trained on.
        NotFoundError: no such run, checkpoint, data set or split.
    """
    run, data = Path(run), Path(data)
    split, truth = truth_of(data, split, None)
    need_unseen(run, truth)
    segmenter = load_segmenter(run, device=device, tuned=False)
    images, held_out, fitted = tune(segmenter, truth)
    tuning = Tuning(
        checkpoint_sha256=sha256_file(run / f"{CHECKPOINT}.safetensors"),
        data={"path": str(data), "split": split, "fingerprint": truth.fingerprint},
        images=images,
        held_out=held_out,
        **_kept(fitted, segmenter.parts),
    )
    plot = write_plot(run / FILE, held_out)
    files = {"file": str(write_tuning(run, tuning)), "plot": str(plot)}
    return {"run": str(run), **files, **tuning.model_dump(mode="json")}


def need_unseen(run: Path, truth: Dataset) -> None:
    """See that a run was not trained on these images.

    Raises:
        DatasetError: it was, on some.
    """
    found = leaks(run, truth)
    if seen := found.same_name:
        raise DatasetError(
            f"{len(seen)} of {len(truth.images)} images {'has' if len(seen) == 1 else 'have'} the "
            f"file name of a training image of {run} (first: {seen[0]}): what is tuned on them "
            "does not suit new images",
            hint="tune on a split that it was not trained on",
        )
    for warning in found.sentences(len(truth.images)):
        log.warning("warning: %s", warning)


def calibrated(segmenter: Segmenter, truth: Dataset) -> Scale:
    """What its scores are worth; errors are those of `tune_run`."""
    truth, masks = usable(truth)
    need_masks(truth, masks)
    return fit_scale(*_masks(list(look(segmenter, truth))), len(segmenter.parts))[0]


def tune(segmenter: Segmenter, truth: Dataset) -> tuple[int, dict[str, Any], Fitted]:
    """How many images it looked at, what a tuning is worth on held-out ones, and the tuning."""
    require_ids(truth)
    truth, masks = usable(truth)
    need_masks(truth, masks)
    joint = joined(truth, segmenter.parts)
    looked = list(look(segmenter, truth))
    about = _About(truth, segmenter.parts, joint)
    return len(looked), _held_out(looked, about), _fit(looked, about)


@dataclass(frozen=True, slots=True)
class _About:
    truth: Dataset
    own: Parts
    joint: Parts

    def sheet(self, looked: Sequence[Looked], scale: Scale | None) -> Sheet:
        scores = [one.scores if scale is None else scale.of(one.scores, one.labels)
                  for one in looked]  # fmt: skip
        labels = self.own.matched(self.joint)
        return Sheet(looked, scores, labels, len(self.joint), self.truth.parts.parents)


def _fit(looked: Sequence[Looked], about: _About) -> Fitted:
    scores, labels, added = _masks(looked)
    scale, common = fit_scale(scores, labels, added, len(about.own))
    return Fitted(scale, common, choose(about.sheet(looked, scale), len(about.own)))


def _held_out(looked: Sequence[Looked], about: _About) -> dict[str, Any]:
    """Label maps and reliability before and after; each half judges the other's tuning."""
    before, after = (PixelMeter(len(about.joint)) for _ in range(2))
    usual = np.full(len(about.own), USUAL)
    scores: list[NDArray[np.float64]] = []
    mixed = [looked[at] for at in np.random.default_rng(0).permutation(len(looked))]
    halves = mixed[::2], mixed[1::2]  # a file may have its objects in turns
    for own, judged in (halves, halves[::-1]):
        found = _fit(own, about)
        before.add(about.sheet(judged, None).meter(usual))
        after.add(about.sheet(judged, found.scale).meter(found.chosen.own))
        raw, labels, _ = _masks(judged)
        scores.append(found.scale.of(raw.astype(np.float32), labels).astype(float))
    raw, _, added = _masks([*halves[1], *halves[0]])
    return {
        "before": {**_pixels(before), "reliability": asdict(reliability(raw, added))},
        "after": {
            **_pixels(after),
            "reliability": asdict(reliability(np.concatenate(scores), added)),
        },
    }


def _pixels(meter: PixelMeter) -> dict[str, float | None]:
    found = meter.result()
    names = ("miou", "pixel_accuracy", "foreground_pixel_accuracy")
    return {name: getattr(found, name) for name in names}


def _masks(
    looked: Sequence[Looked],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Scores, labels and what is added, of all masks of which that is known."""
    scores = np.concatenate([np.zeros(0), *(one.scores for one in looked)]).astype(np.float64)
    labels = np.concatenate([np.zeros(0, np.int64), *(one.labels for one in looked)])
    added = np.concatenate([np.zeros(0), *(one.added for one in looked)])
    known = ~np.isnan(added)
    return scores[known], labels[known], added[known]


def _kept(fitted: Fitted, parts: Parts) -> dict[str, Any]:
    scale, chosen = fitted.scale, fitted.chosen
    lines = {
        name: Line(slope=round(float(slope), 4), offset=round(float(offset), 4))
        for name, slope, offset in zip(parts.names, scale.slopes, scale.offsets, strict=True)
        if (slope, offset) != fitted.common
    }
    own = {
        name: round(float(tau), 3)
        for name, tau in zip(parts.names, chosen.own, strict=True)
        if tau != chosen.common
    }
    return {
        "common": Line(slope=fitted.common[0], offset=fitted.common[1]),
        "parts": lines,
        "thresholds": Thresholds(default=chosen.common, parts=own),
    }
