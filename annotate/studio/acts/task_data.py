"""Words in a task, which its annotator reads: in a column of the list, or above the picture."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.api.projects import is_ours
from annotate.work import Batch, Event, Task, Work
from partlab.errors import StudioError


@dataclass(frozen=True, slots=True)
class Column:
    """One kind of words: the field of a task's data, and the event that notes what stands there.

    The event has them under `noted`, by image id.
    """

    field: str
    event: str
    noted: str


def keep_words(
    work: Work, studio: Studio, batch: Batch, column: Column, wanted: Mapping[int, str], who: str
) -> int:
    """Have the tasks of a round say these words, by image id, and the others nothing.

    Only what changed is written; how many tasks that were. Cut off, it is done again by the next
    call: what the tasks say is noted after it is written.

    Raises:
        StudioError: as `write_words`.
    """
    words = {str(id): one for id, one in wanted.items()}
    stands = _noted(work, batch, column)
    changed = {id for id in {*words, *stands} if words.get(id) != stands.get(id)}
    tasks = {str(task.image_id): task for task in work.tasks(batch.object, batch.round)}
    for id in sorted(changed, key=int):
        task = tasks.get(id)
        if task is not None and task.task_id is not None and task.project_id == batch.project_id:
            write_words(work, studio, task, column.field, words.get(id, ""))
    if changed:
        data = {"project_id": batch.project_id, column.noted: words}
        work.record(column.event, who=who, object=batch.object, round=batch.round, data=data)
    return len(changed)


def _noted(work: Work, batch: Batch, column: Column) -> Mapping[str, str]:
    """What the tasks of the round's project say, as far as it was written."""
    query = select(Event.data).filter_by(what=column.event, object=batch.object, round=batch.round)
    with work.read() as session:
        data = session.scalar(query.order_by(Event.id.desc()).limit(1)) or {}
    known: Mapping[str, str] = data.get(column.noted, {})
    return known if data.get("project_id") == batch.project_id else {}


def write_words(work: Work, studio: Studio, task: Task, key: str, words: str) -> None:
    """Into that task alone: on another server its number is somebody else's.

    A task that is gone is passed over.

    Raises:
        StudioError: the task is not the work's, the server is gone or refuses.
    """
    path = f"/api/tasks/{task.task_id}/"
    try:
        data = studio.get(path)["data"]
        if not is_ours(work, data) or data["image_id"] != task.image_id:
            raise StudioError(
                f"task {task.task_id} of {studio.url} does not belong to {work.folder}",
                hint="is PARTLAB_STUDIO_URL the server that the work was created on?",
            )
        if data.get(key, "") != words:
            studio.patch(path, {"data": {**data, key: words}})
    except RefusedError as error:
        if error.status != 404:
            raise
