"""Any tool's predictions beside ours on the same masks, each measured in the same way.

Three ways to count: by name as it is, by name after matching (`NameMap`),
and without names, all parts as one category. AP and mean IoU are never one figure.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from partlab.composite import Layer, flatten
from partlab.errors import ConfigError, DatasetError
from partlab.files import sha256_file
from partlab.images import load_image
from partlab.masks import BoolMask, decode
from partlab.objects import require_ids
from partlab.progress import track
from partlab.schema import Category, Dataset, Image
from partlab.truth import need_masks, usable
from segmenter.ap import ApMeter, Result
from segmenter.checks import fits
from segmenter.composite_metrics import PixelMeter
from segmenter.evaluate import EvaluationSettings
from segmenter.label_space import truth_layers
from segmenter.objects import objects_shown
from segmenter.others.predictions import NameMap, Predictions, Table, match_names
from segmenter.protocol import Detections, Segmenter

Record = dict[str, Any]
TRAINED = ("in-domain", "zero-shot", "joint")
NOT_SAID = "not said"
VLPART: tuple[Record, ...] = (  # published for PartImageNet's validation set; never ours
    {"name": "VLPart R50, trained on PartImageNet", "in-domain": {"ap": 0.297, "ap50": 0.541}},
    {"name": "VLPart R50, trained on PASCAL-Part", "zero-shot": {"ap": 0.045}},
    {
        "name": "VLPart R50, also on LVIS, PACO and ImageNet pictures it labelled itself",
        "zero-shot": {"ap": 0.118},
    },
    {
        "name": "VLPart R50, trained on LVIS, PACO, PASCAL-Part and PartImageNet",
        "joint": {"ap": 0.291, "ap50": 0.520},
    },
)
VLPART_SOURCE = "VLPart, MODEL_ZOO.md: mask AP on PartImageNet's validation set, 40 part categories"


@dataclass(frozen=True, slots=True)
class Compared:
    """One model: what it found, and how it was trained as seen from the data set."""

    name: str
    trained: str
    predictions: Predictions
    path: Path | None = None  # the file, or the run's folder


def split_trained(text: str) -> tuple[str, Path]:
    """`zero-shot=FILE` -> how the model was trained, and the file; `FILE` alone does not say.

    Raises:
        ConfigError: it says another way.
    """
    how, sign, rest = text.partition("=")
    if not sign or Path(text).exists():
        return NOT_SAID, Path(text)
    if how not in TRAINED:
        raise ConfigError(
            f"{text!r} does not say how the model was trained", hint=f"{', '.join(TRAINED)}=FILE"
        )
    return how, Path(rest)


def found_by(
    segmenter: Segmenter, data: Dataset, settings: EvaluationSettings
) -> tuple[Predictions, Predictions]:
    """What a segmenter finds without and with the category filter; all masks are in memory.

    Raises:
        NotFoundError, DatasetError: a picture is missing, damaged or of another size.
    """
    both: tuple[dict[int, list[Result]], dict[int, list[Result]]] = ({}, {})
    for image in track(data.images, "predicting", len(data.images)):
        pixels = load_image(data.image_path(image))
        fits(image, (pixels.shape[1], pixels.shape[0]))
        shown = [objects_shown(image, data, segmenter.parts)]
        ways = segmenter.predict_both([pixels], shown, threshold=settings.score_threshold)
        for way, (found,) in zip(both, ways, strict=True):
            way[image.id] = _results(found, image)
    names = dict(enumerate(segmenter.names))
    return Predictions(names, both[0]), Predictions(names, both[1])


def _results(found: Detections, image: Image) -> list[Result]:
    return [
        {
            "image_id": image.id,
            "category_id": int(label),
            "segmentation": rle,
            "score": float(score),
        }
        for label, rle, score in zip(found.labels, found.masks, found.scores, strict=True)
    ]


def compare(
    models: Sequence[Compared],
    data: Dataset,
    *,
    table: Table | None = None,
    settings: EvaluationSettings | None = None,
) -> Record:
    """Measure every model on the masks of `data`; shares in 0…1, None where nothing can be said.

    Crowd regions and masks that cannot be used are treated as in `segmenter.evaluate`. A found
    part that the data set does not have counts for no AP; in the composite its pixels are wrong.

    Raises:
        DatasetError: no images, or no masks to measure against.
        SchemaError: an id is two images or two categories; the table names an unknown part.
    """
    require_ids(data)
    settings = settings or EvaluationSettings()
    if not data.images:
        raise DatasetError(f"{data.path or 'the data set'} has no images")
    data, masks = usable(data)
    need_masks(data, masks)
    return {
        "images": len(data.images),
        "masks": masks.masks,
        "masks_left_out": len(masks.left_out),
        "settings": settings.model_dump(),
        "models": [_model(model, data, table, settings) for model in models],
        "references": {"source": VLPART_SOURCE, "rows": list(VLPART)},
    }


def _model(
    model: Compared, data: Dataset, table: Table | None, settings: EvaluationSettings
) -> Record:
    found = model.predictions
    names = match_names(found.names.values(), data.names, table)
    return {
        "name": model.name,
        "path": str(model.path) if model.path else None,
        "sha256": sha256_file(model.path) if model.path and model.path.is_file() else None,
        "trained": model.trained,
        "of": "masks" if found.of == "segm" else "boxes",
        "predictions": len(found),
        "images_with_predictions": sum(map(bool, found.results.values())),
        "left_out": dict(found.left_out),
        "names": _counted(names, found),
        "by_name": _measured(found, names.same, data, settings),
        "mapped": _measured(found, names.all, data, settings, skipped=names.left_out),
        "class_agnostic": _nameless(found, data, settings),
    }


def _counted(names: NameMap, found: Predictions) -> Record:
    """The map, and how many predictions each kind of match concerns."""
    count = Counter(
        found.names[record["category_id"]] for own in found.results.values() for record in own
    )
    kinds = asdict(names)
    numbers = {kind: sum(count[name] for name in kinds[kind]) for kind in kinds}
    return {
        "map": {kind: dict(kinds[kind]) for kind in ("same", "alike", "table")},
        "left_out": list(names.left_out),
        "unknown": {name: count[name] for name in names.unknown},
        "predictions": numbers,
    }


def _measured(
    found: Predictions,
    to: Mapping[str, str],
    data: Dataset,
    settings: EvaluationSettings,
    skipped: Sequence[str] = (),
) -> Record:
    """AP and mean IoU with these names; predictions of names that have none are wrong pixels."""
    ids = {category.name: category.id for category in data.categories}
    ours = {number: ids[to[name]] for number, name in found.names.items() if name in to}
    labels = {number: data.label_of[id] for number, id in ours.items()}
    gone = {number for number, name in found.names.items() if name in skipped}
    foreign = len(data.names)
    ap, pixels = ApMeter(data, settings.max_dets, found.of), PixelMeter(len(data.names) + 1)
    for image in track(data.images, "measuring", len(data.images)):
        own = [r for r in found.results.get(image.id, ()) if r["category_id"] not in gone]
        known = [r for r in own if r["category_id"] in ours]
        ap.update(image, [{**r, "category_id": ours[r["category_id"]]} for r in known])
        if found.of == "segm":
            drawn = [
                Layer(labels.get(r["category_id"], foreign), r["segmentation"], r["score"])
                for r in own
                if r["score"] >= settings.composite_threshold
            ]
            _compare_pixels(pixels, drawn, data, image)
    scores, composite = ap.result(), pixels.result()
    return {
        "ap": scores.ap,
        "ap50": scores.ap50,
        "ap75": scores.ap75,
        "miou": composite.miou if found.of == "segm" else None,
        "part_miou": composite.part_miou if found.of == "segm" else None,
        "parts_named": len(set(ours.values())),
    }


def _compare_pixels(meter: PixelMeter, drawn: list[Layer], data: Dataset, image: Image) -> None:
    truth, size = truth_layers(data, image), (image.height, image.width)
    parents = data.parts.parents
    ignored: BoolMask | None = None if truth.ignored is None else decode(truth.ignored)
    meter.update(flatten(drawn, size, parents), flatten(truth.layers, size, parents), ignored)


def _nameless(found: Predictions, data: Dataset, settings: EvaluationSettings) -> Record:
    """AP with all parts as one category: is the shape right, whatever it is called?"""
    one = Category.new(1, "any", "part")
    merged = [a.changed(category_id=one.id) for a in data.annotations]
    meter = ApMeter(
        replace(data, categories=[one], annotations=merged, inclusions={}),
        settings.max_dets,
        found.of,
    )
    for image in data.images:
        own = found.results.get(image.id, ())
        meter.update(image, [{**result, "category_id": one.id} for result in own])
    scores = meter.result()
    return {"ap": scores.ap, "ap50": scores.ap50, "ap75": scores.ap75}
