"""The report as one HTML file that opens offline, with the same facts as JSON beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from partlab.files import write_json, write_text
from partlab.pages import render
from train.evaluate_report import words
from train.evaluate_report.drawings import drawings, surfaces
from train.evaluate_report.facts import report
from train.evaluate_report.pictures import maps
from train.evaluate_report.reading import Measured
from train.report.curves import colours
from train.report.words import duration

Facts = dict[str, Any]
NAMES = 12  # of the images that one model gets and another loses; all are in the JSON


def write_report(
    found: Sequence[Measured],
    folder: str | Path,
    references: Sequence[str] | None = None,
) -> Path:
    """Write report.html and report.json into `folder`, atomically; the page's path.

    Raises:
        SchemaError: an evaluation or a picture of it is damaged.
        UnknownNameError: there is no such published table.
        PartlabError: the files cannot be written.
    """
    facts = report(found, references)
    page = render(
        "train.evaluate_report",
        "page.html.j2",
        filters={
            "share": words.share, "interval": words.interval, "gain": words.gain,
            "title": words.title, "place": words.place, "count": words.count,
            "milliseconds": words.milliseconds, "settings": words.settings,
            "duration": duration,
        },
        **facts,
        colours=colours(len(found)),
        drawn=drawings(facts),
        surfaces=surfaces(facts["models"]),
        maps=[maps(each) for each in found],
        other=_other(facts["models"]),
        most=NAMES,
        about_rank=words.about_rank,
        about_list=words.about_list,
    )  # fmt: skip
    write_json(Path(folder) / "report.json", facts)
    write_text(Path(folder) / "report.html", page)
    return Path(folder) / "report.html"


def _other(models: Sequence[Facts]) -> list[Facts]:
    """Figures on other sets, those that compare one below the other."""
    rows = [{"at": at, "one": one} for at, each in enumerate(models) for one in each["other"]]
    return sorted(rows, key=lambda r: (r["one"]["threat"], str(r["one"]["list"])))
