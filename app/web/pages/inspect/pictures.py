"""One picture with its masks as outlines, for the browser to draw: nothing is rendered here."""

from typing import Any

from annotate.inspect.overlays import parts_of
from annotate.studio.spelling.labelconfig import colours
from annotate.work import Answer, Work
from annotate.work.pictures import shown_picture
from app.web.outlines import shapes
from app.web.shown import Shown
from partlab.composite import Layer
from partlab.errors import PartlabError
from partlab.masks import area


def picture_of(work: Work, object: str, round: int, image_id: int, shown: Shown) -> dict[str, Any]:
    """The picture as annotators saw it, and the masks of a round, bottom first.

    Raises:
        NotFoundError: the work has no such image.
    """
    image = work.image(image_id)
    found: dict[str, Any] = {"image": image_id, "file": image.file_name}
    found |= {"width": image.width, "height": image.height, "src": "", "trouble": ""}
    try:
        path = shown_picture(work.folder, image)
        found["src"] = shown.put(path.read_bytes(), path.name)
    except PartlabError as error:
        found["trouble"] = error.message
    answers = list(work.answers(object, round, images=[image_id]))
    return {**found, "marks": _marks(work, answers[0]) if answers else []}


def _marks(work: Work, answer: Answer) -> list[dict[str, Any]]:
    parts = parts_of(work, answer)
    label, tints = {id: at for at, id in enumerate(parts.ids)}, colours(parts)
    masks = [mask for mask in answer.masks if mask["part"] in label and area(mask["rle"])]
    layers = [Layer(label[mask["part"]], mask["rle"]) for mask in masks]
    several = len({mask["object"] for mask in masks}) > 1
    found = []
    for shape in shapes(layers, parts.categories.parents):
        part = layers[shape.at].label
        mark = _mark(masks[shape.at], parts.names[part], tints[part], several=several)
        found.append(mark | {key: getattr(shape, key) for key in ("outline", "area", "x", "y")})
    return found


def _mark(mask: dict[str, Any], name: str, colour: str, *, several: bool) -> dict[str, Any]:
    number = f" {mask['object']}" if several else ""
    return {
        "part": name,
        "name": f"{name}{number}",
        "colour": colour,
        "origin": mask.get("origin", "manual"),
    }
