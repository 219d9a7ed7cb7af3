"""Comments in a vocabulary's file as remarks: files of before had no field for them.

What stands behind or above a part or an object becomes its `remark`. Everything is read line by
line: where rows and objects begin is the parser's word, what a comment is a look at the line.
"""

import re
from collections import defaultdict
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"")
_COMMENT = re.compile(r"(?:^|\s)#(.*)$")
_Place = tuple[Any, int | None]  # an object, and which of its parts


def take_remarks(text: str, values: dict[str, Any]) -> int:
    """Put the comments of a file into the `remark` of what they are about.

    `values` are what the file says. Returns how many comments are about no object or part.
    """
    if not has_comments(text):
        return 0
    remarks, stray = _remarks(text, _places(text))
    for place, found in remarks.items():
        _put(values["objects"], place, "; ".join(found))
    return stray


def has_comments(text: str) -> bool:
    """Whether a file has any."""
    return "#" in text and any(map(_comment_at, text.split("\n")))


def _comment_at(line: str) -> re.Match[str] | None:
    return _COMMENT.search(_QUOTED.sub(lambda quoted: "x" * len(quoted[0]), line))


def _places(text: str) -> dict[int, _Place]:
    """Which object or part begins in a line; where several parts do, it is their object."""
    document = YAML().load(text)
    objects = document.get("objects") if isinstance(document, CommentedMap) else None
    if not isinstance(objects, CommentedMap):
        return {}
    found: dict[int, _Place] = {}
    seen = set[int]()
    for name, entry in objects.items():
        found[objects.lc.key(name)[0]] = (name, None)
        rows = entry.get("parts") if isinstance(entry, CommentedMap) else entry
        if isinstance(rows, CommentedSeq) and id(rows) not in seen:  # an anchor may share it
            seen.add(id(rows))
            for number in range(len(rows)):
                line = rows.lc.item(number)[0]
                found[line] = (name, None if line in found else number)
    return found


def _remarks(text: str, places: dict[int, _Place]) -> tuple[dict[_Place, list[str]], int]:
    remarks: defaultdict[_Place, list[str]] = defaultdict(list)
    above: list[str] = []
    place: _Place | None = None
    stray = 0
    for number, line in enumerate(text.split("\n")):
        comment = _comment_at(line)
        words = [line[comment.start(1) :].strip()] if comment else []
        if comment and not line[: comment.start(1) - 1].strip():
            above += words
            continue
        if line.strip():
            outside = line[0] not in " \t-"  # a field of the file itself
            place = places.get(number, None if outside else place)
            words, above = [*above, *words], []
        if place is not None:
            remarks[place] += filter(None, words)
        else:
            stray += len(words)
    return {place: found for place, found in remarks.items() if found}, stray + len(above)


def _put(objects: dict[Any, Any], place: _Place, remark: str) -> None:
    name, number = place
    entry = objects[name]
    if isinstance(entry, list):
        entry = objects[name] = {"parts": entry}
    if number is None:
        holder = objects[name] = entry if entry is not None else {}
    else:
        rows = entry["parts"]
        holder = rows[number] = (
            {"name": rows[number]} if isinstance(rows[number], str) else rows[number]
        )
    if isinstance(holder, dict):
        holder.setdefault("remark", remark)
