"""Images, refusals and rounds of a work, as a data set keeps them."""

from collections.abc import Mapping
from typing import Any

from annotate.inspect.discards import DiscardCase
from annotate.work import Batch, Image, Verdict
from partlab import schema
from partlab.schema import Discard


def reviews_of(batch: Batch, verdicts: Mapping[int, Verdict]) -> str:
    """How a category was inspected, and by whom."""
    inspectors = sorted({verdict.inspector for verdict in verdicts.values()})
    by = f" by {', '.join(inspectors)}" if inspectors else ""
    return f"{batch.state} r{batch.round}{by}"


def review_of(batch: Batch, verdict: Verdict | None) -> str:
    """How one image came through the inspection of its category."""
    if verdict is None:
        said = "not looked at"
    elif verdict.passed:
        said = f"passed by {verdict.inspector}"
    else:
        said = f"failed by {verdict.inspector}: {verdict.reason}"
    return f"{batch.state} r{batch.round}, {said}"


def image_record(image: Image, suggested_by: str | None, verdict: Verdict | None) -> schema.Image:
    """An image, with the model that suggested masks in it and its inspector's word."""
    ours: dict[str, Any] = {"object": image.object, **image.ours}
    ours |= {"sha256": image.sha256} if image.sha256 else {}
    ours |= {"suggested_by": suggested_by} if suggested_by else {}
    if verdict is not None:
        names = ("passed", "inspector", "reason", "note")
        said = {name: getattr(verdict, name) for name in names}
        ours["verdict"] = {name: value for name, value in said.items() if value is not None}
    return schema.Image.new(image.id, image.file_name, (image.width, image.height), **ours)


def discard_record(image: Image, case: DiscardCase) -> Discard:
    """A refused image, with why, by whom, and what each inspector said of that."""
    verdicts = [
        {"inspector": r.inspector, "uphold": r.uphold, "at": r.at, "note": r.note}
        for r in case.reviews
    ]
    ours: dict[str, Any] = {"object": case.object, "reason": case.reason, "round": case.round}
    ours |= {"annotator": case.annotator, "verdicts": verdicts, "sha256": image.sha256}
    raw: dict[str, Any] = {"id": image.id, "file_name": image.file_name}
    raw |= {"width": image.width, "height": image.height, schema.OURS: {**image.ours, **ours}}
    return Discard(raw)


def round_record(batch: Batch) -> dict[str, Any]:
    """The round that a category was taken from."""
    names = ("round", "state", "vocabulary_version", "manifest_hash", "plan", "seed")
    return {"annotator": batch.assignee, **{name: getattr(batch, name) for name in names}}
