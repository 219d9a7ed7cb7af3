"""The labelling interface of one object category, made from its parts.

    xml = label_config(vocabulary.object("ram"))

There is one list of parts, and a tool, brush or polygon, draws what is chosen in it. Every part has
a key, since Label Studio would else hand out keys that its own tools use. People read the names of
parts; what they draw bears the ids (`alias`), so that another name changes nothing drawn.
"""

import string
from collections.abc import Sequence
from itertools import chain
from xml.etree import ElementTree

from annotate.draw import palette
from annotate.studio.spelling.names import BRUSH, DISCARD, IMAGE, OBJECT, PART, POLYGON, TODO
from annotate.vocabulary.model import ObjectParts, Part
from annotate.work.settings import DISCARD_REASONS
from partlab.errors import ConfigError, SchemaError
from partlab.files import sha256_json
from partlab.inclusions import outers_of

TOOL_KEYS = frozenset("behkmopruvw")
"""Single keys of Label Studio's own tools (B brush, E eraser, V move, H pan, U unselect, …)."""

_TAKEN_WITH_SHIFT = frozenset("rf")  # three-point rectangle, filter
_DIGITS = "1234567890"
_LETTERS = string.ascii_lowercase
BRUSH_KEYS = [*_DIGITS, *(c for c in "qtasdfgzxcyijln" if c not in TOOL_KEYS)]
POLYGON_KEYS = [f"shift+{c}" for c in _LETTERS if c not in _TAKEN_WITH_SHIFT]
DISCARD_KEYS = [f"shift+{c}" for c in _DIGITS[2:]]  # shift+1 and shift+2 zoom
_LAST_KEYS = [f"ctrl+alt+shift+{c}" for c in _LETTERS]  # for what nobody has so many of
_LABELS = ("Label", "Choice")
_MANY_PARTS = 30  # above this they are no longer all in sight, and a search box helps
# Beside the picture, so that the parts are in sight however tall the picture is.
_SIDE = "flex: 0 0 230px; max-height: 85vh; overflow-y: auto"
_SIDE_CLASS = "partlab-side"
# As many parts in a row as fit, and little space between reasons: with thirteen parts and more the
# number of the object and the reasons are in sight without scrolling.
_COMPACT = " ".join(
    f".{_SIDE_CLASS} {rule}"
    for rule in (
        ".lsf-labels { display: block; margin: 0 }",
        ".lsf-label { margin: 0 4px 5px 0 }",
        ".lsf-choices, .lsf-choice { margin: 0 }",
        "h5 { margin: 10px 0 4px }",
    )
)
_LOUD = "color: #b3261e"
_LINES = {"strokeWidth": "2", "pointSize": "small"}
_HEADS = {"Labels": "Parts", "BrushLabels": "Brush", "PolygonLabels": "Polygon (no holes)"}
_UNSEEN = "\u2060"

Colour = tuple[int, int, int]


def colours(parts: ObjectParts) -> list[str]:
    """A colour for each part, as `#rrggbb`, the same as in every overlay of the object."""
    found: list[Colour] = palette(parts.categories.names)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in found]


def label_config(
    parts: ObjectParts, reasons: Sequence[str] = DISCARD_REASONS, *, two_lists: bool = False
) -> str:
    """The XML of the interface: picture, parts, object number, discard reason.

    `reasons` are what an annotator may say of a picture that cannot be drawn (M-07). Projects of
    earlier versions have `two_lists` of parts, one for each tool: Label Studio lets no control go
    that something was drawn with.

    Raises:
        ConfigError: the object has no parts, or a name cannot be a label.
    """
    names = list(parts.names)
    if not names:
        raise ConfigError(
            f"object {parts.name!r} has no parts",
            hint="give it some, or its whole outline as the only part (source whole-object)",
        )
    ids = ("part id", parts.ids)
    for what, given in (("part", names), ids, ("discard reason", list(reasons))):
        _need_labels(what, given, parts.name)
    root = ElementTree.Element("View", style="display: flex; gap: 12px")
    _add(root, "Style").text = _COMPACT
    side = _add(root, "View", style=_SIDE, className=_SIDE_CLASS)
    keys, polygon_keys = _keys(len(names))
    if len(names) > _MANY_PARTS:
        found = BRUSH if two_lists else PART
        search = {"toName": found, "hotkey": "shift+f", "minlength": "0", "placeholder": "part"}
        _add(side, "Filter", name="search", **search)
    if two_lists:
        _list(side, "BrushLabels", BRUSH, parts, keys)
        _list(side, "PolygonLabels", POLYGON, parts, polygon_keys)
    else:
        _list(side, "Labels", PART, parts, keys)
        _add(side, "Brush", name=BRUSH, toName=IMAGE)  # the first is in hand at the beginning
        _add(side, "Polygon", name=POLYGON, toName=IMAGE, **_LINES)
    _discard(side, reasons)
    _object_number(side)  # last, since it comes and goes
    middle = _add(root, "View", style="flex: 1 1 auto; min-width: 0")
    _add(_add(middle, "View", style=_LOUD), "Header", value=f"${TODO}", size="5")
    _picture(middle)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def moved_keys(old: ObjectParts, new: ObjectParts) -> tuple[tuple[str, str, str], ...]:
    """Parts that another key chooses than before: name, the brush's key before, and now.

    Keys go by position, as colours do.
    """
    was = dict(zip(old.ids, _keys(len(old.ids))[0], strict=True))
    keys = zip(new.parts, _keys(len(new.ids))[0], strict=True)
    return tuple((p.name, was[p.id], key) for p, key in keys if was.get(p.id, key) != key)


