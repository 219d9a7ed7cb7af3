"""The stale mark: a category was opened again after the export that its masks come from.

In an export it stands in the manifest, `{"stale": {object: reason}}`, so that its other files stay
as they are. Data made from an export carry it in their own values, `partlab.stale`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotate.data.checks.kinds import KINDS
from partlab.errors import PartlabError
from partlab.files import read_json
from partlab.schema import OURS, Dataset, Finding

MANIFEST, STALE = "manifest.json", "stale"


def read_manifest(folder: Path) -> dict[str, Any]:
    """What an export says of itself; {} where it is none of ours: anybody may have such a file."""
    with suppress(PartlabError, OSError):
        found = read_json(folder / MANIFEST)
        if isinstance(found, dict):
            return found
    return {}


def stale_in(dataset: Dataset) -> dict[str, str]:
    """Why, for each category that is stale: as the data set says, and the manifest beside it."""
    said = [dict(dataset.top.get(OURS) or {}).get(STALE)]
    if dataset.path is not None and dataset.path.parent.name == "annotations":
        said.insert(0, read_manifest(dataset.path.parent.parent).get(STALE))
    return _together([one for one in said if isinstance(one, dict)])


def marked(dataset: Dataset, others: Sequence[Dataset] = ()) -> Dataset:
    """The data set with the stale marks of its export, and of `others`, in its own values.

    Whoever reads a data set to write another one reads it so.
    """
    stale = _together([stale_in(one) for one in (dataset, *others)])
    if not stale:
        return dataset
    ours = {**(dataset.top.get(OURS) or {}), STALE: stale}
    return replace(dataset, top={**dataset.top, OURS: ours})


def _together(said: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Each category with all that is said of it, each reason once."""
    found: dict[str, dict[str, None]] = {}
    for one in said:
        for name, why in one.items():
            found.setdefault(str(name), {}).update(dict.fromkeys(str(why).split("; ")))
    return {name: "; ".join(reasons) for name, reasons in found.items()}


def stale_findings(dataset: Dataset) -> Iterator[Finding]:
    """A finding for each category that was opened again after the export."""
    for name, why in stale_in(dataset).items():
        yield KINDS["stale"].at(f"{name} was opened again after this was exported: {why}")
