"""Lists of object categories as people have them: names, wnids, QIDs, one a line.

# farm
ram
hammer = Q25294
n03481172
n02412080 ram, tup
acoustic guitar,n02676566,Q31561
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from annotate.vocabulary.names import folded, tidy
from annotate.vocabulary.proposals import part_name
from partlab.errors import NotFoundError, SchemaError
from partlab.tables import read_text

_WNID = re.compile(r"n\d{8}")
_SYNSET = re.compile(r"\d{8}-n")
_QID = re.compile(r"[Qq][1-9]\d*")
_HEADS = frozenset({"name", "wnid", "qid", "synset", "object", "category", "class", "id", "label"})
_LINE = re.compile(r"\s*[=,;\t]\s*")
_FIRST_ID = re.compile(r"(n\d{8}|\d{8}-n|[Qq][1-9]\d*)\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Category:
    """What is known of one object category: any of name, wnid (WordNet 3.0), QID, synset (3.1)."""

    name: str = ""
    wnid: str | None = None
    qid: str | None = None
    synset: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """How to call it in a message."""
        return self.name or self.wnid or self.qid or self.synset or ""


def read_categories(source: str) -> tuple[list[Category], list[str]]:
    """The categories of a file, of standard input (`-`) or of a list by comma, each once.

    Also returns those named twice.

    Raises:
        NotFoundError: it looks like a file, and there is none.
        SchemaError: it is not text, or names nothing.
    """
    categories = [_category(line) for line in _lines(source) if not _is_head(line)]
    if not categories:
        raise SchemaError(f"no object category in {source!r}", hint="write one a line")
    return without_twins(categories)


def without_twins(categories: Iterable[Category]) -> tuple[list[Category], list[str]]:
    """Each category once; twins have the same wnid, or QID and no wnid, or only the same name."""
    kept: dict[str, Category] = {}
    twice = []
    for one in categories:
        key = one.wnid or one.synset or one.qid or folded(one.name)
        if key in kept:
            twice.append(one.shown)
        kept.setdefault(key, one)
    return list(kept.values()), twice


def _lines(source: str) -> list[str]:
    if source == "-":
        text = sys.stdin.read()
    elif _is_file(source):
        text = read_text(Path(source))
    elif re.search(r"[\\/]|\.(txt|csv|tsv|lst|list|md|json|ya?ml)$", source):
        raise NotFoundError(
            f"no file {source}",
            hint="name a list with one object category a line, or the categories by comma",
        )
    else:
        text = source.replace(",", "\n")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except (OSError, ValueError):  # a list too long to be a file name
        return False


def _is_head(line: str) -> bool:
    words = _LINE.split(line.casefold())
    return len(words) > 1 and set(words) <= _HEADS


def _category(line: str) -> Category:
    if first := _FIRST_ID.match(line):  # "n01440764 tench, Tinca tinca"
        line = f"{first[1]},{line[first.end() :]}"
    found = Category()
    names = []
    for word in filter(None, (tidy(word.strip("\"' ")) for word in _LINE.split(line))):
        if _WNID.fullmatch(word):
            found = replace(found, wnid=word)
        elif _SYNSET.fullmatch(word):
            found = replace(found, synset=word)
        elif _QID.fullmatch(word):
            found = replace(found, qid=word.upper())
        else:
            names.append(part_name(word.replace("_", " ")))
    return replace(found, name=names[0] if names else "", aliases=tuple(names[1:]))
