"""Training that Label Studio asks for, with its button or by its API: the loop of the work.

A server that serves a work's loop (`partlab serve WORK`) begins the next training of it; others
say in their log what a lead has to do.
"""

import logging
from pathlib import Path
from typing import Any

from annotate.studio.spelling.mark import mark_of
from annotate.work.store import settings_of
from app.serve.models import Models
from partlab.errors import PartlabError, StateError
from segmenter.loop import start

log = logging.getLogger(__name__)
_WHO = "Label Studio"


def training_asked(models: Models, model: str, project: dict[str, Any]) -> None:
    """`START_TRAINING` of a project, as Label Studio describes it, on a served model.

    Returns when a process has the job, or the log says why there is none: nothing was accepted
    since, or a training of the work is running.
    """
    try:
        job = start(_work_of(models, model, project), who=_WHO)
    except PartlabError as error:
        hint = f"; {error.hint}" if error.hint else ""
        words = f"no training for project {project.get('id')}: {error.message}{hint}"
        log.warning("%s: %s", model, words)
    else:
        log.info("%s: job %d trains version %d", model, job.number, job.version)


def _work_of(models: Models, model: str, project: dict[str, Any]) -> Path:
    """The folder of the work that both the model and the project belong to.

    Raises:
        StateError: there is none.
    """
    from app.serve.loop_of import LoopOf

    loops = [each.load for each in models.sources if each.name == model]
    if not loops or not isinstance(loops[0], LoopOf):
        raise StateError(
            "this model is not one of a work's loop",
            hint="a lead begins a training: partlab loop start WORK; or serves the work itself: "
            "partlab serve WORK",
        )
    folder = loops[0].work
    if mark_of(project).get("work") != settings_of(folder).id:
        raise StateError(f"the project does not belong to {folder}, whose loop is served")
    return folder
