"""Where a work stands as a whole: drawing and inspection, for whom it waits, and how long.

    overview = look_over(work)

Everything comes from the work's state; no server is asked.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from annotate.inspect.corrections import Correction, corrections
from annotate.inspect.elsewhere import said_elsewhere
from annotate.inspect.overlaps import what_stops
from annotate.inspect.standing import Standing as Inspected
from annotate.inspect.standing import status
from annotate.studio.acts.rounds import undrawn_parts
from annotate.studio.acts.status import Hours, Standing, hours_by_annotator, standings
from annotate.studio.api.connection import URL_VARIABLE
from annotate.work import Answer, Event, Work
from annotate.work.change import DONE

_INSPECTOR, _LEAD = "an inspector", "the lead"
SHARES = ("accepted", "inspecting", "drawn", "given up", "needs fixing", "open")
"""What the images of a round are, furthest on first."""


@dataclass(frozen=True, slots=True)
class Row:
    """One category's current round: how it is drawn and inspected, and who is to act now.

    `waits_for` is somebody's name, "an inspector", "the lead", or nothing where it is done;
    `why` says what they are to do. `stopped` says what `inspect sample` would refuse the category
    for, and what to do about it; `elsewhere` where inspectors may have said something that nobody
    read.
    """

    drawing: Standing
    inspection: Inspected
    corrections: tuple[Correction, ...]
    waits_for: str
    why: str
    last: str = ""  # when something last happened in the category
    stopped: str = ""
    elsewhere: str = ""

    @property
    def shares(self) -> dict[str, int]:
        """The images of the round by what they are now: each is counted once."""
        one, found = self.drawing, dict.fromkeys(SHARES, 0)
        found["given up"] = one.discarded
        back = sum(not correction.drawn for correction in self.corrections)
        if one.state in ("accepted", "sampled", "rejected"):
            found["needs fixing"] = one.drawn if one.state == "rejected" else back
            found["inspecting"] = len(self.corrections) - back
            rest = "inspecting" if one.state == "sampled" else "accepted"
            if one.state != "rejected":
                found[rest] += one.drawn - (len(self.corrections) - back)
        else:
            found["needs fixing"] = one.broken + one.restored
            found["drawn"] = one.drawn
        found["open"] = max(one.images - sum(found.values()), 0)
        return found

    @property
    def rejected_share(self) -> float | None:
        """Rejected rounds among those that were decided; None where none was."""
        decided = self.inspection.rejected_rounds + (self.drawing.state in ("accepted", "rejected"))
        rejected = self.inspection.rejected_rounds + (self.drawing.state == "rejected")
        return rejected / decided if decided else None

    def as_json(self) -> dict[str, Any]:
        """Both sides in one; `sampled` are the images drawn for inspection."""
        seen = asdict(self.inspection)
        seen["sampled"] = seen.pop("drawn")
        more = {"corrections": [asdict(one) for one in self.corrections]}
        act = {"waits_for": self.waits_for, "stopped": self.stopped}
        act |= {"elsewhere": self.elsewhere}
        return {**seen, **self.drawing.as_json(), **more, **act}


@dataclass(frozen=True, slots=True)
class Forecast:
    """When the last picture is drawn if all go on as so far and nothing is rejected.

    `hours` of drawing are left, where the time of a picture is known; `end` and `slowest` are
    None where somebody has drawn nothing yet.
    """

    open: int
    hours: float | None
    end: str | None
    slowest: str | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole work."""

    rows: tuple[Row, ...]
    people: tuple[Hours, ...]
    forecast: Forecast

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the current rounds."""
        names = ("images", "done", "discarded", "broken")
        found = {name: sum(getattr(row.drawing, name) for row in self.rows) for name in names}
        found["categories"] = len(self.rows)
        found["accepted"] = sum(row.drawing.state == "accepted" for row in self.rows)
        found["inspected"] = sum(row.inspection.seen for row in self.rows)
        return found | {"flags": sum(len(row.drawing.flags) for row in self.rows)}


def look_over(work: Work, objects: Sequence[str] = ()) -> Overview:
    """All categories that were handed out, or those named.

    Raises:
        UnknownNameError: there is no such object category in the work.
    """
    inspected = {one.object: one for one in status(work, objects)}
    last, elsewhere = _last(work), said_elsewhere(work, objects)
    rows = [_row(work, one, inspected[one.object], last) for one in standings(work, objects)]
    rows = [replace(row, elsewhere=elsewhere.get(row.drawing.object, "")) for row in rows]
    return Overview(tuple(rows), tuple(hours_by_annotator(work)), _forecast(work, rows))


def _last(work: Work) -> dict[str, str]:
    """When something last happened, by category."""
    query = select(Event.object, func.max(Event.at)).group_by(Event.object)
    with work.read() as session:
        return {str(name): str(at) for name, at in session.execute(query)}


def _row(work: Work, drawing: Standing, inspection: Inspected, last: Mapping[str, str]) -> Row:
    back = tuple(corrections(work, drawing.object))
    who, why = _waits_for(drawing, inspection, back)
    stopped = _stopped(work, drawing)
    if stopped and not inspection.discards_waiting:
        who, why = _LEAD, "parts lie over each other"
    if not why and (new := undrawn_parts(work, work.batch(drawing.object))):
        who, why = _LEAD, f"partlab studio create --new-parts ({new})"
    return Row(drawing, inspection, back, who, why, last.get(drawing.object, ""), stopped)


def _stopped(work: Work, drawing: Standing) -> str:
    if drawing.state != "submitted":
        return ""
    fault = what_stops(work, work.batch(drawing.object, drawing.round))
    return f"`partlab inspect sample` stops: {fault.message}. {fault.hint}" if fault else ""


def _waits_for(
    drawing: Standing, inspection: Inspected, back: Sequence[Correction]
) -> tuple[str, str]:
    """Who is to act now, and how."""
    state, discards = drawing.state, inspection.discards_waiting
    if state in ("planned", "rejected", "abandoned"):
        return _LEAD, "partlab studio create"
    if state == "annotating" and drawing.done < drawing.images:
        fix = drawing.broken + drawing.restored
        words = f"{drawing.images - drawing.done} to draw"
        return drawing.assignee, f"{words}, {fix} of them to fix" if fix else words
    if state == "annotating":
        return _LEAD, "partlab studio pull"
    if state == "submitted" and discards:
        return _INSPECTOR, f"{discards} given up"
    if state == "submitted":
        return _INSPECTOR, "partlab inspect sample"
    if state == "sampled":
        who = " or ".join(inspection.inspectors) or _INSPECTOR
        return who, "to be finished" if inspection.held else "partlab inspect decide"
    if undrawn := [one for one in back if not one.drawn]:
        return drawing.assignee, f"{len(undrawn)} sent back"
    return (_INSPECTOR, f"{len(back)} corrected") if back else ("", "")


def studio_link(project_id: int | None, task_id: int | None = None) -> str | None:
    """The address of a project in Label Studio, or of one task of it, where a server is named."""
    server = os.environ.get(URL_VARIABLE, "").strip().rstrip("/")
    if not (server and project_id):
        return None
    task = f"?task={task_id}" if task_id else ""
    return f"{server}/projects/{project_id}/data{task}"


def _forecast(work: Work, rows: Iterable[Row]) -> Forecast:
    left: defaultdict[str, int] = defaultdict(int)
    hours: float | None = 0.0
    for row in rows:
        open_ = row.drawing.images - row.drawing.done
        if row.drawing.state not in ("planned", "annotating") or not open_:
            continue
        left[row.drawing.assignee] += open_
        minutes = row.drawing.minutes_per_image
        hours = None if hours is None or minutes is None else hours + open_ * minutes / 60
    pace = _pace(work, left)
    days = {who: count / pace[who] for who, count in left.items() if pace.get(who)}
    known = bool(left) and len(days) == len(left)
    slowest = max(days, key=lambda who: days[who]) if known else None
    end = datetime.now(UTC) + timedelta(days=days[slowest]) if slowest else None
    known_hours = round(hours, 1) if left and hours is not None else None
    return Forecast(sum(left.values()), known_hours, f"{end:%Y-%m-%d}" if end else None, slowest)


def _pace(work: Work, people: Iterable[str]) -> Mapping[str, float]:
    """Pictures a day of each annotator, over the days from their first answer to their last."""
    query = select(Answer.annotator, Answer.updated_at).where(Answer.kind.in_(DONE))
    times: defaultdict[str, list[datetime]] = defaultdict(list)
    with work.read() as session:
        for who, at in session.execute(query.where(Answer.annotator.in_(list(people)))):
            times[who].append(datetime.fromisoformat(at))
    spans = {who: max((max(found) - min(found)).days, 1) for who, found in times.items()}
    return {who: len(found) / spans[who] for who, found in times.items()}
