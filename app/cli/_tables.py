"""Statistics as tables for people."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from annotate.data.coverage import Coverage
from annotate.data.effort import PUBLISHED, Effort
from annotate.data.statistics import REFERENCE_BINS, REFERENCES, Spread, Statistics


class PlainTable(Table):
    """A table whose cells are what they say: brackets in a name are no markup."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row of strings."""
        super().add_row(*(Text(c) if isinstance(c, str) else c for c in cells), **options)


def _table(title: str, *columns: str) -> Table:
    about: dict[str, Any] = {"title": Text(title, "bold"), "title_justify": "left"}
    table = PlainTable(**about, box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        words = position == 0 or column == "note"
        table.add_column(column, justify="left" if words else "right", vertical="top")
    return table


def _spread(spread: Spread) -> str:
    return f"{spread.least:,} / {spread.median:,g} / {spread.most:,}"


def comparison(found: Sequence[Statistics], *, reference: bool) -> Table:
    """Data sets as rows, with both densities; published rows (Table 1) marked as such."""
    densities = ("mask instances\nper image", "distinct part\ncategories per image")
    counts = ("objects", "part\ncategories", "images", "masks", *densities, "without\nmasks")
    table = _table("", "", *counts, *(["note"] if reference else []))
    for row in found:
        means = [f"{row.masks_per_image:.2f}", f"{row.parts_per_image:.2f}"]
        cells = [row.name, *_numbers(row), *means, f"{row.images_without_masks:,}"]
        table.add_row(*cells, *(["counted"] if reference else []))
    for published in REFERENCES if reference else ():
        means = ["4.06", "≈ 2.7"] if published.name == "PartImageNet++" else ["", ""]
        about = [*_numbers(published), *means, "", "published"]
        table.add_row(published.name, *about, style="dim")
    notes = (f"{one.name}: {one.note}" for one in REFERENCES if reference and one.note)
    table.caption, table.caption_justify = Text("\n".join(notes)) or None, "left"
    return table


def _numbers(row: Any) -> list[str]:
    return [f"{row.objects:,}", f"{row.parts:,}", f"{row.images:,}", f"{row.masks:,}"]


def part_bins(found: Sequence[Statistics], *, reference: bool) -> Table:
    """Shares of the images by how many distinct parts they show: the bins of Table S1."""
    table = _table("Distinct part categories per image", "", *REFERENCE_BINS)
    for row in found:
        table.add_row(row.name, *(f"{share:.1%}" for share in row.bins.values()))
    if reference:
        bins = [f"{share:.1%}" for share in REFERENCE_BINS.values()]
        table.add_row("PartImageNet++ (published)", *bins, style="dim")
    return table


def effort_tables(row: Statistics, *, reference: bool) -> list[Table]:
    """What each work took, published figures beside it; nothing where it is not known."""
    return [
        table
        for work, effort in row.efforts.items()
        for table in _effort_tables(
            f"{row.name}: effort of the whole work" + (f" {work}" if len(row.efforts) > 1 else ""),
            effort,
            reference=reference,
        )
    ]


def _effort_tables(title: str, effort: Effort, *, reference: bool) -> list[Table]:
    columns = ("counted", "published") if reference else ("counted",)
    figures = _table(title, "", *columns)
    for name, value, published in _effort_rows(effort):
        figures.add_row(name, value, *([published] if reference else []))
    people = _table("", "who", "role", "hours", "images", "rounds", "rejected")
    for one in effort.people:
        numbers = (f"{one.hours:.1f}", f"{one.images:,}", str(one.rounds), str(one.rejected))
        people.add_row(one.who, one.role, *numbers)
    return [figures, people]


def _effort_rows(effort: Effort) -> list[tuple[str, str, str]]:
    minutes = effort.minutes_per_image
    rows = [
        ("annotators", f"{effort.annotators}", f"{PUBLISHED['annotators']:.0f}"),
        ("inspectors", f"{effort.inspectors}", f"{PUBLISHED['inspectors']:.0f}"),
        ("hours", f"{effort.hours:,.1f}", f"about {PUBLISHED['hours']:,.0f}"),
        ("minutes an image", "" if minutes is None else f"{minutes:.1f}", ""),
        ("categories accepted", f"{effort.accepted} of {effort.categories}", ""),
        ("rounds", f"{effort.rounds}", ""),
        ("rounds rejected", f"{effort.rejections}{_share(effort.rejected_share)}", ""),
        ("verdicts", f"{effort.verdicts}, {effort.failed_verdicts} failed", ""),
        (
            "images discarded",
            f"{effort.discarded}{_share(effort.discard_rate)}",
            f"{PUBLISHED['discarded']:,.0f}{_share(PUBLISHED['discard_rate'])}",
        ),
        ("  upheld by two", f"{effort.discards_final}", ""),
        ("  restored", f"{effort.discards_restored}", ""),
        ("  waiting for review", f"{effort.discards_waiting}", ""),
        ("breaches of rules flagged", _flagged(effort), ""),
    ]
    rows += [(f"fails because: {why}", f"{n}", "") for why, n in effort.fail_reasons.items()]
    return rows + [(f"masks drawn: {how}", f"{n:,}", "") for how, n in effort.regions.items()]


def _flagged(effort: Effort) -> str:
    if effort.flags_seen is None:
        return f"{effort.flags} open"
    return f"{effort.flags_seen}, {effort.flags} of them open"


def _share(share: float | None) -> str:
    return "" if share is None else f" ({share:.0%})"


def coverage_tables(name: str, found: Coverage) -> list[Table]:
    """What the parts leave out of their objects, worst first."""
    objects = _table(f"{name}: coverage", "object", "images", "mean", "least")
    for one in found.objects:
        objects.add_row(one.object, f"{one.measured:,}", f"{one.mean:.1%}", f"{one.least:.1%}")
    known = f"{found.measured:,} of {found.images:,}"
    mean = "" if found.mean is None else f"{found.mean:.1%}"
    objects.add_row("images that say where their object is", known, mean, "")
    worst = _table("", "worst images", "object", "covered")
    for image in found.worst:
        worst.add_row(image.file_name, image.object, f"{image.share:.1%}")
    return [objects, worst]


def details(row: Statistics) -> list[Table]:
    """One data set: balance, inclusions, provenance, licences, and its object categories."""
    facts = _table(row.name, "", "least / median / most")
    facts.add_row("images per object category", _spread(row.images_per_object))
    facts.add_row("images per part category", _spread(row.images_per_part))
    facts.add_row("masks per part category", _spread(row.masks_per_part))
    counts = _table("", "", "count")
    counts.add_row("inclusion relations", f"{row.inclusions:,}")
    counts.add_row("object categories with inclusions", f"{row.objects_with_inclusions:,}")
    counts.add_row("parts that are the whole object", f"{row.whole_object_parts:,}")
    counts.add_row("discarded images kept", f"{row.discards:,}")
    for what, tally in (
        ("masks by", row.provenance),
        ("images from", row.sources),
        ("images under licence", row.licenses),
        ("images of origin split", row.origin_splits),
    ):
        for name, count in tally.items():
            counts.add_row(f"{what} {name}", f"{count:,}")
    objects = _table(
        "", "object", "parts", "images", "masks", "images per part: least / median / most"
    )
    for one in row.per_object:
        numbers = [f"{one.parts:,}", f"{one.images:,}", f"{one.masks:,}"]
        objects.add_row(one.object, *numbers, _spread(one.images_per_part))
    return [facts, counts, objects]
