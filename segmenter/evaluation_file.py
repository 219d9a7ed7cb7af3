"""Evaluate a run folder on a data set, and write down what was found."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from partlab.coco import find_splits, read_dataset
from partlab.counts import counted, few
from partlab.errors import NotFoundError
from partlab.files import sha256_file, write_json
from partlab.schema import Annotation, Dataset, Image
from partlab.truth import drawn_masks
from segmenter.ap import Scores, mean_known
from segmenter.evaluate import Evaluation, EvaluationSettings, Measured, evaluate
from segmenter.leaks import Leaks, leaks
from segmenter.runs import load_segmenter, read_run
from segmenter.tuning.file import told, with_own

log = logging.getLogger(__name__)

Record = dict[str, Any]
_Drawn = list[tuple[Image, Annotation]]
CHECKPOINTS = ("best", "last")
DEFAULT_SPLIT = "val"
TABLE_5 = {  # published for other data and another network; never ours
    "source": "PartImageNet++, Table 5: Mask R-CNN trained on PartImageNet++",
    "without_cf": {"ap": 0.372, "ap50": 0.586},
    "with_cf": {"ap": 0.407, "ap50": 0.644},
}


def evaluate_run(
    run: str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    checkpoint: str = "best",
    device: str | None = None,
    limit: int | None = None,
    settings: EvaluationSettings | None = None,
) -> Record:
    """Evaluate a run and write `RUN/evaluation-<data>-<split>.json`; returns what it holds.

    Arguments and errors are those of `measure_run`.
    """
    return measure_run(
        run, data, split=split, checkpoint=checkpoint, device=device, limit=limit, settings=settings
    )[0]


def measure_run(
    run: str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    checkpoint: str = "best",
    device: str | None = None,
    limit: int | None = None,
    settings: EvaluationSettings | None = None,
) -> tuple[Record, Evaluation]:
    """`evaluate_run`, and what was counted in each image.

    All scores are shares in 0…1. Without `split` a data set folder's `val` is used, or its
    only file. `limit` takes that many images, evenly spread over the file.

    Raises:
        NotFoundError: no such run, checkpoint, data set or split.
        DatasetError: see `evaluate`.
    """
    run, data = Path(run), Path(data)
    settings = settings or EvaluationSettings()
    description = read_run(run)
    split, truth = truth_of(data, split, limit)
    weights = run / f"{checkpoint}.safetensors"
    if checkpoint not in CHECKPOINTS:
        raise NotFoundError(
            f"a run has no checkpoint {checkpoint!r}", hint=f"choose {' or '.join(CHECKPOINTS)}"
        )
    segmenter = load_segmenter(run, checkpoint=checkpoint, device=device)
    unknown = truth.parts.label.keys() - segmenter.parts.label.keys()
    if unknown and len(unknown) < len(truth.parts.label):  # all unknown is an error of `evaluate`
        log.warning(
            "%d of %d part categories of %s are unknown to %s: is it the right data set?",
            len(unknown), len(truth.names), data, run,
        )  # fmt: skip
    started = monotonic()
    if "composite_threshold" not in settings.model_fields_set:
        settings = with_own(settings, told(run), checkpoint)
    found = evaluate(segmenter, truth, settings)
    seconds = monotonic() - started
    record: Record = {
        "run": str(run),
        "backend": description["backend"],
        "checkpoint": checkpoint,
        "checkpoint_sha256": sha256_file(weights) if weights.is_file() else None,
        "data": {"path": str(data), "split": split, "limit": limit},
        "settings": settings.model_dump(),
        **told(run),
        "seconds": round(seconds, 1),
        "images_per_second": round(found.images / seconds, 2),
        "predicting_seconds": round(found.predicting, 2),
        **describe(found, truth),
    }
    seen = leaks(run, truth)
    record["leaks"] = seen.as_json()
    record["warnings"] = _warnings(found, truth, seen)
    for warning in record["warnings"]:
        log.warning("warning: %s", warning)
    record["file"] = str(run / f"evaluation-{name_of(data, split, limit)}.json")
    write_json(Path(record["file"]), record)
    return record, found


def name_of(data: Path, split: str, limit: int | None) -> str:
    """What tells an evaluation from others; a quick look never replaces a whole one."""
    part = f"-limit{limit}" if limit else ""
    return f"{data.stem if data.is_file() else data.resolve().name}-{split}{part}"


def describe(found: Evaluation, truth: Dataset) -> Record:
    """An evaluation as JSON: overall, per object category and per part, both ways."""
    ways = {"without_cf": found.without_cf, "with_cf": found.with_cf}
    drawn = list(_masks(truth))
    overall = {way: _overall(measured) for way, measured in ways.items()}
    return {
        "images": found.images,
        "images_without_class": found.images_without_class,
        "missing_parts": list(found.missing_parts),
        "masks": found.masks.masks,
        "crowd_regions": found.masks.crowd,
        "unreadable_records": len(truth.broken),
        "masks_left_out": [
            {"annotation_id": one.annotation.id, "image": one.image.file_name, "reason": one.reason}
            for one in found.masks.left_out
        ],
        **overall,
        "difference": _difference(overall["without_cf"], overall["with_cf"]),
        "per_object": _per_object(ways, truth, drawn),
        "per_part": _per_part(ways, truth, drawn),
    }


def truth_of(data: Path, split: str | None, limit: int | None) -> tuple[str, Dataset]:
    """A split's name and its images: without `split` `val` if there is one, or the only file.

    Raises:
        NotFoundError: no such data set or split.
    """
    splits = find_splits(data)
    if split is None and len(splits) > 1 and DEFAULT_SPLIT in splits:
        split = DEFAULT_SPLIT
    truth = read_dataset(data, split)
    if limit is not None:
        count = min(limit, len(truth.images))
        chosen = [number * len(truth.images) // count for number in range(count)]
        truth = truth.subset(truth.images[position].id for position in chosen)
    return split or next(iter(splits)), truth


def _warnings(found: Evaluation, truth: Dataset, seen: Leaks) -> list[str]:
    warnings = seen.sentences(found.images)
    if found.missing_parts:
        unknown = counted(
            len(found.missing_parts), "part of the data set is", "parts of the data set are"
        )
        warnings.append(f"{unknown} unknown to this run, with AP 0: {few(found.missing_parts)}")
    if sentence := found.masks.sentence():
        warnings.append(f"{sentence} (all of them: partlab data check)")
    if broken := len(truth.broken):
        records = counted(broken, "record")
        warnings.append(
            f"{records} of the data set's file cannot be read and had to be left out "
            "(all of them: partlab data check)"
        )
    if found.masks.crowd:
        warnings.append(
            f"{counted(found.masks.crowd, 'mask is', 'masks are')} crowd (iscrowd 1): what is "
            "found there counts neither as right nor as wrong"
        )
    if found.images_without_class:
        warnings.append(
            f"{counted(found.images_without_class, 'image has', 'images have')} no object category "
            "and no masks: the category filter changed nothing there"
        )
    return warnings


def _overall(measured: Measured) -> Record:
    ap, pixels = measured.ap, measured.pixels
    return {
        **_ap(ap),
        "ap_small": ap.ap_small,
        "ap_medium": ap.ap_medium,
        "ap_large": ap.ap_large,
        "ar": ap.ar,
        "pixel_accuracy": pixels.pixel_accuracy,
        "foreground_pixel_accuracy": pixels.foreground_pixel_accuracy,
        "miou": pixels.miou,
        "part_miou": pixels.part_miou,
        "boundary_iou": measured.outlines.miou,
        "detections": measured.detections,
    }


def _ap(scores: Scores) -> Record:
    return {"ap": scores.ap, "ap50": scores.ap50, "ap75": scores.ap75}


def _difference(without: Record, filtered: Record) -> Record:
    return {
        name: None if value is None or filtered[name] is None else filtered[name] - value
        for name, value in without.items()
    }


def _per_object(ways: Mapping[str, Measured], truth: Dataset, drawn: _Drawn) -> list[Record]:
    pairs = [(_owner(a, truth), image.id) for image, a in drawn]
    masks = Counter(owner for owner, _ in pairs)
    images = Counter(owner for owner, _ in set(pairs))
    return [
        {
            "object": name,
            "images": images[name],
            "masks": masks[name],
            **{
                way: {**_ap(measured.ap.per_object[name]), **_of_object(measured, name, truth)}
                for way, measured in ways.items()
            },
        }
        for name in truth.objects
    ]


def _of_object(measured: Measured, name: str, truth: Dataset) -> Record:
    """Mean IoU of an object's parts that occur in the truth, of pixels and of outlines."""
    own = truth.parts.by_object[name]
    kinds = {"miou": measured.pixels.iou, "boundary_iou": measured.outlines.iou}
    return {key: mean_known(iou.get(label) for label in own) for key, iou in kinds.items()}


def _per_part(ways: Mapping[str, Measured], truth: Dataset, drawn: _Drawn) -> list[Record]:
    masks = Counter(annotation.category_id for _, annotation in drawn)
    return [
        {
            "object": category.object,
            "part": category.part,
            "category_id": category.id,
            "masks": masks[category.id],
            **{
                way: {
                    **_ap(measured.ap.per_category[category.id]),
                    "iou": measured.pixels.iou.get(truth.label_of[category.id]),
                    "boundary_iou": measured.outlines.iou.get(truth.label_of[category.id]),
                }
                for way, measured in ways.items()
            },
        }
        for category in truth.categories
    ]


def _masks(truth: Dataset) -> Iterator[tuple[Image, Annotation]]:
    """The masks that count: neither crowd regions nor what has no usable pixels."""
    return ((image, a) for image in truth.images for a, _ in drawn_masks(truth, image).masks)


def _owner(annotation: Annotation, truth: Dataset) -> str:
    return truth.category_by_id[annotation.category_id].object