def has_two_lists(xml: str) -> bool:
    """Whether an interface is an earlier version's, with a list of parts for each tool."""
    return "<BrushLabels" in xml


def config_hash(xml: str) -> str:
    """Hex SHA-256 of an interface: equal interfaces, equal hash."""
    return sha256_json(ElementTree.canonicalize(xml, strip_text=True))


def check_config(xml: str) -> None:
    """Have Label Studio's own library look at an interface (its import takes 2 s).

    Raises:
        SchemaError: it would be refused, or a label stands in a palette twice.
    """
    from label_studio_sdk.label_interface import LabelInterface

    for palette_tag in ElementTree.fromstring(xml).iter():
        labels = [child for child in palette_tag if child.tag in _LABELS]
        values = [label.get("alias", label.get("value", "")) for label in labels]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise SchemaError(f"the label {twice[0]!r} stands in the interface twice")
    try:
        LabelInterface(xml).validate()
    except Exception as error:  # the library has no error of its own
        raise SchemaError(f"Label Studio would refuse the interface: {error}") from error


def _need_labels(what: str, names: Sequence[str], owner: str) -> None:
    """Names that come back from Label Studio as they went in."""
    for name in names:
        if name != " ".join(name.split()) or not name.isprintable():
            raise ConfigError(
                f"{what} {name!r} of {owner!r} has blanks or signs a label cannot have"
            )
        if name.startswith("$"):
            raise ConfigError(
                f"{what} {name!r} of {owner} starts with $, which Label Studio would replace"
            )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{what} {twice[0]!r} of {owner} is there twice")


def _keys(count: int) -> tuple[list[str], list[str]]:
    """Keys for the brush and for the polygon palette; none is used twice, none is a tool's."""
    spare = iter(_LAST_KEYS)
    brush = list(chain(BRUSH_KEYS, POLYGON_KEYS[::-1]))[:count]
    polygon = [key for key in POLYGON_KEYS if key not in brush][:count]
    brush += [next(spare, "") for _ in range(count - len(brush))]
    polygon += [next(spare, "") for _ in range(count - len(polygon))]
    return brush, polygon


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _picture(root: ElementTree.Element) -> None:
    # Masks of a turned picture would not fit, so it cannot be turned. Small pictures fill their
    # pane: nobody draws well in a stamp.
    _add(
        root,
        "Image",
        name=IMAGE,
        value=f"${IMAGE}",
        zoom="true",
        zoomControl="true",
        brightnessControl="true",
        contrastControl="true",
        rotateControl="false",
        defaultZoom="fit",
    )


def _list(
    root: ElementTree.Element, tag: str, name: str, parts: ObjectParts, keys: Sequence[str]
) -> None:
    _add(root, "Header", value=_HEADS[tag], size="5")
    extra = _LINES if tag == "PolygonLabels" else {}
    control = _add(root, tag, name=name, toName=IMAGE, opacity="0.5", showInline="false", **extra)
    for part, colour, key in zip(parts.parts, colours(parts), keys, strict=True):
        label = _add(control, "Label", value=_read(part, parts), alias=part.id, background=colour)
        if key:
            label.set("hotkey", key)
        if hint := _hint(part, parts):
            label.set("hint", hint)


def _hint(part: Part, parts: ObjectParts) -> str:
    """What stands beside a part while the mouse is on it."""
    names = [parts.part(id).name for id in outers_of(part.id, parts.inclusions)]
    inside = f"lies in {' or '.join(names)}: draw both" if names else ""
    return "; ".join(filter(None, (part.definition, inside)))


def _read(part: Part, parts: ObjectParts) -> str:
    """What people read. Label Studio takes a name for a label as well as an id, so a name that is
    the id of another part gets a sign that nobody sees.
    """
    taken = part.name in parts.ids and part.name != part.id
    return part.name + _UNSEEN if taken else part.name


def _object_number(root: ElementTree.Element) -> None:
    """Which of several objects a region belongs to (M-06); nobody types it for the first."""
    box = _add(root, "View", visibleWhen="region-selected")
    _add(box, "Header", value="Number of its object, if not the first", size="5")
    _add(box, "Number", name=OBJECT, toName=IMAGE, perRegion="true", min="1", max="99", step="1")


def _discard(root: ElementTree.Element, reasons: Sequence[str]) -> None:
    _add(root, "Header", value="Cannot be drawn, because", size="5")
    choices = _add(root, "Choices", name=DISCARD, toName=IMAGE, choice="single", showInline="false")
    for number, reason in enumerate(reasons):
        choice = _add(choices, "Choice", value=reason)
        if number < len(DISCARD_KEYS):
            choice.set("hotkey", DISCARD_KEYS[number])
