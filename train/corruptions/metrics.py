"""The figures of corruptions: accuracy by type, their mean, and mCE against AlexNet."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any

from partlab.errors import DatasetError
from train.common_corruptions import CORRUPTIONS, SEVERITIES
from train.corruptions.generate import check

ALEXNET_ERRORS: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 0.886428,
        "shot_noise": 0.894468,
        "impulse_noise": 0.922640,
        "defocus_blur": 0.819880,
        "glass_blur": 0.826268,
        "motion_blur": 0.785948,
        "zoom_blur": 0.798360,
        "snow": 0.866816,
        "frost": 0.826572,
        "fog": 0.819324,
        "brightness": 0.564592,
        "contrast": 0.853204,
        "elastic_transform": 0.646056,
        "pixelate": 0.717840,
        "jpeg_compression": 0.606500,
    }
)
"""Reference, not measured here: AlexNet's published errors, means over the five severities, on
the 1,000 classes of ImageNet-C (hendrycks/robustness). mCE says nothing on other pictures."""


@dataclass(frozen=True, slots=True)
class CorruptionSummary:
    """Accuracies, 0…1. What rests on less than everything is None, and `missing` says why."""

    per_corruption: Mapping[str, float | None]  # mean of the five severities
    mean: float | None  # of the 15
    mce: float | None  # mean corruption error; the reference's is 1
    missing: tuple[str, ...]  # as "fog:3"


def summarize(
    accuracies: Mapping[tuple[str, int], float], errors: Mapping[str, float] = ALEXNET_ERRORS
) -> CorruptionSummary:
    """Figures of the paper from accuracies by (corruption, severity) (G-01).

    `errors`, by corruption, are what mCE divides by: those of a model on the same pictures.

    Raises:
        UnknownNameError, ConfigError: there is no such corruption or severity.
        DatasetError: the reference makes no error under a corruption, or lacks one.
    """
    for corruption, severity in accuracies:
        check(corruption, severity)
    missing = [f"{c}:{s}" for c in CORRUPTIONS for s in SEVERITIES if (c, s) not in accuracies]
    means = {c: _mean_of(accuracies, c) for c in CORRUPTIONS}
    whole = {c: mean for c, mean in means.items() if mean is not None}
    if missing:
        return CorruptionSummary(means, None, None, tuple(missing))
    if bad := [c for c in CORRUPTIONS if not errors.get(c)]:
        raise DatasetError(
            f"the reference has no error under {bad[0]}, and mCE divides by it",
            hint="take a model as reference that was measured on all and is not always right",
        )
    mce = fmean((1 - whole[c]) / errors[c] for c in CORRUPTIONS)
    return CorruptionSummary(means, fmean(whole.values()), mce, ())


def _mean_of(accuracies: Mapping[tuple[str, int], float], corruption: str) -> float | None:
    found = [accuracies[corruption, s] for s in SEVERITIES if (corruption, s) in accuracies]
    return fmean(found) if len(found) == len(SEVERITIES) else None


def accuracies(outcomes: Any) -> dict[tuple[str, int], float]:
    """By (corruption, severity), of a table of outcomes; rows of other threats are passed over.

    Raises:
        DatasetError: a picture has two outcomes of one corruption.
    """
    right: dict[tuple[str, int], dict[str, bool]] = defaultdict(dict)
    columns = (outcomes[name].to_pylist() for name in ("image", "threat", "right"))
    for image, threat, well in zip(*columns, strict=True):
        if threat.startswith("corruption:"):
            _, corruption, severity = threat.split(":")
            of = right[corruption, int(severity)]
            if image in of:
                raise DatasetError(f"{image} has two outcomes of {threat}")
            of[image] = well
    return {key: fmean(map(float, of.values())) for key, of in right.items()}
