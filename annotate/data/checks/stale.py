"""Exports of a work whose categories were opened again since: their manifest says so."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from annotate.data.checks.kinds import KINDS
from partlab.errors import PartlabError
from partlab.files import read_json
from partlab.schema import Finding

MANIFEST, STALE = "manifest.json", "stale"


def read_manifest(folder: Path) -> dict[str, Any]:
    """What an export says of itself; {} where it is none of ours: anybody may have such a file."""
    with suppress(PartlabError, OSError):
        found = read_json(folder / MANIFEST)
        if isinstance(found, dict):
            return found
    return {}


def stale_findings(folder: Path) -> Iterator[Finding]:
    """A finding for each category that was opened again after the export."""
    stale = read_manifest(folder).get(STALE)
    for name, why in stale.items() if isinstance(stale, dict) else ():
        yield KINDS["stale"].at(f"{name} was opened again after this export: {why}")
