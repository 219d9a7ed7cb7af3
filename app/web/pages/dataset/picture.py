"""One picture in full: what is drawn on it, beside a store's pseudo labels, and what is wrong."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from annotate.data.checks.kinds import KINDS
from annotate.data.grouping import pair_of
from app.web.pages.dataset.acts import in_work
from app.web.pages.dataset.asking import Ask
from app.web.pages.dataset.drawing import FORMS, PACKAGE, Mark, drawable, marks_of, shown_pixels
from app.web.pages.dataset.seeing import Seen, row_of
from app.web.pages.dataset.sources import Source
from app.web.people import Person
from app.web.shown import Shown
from partlab.composite import Layer
from partlab.errors import PartlabError
from partlab.images import load_image
from partlab.masks import iou
from partlab.pages import render
from partlab.parts import split_name
from partlab.schema import OURS, Annotation, Dataset, Finding, Image
from pseudolabel.store import Row, Store

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Fault:
    """A finding about this picture; `pair` is object, inner and outer part that overlap."""

    kind: str
    meaning: str
    words: str
    hint: str
    pair: tuple[str, str, str] | None
    masks: tuple[int, ...]

    @property
    def line(self) -> str:
        """The pair as a data set's file declares it."""
        object, inner, outer = self.pair or ("", "", "")
        return json.dumps({"inclusions": {object: {inner: outer}}}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Beside:
    """The pseudo labels of the same picture, or why there are none."""

    title: str
    row: Row | None
    store: Store | None
    why_not: str = ""


def picture_of(
    source: Source, ask: Ask, seen: Seen, beside: Beside | None, who: Person, shown: Shown
) -> str:
    """The HTML of the image that is asked for.

    Raises:
        NotFoundError: there is no such image.
    """
    row = row_of(source, ask)
    data = source.index.dataset([row])
    (image,) = data.images
    masks, layers, lost = drawable(data, image)
    marks = marks_of(layers, data, [str(n) for n in range(1, len(masks) + 1)], masks)
    src, smaller, trouble = _opened(source, image, shown)
    views = [(_title(data, image), src, marks, "nothing is drawn here")]
    if beside is not None:
        lost += _unknown(beside, data)
        marks, found = compared(marks, _pseudo(beside, data, image), layers, beside, data)
        views = [(*views[0][:2], marks, views[0][3]), (beside.title, src, found, beside.why_not)]
    faults = faults_of(source, image, data)
    work = in_work(source, image, who.name)
    around = _around(seen, row, source)
    return render(
        PACKAGE,
        "picture.html",
        filters=FORMS,
        image=image,
        object=data.object_of(image) or "",
        views=views,
        rows=[*marks[::-1], *(views[1][2][::-1] if len(views) > 1 else ())],
        lit=_lit(faults, ask, marks),
        faults=[(fault, [mark.id for mark in marks if mark.annotation in fault.masks])
                for fault in faults],
        can_include=source.work is not None and who.may("lead"),
        no_include=_no_include(source, who),
        lost=lost,
        doubts=_doubts(source, ask, image),
        facts=_facts(image, source),
        smaller=smaller,
        trouble=trouble,
        link=work.link,
        no_link=work.no_link,
        back=work.back if who.may("inspector") else None,
        seen=seen,
        **around,
    )  # fmt: skip


def _opened(source: Source, image: Image, shown: Shown) -> tuple[str, str, str]:
    try:
        pixels = load_image(source.pictures([image])[image.id])
    except PartlabError as error:
        return "", "", error.message
    size = pixels.shape[1], pixels.shape[0]
    small, smaller = shown_pixels(pixels)
    stated = image.width, image.height
    odd = f"the picture is {size[0]} × {size[1]} pixels, its record says {stated[0]} × {stated[1]}"
    return shown.picture(small), smaller, odd if size != stated else ""


def _title(data: Dataset, image: Image) -> str:
    made = {mask.provenance.partition(":")[0] for mask in data.annotations_of(image)}
    return f"As the data set has it ({', '.join(sorted(made))})" if made else "No masks"


def _around(seen: Seen, row: int, source: Source) -> dict[str, Any]:
    """The images before and after, among those that fit."""
    places = {int(each): place for place, each in enumerate(seen.rows)}
    place = places.get(row)
    if place is None:
        return {"place": 0, "before": None, "next": None}
    ids = source.index.ids
    before = int(ids[seen.rows[place - 1]]) if place else None
    after = int(ids[seen.rows[place + 1]]) if place + 1 < len(seen.rows) else None
    return {"place": place + 1, "before": before, "next": after}


def _facts(image: Image, source: Source) -> list[str]:
    ours = image.raw.get(OURS) or {}
    told = [f"{name.replace('_', ' ')} {ours[name]}" for name in ("source", "license",
            "origin_split", "suggested_by") if ours.get(name)]  # fmt: skip
    verdict = ours.get("verdict")
    if isinstance(verdict, dict):
        word = "passed" if verdict.get("passed") else "failed"
        why = f": {verdict['reason']}" if verdict.get("reason") else ""
        told.append(f"{word} by {verdict.get('inspector', 'somebody')}{why}")
    return told


def _doubts(source: Source, ask: Ask, image: Image) -> list[str]:
    audit = source.audits.get(ask.store)
    for one in audit.suspects if audit else ():
        if one.image_id == image.id:
            return [f"{why.part}: {why.message}" for why in one.reasons[:5]]
    return []


# --- what is wrong -----------------------------------------------------------------------------


def faults_of(source: Source, image: Image, data: Dataset) -> list[Fault]:
    """The findings about an image, once the data set was checked."""
    found = source.report.findings if source.report else ()
    return [_fault(one, data) for one in found if one.image_id == image.id]


def _fault(one: Finding, data: Dataset) -> Fault:
    masks = (one.annotation_id, one.other_annotation_id)
    words = one.message.partition(": ")[2] or one.message
    known = tuple(id for id in masks if id is not None)
    pair = pair_of(one, data.category_by_id)
    return Fault(one.kind, KINDS[one.kind].meaning, words, one.hint, pair, known)


def _lit(faults: Sequence[Fault], ask: Ask, marks: Sequence[Mark]) -> list[str]:
    """The masks that the address names, else those of the finding that is filtered by."""
    wanted = [fault for fault in faults if fault.kind == ask.finding]
    ids = {id for fault in wanted[:1] for id in fault.masks}
    if ask.masks:
        ids = {int(id) for id in ask.masks.split() if id.isdecimal()}
    return [mark.id for mark in marks if mark.annotation in ids]


def _no_include(source: Source, who: Person) -> str:
    if source.work is None:
        return (
            f"Off, as {source.no_work()}. Declared in the file under the key partlab it is allowed"
        )
    return f"Off, as a lead declares it and {who.name} has the role {who.role}"


# --- beside pseudo labels ----------------------------------------------------------------------


def _pseudo(beside: Beside, data: Dataset, image: Image) -> list[tuple[Layer, Annotation]]:
    """The store's masks in the labels of the data set; parts that it does not know are said."""
    if beside.row is None or beside.store is None:
        return []
    label = data.parts.label
    found = []
    for number, mask in enumerate(beside.row.masks, 1):
        name = beside.store.names[mask.label]
        if name in label and tuple(mask.rle["size"]) == (image.height, image.width):
            run = f"pseudo:{beside.store.manifest.run}"
            record = Annotation.new(number, image.id, 0, None, provenance=run, score=mask.score)
            found.append((Layer(label[name], mask.rle, mask.score), record))
    return found


def _unknown(beside: Beside, data: Dataset) -> list[str]:
    if beside.row is None or beside.store is None:
        return []
    names = (beside.store.names[mask.label] for mask in beside.row.masks)
    foreign = sorted({name for name in names if name not in data.parts.label})
    return [f"pseudo label {name}: the data set has no such part" for name in foreign]


def compared(
    marks: list[Mark],
    pseudo: list[tuple[Layer, Annotation]],
    layers: Sequence[Layer],
    beside: Beside,
    data: Dataset,
) -> tuple[list[Mark], list[Mark]]:
    """Both sides with their best IoU against the other's masks of the same part."""
    theirs = [layer for layer, _ in pseudo]
    ids = [_letter(place) for place in range(len(theirs))]
    found = marks_of(theirs, data, ids, [mask for _, mask in pseudo])
    found = [replace(mark, annotation=None) for mark in found]
    if beside.row is None:
        return marks, found
    numbers = [str(place + 1) for place in range(len(layers))]
    mine, other = _fits(layers, theirs, ids), _fits(theirs, layers, numbers)
    return (
        [replace(mark, beside=mine[int(mark.id) - 1]) for mark in marks],
        [replace(mark, beside=other[ids.index(mark.id)]) for mark in found],
    )


def _fits(own: Sequence[Layer], others: Sequence[Layer], names: Sequence[str]) -> list[str]:
    """For each mask the other side's of its part that it overlaps most."""
    by_label: defaultdict[int, list[int]] = defaultdict(list)
    for place, layer in enumerate(others):
        by_label[layer.label].append(place)
    told = []
    for layer in own:
        places = by_label[layer.label]
        if not places:
            told.append("the other side has none of this part")
            continue
        shares = iou([layer.rle], [others[place].rle for place in places])[0]
        best = int(shares.argmax())
        told.append(f"IoU {shares[best]:.2f} with {names[places[best]]}")
    return told


def _letter(place: int) -> str:
    """0 -> a, 26 -> aa."""
    text = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        text = _LETTERS[rest] + text
    return text


def beside_of(store: Store, place: int | None, image: Image) -> Beside:
    """The row of a store at a place of its inputs, for a picture."""
    title = f"Pseudo labels of {store.path.name}"
    if place is None:
        return Beside(title, None, None, "the store does not have this picture")
    row = store.row(place)
    if row.status == "unreadable":
        return Beside(title, None, None, f"the segmenter could not read it: {row.reason}")
    foreign = sorted(
        {
            split_name(store.names[m.label])[1]
            for m in row.masks
            if (m.rle["size"][1], m.rle["size"][0]) != (image.width, image.height)
        }
    )
    if foreign:
        return Beside(title, None, None, "the store saw this picture in another size")
    return Beside(title, row, store, "the segmenter found nothing here")
