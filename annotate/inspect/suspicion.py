"""Scores of an audit, for plans that begin with the likely wrong images."""

from collections.abc import Iterable
from math import isfinite
from pathlib import Path

from annotate.work import Image
from partlab.errors import SchemaError
from partlab.files import read_json


def read_suspicion(path: Path, images: Iterable[Image]) -> dict[int, float]:
    """Image id -> suspicion (higher: more likely wrong), from what an audit wrote.

    Images are matched by file name; those the audit did not see have none.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not an audit's file, or of none of these images.
    """
    found = read_json(path)
    try:
        scores = {one["file_name"]: float(one["suspicion"]) for one in found["images"]}
        if not all(map(isfinite, scores.values())):
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise SchemaError(
            f"{path} is not the file of an audit", hint="`partlab inspect audit --out` writes it"
        ) from None
    known = {i.id: scores[i.file_name] for i in images if i.file_name in scores}
    if not known:
        raise SchemaError(f"{path} is an audit of none of these images")
    return known
