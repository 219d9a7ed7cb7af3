"""Annotators are told in Label Studio what came of an inspection, where a server is named."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from partlab.errors import StudioError

if TYPE_CHECKING:
    from annotate.work import Work

_LATER = "`partlab studio pull` tells the annotator"


def tell_annotators(work: "Work", objects: Iterable[str]) -> list[str]:
    """Write into the tasks of these categories what is to be done; a line where it must wait.

    What was decided stands whether or not a server can be reached.
    """
    from annotate.studio.acts.todo import tell
    from annotate.studio.acts.wall import tidy_wall
    from annotate.studio.api.client import Studio
    from annotate.studio.api.connection import TOKEN_VARIABLE, URL_VARIABLE

    batches = [work.batch(name) for name in dict.fromkeys(objects)]
    batches = [batch for batch in batches if batch.project_id is not None]
    if not batches:
        return []
    if not (os.environ.get(URL_VARIABLE) and os.environ.get(TOKEN_VARIABLE)):
        return [f"no server is named, so {_LATER}"]
    try:
        with Studio.from_env() as studio:
            who = str(studio.whoami()["email"])
            for batch in batches:
                tell(work, studio, batch, who)
            tidy_wall(work, studio)
    except StudioError as error:
        return [f"{error.message}, so {_LATER}"]
    return []
