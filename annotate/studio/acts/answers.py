"""One annotation as an answer of the work: masks with provenance, a discard, or broken."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate.studio.api.raw import RawAnnotation
from annotate.studio.spelling.reading import Reading, read_result
from annotate.vocabulary import ObjectParts
from annotate.work import Answer, Image
from annotate.work.complaints import ERROR, PART_GONE, SENT_BACK, Problem, problem
from partlab.inclusions import related
from partlab.masks import Rle, area, iou, union

OVERLAP = 0.05  # share of the smaller of two parts
UNKNOWN_MODEL = "unknown"


@dataclass(frozen=True, slots=True)
class Context:
    """What an answer depends on besides the annotation.

    `models` names what made each prediction, by its id; where it is `named`, labels are names. A
    round that starts from the round before has those masks as predictions of a model called
    `start_from`.
    """

    parts: ObjectParts
    min_pixels: int
    model_help: bool
    models: Mapping[int, str]
    named: bool = False
    start_from: str | None = None


def read_annotation(annotation: RawAnnotation, image: Image, context: Context) -> Reading:
    """What is drawn in one annotation, in pixels of the data set's image.

    Label Studio's "Create Annotations From Predictions" copies regions without a word of their
    origin; in an annotation that began with a prediction they are the model's (D-05).
    """
    size, shown = (image.width, image.height), (image.shown[0], image.shown[1])
    return read_result(
        annotation.result,
        context.parts,
        size,
        shown,
        min_pixels=context.min_pixels,
        unsaid="manual" if annotation.parent_prediction is None else "prediction",
        named=context.named,
    )


def make_answer(annotation: RawAnnotation, image: Image, context: Context, **about: Any) -> Answer:
    """The answer for one image; `about` are its object, round, task, annotator and raw file.

    It is "broken", and counts as not done, when anything drawn could not be taken, when
    nothing is drawn and no discard reason given, when both are, or when a model helped although
    the work forbids it. Parts may be missing: they may be hidden in the picture.
    """
    reading = read_annotation(annotation, image, context)
    masks = _masks(reading, annotation, context)
    problems = [*_problems(reading), *_own_rules(reading, masks, context)]
    broken = any(one["severity"] == ERROR for one in problems)
    kind = "broken" if broken else "discard" if reading.discard else "masks"
    return Answer(
        **about,
        image_id=image.id,
        annotation_id=annotation.id,
        updated_at=annotation.updated_at,
        kind=kind,
        minutes=None if annotation.lead_time is None else annotation.lead_time / 60,
        reason=reading.discard,
        masks=masks if kind == "masks" else [],
        problems=problems,
    )


def same_drawing(reading: Reading, stored: Answer) -> bool:
    """Whether an annotation still holds what was taken from it before, whatever the labels say."""
    errors = {one["kind"] for one in stored.problems if one.get("severity") == ERROR}
    if _lost(reading) or errors - {PART_GONE, SENT_BACK} or reading.discard != stored.reason:
        return False
    drawn = {(mask.part, mask.object): mask.rle for mask in reading.masks}
    return reading.discard is not None or drawn == _united(stored.masks)


def _united(masks: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], Rle]:
    """One mask for each part and object: a change of the vocabulary may have left several."""
    layers: dict[tuple[str, int], list[Rle]] = {}
    for mask in masks:
        layers.setdefault((mask["part"], mask["object"]), []).append(mask["rle"])
    return {key: rles[0] if len(rles) == 1 else union(rles) for key, rles in layers.items()}


def _masks(reading: Reading, annotation: RawAnnotation, context: Context) -> list[dict[str, Any]]:
    """{part, object, rle, origin, model}; `model` is None where a person drew alone (D-05)."""
    model = context.models.get(annotation.parent_prediction or 0, UNKNOWN_MODEL)
    return [
        {
            "part": mask.part,
            "object": mask.object,
            "rle": mask.rle,
            "origin": mask.origin,
            "model": None if mask.origin == "manual" else mask.model or model,
        }
        for mask in reading.masks
    ]


def _lost(reading: Reading) -> bool:
    """Whether anything drawn could not be taken."""
    return any(found["severity"] == ERROR for found in reading.problems)


def _problems(reading: Reading) -> Iterator[Problem]:
    yield from reading.problems
    yield from (problem("note", note) for note in reading.notes)
    yield from (problem("speck", speck) for speck in reading.specks)


def _own_rules(
    reading: Reading, masks: Sequence[Mapping[str, Any]], context: Context
) -> Iterator[Problem]:
    own = (None, context.start_from)  # what people drew in the round before is theirs
    helped = sorted({context.parts.part(m["part"]).name for m in masks if m["model"] not in own})
    if helped and not context.model_help:
        words = f"{', '.join(helped)} came from a model, which this work forbids: draw them by hand"
        yield problem("model-help", words)
    by_hand = any(mask["origin"] != "prediction" for mask in masks)
    if reading.discard and by_hand:
        words = (
            f"it is both drawn and given up ({reading.discard}): take the reason back, or delete "
            "what is drawn"
        )
        yield problem("discard-with-masks", words)
    if not masks and not reading.discard and not _lost(reading):
        words = "nothing is drawn and no reason given: draw it, or say why it cannot be drawn"
        yield problem("nothing-drawn", words)
    yield from _overlaps(masks, context.parts)


def _overlaps(masks: Sequence[Mapping[str, Any]], parts: ObjectParts) -> Iterator[Problem]:
    """Parts of one object that share pixels without a declared inclusion (M-02): a warning."""
    rles = [mask["rle"] for mask in masks]
    areas = [area(rle) for rle in rles]
    ratios = np.triu(iou(rles, rles), 1)
    for a, b in zip(*np.nonzero(ratios), strict=True):
        shared = ratios[a, b] * (areas[a] + areas[b]) / (1 + ratios[a, b])
        share = shared / min(areas[a], areas[b])
        one, other = masks[a]["part"], masks[b]["part"]
        same_object = masks[a]["object"] == masks[b]["object"]
        if share > OVERLAP and same_object and not nested(one, other, parts):
            small, large = (one, other) if areas[a] <= areas[b] else (other, one)
            names = parts.part(small).name, parts.part(large).name
            gist = f"{names[0]} lies in {names[1]}, and no inclusion is declared"
            words = f"{share:.0%} of {gist}"
            yield problem("overlap", words, gist=gist, parts=[small, large])


def nested(one: str, other: str, parts: ObjectParts) -> bool:
    """Whether one of two parts lies in the other, as declared."""
    return related(one, other, parts.inclusions)
