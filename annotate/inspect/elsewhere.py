"""Inspection projects that an earlier version made in Label Studio: nobody reads them any more.

What was read from them stands. What was said there since, and never read, cannot be known without
the server; whoever inspects such a category is told where it lies.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from annotate.inspect.discards import find_cases
from annotate.work import Event, Work

ROUND = "inspect-project"
DISCARDS = ("discards-project", "third-project")
"""The kinds of `logged` events by which such projects stand in the history."""


def said_elsewhere(work: Work, objects: Iterable[str] = ()) -> dict[str, str]:
    """A sentence for each category (all, or those named) that waits for words given there."""
    query = select(Event.object, Event.round, Event.data).filter_by(what="logged")
    with work.read() as session:
        rows = session.execute(query.order_by(Event.id)).all()
    made = [row for row in rows if row.data.get("kind") in (ROUND, *DISCARDS)]
    if not made:
        return {}
    inspected = {
        (batch.object, batch.round) for batch in work.batches() if batch.state == "sampled"
    }
    given_up = {(case.object, case.round) for case in find_cases(work) if case.open}
    wanted, found = {*objects}, dict[str, set[int]]()
    for row in made:
        open_ = inspected if row.data["kind"] == ROUND else given_up
        if (row.object, row.round) in open_ and (not wanted or row.object in wanted):
            found.setdefault(row.object, set()).add(row.data["project_id"])
    return {name: _sentence(name, projects) for name, projects in sorted(found.items())}


def _sentence(object: str, projects: Iterable[Any]) -> str:
    numbers = " and ".join(map(str, sorted(projects)))
    return (
        f"{object}: an earlier version had it inspected in Label Studio (project {numbers}); "
        "what was said there and not read back does not count: say it again on the page "
        "Inspect or with `partlab inspect`, or read it back with that version first"
    )
