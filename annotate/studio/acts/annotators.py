"""Who draws what: whole object categories, one annotator each (M-05)."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from partlab.errors import (
    ConfigError,
    DatasetError,
    SchemaError,
    UnknownNameError,
)
from partlab.tables import read_text, rows_of

Annotators = list[str] | Mapping[str, str]
"""Emails for round robin, or the email for each object category."""


def read_annotators(given: str) -> Annotators:
    """Emails by comma, or object -> email from a CSV file with the columns object and email.

    Comma, semicolon or tab, as spreadsheets write it.

    Raises:
        SchemaError: the file has not these columns, or says one object twice.
        ConfigError: nobody is named.
    """
    path = Path(given)
    if path.suffix.lower() != ".csv":
        emails = [email.strip().lower() for email in given.split(",") if email.strip()]
        if not emails:
            raise ConfigError("nobody is named by --annotators", hint="name at least one email")
        return emails
    try:
        rows = list(rows_of(read_text(path)))
    except csv.Error as error:
        raise SchemaError(f"{path} is not a CSV file: {error}") from error
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        owner, email = (str(row.get(key) or "").strip() for key in ("object", "email"))
        if not owner or not email:
            raise SchemaError(f"{path} line {number} has no object or no email",
                              hint="the first line reads: object,email")  # fmt: skip
        if owner in found:
            raise SchemaError(f"{path} line {number}: {owner} is there twice; one annotator "
                              "draws a whole category")  # fmt: skip
        found[owner] = email.lower()
    return found


def assign(objects: Sequence[str], annotators: Annotators) -> dict[str, str]:
    """One annotator for each whole category (M-05): round robin, or as the mapping says.

    Raises:
        UnknownNameError: the mapping names a category that is not in `objects`.
        DatasetError: it leaves one out.
    """
    if not isinstance(annotators, Mapping):
        return {name: annotators[i % len(annotators)] for i, name in enumerate(objects)}
    for name in annotators:
        if name not in objects:
            raise UnknownNameError("object category", name, objects)
    if missing := [name for name in objects if name not in annotators]:
        raise DatasetError(f"nobody is named for {', '.join(missing)}")
    return {name: annotators[name] for name in objects}
