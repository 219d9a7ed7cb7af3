"""Lists of records in a YAML document: rows come and go, the comments of the others stay.

ruamel.yaml keeps the comment lines above a row with the row before it. So when rows change,
those lines are lifted off and laid down again where they were read. And what an anchor shares
is one object to it, so that an edit of one place would change them all.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

Fill = Callable[[CommentedMap, dict[str, Any]], None]


def replace_rows(
    old: Any, rows: Sequence[dict[str, Any]], key: Callable[[Any], Any], fill: Fill
) -> CommentedSeq:
    """The list with these rows; `key` says which of the old ones a row is, `fill` sets values.

    An old row may be a name alone, and stays one where nothing else is to be said of it. New
    rows are written in the style of the last old one, `{a: b}` or one line a value.
    """
    if not isinstance(old, CommentedSeq):
        old = CommentedSeq()
    places: dict[Any, list[int]] = {}
    for n, row in reversed(list(enumerate(old))):
        if isinstance(row, CommentedMap | str):
            places.setdefault(key(row), []).append(n)
    inline = bool(old.fa.flow_style() or (len(old) and _is_inline(old[-1])))
    behind = _lift(old)
    made = CommentedSeq()
    made.ca.comment = old.ca.comment
    if old.fa.flow_style():
        made.fa.set_flow_style()
    kept: list[int | None] = []
    for values in rows:
        known = places.get(key(values))
        place = known.pop() if known else None
        kept.append(place)
        row = CommentedMap() if place is None else _record(old[place])
        if place is None and inline:
            row.fa.set_flow_style()
        fill(row, values)
        made.append(row)
        if place is not None:
            _keep(made, old, place)
    _lay(made, kept, behind)
    return made


def _record(row: CommentedMap | str) -> CommentedMap:
    return row if isinstance(row, CommentedMap) else CommentedMap(name=row)


def _keep(made: CommentedSeq, old: CommentedSeq, place: int) -> None:
    """Give the new list's last row the comment of the old one; a name that says all stays bare."""
    bare, comment = isinstance(old[place], str), old.ca.items.get(place)
    if bare and made[-1] == _record(old[place]):
        made[-1] = old[place]
    elif bare and comment and not made.fa.flow_style():
        made[-1].ca.items["name"] = [None, None, comment[0], None]
        return
    if comment:
        made.ca.items[len(made) - 1] = comment


def _is_inline(row: Any) -> bool:
    return isinstance(row, CommentedMap) and bool(row.fa.flow_style())


def _lift(old: CommentedSeq) -> dict[int, str]:
    """Take the comment lines between rows off, by the place of the row they stand behind."""
    found = {}
    for place, row in enumerate(old):
        token = _token(old, place, row)
        if token is not None:
            first, newline, rest = token.value.partition("\n")
            token.value = first + newline
            if rest.strip():
                found[place] = rest
    return found


def _lay(made: CommentedSeq, places: Sequence[int | None], behind: dict[int, str]) -> None:
    """Put each comment behind the last kept row that stood at or before it; the end's at the end.

    What stood behind the very last row belongs to what follows the list.
    """
    if not len(made):
        return
    for place, text in behind.items():
        kept = [n for n, old in enumerate(places) if old is not None and old <= place]
        last = len(made) - 1
        at_end = place == max(behind) and not any(p is not None and p > place for p in places)
        _append(made, last if at_end or not kept else kept[-1], text)


def _append(made: CommentedSeq, place: int, text: str) -> None:
    row = made[place]
    token = _token(made, place, row)
    if token is not None:
        token.value = token.value.rstrip("\n") + "\n" + text
        return
    token = CommentToken("\n" + text, CommentMark(0), None)
    if _is_inline(row) or not isinstance(row, CommentedMap) or not row:
        made.ca.items[place] = [token, None, None, None]
    else:
        row.ca.items[list(row)[-1]] = [None, None, token, None]


def _token(rows: CommentedSeq, place: int, row: Any) -> Any:
    """The comment that ends a row: behind its braces, or behind its last value."""
    if isinstance(row, CommentedMap) and row and not _is_inline(row):
        found = row.ca.items.get(list(row)[-1])
        if found and found[2] is not None:
            return found[2]
    found = rows.ca.items.get(place)
    return found[0] if found else None


def unshared(node: Any, seen: set[int] | None = None) -> Any:
    """The document with what anchors share written out: an edit changes one place only."""
    seen = set() if seen is None else seen
    if not isinstance(node, CommentedMap | CommentedSeq):
        return node
    if id(node) in seen or (isinstance(node, CommentedMap) and node.merge):
        return _written_out(node)
    seen.add(id(node))
    for key, value in node.items() if isinstance(node, CommentedMap) else enumerate(node):
        if (own := unshared(value, seen)) is not value:
            node[key] = own
    return node


def _written_out(node: Any) -> Any:
    """A copy without anchors and comments."""
    if isinstance(node, CommentedMap):
        made: Any = CommentedMap((key, _written_out(value)) for key, value in node.items())
    elif isinstance(node, CommentedSeq):
        made = CommentedSeq(map(_written_out, node))
    else:
        return node
    if node.fa.flow_style():
        made.fa.set_flow_style()
    return made
