"""What annotators read before they draw: rules, parts with their colours and keys, examples.

Label Studio strips styles and inline pictures from instructions, so this is plain HTML and
the examples are served like the pictures of the tasks.
"""

from collections.abc import Mapping, Sequence
from html import escape
from xml.etree import ElementTree

from annotate.studio.spelling.labelconfig import colours, has_two_lists
from annotate.vocabulary.model import ObjectParts, Part
from partlab.inclusions import outers_of

Rejected = tuple[int, Sequence[tuple[str, str]]]
"""The round that was rejected, and each picture that failed with what inspectors said of it."""


def instructions(
    parts: ObjectParts,
    config: str,
    examples: Sequence[str] = (),
    rejected: Rejected | None = None,
    changed: str = "",
    *,
    shown: Sequence[str] | None = None,
    pictures: Mapping[str, str] | None = None,
) -> str:
    """The instructions of one object category, as HTML.

    Args:
        parts: the object category.
        config: its labelling interface; the keys are read from it.
        examples: addresses of example pictures.
        rejected: what was wrong with the round before; it stands first.
        changed: how the vocabulary changed, where the round began for that.
        shown: ids of the parts that the examples show, if that is known.
        pictures: addresses of pictures of single parts, by part id.
    """
    name = escape(parts.name)
    return "\n".join(
        [
            f"<h2>Drawing the parts of: {name}</h2>",
            _what_changed(changed) if changed else "",
            _why_again(*rejected) if rejected is not None else "",
            f"<p><b>{escape(parts.note)}</b></p>" if parts.note else "",
            _rules(parts),
            f"<br><h3>Parts of: {name}</h3>",
            _table(parts, config, pictures or {}),
            _pictures(examples, _unshown(parts, shown)),
            _keys_of_tools(config),
        ]
    )


def _why_again(round: int, failed: Sequence[tuple[str, str]]) -> str:
    """What inspectors found wrong: of the whole category they saw a sample only."""
    rows = [
        f"<tr><td>{escape(picture)}</td><td>&nbsp;<b>{escape(why)}</b></td></tr>"
        for picture, why in failed
    ]
    return (
        f"<h3>Why it is drawn again</h3>\n<p>Inspectors looked at some pictures of round {round}, "
        "and these failed. The same may be wrong in pictures that they did not see: draw all of "
        f'them with that in mind.</p>\n<table cellpadding="4">{"".join(rows)}</table><br>'
    )


def _what_changed(why: str) -> str:
    return (
        f"<h3>What changed</h3>\n<p>{escape(why)}. What you drew is shown in every picture: add "
        "what is missing, and submit.</p><br>"
    )


_KEYS = """<br><h3>Keys</h3>
<p>{tools}<b>B</b> brush, <b>E</b> eraser, <b>[</b> and <b>]</b> size of the brush,
<b>U</b> end this region: press it before the next part, whose key would else rename it,
<b>V</b> select,
<b>Ctrl</b> + mouse wheel zoom, <b>H</b> move the picture, <b>Ctrl+Z</b> undo,
<b>Ctrl+Enter</b> submit.</p>
<p>Names on the masks: press the button with the two sliders at the lower edge of the page, and
switch on <b>Show region labels</b>, once on each computer.</p>"""


def _keys_of_tools(config: str) -> str:
    polygon = "" if has_two_lists(config) else "<b>P</b> polygon (it cannot have holes), "
    return _KEYS.format(tools=polygon)


def drawing_rules(parts: ObjectParts) -> list[str]:
    """The drawing rules M-01 to M-07 of one object category in plain words, as HTML."""
    name = escape(parts.name)
    whole = ["The whole object is the only part: paint all of it, up to its outline."]
    several = [
        "Draw every part that can be seen, and as much of it as can be seen: what lies behind "
        "something else is not drawn. Together the parts cover the whole object: nothing of it "
        "that can be seen stays unpainted.",
        f"Parts do not overlap: where one ends the next begins. {_inclusions(parts)}",
    ]
    return [
        *(whole if len(parts.parts) == 1 else several),
        "Several objects of this kind in one picture: draw all of them. Click a region of the "
        "second object and give it the number 2, of the third 3, and so on; the first needs no "
        "number.",
        f"Everything that is not {name} is background: leave it unpainted, even if it looks alike.",
        f"All pictures of {name} are yours: do not hand some of them to somebody else.",
        "Hard is no reason to skip. If a picture really cannot be drawn, choose why, and "
        "submit; two inspectors look at every such picture.",
    ]


