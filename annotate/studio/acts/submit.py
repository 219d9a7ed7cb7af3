"""A finished round comes back as one batch: masks, inclusions and discards, with a hash (M-08)."""

from typing import Any

from annotate.work import Batch, Work, open_images
from partlab.files import sha256_json, write_json

MANIFEST = "manifest.json"


def submit_finished(work: Work, batch: Batch, who: str) -> bool:
    """Submit a round that is being drawn, if every image has masks or a discard.

    The manifest is kept beside the raw exports; the event carries its hash.
    """
    with work.read() as session:
        if batch.state != "annotating" or open_images(session, batch):
            return False
    manifest = make_manifest(work, batch)
    write_json(work.raw_folder(batch.object, batch.round) / MANIFEST, manifest)
    counts = {"images": len(manifest["images"]), "discards": len(manifest["discards"])}
    counts["masks"] = sum(len(masks) for masks in manifest["images"].values())
    data = {"manifest_hash": sha256_json(manifest), **counts}
    work.record("submitted", who=who, object=batch.object, round=batch.round, data=data)
    return True


def make_manifest(work: Work, batch: Batch) -> dict[str, Any]:
    """What a round holds: for each image the hash of each mask, and each discard's reason.

    `inclusions` is inner part id -> outer part id or ids, as declared when it is made (M-04).
    """
    images: dict[str, dict[str, str]] = {}
    discards: dict[str, str | None] = {}
    for answer in work.answers(batch.object, batch.round):
        if answer.kind == "discard":
            discards[str(answer.image_id)] = answer.reason
        else:
            images[str(answer.image_id)] = {
                f"{mask['part']}#{mask['object']}": sha256_json(mask["rle"])
                for mask in answer.masks
            }
    return {
        "object": batch.object,
        "round": batch.round,
        "annotator": batch.assignee,
        "vocabulary_version": batch.vocabulary_version,
        "inclusions": dict(work.moves(batch).parts.inclusions),
        "images": images,
        "discards": discards,
    }
