"""Words in a task, which its annotator reads: in a column of the list, or above the picture."""

from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.api.projects import is_ours
from annotate.work import Task, Work
from partlab.errors import StudioError


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