def _rules(parts: ObjectParts) -> str:
    """A table, as lists lose their numbers."""
    rows = [
        f'<tr><td valign="top"><b>{number}</b></td><td>{rule}</td></tr>'
        for number, rule in enumerate(drawing_rules(parts), 1)
    ]
    return f'<table cellpadding="4">{"".join(rows)}</table>'


def _inclusions(parts: ObjectParts) -> str:
    if not parts.inclusions:
        return "No part lies inside another."
    words = "; ".join(_lies_in(parts, inner) for inner in parts.inclusions)
    return f"The only exception{'s' if len(parts.inclusions) > 1 else ''}: {words}."


def _lies_in(parts: ObjectParts, part: str) -> str:
    inner = escape(parts.part(part).name)
    outers = [escape(parts.part(id).name) for id in outers_of(part, parts.inclusions)]
    where = ", in ".join(f"<b>{outer}</b>" for outer in outers)
    below = f"paint {outers[0]} with {inner}"
    if len(outers) > 1:
        where += " or in several of them"
        below = f"paint whichever it lies in with {inner}"
    return f"<b>{inner}</b> lies in {where}: {below}, then {inner} once more over it"


def _table(parts: ObjectParts, config: str, pictures: Mapping[str, str]) -> str:
    keys = _keys(config)
    columns = ["key, brush", "key, polygon"] if has_two_lists(config) else ["key"]
    told = any(part.definition or part.id in pictures for part in parts.parts)
    columns += ["what belongs to it"] if told else []
    head = "".join(f"<th>{column}</th>" for column in ["", "part", *columns])
    rows = [
        f'<tr><td bgcolor="{colour}" width="28">&nbsp;</td><td>&nbsp;{escape(part.name)}&nbsp;</td>'
        + "".join(f"<td>{escape(key)}</td>" for key in keys.get(part.id, ()))
        + (_about(part, pictures) if told else "")
        + "</tr>"
        for part, colour in zip(parts.parts, colours(parts), strict=True)
    ]
    return f'<table cellpadding="4"><tr>{head}</tr>{"".join(rows)}</table>'


def _about(part: Part, pictures: Mapping[str, str]) -> str:
    """The lead's words on a part, and its picture."""
    url = pictures.get(part.id)
    picture = f'<br><img src="{escape(url)}" width="160" alt="">' if url else ""
    return f"<td>{escape(part.definition)}{picture}</td>"


def _keys(config: str) -> Mapping[str, list[str]]:
    """By part id: what a label is called in results."""
    found: dict[str, list[str]] = {}
    for label in ElementTree.fromstring(config).iter("Label"):
        found.setdefault(label.get("alias", ""), []).append(label.get("hotkey", ""))
    return found


def _unshown(parts: ObjectParts, shown: Sequence[str] | None) -> list[str]:
    """Names of the parts that no example shows, as far as that is known."""
    return [part.name for part in parts.parts if shown is not None and part.id not in shown]


def _pictures(examples: Sequence[str], unshown: Sequence[str]) -> str:
    if not examples:
        return ""
    cells = [
        f'<td valign="top"><img src="{escape(url)}" width="{570 // len(examples)}" alt=""></td>'
        for url in examples
    ]
    table = f'<table cellpadding="4"><tr>{"".join(cells)}</tr></table>'
    missing = escape(", ".join(unshown))
    mind = f"<p>The examples do not show {missing}: draw them all the same.</p>" if missing else ""
    return f"<br><h3>Examples</h3>\n{table}{mind}"
