"""What annotators read before they draw: rules, parts with their colours and keys, examples.

Label Studio strips styles and inline pictures from instructions, so this is plain HTML and
the examples are served like the pictures of the tasks.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image as PillowImage

from annotate.draw import Colour, Style, layers_of, overlay, palette
from annotate.studio.spelling.labelconfig import colours
from annotate.vocabulary.model import ObjectParts
from partlab.composite import Layer
from partlab.errors import PartlabError
from partlab.images import is_image_name, load_image
from partlab.inclusions import outers_of
from partlab.schema import Dataset, Image

_LOOK = Style(side=360, legend=True)


Rejected = tuple[int, Sequence[tuple[str, str]]]
"""The round that was rejected, and each picture that failed with what inspectors said of it."""


def instructions(
    parts: ObjectParts,
    config: str,
    examples: Sequence[str] = (),
    rejected: Rejected | None = None,
) -> str:
    """The instructions of one object category, as HTML.

    Args:
        parts: the object category.
        config: its labelling interface; the keys are read from it.
        examples: addresses of example pictures.
        rejected: what was wrong with the round before; it stands first.
    """
    name = escape(parts.name)
    return "\n".join(
        [
            f"<h2>Drawing the parts of: {name}</h2>",
            _why_again(*rejected) if rejected is not None else "",
            _rules(parts),
            f"<br><h3>Parts of: {name}</h3>",
            _table(parts, config),
            _pictures(examples),
            _KEYS,
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


_KEYS = """<br><h3>Keys</h3>
<p><b>B</b> brush, <b>E</b> eraser, <b>[</b> and <b>]</b> size of the brush,
<b>U</b> end this region: press it before the next part, whose key would else rename it,
<b>V</b> select,
<b>Ctrl</b> + mouse wheel zoom, <b>H</b> move the picture, <b>Ctrl+Z</b> undo,
<b>Ctrl+Enter</b> submit.</p>"""


def _rules(parts: ObjectParts) -> str:
    """The drawing rules M-01 to M-07 in plain words; a table, as lists lose their numbers."""
    name = escape(parts.name)
    whole = ["The whole object is the only part: paint all of it, up to its outline."]
    several = [
        "Draw every part that can be seen. Together the parts cover the whole object: nothing "
        "of it stays unpainted.",
        f"Parts do not overlap: where one ends the next begins. {_inclusions(parts)}",
    ]
    rules = [
        *(whole if len(parts.parts) == 1 else several),
        "Several objects of this kind in one picture: draw all of them. Click a region of the "
        "second object and give it the number 2, of the third 3, and so on; the first needs no "
        "number.",
        f"Everything that is not {name} is background: leave it unpainted, even if it looks alike.",
        f"All pictures of {name} are yours: do not hand some of them to somebody else.",
        "Hard is no reason to skip. If a picture really cannot be drawn, choose why, and "
        "submit; two inspectors look at every such picture.",
    ]
    rows = [
        f'<tr><td valign="top"><b>{number}</b></td><td>{rule}</td></tr>'
        for number, rule in enumerate(rules, 1)
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


def _table(parts: ObjectParts, config: str) -> str:
    keys = _keys(config)
    head = "<tr><th></th><th>part</th><th>key, brush</th><th>key, polygon</th></tr>"
    rows = [
        f'<tr><td bgcolor="{colour}" width="28">&nbsp;</td><td>&nbsp;{escape(part.name)}&nbsp;</td>'
        + "".join(f"<td>{escape(key)}</td>" for key in keys.get(part.name, ()))
        + "</tr>"
        for part, colour in zip(parts.parts, colours(parts), strict=True)
    ]
    return f'<table cellpadding="4">{head}{"".join(rows)}</table>'


def _keys(config: str) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label in ElementTree.fromstring(config).iter("Label"):
        found.setdefault(label.get("value", ""), []).append(label.get("hotkey", ""))
    return found


def _pictures(examples: Sequence[str]) -> str:
    if not examples:
        return ""
    cells = [
        f'<td valign="top"><img src="{escape(url)}" width="{570 // len(examples)}" alt=""></td>'
        for url in examples
    ]
    return f'<br><h3>Examples</h3>\n<table cellpadding="4"><tr>{"".join(cells)}</tr></table>'


# -- example pictures -------------------------------------------------------------------------


def example_pictures(
    source: Dataset | Path, parts: ObjectParts, count: int = 3
) -> list[PillowImage.Image]:
    """Up to `count` pictures that show how parts are drawn; none when the source has none.

    `source` is a part data set, whose masks are drawn in the colours of the palette, or a
    folder with a sub-folder of finished pictures for each object category.
    """
    if isinstance(source, Path):
        files = sorted((source / parts.name).glob("*"))
        return [_picture(path) for path in files if is_image_name(path)][:count]
    if not parts.categories.matched(source.parts):
        return []
    tints = _tints(source, parts)
    ranked = sorted(source.images, key=lambda image: (-_richness(source, image, tints), image.id))
    drawn: list[PillowImage.Image] = []
    for image in ranked:
        if len(drawn) == count or not _richness(source, image, tints):
            break
        try:
            drawn.append(_drawn(source, image, tints))
        except PartlabError:  # its picture is missing or damaged; the next one will do
            continue
    return drawn


def _picture(path: Path) -> PillowImage.Image:
    picture = PillowImage.fromarray(load_image(path))
    picture.thumbnail((_LOOK.side, 2 * _LOOK.side))
    return picture


def _tints(source: Dataset, parts: ObjectParts) -> dict[int, Colour]:
    """Colour for each label of the data set that is a part of this object."""
    own = palette(parts.categories.names)
    return {theirs: own[at] for at, theirs in parts.categories.matched(source.parts).items()}


def _layers(source: Dataset, image: Image, tints: Mapping[int, Colour]) -> list[Layer]:
    found = layers_of(source, source.annotations_of(image))
    return [layer for layer in found if layer.label in tints]


def _richness(source: Dataset, image: Image, tints: Mapping[int, Colour]) -> int:
    """How many different parts an image shows."""
    labels = {source.label_of.get(a.category_id) for a in source.annotations_of(image)}
    return len(labels & set(tints))


def _drawn(source: Dataset, image: Image, tints: Mapping[int, Colour]) -> PillowImage.Image:
    return overlay(
        load_image(source.image_path(image)),
        _layers(source, image, tints),
        source.names,
        parents=source.parts.parents,
        style=_LOOK,
        colours=[tints.get(i, (0, 0, 0)) for i in range(len(source.names))],
    )
