"""A labelling interface as a model sees it: where the picture is, what labels there are, and how a
mask has to be spelled so that it is drawn; and the tools that ask a model, put in and taken out.

Any interface that has a brush will do: ours, those of our earlier versions, and other people's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from annotate.studio.spelling.names import BOX, BRUSH, CLICK, IMAGE, META, MODEL, PART, POLYGON
from annotate.studio.spelling.writing import brush_of, head_of, shaped
from partlab.errors import SchemaError
from partlab.masks import BoolMask

_ASKING = (("KeyPoint", CLICK), ("Rectangle", BOX))
_DRAWING = (BRUSH, POLYGON)
_LOOKS = {CLICK: {"strokeWidth": "5"}, BOX: {"canRotate": "false"}}  # a dot to be seen


@dataclass(frozen=True, slots=True)
class Interface:
    """What an interface has for a model.

    `data` is the key of the picture's address in the data of a task, `image` the picture's name;
    `control` has the labels, and `brush` is the tool, None where `control` draws by itself.
    `labels` are the words that results hold, each with the name that people read.
    """

    data: str
    image: str
    control: str
    brush: str | None
    labels: dict[str, str]

    def region(
        self, id: str, mask: BoolMask, label: str | None, *, score: float, model: str
    ) -> list[dict[str, Any]]:
        """A mask of `model`'s as the page draws it; without a label where nobody knows the part.

        Nothing where the interface has no way to say it.
        """
        height, width = mask.shape
        told = {"score": score, "origin": "prediction", META: {MODEL: model}}
        head = {**head_of(id, (width, height)), "to_name": self.image, **told}
        if label is None and self.brush is None:
            return []
        items = shaped(BRUSH, head, brush_of(mask), label or "", two_lists=self.brush is None)
        names = {BRUSH: self.brush or self.control, PART: self.control}
        named = [{**item, "from_name": names[item["from_name"]]} for item in items]
        return named if label is not None else named[:1]


def interface_of(xml: str) -> Interface:
    """What there is for a model in an interface.

    Raises:
        SchemaError: it is no XML, shows no picture, or has no brush with labels for it.
    """
    root = _parsed(xml)
    for image in root.iter("Image"):
        name, value = image.get("name", ""), image.get("value", "")
        controls = [tag for tag in root.iter() if tag.get("toName") == name]
        brush = next((tag.get("name") for tag in controls if tag.tag == "Brush"), None)
        for control in controls:
            alone = control.tag == "BrushLabels"
            if value.startswith("$") and (alone or (control.tag == "Labels" and brush)):
                own = None if alone else brush
                return Interface(value[1:], name, control.get("name", ""), own, _labels(control))
    raise SchemaError(
        "the labelling interface has no brush with labels for a picture",
        hint="a model answers with masks, which need <BrushLabels>, or <Labels> and <Brush>",
    )


def _labels(control: ElementTree.Element) -> dict[str, str]:
    found = ((tag.get("alias"), tag.get("value", "")) for tag in control.iter("Label"))
    return {alias or value: value.strip("\u2060") for alias, value in found}


def _parsed(xml: str) -> ElementTree.Element:
    try:
        builder = ElementTree.TreeBuilder(insert_comments=True)
        return ElementTree.fromstring(xml, ElementTree.XMLParser(target=builder))
    except ElementTree.ParseError as error:
        raise SchemaError(f"the labelling interface is no XML: {error}") from error


def can_be_asked(xml: str) -> bool:
    """Whether there is a place for tools that ask: those of our earlier versions have none."""
    return _parsed(xml).find(f".//Labels[@name='{PART}']") is not None


def asking(xml: str, *, on: bool) -> str:
    """The interface with the tools that ask a model, or without them; else as it was.

    Label Studio takes every tool for one that asks unless it is told otherwise, so the brush and
    the polygon are told.
    """
    root = _parsed(xml)
    names = {name for _, name in _ASKING}
    for parent, tag in _below(root):
        if tag.get("name") in names and tag.get("toName") == IMAGE:
            parent.remove(tag)
        elif tag.get("name") in _DRAWING and tag.tag in ("Brush", "Polygon"):
            tag.attrib.pop("smart", None)
            tag.attrib.update({"smart": "false"} if on else {})
    if on and can_be_asked(xml):
        parent, last = [pair for pair in _below(root) if pair[1].get("name") in (*_DRAWING, PART)][
            -1
        ]
        for place, (kind, name) in enumerate(_ASKING, list(parent).index(last) + 1):
            about = {"name": name, "toName": IMAGE, "smart": "true", "smartOnly": "true"}
            parent.insert(place, ElementTree.Element(kind, about | _LOOKS[name]))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _below(root: ElementTree.Element) -> Iterator[tuple[ElementTree.Element, ElementTree.Element]]:
    """Each tag with the one that it stands in."""
    return iter([(parent, tag) for parent in root.iter() for tag in parent])
