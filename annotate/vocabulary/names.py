"""When two part names are the same name: case, spaces, signs between words, plural."""

import unicodedata
from collections.abc import Container, Iterable
from itertools import chain, count

from partlab.parts import folded as folded

_IRREGULAR = {
    "feet": "foot",
    "teeth": "tooth",
    "geese": "goose",
    "mice": "mouse",
    "lens": "lens",
    "lenses": "lens",
}
_VES = frozenset({"leaves", "knives", "wolves", "halves", "shelves", "scarves", "calves", "hooves"})
_SINGULAR_S = ("ss", "us", "is", "as")


LONGEST = 80
"""Characters of a name that labels and tables still show."""


def tidy(name: str) -> str:
    """The name as it is shown: NFC, one space between words, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def fault_of(name: str) -> str | None:
    """Why a name would be misread in labels, lists or files; None if it is fine."""
    if name != tidy(name) or not name:
        return "it has blanks too many"
    if not name.isprintable():
        return "it has signs that cannot be seen"
    if sign := next((sign for sign in ",:" if sign in name), None):
        return f"it has a {sign!r}, which stands between names"
    if name.startswith("$"):
        return "it starts with '$', which Label Studio replaces"
    return f"it is longer than {LONGEST} characters" if len(name) > LONGEST else None


def free_name(name: str, more: Iterable[str | None], taken: Container[str]) -> str:
    """The name, or with the first of `more` that sets it apart: `crane (n03126707)`.

    `more` are aliases and ids; `taken` holds folded names.
    """
    ends = chain(filter(None, more), map(str, count(2)))
    options = chain([name], (f"{name} ({end})" if name else end for end in ends))
    return next(each for each in options if each and folded(each) not in taken)


def name_key(name: str) -> str:
    """Equal for names that mean one thing in English: `Side mirrors` and `side_mirror`.

    A key to compare by, not a word to show: `shoe`, like `shoes`, gives `sho`.
    """
    *before, last = folded(name).split(" ")
    return " ".join([*before, _singular(last)])


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _VES:
        return word[:-3] + ("fe" if word == "knives" else "f")
    if word.endswith(("oe", "oes")):  # shoes and tomatoes alike
        return word.removesuffix("s")[:-1]
    if len(word) < 4 or not word.endswith("s") or word.endswith(_SINGULAR_S):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-1]
