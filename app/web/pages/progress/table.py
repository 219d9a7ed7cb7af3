"""The lead's table and an annotator's list as HTML: plain functions, no Gradio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import urlencode

from annotate.inspect.mywork import Chore
from annotate.inspect.overview import SHARES, Overview, Row, studio_link
from annotate.studio.acts.notes import SHOWN, Note
from annotate.studio.acts.status import open_flags
from annotate.work import Flag, Work, safe_name
from app.web.shown import Shown
from partlab.counts import counted
from partlab.pages import render

Flags = Mapping[tuple[str, int], Sequence[Flag]]


@dataclass(frozen=True, slots=True)
class _Said:
    """One sentence on a category, and (words, address) of the pictures it is about."""

    words: str
    links: tuple[tuple[str, str], ...] = ()


_WORDS = {"open": "still to be drawn", "needs fixing": "to be fixed by the annotator"}
_MOST = 12  # pinned pictures that are shown with their masks


def table_html(
    work: Work, found: Overview, models: Sequence[str] = (), trouble: str = "", name: str = ""
) -> str:
    """One row for each category, with what its images are, and what a lead can do.

    `models` can suggest masks; `trouble` says why there are none. `name` is what
    pages call the work.
    """
    flags = open_flags(work)
    return render(
        __package__ or "",
        "table.html",
        filters={
            "ago": ago,
            "percent": "{:.0%}".format,
            "minutes": "{:.1f}".format,
            "flags": lambda count: counted(count, "flag"),
            "notes": lambda count: counted(count, "note"),
        },
        rows=[_row(work, one, flags, name) for one in found.rows],
        models=models if work.settings.model_help else (),
        trouble=trouble if work.settings.model_help else "the work forbids model help",
        shares=SHARES,
        totals=found.totals,
        forecast=found.forecast,
        people=found.people,
        inside=f"dataset?{urlencode({'data': name, 'view': 'export'})}",
        folder=quote(str(work.folder)),
        sums={name: sum(row.shares[name] for row in found.rows) for name in SHARES},
    )


def _row(work: Work, row: Row, flags: Flags, name: str) -> dict[str, Any]:
    one, shares = row.drawing, row.shares
    total = max(sum(shares.values()), 1)
    bar = [
        {"name": name, "count": n, "share": 100 * n / total, "words": _WORDS.get(name, name)}
        for name, n in shares.items()
        if n
    ]
    return {
        "row": row,
        "one": one,
        "bar": bar,
        "told": ", ".join(f"{part['count']} {part['name']}" for part in bar),
        "link": studio_link(one.project_id),
        "next": one.state in ("planned", "rejected", "abandoned"),
        "pull": one.state == "annotating" or bool(row.corrections),
        "export": f"{safe_name(one.object)}-parts" if one.state == "accepted" else "",
        "away": one.state in ("planned", "annotating", "rejected", "abandoned"),
        "carried": work.batch(one.object).start_from,
        "inspect": _inspect(row, name),
        "why": "to inspect" if row.why.startswith("partlab inspect") else row.why,
        "flags": _flags(work, row, flags),
        "notes": [_Said(str(note), _pictures(work, row, note)) for note in one.notes],
    }


def _inspect(row: Row, name: str) -> str:
    """Where the page Inspect has what waits for an inspector; nothing where nothing does."""
    state, corrected = row.drawing.state, row.corrections
    if row.stopped and not row.inspection.discards_waiting:
        return ""
    if state == "submitted" and row.inspection.discards_waiting:
        kind = "discards"
    elif state in ("submitted", "sampled"):
        kind = "round"
    elif state == "accepted" and corrected and all(one.drawn for one in corrected):
        kind = "again"
    else:
        return ""
    return f"inspect?{urlencode({'work': name, 'kind': kind, 'object': row.drawing.object})}"


def _flags(work: Work, row: Row, flags: Flags) -> list[_Said]:
    """What was not taken, each with its picture in Label Studio."""
    one, found = row.drawing, []
    rounds = range(1, one.round + 1)
    there = [flag for number in rounds for flag in flags.get((one.object, number), ())]
    for words in one.flags:
        flag = next(flag for flag in there if words.endswith(flag.message))
        there.remove(flag)
        project = work.batch(one.object, flag.round).project_id
        link = studio_link(project, flag.task_id)
        found.append(_Said(words, (("the picture", link),) if link else ()))
    return found


def _pictures(work: Work, row: Row, note: Note) -> tuple[tuple[str, str], ...]:
    """The images of a note, each with its address."""
    one = row.drawing
    tasks = {task.image_id: task.task_id for task in work.tasks(one.object, one.round)}
    links = [(f"image {id}", studio_link(one.project_id, tasks.get(id))) for id in note.images]
    return tuple((words, link) for words, link in links if link)[:SHOWN]


def ago(at: str, now: datetime | None = None) -> str:
    """How long ago something was, in words."""
    if not at:
        return "–"
    past = (now or datetime.now(UTC)) - datetime.fromisoformat(at)
    minutes = past.total_seconds() / 60
    for size, name in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = int(minutes // size)
            return f"{count} {name}{'s' * (count > 1)} ago"
    return "just now"


def mine_html(work: Work, chores: Sequence[Chore], who: str, shown: Shown) -> str:
    """What an annotator is to do, with the pictures that were pinned."""
    pictures = [_picture(work, chore, shown) for chore in _first_pinned(chores)]
    by_image = {picture["image"]: picture for picture in pictures}
    return render(
        __package__ or "",
        "mine.html",
        filters={},
        chores=[(chore, by_image.get(chore.image_id)) for chore in chores],
        fixes=sum(chore.kind == "fix" for chore in chores),
        who=who,
    )


def _first_pinned(chores: Sequence[Chore]) -> list[Chore]:
    return [chore for chore in chores if chore.image_id is not None and chore.pins][:_MOST]


def _picture(work: Work, chore: Chore, shown: Shown) -> dict[str, Any]:
    from app.web.pages.inspect.pictures import picture_of

    assert chore.image_id is not None
    found = picture_of(work, chore.object, chore.pinned, chore.image_id, shown)
    return {**found, "name": Path(chore.file_name).name}
