"""Data sets that were made of a work, and which of them a reopened category makes stale."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotate.data.stale import MANIFEST, STALE, read_manifest
from annotate.work import Work
from partlab.files import write_json


def note_export(work: Work, out: Path, rounds: Mapping[str, Mapping[str, Any]]) -> None:
    """Note in the history where a data set lies and which round of each category it holds."""
    held = {object: [about["round"], work.hash_of(object)] for object, about in rounds.items()}
    work.record("exported", who="partlab", data={"out": str(out.absolute()), "categories": held})


def mark_stale(work: Work, object: str, round: int, reason: str) -> dict[Path, bool]:
    """Say in each data set that holds this round that it is stale; whether it was found there.

    A folder is changed only where its manifest names this work.
    """
    found: dict[Path, bool] = {}
    for event in work.events():
        held = event.data["categories"].get(object) if event.what == "exported" else None
        if held and held[0] == round:
            out = Path(event.data["out"])
            marked = [_mark(folder, work, object, reason) for folder in _folders(out)]
            found[out] = any(marked)
    return found


def _folders(out: Path) -> list[Path]:
    """A data set, or one for each round."""
    return [file.parent for file in [*out.glob(MANIFEST), *out.glob(f"r*/{MANIFEST}")]]


def _mark(folder: Path, work: Work, object: str, reason: str) -> bool:
    manifest = read_manifest(folder)
    if (manifest.get("work") or {}).get("id") != work.settings.id:
        return False
    write_json(
        folder / MANIFEST, {**manifest, STALE: {**(manifest.get(STALE) or {}), object: reason}}
    )
    return True
