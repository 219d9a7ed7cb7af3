"""Which pictures an annotator draws first: a place in their tasks, and a tab in that order.

    changed = put_first(work, studio, work.batch("ram"), [17, 4, 9], who="lead@example.org")

Label Studio itself hands tasks out by their numbers. A tab with an order of its own is what its
free edition has: "Label Tasks As Displayed" follows it. Only the data of tasks is written; answers,
suggestions and the other tabs stay as they are.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from annotate.studio.acts.tabs import make_tab
from annotate.studio.acts.task_data import write_words
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import need_own
from annotate.studio.spelling.regions import FIRST
from annotate.work import Batch, Event, Work
from partlab.errors import StateError

TAB = "Draw first"
_PLACES = 4  # digits: the server sorts them as text


def put_first(
    work: Work, studio: Studio, batch: Batch, order: Sequence[int], who: str = "partlab"
) -> int:
    """Put these images first in a round, and no others; how many tasks changed.

    Cut off, it is done again by the next one: what the tasks say is noted after it is written.

    Raises:
        StateError: the round is not being drawn.
        StudioError: the server cannot be reached, or refuses, or is another than the work's.
    """
    if batch.state != "annotating" or batch.project_id is None:
        raise StateError(f"{batch.object} round {batch.round} is {batch.state}, not being drawn")
    need_own(studio, work, batch)
    wanted = {str(id): f"{place:0{_PLACES}}" for place, id in enumerate(order, 1)}
    stands = _before(work, batch)
    changed = {id for id in {*wanted, *stands} if wanted.get(id) != stands.get(id)}
    tasks = {str(task.image_id): task for task in work.tasks(batch.object, batch.round)}
    for id in sorted(changed, key=int):
        task = tasks.get(id)
        if task is not None and task.task_id is not None and task.project_id == batch.project_id:
            write_words(work, studio, task, FIRST, wanted.get(id, ""))
    make_tab(studio, batch.project_id, TAB)
    if changed:
        data = {"project_id": batch.project_id, "order": wanted}
        work.record("ordered", who=who, object=batch.object, round=batch.round, data=data)
    return len(changed)


def _before(work: Work, batch: Batch) -> Mapping[str, str]:
    """The places that stand in the tasks of the round's project, as far as they were written."""
    query = select(Event.data).filter_by(what="ordered", object=batch.object, round=batch.round)
    with work.read() as session:
        data = session.scalar(query.order_by(Event.id.desc()).limit(1)) or {}
    known: Mapping[str, str] = data.get("order", {})
    return known if data.get("project_id") == batch.project_id else {}
