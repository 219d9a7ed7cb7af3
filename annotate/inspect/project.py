"""Inspection inside Label Studio: a project for each round, one for the refused images.

    opened = open_inspection(inspection, studio, "ram")

Whatever is missing is made, nothing twice; a project that was deleted is made again. What
inspectors say there is read back by `annotate.inspect.readback`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from annotate.inspect.desk import Card, Desk
from annotate.inspect.discards import DiscardCase, find_cases
from annotate.inspect.service import Inspection
from annotate.inspect.showing import show
from annotate.inspect.suspicion import likely_wrong
from annotate.studio.acts.tabs import make_tabs
from annotate.studio.acts.wall import DISCARDS, INSPECT, THIRD, look_of, tidy_wall
from annotate.studio.api.access import find_access
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import (
    add_tasks,
    find_projects,
    mark,
    task_ids,
)
from annotate.studio.spelling.mark import marked
from annotate.work import Batch, Work
from annotate.work.pictures import FOLDER, shown_picture
from partlab.files import copy_file

VERDICT, REASON, NOTE = "verdict", "reason", "note"
PASS, FAIL = "pass", "fail"
UPHOLD, RESTORE = "rightly refused", "draw it after all"


@dataclass(frozen=True, slots=True)
class Opened:
    """A project and where it is; `added` counts the tasks that were new."""

    object: str
    round: int
    project_id: int
    url: str
    images: int
    added: int


def open_inspection(inspection: Inspection, studio: Studio, object: str) -> Opened:
    """Show the drawn images of a round to inspectors in Label Studio.

    Raises:
        StateError: the round is not being inspected.
        StudioError: the server cannot be reached, or may not show the pictures.
    """
    desk = inspection.being_inspected(object)
    work, batch = inspection.work, inspection.work.batch(object, desk.round)
    xml = page("overlay", (PASS, FAIL), work.settings.fail_reasons, FAIL)
    why = {one.image_id: one.why for one in likely_wrong(work, desk)}
    rows = [
        {
            "image_id": card.image_id,
            "file_name": card.file_name,
            "question": _question(desk, card, why.get(card.image_id)),
        }
        for card in _in_order(desk, list(why))
    ]
    pictures = {card.image_id: _share(work, show(work, desk, card)) for card in desk.cards}
    return _open(work, studio, batch, INSPECT, xml, rows, pictures)


def _in_order(desk: Desk, doubts: Sequence[int]) -> list[Card]:
    """Likely wrong ones first where all are looked at anyway; else in the order of the draw."""
    if len(desk.due) < len(desk.cards):
        return list(desk.cards)
    return sorted(desk.cards, key=lambda card: (*doubts, card.image_id).index(card.image_id))


def _question(desk: Desk, card: Card, doubt: str | None) -> str:
    missing = f"; not drawn: {', '.join(card.missing)}" if card.missing else ""
    hidden = "".join(f"; mind: {problem}" for problem in card.problems)
    likely = f"; likely wrong: {doubt}" if doubt else ""
    return f"{desk.object}: {', '.join(card.drawn)}{missing}{hidden}{likely}"


def open_discards(inspection: Inspection, studio: Studio, object: str) -> list[Opened]:
    """Show the refused images of a round to two inspectors, the disputed ones to a third (Q-04).

    Label Studio gives each image to two different people; a disputed one stands in a project of
    its own for one more. No project is made where nothing waits.

    Raises:
        StudioError: the server cannot be reached, or may not show the pictures.
    """
    work, batch = inspection.work, inspection.work.batch(object)
    cases = [c for c in find_cases(work, object) if c.open and c.round == batch.round]
    first = [case for case in cases if not case.disputed]
    disputed = [case for case in cases if case.disputed]
    kinds = ((DISCARDS, first, 2), (THIRD, disputed, 1))
    return [_discards(work, studio, batch, k, found, n) for k, found, n in kinds if found]


def _discards(
    work: Work, studio: Studio, batch: Batch, kind: str, cases: Sequence[DiscardCase], people: int
) -> Opened:
    rows = [
        {
            "image_id": case.image_id,
            "file_name": case.file_name,
            "question": f"{case.object}: refused because of {case.reason or 'no stated reason'}",
        }
        for case in cases
    ]
    pictures = {c.image_id: shown_picture(work.folder, work.image(c.image_id)) for c in cases}
    xml = page("overlay", (UPHOLD, RESTORE))
    return _open(work, studio, batch, kind, xml, rows, pictures, people)


def _open(
    work: Work,
    studio: Studio,
    batch: Batch,
    kind: str,
    xml: str,
    rows: Sequence[dict[str, Any]],
    pictures: Mapping[int, Path],
    people: int = 1,
) -> Opened:
    key = (batch.object, batch.round)
    project = find_projects(studio, work, kind).get(key)
    if project is None:
        payload = _payload(work, batch, kind, xml, people)
        project = int(studio.post("/api/projects/", payload)["id"])
        make_tabs(studio, project)
        note = {"kind": f"{kind}-project", "project_id": project}
        work.record("logged", who="partlab", object=key[0], round=key[1], data=note)
    there = task_ids(studio, work, project)
    missing = [row for row in rows if row["image_id"] not in there]
    if missing:
        images = work.folder.absolute() / FOLDER
        first = pictures[missing[0]["image_id"]]
        access = find_access(studio, project, work.folder, first, work.settings.image_url)
        paths = {id: path.absolute().relative_to(images) for id, path in pictures.items()}
        common = {"object": batch.object, "partlab": work.settings.id}
        data = [{**row, **common, "overlay": access.url(paths[row["image_id"]])} for row in missing]
        for _ in add_tasks(studio, project, [{"data": one} for one in data]):
            pass
    tidy_wall(work, studio)
    return Opened(*key, project, studio.project_url(project), len(rows), len(missing))


def _payload(work: Work, batch: Batch, kind: str, xml: str, people: int) -> dict[str, Any]:
    look = look_of(work, batch, kind)
    return {
        "title": look.title,
        "description": look.description,
        "label_config": marked(xml, mark(work, batch, kind)),
        "pinned_at": datetime.now(UTC).isoformat(),
        "maximum_annotations": people,
        "sampling": "Sequential sampling",
        "show_skip_button": False,
        "enable_empty_annotation": False,
    }


def page(picture: str, verdicts: Sequence[str], reasons: Sequence[str] = (), when: str = "") -> str:
    """The XML of an inspector's page: verdict, the reason of a failure, the picture, a note.

    What is to be chosen stands above the picture, in sight however tall that is.
    """
    root = ElementTree.Element("View")
    _add(root, "Header", value="$question", size="4")
    choices = _choices(root, VERDICT, picture, "Say what you think of it.")
    for key, verdict in enumerate(verdicts, 1):
        _add(choices, "Choice", value=verdict, hotkey=str(key))
    if reasons:
        why = _choices(root, REASON, picture, "Say why it fails.")
        why.attrib |= {"visibleWhen": "choice-selected", "whenTagName": VERDICT}
        why.attrib |= {"whenChoiceValue": when}
        for reason in reasons:
            _add(why, "Choice", value=reason)
    look = {"zoom": "true", "zoomControl": "true", "defaultZoom": "fit"}
    _add(root, "Image", name=picture, value=f"${picture}", **look)
    note = {"rows": "2", "maxSubmissions": "1", "editable": "true"}
    words = "note (Shift+Enter adds it)"
    _add(root, "TextArea", name=NOTE, toName=picture, placeholder=words, **note)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _choices(root: ElementTree.Element, name: str, picture: str, ask: str) -> ElementTree.Element:
    needed = {"choice": "single", "required": "true", "requiredMessage": ask}
    return _add(root, "Choices", name=name, toName=picture, showInline="true", **needed)


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _share(work: Work, overlay: Path) -> Path:
    """The overlay below WORK/images, which is what a server may show."""
    object, round_ = overlay.parent.parent.name, overlay.parent.name
    target = work.folder / FOLDER / "_overlays" / object / round_ / overlay.name
    if not target.is_file() or target.stat().st_mtime < overlay.stat().st_mtime:
        copy_file(overlay, target, link=True)
    return target
