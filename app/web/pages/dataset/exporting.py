"""What an export takes, what it leaves out and why; and the export itself."""

from pathlib import Path

import numpy as np

from annotate.data.selection import write_selection
from annotate.inspect.build import Built, Wanted, build
from annotate.inspect.export import counts_of, left_out
from annotate.inspect.export import export as export_work
from annotate.work import Work
from app.web.pages.dataset.asking import WANTED, Ask
from app.web.pages.dataset.drawing import FORMS, PACKAGE
from app.web.pages.dataset.seeing import Seen, seen
from app.web.pages.dataset.sources import Source
from partlab.counts import counted
from partlab.errors import ConfigError, StateError
from partlab.pages import render

_WORDS = {
    "include_open": "also categories that are not accepted",
    "human_only": "leave out images that a model helped with",
    "exclude_failed": "leave out images that failed inspection",
}


def export_of(source: Source, ask: Ask, found: Seen) -> str:
    """The HTML: of a work by its verdicts, of a data set by the filters."""
    inside, out = _work(source, ask) if source.is_work else _data(source, found)
    return render(
        PACKAGE, "export.html", filters=FORMS, source=source, inside=inside, out=out,
        choices=[(name, _WORDS[name], name in ask.wanted.split()) for name in WANTED],
        place=source.path.resolve().parent,
    )  # fmt: skip


def _data(source: Source, found: Seen) -> tuple[list[str], list[str]]:
    """Whole images are taken: all masks of those that fit."""
    index = source.index
    masks = int(index.counts[found.rows].sum())
    labels = index.labels[np.isin(index.rows, found.rows)]
    parts = len(set(labels[labels >= 0].tolist()))
    inside = [
        counted(len(found.rows), "image"), counted(masks, "mask"),
        f"{counted(parts, 'part category', 'part categories')} that are drawn",
    ]  # fmt: skip
    return inside, [f"{counted(n, 'image')}: {why}" for why, n in found.chosen.left_out]


def _work(source: Source, ask: Ask) -> tuple[list[str], list[str]]:
    with Work.open(source.path) as work:
        built = build(work, wanted(ask), keep_ids=False)
    return _inside(built), _outside(built)


def _inside(built: Built) -> list[str]:
    n = counts_of(built)
    found = [
        counted(n["objects"], "object category", "object categories"),
        counted(n["images"], "image"),
        counted(n["masks"], "mask"),
        counted(n["discards"], "discard"),
    ]
    if failed := n["failed_but_in_it"]:
        found.append(f"of them {counted(failed, 'image')} that failed inspection")
    return found


def _outside(built: Built) -> list[str]:
    n = counts_of(built)
    states = [f"{name} is {state}" for name, state in n["waiting"].items()]
    older = [f"{name} was drawn with an earlier vocabulary: {why}"
             for name, why in n["without_new_parts"].items()]  # fmt: skip
    return [*left_out(n), *states, *older]


def wanted(ask: Ask) -> Wanted:
    """What an export of a work is to take: the object category that is chosen, else all.

    Raises:
        ConfigError: a word that means nothing.
    """
    words = ask.wanted.split()
    if strange := [word for word in words if word not in WANTED]:
        raise ConfigError(f"{strange[0]!r} says nothing of an export", hint=", ".join(WANTED))
    return Wanted(**dict.fromkeys(words, True), objects=(ask.object,) if ask.object else ())


def exported(source: Source, ask: Ask, name: str) -> str:
    """Write it beside what it is made of; what that made, in words.

    Raises:
        ConfigError: a name that is more than a name.
        OutputExistsError: the folder holds something.
        StateError: nothing is to be exported.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise ConfigError(f"{name!r} is no name of a folder", hint="such as chosen")
    out = source.path.resolve().parent / name
    if source.is_work:
        with Work.open(source.path) as work:
            told = export_work(work, out, wanted(ask))
        return f"{out}: {counted(told['images'], 'image')}, {counted(told['masks'], 'mask')}"
    found = seen(source, ask)
    if not len(found.rows):
        raise StateError("no image fits, so there is nothing to export")
    ids = [int(source.index.ids[row]) for row in found.rows]
    split = source.split or "all"
    said = ask.filters.model_dump(exclude_defaults=True)
    made = write_selection(
        source.whole(), ids, out, split, filters=said, left_out=found.chosen.left_out
    )
    return (
        f"{out}: {counted(made['in']['images'], 'image')}, {counted(made['in']['masks'], 'mask')}"
    )
