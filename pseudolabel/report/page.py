"""The report as one HTML file: pictures inside, no script, nothing fetched from anywhere."""

import base64
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotate.draw import Colour, Style, overlay, palette
from partlab.errors import DatasetError, NotFoundError
from partlab.files import write_text
from partlab.images import load_image
from partlab.pages import render
from partlab.parts import split_name
from partlab.places import located
from partlab.progress import track
from pseudolabel.report.build import Report
from pseudolabel.report.statistics import ObjectFacts, PartFacts
from pseudolabel.store import Row, Store

logger = logging.getLogger(__name__)

_STYLE = Style(side=300)
_SHOWN = 200  # unreadable images listed by name


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of the contact sheet; `uri` is None where the picture is not there."""

    name: str
    value: float
    parts: str
    uri: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """One object category of the page."""

    facts: ObjectFacts
    anchor: str
    colours: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]  # best, median, worst


def write_page(report: Report, out: str | Path) -> Path:
    """Write the report as one self-contained HTML file, atomically.

    Photographs are embedded as JPEG (a PNG of the same overlay is five times as large), charts
    are inline SVG. Pictures that cannot be opened leave a labelled gap.
    """
    shown = _with_pictures(report)
    sections = [
        _section(report, facts, number, facts.name in shown)
        for number, facts in enumerate(track(report.objects, "drawing", len(report.objects)))
    ]
    page = render(
        "pseudolabel.report",
        "report.html.j2",
        filters={"percent": percent, "times": times, "number": number_of},
        report=report,
        sections=sections,
        findings=list(findings(report)),
        unreadable=report.unreadable[:_SHOWN],
        without_pictures=len(report.objects) - len(shown),
        histogram=total_histogram(report),
    )
    write_text(out, page)
    return located(out)


def percent(value: float | None) -> str:
    """0.123 -> `12.3 %`."""
    return "–" if value is None else f"{100 * value:.1f} %"


def times(value: float | None) -> str:
    """1.5 -> `1.50 ×`."""
    return "–" if value is None else f"{value:.2f} ×"


def number_of(value: float | None) -> str:
    """12345 -> `12,345`; 1.234 -> `1.23`."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def total_histogram(report: Report) -> list[int]:
    """Mask scores of all object categories together."""
    return [sum(column) for column in zip(*(f.histogram for f in report.objects), strict=True)]


def findings(report: Report) -> Iterator[tuple[str, str]]:
    """What deserves a look first: (object category, one sentence)."""
    for facts in report.objects:
        if facts.mostly_blank:
            yield (
                facts.name,
                f"no part was found in {percent(facts.blank_share)} of its images",
            )
        yield from ((facts.name, words) for part in facts.parts for words in _about(part))


def _about(part: PartFacts) -> Iterator[str]:
    if part.missing:
        yield (
            f"“{part.part}” was found in {percent(part.share)} of the images; "
            f"people drew it in {percent(part.human_share)}"
        )
    if part.drifted:
        yield (
            f"the median “{part.part}” covers {percent(part.median_area)} of the image; "
            f"people's cover {percent(part.human_median_area)}"
        )


def _with_pictures(report: Report) -> set[str]:
    """The categories that get pictures: those with findings first, then the blankest."""
    flagged = {name for name, _ in findings(report)}
    ordered = sorted(report.objects, key=lambda f: (f.name not in flagged, -f.blank_share))
    return {facts.name for facts in ordered[: report.bounds.categories]}


def _section(report: Report, facts: ObjectFacts, number: int, pictures: bool) -> Section:
    colours = palette(report.store.names)
    label = {name: at for at, name in enumerate(report.store.names)}
    chosen = report.examples.get(facts.name) if pictures else None
    titles = {"Best": chosen.best, "Median": chosen.median, "Worst": chosen.worst} if chosen else {}
    return Section(
        facts,
        f"object-{number}",
        tuple("#{:02x}{:02x}{:02x}".format(*colours[label[part.name]]) for part in facts.parts),
        tuple(
            (title, tuple(_tile(report, position, colours) for position in positions))
            for title, positions in titles.items()
            if positions
        ),
    )


def _tile(report: Report, position: int, colours: Sequence[Colour]) -> Tile:
    row = report.store.row(position)
    picture = _picture(report, row, colours)
    return Tile(row.file_name, report.quality[position], _parts_of(report.store, row), picture)


def _parts_of(store: Store, row: Row) -> str:
    """`wheel 0.91 (2), door 0.80`: best first, with the number of masks where it is not one."""
    best = sorted(row.masks, key=lambda mask: -mask.score)
    scores: dict[str, list[float]] = {}
    for mask in best:
        scores.setdefault(split_name(store.names[mask.label])[1], []).append(mask.score)
    return ", ".join(
        f"{part} {found[0]:.2f}" + (f" ({len(found)})" if len(found) > 1 else "")
        for part, found in scores.items()
    )


def _picture(report: Report, row: Row, colours: Sequence[Colour]) -> str | None:
    store = report.store
    try:
        pixels = load_image(store.image_path(row))
    except (NotFoundError, DatasetError) as error:
        logger.warning("%s", error.message)
        return None
    drawn = overlay(
        pixels,
        store.layers(row),
        store.names,
        parents=store.parts.parents,
        style=_STYLE,
        colours=colours,
    )
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
