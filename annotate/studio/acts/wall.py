"""The wall of projects in Label Studio, in words: what is to be done first, what is over last.

Label Studio (the free one) shows every project to everybody and can hide none. It knows an order:
pinned projects first, then the others. So a project is pinned while somebody has something to do
in it; one that is over is grey, stands behind, and says in its title that it is over.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from annotate.studio.api.client import Studio
from annotate.studio.api.projects import need_own
from annotate.studio.spelling.mark import mark_of, marked
from annotate.work import Batch, Work, open_images
from annotate.work.inspecting import images_in_correction
from partlab.errors import StudioError, UnknownNameError

log = logging.getLogger(__name__)

ANNOTATE = "annotate"
"""What a project is for; earlier versions made others, for inspectors, which nobody reads now."""

_TITLE = 50  # characters Label Studio allows
_PLAIN, _GREY = "#FFFFFF", "#9E9E9E"
_FIELDS = "id,title,description,label_config,color,pinned_at"
_OVER = {
    "submitted": "drawn, to be inspected",
    "sampled": "drawn, being inspected",
    "rejected": "drawn again elsewhere",
    "abandoned": "given up",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a project says on the wall, and whether somebody has something to do in it."""

    title: str
    description: str
    open: bool

    def fields(self, project: Mapping[str, Any]) -> dict[str, Any]:
        """What has to change in a project for it, `project` being as the server has it."""
        color = _PLAIN if self.open else _GREY
        wanted: dict[str, Any] = {"title": self.title, "description": self.description}
        wanted["color"] = color
        changed = {name: value for name, value in wanted.items() if project.get(name) != value}
        if self.open != bool(project.get("pinned_at")):
            changed["pinned_at"] = datetime.now(UTC).isoformat() if self.open else None
        return changed


def look_of(work: Work, batch: Batch, kind: str = ANNOTATE) -> Look:
    """How the project of a round, of one kind, is to look now."""
    about = f"Round {batch.round} of the work {work.settings.name}."
    if kind != ANNOTATE:
        title = _title(batch.object, "inspected elsewhere", open_=False)
        moved = "Inspect on the page Inspect of partlab's app: nobody reads what is said here."
        return Look(title, f"{moved} {about}", False)
    doing, open_ = _drawing(work, batch)
    about = f"For {batch.assignee}. {about}"
    return Look(_title(batch.object, doing, open_=open_), about, open_)


def tidy_wall(work: Work, studio: Studio) -> int:
    """Let every project of a work say how far it is; how many changed.

    What the server refuses is told and hinders nothing: the work's own state is what counts.
    """
    changed = 0
    try:
        for project in studio.pages("/api/projects/", include=_FIELDS, ordering="id"):
            if fields := _changes(work, project):
                studio.patch(f"/api/projects/{project['id']}/", fields)
                changed += 1
    except StudioError as error:
        log.warning("titles of projects may be out of date: %s", error.message)
    return changed


def tell_project(work: Work, studio: Studio, batch: Batch) -> None:
    """Let the project of a round say how far it is; what cannot be changed is logged."""
    if batch.project_id is None:
        return
    try:
        need_own(studio, work, batch)
        project = studio.get(f"/api/projects/{batch.project_id}/")
        if fields := _changes(work, project) or look_of(work, batch).fields(project):
            studio.patch(f"/api/projects/{batch.project_id}/", fields)
    except StudioError as error:
        log.warning("project %d was not changed: %s", batch.project_id, error.message)


def _changes(work: Work, project: Mapping[str, Any]) -> dict[str, Any]:
    facts = mark_of(project)
    if facts.get("work") != work.settings.id or not {"object", "round", "kind"} <= set(facts):
        return {}
    try:
        batch = work.batch(facts["object"], facts["round"])
    except UnknownNameError:
        return {}
    fields = look_of(work, batch, facts["kind"]).fields(project)
    if fields and mark_of({"label_config": project.get("label_config")}) != facts:
        fields["label_config"] = marked(str(project.get("label_config")), facts)  # of before
    return fields


def _title(object: str, doing: str, *, open_: bool) -> str:
    head, tail = (object, f": {doing}") if open_ else (f"over: {object}", f", {doing}")
    if len(head) + len(tail) > _TITLE:
        head = head[: _TITLE - len(tail) - 1] + "…"
    return head + tail


def _drawing(work: Work, batch: Batch) -> tuple[str, bool]:
    """What is to be done in a project for drawing, and whether anything is."""
    with work.read() as session:
        left = len(open_images(session, batch))
        back = len(images_in_correction(session, batch))
    count = len(work.tasks(batch.object, batch.round)) or len(work.images(batch.object))
    if batch.state in ("planned", "annotating"):
        again = f"draw again (round {batch.round})" if batch.round > 1 else "draw"
        return f"{again}, {left} of {count} to do", True
    if back:
        return f"correct {back} of {count}", True
    said = _OVER.get(batch.state, batch.state)
    return (f"{said} (round {batch.round})" if batch.round > 1 else said), False
