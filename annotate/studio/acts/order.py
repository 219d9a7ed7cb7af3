"""Which pictures an annotator draws first: a place in their tasks, and a tab in that order.

    changed = put_first(work, studio, work.batch("ram"), [17, 4, 9], who="lead@example.org")

Label Studio itself hands tasks out by their numbers. A tab with an order of its own is what its
free edition has: "Label Tasks As Displayed" follows it. Only the data of tasks is written; answers,
suggestions and the other tabs stay as they are.
"""

from collections.abc import Sequence

from annotate.studio.acts.tabs import make_tab
from annotate.studio.acts.task_data import Column, keep_words
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import need_own
from annotate.studio.spelling.names import FIRST
from annotate.work import Batch, Work
from partlab.errors import StateError

TAB = "Draw first"
_COLUMN = Column(FIRST, event="ordered", noted="order")
_PLACES = 4  # digits: the server sorts them as text


def put_first(
    work: Work, studio: Studio, batch: Batch, order: Sequence[int], who: str = "partlab"
) -> int:
    """Put these images first in a round, and no others; how many tasks changed.

    Raises:
        StateError: the round is not being drawn.
        StudioError: the server cannot be reached, or refuses, or is another than the work's.
    """
    if batch.state != "annotating" or batch.project_id is None:
        raise StateError(f"{batch.object} round {batch.round} is {batch.state}, not being drawn")
    need_own(studio, work, batch)
    wanted = {id: f"{place:0{_PLACES}}" for place, id in enumerate(order, 1)}
    changed = keep_words(work, studio, batch, _COLUMN, wanted, who)
    make_tab(studio, batch.project_id, TAB)
    return changed
