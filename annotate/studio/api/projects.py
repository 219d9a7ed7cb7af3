"""Label Studio projects of a work: one for each object category and round.

A project says in a comment of its interface which work, object and round it belongs to, and a task
which image of which work it shows, so both are found again whatever was lost on our side. A work is
known by its id: another server may hold one of the same name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import select

from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.spelling.mark import HELP, mark_of
from annotate.work import Batch, Event, Work
from partlab.errors import StudioError

BATCH = 250  # tasks in one request
IDS = "ids"  # what labels are, in the events that gave a project its interface
RIGHT_SERVER = "is PARTLAB_STUDIO_URL the server that the work was created on?"
_DRAWN = "annotate"  # earlier versions made projects for inspectors, too
Key = tuple[str, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fields:
    """What a project is made of."""

    title: str
    description: str
    label_config: str
    show_collab_predictions: bool

    def payload(self) -> dict[str, Any]:
        """The project as Label Studio's API wants it."""
        return {
            "title": self.title,
            "description": self.description,
            "label_config": self.label_config,
            "maximum_annotations": 1,
            "sampling": "Sequential sampling",
            "show_skip_button": False,
            "enable_empty_annotation": False,
            "show_collab_predictions": self.show_collab_predictions,
            "pinned_at": datetime.now(UTC).isoformat(),
        }


def mark(work: Work, batch: Batch) -> dict[str, Any]:
    """What a project is found by; it never changes. It says, too, if no model may help (D-05)."""
    key = {"object": batch.object, "round": batch.round}
    without = {} if work.settings.model_help else {HELP: False}
    return {"work": work.settings.id, "kind": _DRAWN, **key, **without}


def find_projects(studio: Studio, work: Work) -> dict[Key, int]:
    """Project id for each (object, round) of this work that is in Label Studio.

    Of two projects of one round the one that the work has noted counts, else the older one.
    """
    with work.read() as session:
        noted = set(session.scalars(select(Batch.project_id)))
    found: dict[Key, int] = {}
    fields = "id,description,label_config"
    for project in studio.pages("/api/projects/", include=fields, ordering="id"):
        facts = facts_of(project)
        if facts.get("work") == work.settings.id and facts.get("kind") == _DRAWN:
            key = facts["object"], facts["round"]
            if project["id"] in noted:
                found[key] = project["id"]
            found.setdefault(key, project["id"])
    return found


def is_there(studio: Studio, work: Work, batch: Batch) -> bool:
    """Whether a round's project is still there, though it no longer says so."""
    try:
        project = studio.get(f"/api/projects/{batch.project_id}/")
        return not facts_of(project) and _has_tasks(studio, work, batch)
    except RefusedError as error:
        if error.status == 404:
            return False
        raise


def _has_tasks(studio: Studio, work: Work, batch: Batch) -> bool:
    """Whether the round's project on this server has a task of the round."""
    there = task_ids(studio, work, batch.project_id or 0, by_name=False)
    own = ((task.image_id, task.task_id) for task in work.tasks(batch.object, batch.round))
    return any(there.get(image) == task for image, task in own if task)


def need_own(studio: Studio, work: Work, batch: Batch) -> None:
    """See that a round's project on this server is the work's, before it is changed.

    Raises:
        StudioError: it is another's; the server is perhaps not the one of the work.
        RefusedError: there is none.
    """
    facts = facts_of(studio.get(f"/api/projects/{batch.project_id}/"))
    if facts.get("work") != work.settings.id and (facts or not _has_tasks(studio, work, batch)):
        raise StudioError(
            f"project {batch.project_id} of {studio.url} does not belong to this work "
            f"({batch.object} round {batch.round}); it is left as it is",
            hint=RIGHT_SERVER,
        )


def names_work(data: Mapping[str, Any], work: Work, *, by_name: bool = False) -> bool:
    """Whether a task's data says that it belongs to this work.

    Earlier versions wrote the work's name, which counts (`by_name`) only in a project that is
    known to be the work's.
    """
    said = data.get("partlab")
    return said == work.settings.id or (by_name and said == work.settings.name)


def facts_of(project: Mapping[str, Any]) -> dict[str, Any]:
    """What partlab wrote into a project that it made for a round; nothing if it did not."""
    facts = mark_of(project)
    return facts if {"object", "round"} <= set(facts) else {}


def labels_are_names(work: Work, batch: Batch) -> bool:
    """Whether a round's project was made by an earlier version: its labels are names, not ids."""
    query = select(Event.data).filter_by(object=batch.object, round=batch.round)
    query = query.where(Event.what.in_(("opened", "migrated"))).order_by(Event.id)
    with work.read() as session:
        events = [data for data in session.scalars(query) if {"labels", "project_id"} & {*data}]
    return not events or events[-1].get("labels") != IDS


def make_project(studio: Studio, work: Work, key: Key, fields: Fields) -> int:
    """Make a project; its id. When the answer is lost it is looked for before giving up."""
    try:
        return int(studio.post("/api/projects/", fields.payload())["id"])
    except RefusedError:
        raise
    except StudioError:
        if (found := find_projects(studio, work).get(key)) is None:
            raise
        return found


def task_ids(
    studio: Studio, work: Work, project_id: int, *, by_name: bool = True
) -> dict[int, int]:
    """Task id for each image id in a project; of two tasks of one image the first.

    `by_name` is as in `names_work`.
    """
    found: dict[int, int] = {}
    for task in studio.pages(
        "/api/tasks/", key="tasks", size=500, project=project_id, include="id,data"
    ):
        data = task.get("data") or {}
        if is_ours(work, data, by_name=by_name):
            found.setdefault(data["image_id"], task["id"])
    return found


def is_ours(work: Work, data: Mapping[str, Any], *, by_name: bool = True) -> bool:
    """Whether the data of a task say that it shows an image of this work, as `names_work`."""
    return names_work(data, work, by_name=by_name) and isinstance(data.get("image_id"), int)


def add_tasks(
    studio: Studio, project_id: int, tasks: Iterable[Mapping[str, Any]]
) -> Iterator[dict[int, int]]:
    """Import tasks in batches; yields {image id: task id} of each batch once it is there.

    Raises:
        StudioError: a batch was not taken whole; what did arrive is found by `task_ids`.
    """
    for batch in chunks(tasks, BATCH):
        answer = studio.post(
            f"/api/projects/{project_id}/import", list(batch), return_task_ids="true"
        )
        ids = answer.get("task_ids") or []
        if len(ids) != len(batch):
            raise StudioError(
                f"Label Studio took {len(ids)} of {len(batch)} tasks for project {project_id}",
                hint="run the same command again: it adds what is missing",
            )
        yield {task["data"]["image_id"]: id for task, id in zip(batch, ids, strict=True)}


def chunks(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """Items in lists of at most `size`."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk
