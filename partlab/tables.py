"""Text and tables as people's programs write them: byte order marks, semicolons, tabs.

One home for reading what somebody typed or saved from a spreadsheet. Text is UTF-8; anything
else is refused by name, for guessing an encoding would change people's names without a word.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from partlab.errors import NotFoundError, SchemaError
from partlab.places import is_remote, located, opened

DELIMITERS = ",;\t"
_UTF8_HINT = "save it as CSV in UTF-8, or as plain text in UTF-8"


def read_text(path: str | Path) -> str:
    """A whole UTF-8 text file, without its byte order mark.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is in another encoding, which is named, or no text.
    """
    with open_text(path) as handle:
        return handle.read()


@contextmanager
def open_text(path: str | Path) -> Iterator[TextIO]:
    """A UTF-8 text file to read line by line; line ends stay, as `csv` wants them.

    Raises:
        NotFoundError, SchemaError: as `read_text`, the latter also while it is being read.
    """
    try:
        with _text(located(path)) as handle:
            yield handle
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except IsADirectoryError:
        raise NotFoundError(f"{path} is a folder, not a file") from None
    except UnicodeDecodeError as error:
        raise SchemaError(
            f"{path} is not UTF-8 text: it looks like {_encoding(located(path))}", hint=_UTF8_HINT
        ) from error


def _text(path: Path) -> TextIO:
    if is_remote(path):
        return io.TextIOWrapper(opened(path), encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _encoding(path: Path) -> str:
    with opened(path) as handle:
        head = handle.read(4096)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16, which Excel calls Unicode text"
    if any(byte < 32 and byte not in b"\t\n\r" for byte in head) or head[:3] == b"\xff\xd8\xff":
        return "no text at all"
    return "Windows-1252 (ANSI), or another old encoding"


def delimiter_of(head: str) -> str:
    """What separates the columns of a table that begins with this line: comma, `;` or tab."""
    return max(DELIMITERS, key=head.count)


def rows_of(text: str, *, strict: bool = False) -> "csv.DictReader[str]":
    """The rows of a table with a header line, by column name; cells as they are written."""
    delimiter = delimiter_of(text.partition("\n")[0])
    lines = io.StringIO(text, newline="")
    return csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)


def list_delimiter(lines: Sequence[str]) -> str:
    """The delimiter of a list that need not have columns, from its first lines.

    Semicolons and tabs only where every line has exactly one, for names may hold them.
    """
    filled = [line for line in lines if line.strip()]
    found = (d for d in ";\t" if filled and all(line.count(d) == 1 for line in filled))
    return "," if any("," in line for line in filled) else next(found, ",")
