"""How runs went as one HTML file: curves inside, no script, nothing fetched from anywhere."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from partlab.files import write_text
from partlab.pages import render
from partlab.progress import track
from train.report import words
from train.report.curves import Curved, colours, panel_svg, shown_panels, summaries
from train.report.panels import Panel
from train.report.summary import Summary, differing, short_names


@dataclass(frozen=True, slots=True)
class Shown:
    """A run with its name and colour on the page."""

    name: str
    colour: str
    run: Summary
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Curve:
    """A panel as an embedded picture; `words` says the same without eyes."""

    title: str
    words: str
    uri: str


def write_page(runs: Sequence[str | Path | Summary], html: str | Path) -> Path:
    """Write facts, curves and settings of one run, or of several side by side, atomically.

    Raises:
        NotFoundError: a folder is no run, or none has logged a step yet.
        SchemaError, ConfigError: as `run_summary`.
        PartlabError: the file cannot be written.
    """
    read = summaries(runs)
    shown = shown_panels(read)
    names = short_names([run.run for run in read])
    unlike = differing(read)
    page = render(
        "train.report",
        "page.html.j2",
        filters={"percent": words.percent, "duration": words.duration, "setting": words.setting},
        shown=[
            Shown(name, colour, run, words.notes(run))
            for name, colour, run in zip(names, colours(len(read)), read, strict=True)
        ],
        title=names[0] if len(read) == 1 else " · ".join(names[:3]) + (" …" if names[3:] else ""),
        warnings=words.warnings(read),
        facts=words.facts(read[0]),
        table=words.table(read),
        about_best=words.about_best(read),
        curves=[curve(panel, read) for panel in track(shown, "drawing", len(shown))],
        unlike=unlike,
        settings={name: [run.settings.get(name) for run in read] for name in _names(read)},
    )
    write_text(html, page)
    return Path(html)


def _names(runs: Sequence[Summary]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.settings))


def curve(panel: Panel, runs: Sequence[Curved]) -> Curve:
    """A panel of these runs."""
    picture = base64.b64encode(panel_svg(panel, runs)).decode()
    lines = ", ".join(line.label for line in panel.lines)
    return Curve(
        panel.title,
        f"{panel.title}: {lines}; {panel.unit} over the course of training",
        f"data:image/svg+xml;base64,{picture}",
    )
