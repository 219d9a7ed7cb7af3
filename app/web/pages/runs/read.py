"""Runs as the page compares them: facts, curves, evaluations and settings, by kind.

Of recognition runs all words are those of `partlab train show`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partlab.config import flattened
from partlab.errors import PartlabError
from partlab.files import read_json
from segmenter.runs import read_run
from train.report import words
from train.report.history import History, read_history
from train.report.page import Curve, curve
from train.report.panels import panels
from train.report.summary import Summary, differing, run_summary

NOTHING = words.NOTHING


@dataclass(frozen=True)
class SegmenterRun:
    """A segmenter's run folder as it stands; `described` is its config.json."""

    run: Path
    described: dict[str, Any]
    history: History

    @property
    def best(self) -> None:
        """Curves mark no epoch of a segmenter's."""
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """All of them, by dotted name."""
        return flattened(self.described["config"])

    @property
    def facts(self) -> list[tuple[str, str]]:
        """(name, words), in order."""
        history, train = self.history, self.described["config"].get("train", {})
        epochs = train.get("epochs", "?")
        data = (self.described.get("data") or {}).get("path")
        return [
            ("backend", str(self.described["backend"])),
            ("parts", f"{len(self.described['names']):,}"),
            ("trained on", str(data or NOTHING)),
            ("progress", _progress(history, epochs)),
            ("best", _ap(max(history.validations, key=_order, default=None))),
            ("last", _ap(next(reversed(history.validations), None))),
        ]

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """What `partlab segmenter evaluate` left in the folder."""
        return [_evaluation(file) for file in sorted(self.run.glob("evaluation-*.json"))]

    @property
    def notes(self) -> list[str]:
        """What is odd."""
        if not self.history.step:
            return ["no step logged yet"]
        lines = self.history.damaged
        return [f"{lines} damaged lines of metrics.jsonl left out"] if lines else []


def _order(record: Mapping[str, float]) -> tuple[float, float]:
    return record.get("val_ap50", 0.0), record["epoch"]


def _ap(record: Mapping[str, float] | None) -> str:
    if record is None or "val_ap50" not in record:
        return "not validated yet"
    whole, half = 100 * record.get("val_ap", 0.0), 100 * record["val_ap50"]
    return f"AP {whole:.1f} %, AP50 {half:.1f} % (epoch {record['epoch']:.0f})"


def _progress(history: History, epochs: Any) -> str:
    done = f"{history.epochs_done} of {epochs} epochs, {history.step:,} steps"
    return f"{done} in {words.duration(history.seconds)}" if history.seconds else done


def _evaluation(file: Path) -> dict[str, Any]:
    """Its figures, or why it cannot be read."""
    try:
        told = read_json(file)
        both = [told["without_cf"], told["with_cf"]]
        data = Path(told["data"]["path"]).name
        figures = [{key: each.get(key) for key in ("ap", "ap50", "miou")} for each in both]
        about = f"{data} {told['data']['split']}, {told['images']:,} pictures"
    except (PartlabError, KeyError, TypeError) as error:
        return {"about": file.name, "trouble": f"cannot be read: {error}", "figures": []}
    return {"about": about, "trouble": "", "figures": figures}


def segmenter_run(run: str | Path) -> SegmenterRun:
    """Read a run folder, also one that is being written; needs no torch.

    Raises:
        NotFoundError, SchemaError: as `read_run`.
    """
    return SegmenterRun(Path(run), read_run(Path(run)), read_history(Path(run)))


@dataclass(frozen=True, slots=True)
class One:
    """A run on the page."""

    name: str
    colour: str
    place: str
    notes: Sequence[str]
    evaluations: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one kind side by side; `facts` and `settings` have a cell for each."""

    kind: str
    runs: Sequence[One]
    facts: Mapping[str, Sequence[str]]
    warnings: Sequence[str]
    about: str
    curves: Sequence[Curve]
    unlike: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Sequence[Any]]
    broken: Sequence[tuple[str, str]]


def recognition(named: Mapping[str, Path]) -> Group:
    """Recognition runs side by side."""
    read, broken = _read(named, run_summary)
    runs = list(read.values())
    return Group(
        "recognition",
        _ones(read, words.notes),
        _side([words.facts(run) for run in runs]),
        words.warnings(runs),
        words.about_best(runs) + " The attack of validation is weaker than AutoAttack."
        if runs
        else "",
        [curve(panel, runs) for panel in panels([run.history for run in runs])],
        differing(runs),
        _side([list(run.settings.items()) for run in runs]),
        broken,
    )


def segmenters(named: Mapping[str, Path]) -> Group:
    """Segmenters' runs side by side."""
    read, broken = _read(named, segmenter_run)
    runs = list(read.values())
    settings = _side([list(run.settings.items()) for run in runs])
    return Group(
        "segmenter",
        _ones(read, lambda run: run.notes, lambda run: run.evaluations),
        _side([run.facts for run in runs]),
        [],
        "The best checkpoint is chosen by AP50 on these same validation pictures, which flatters.",
        [curve(panel, runs) for panel in panels([run.history for run in runs])],
        {name: cells for name, cells in settings.items() if any(c != cells[0] for c in cells)},
        settings,
        broken,
    )


def _read(
    named: Mapping[str, Path], reading: Callable[[Path], Any]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Those that can be read, and why others cannot: one does not hide the rest."""
    read, broken = {}, []
    for name, path in named.items():
        try:
            read[name] = reading(path)
        except PartlabError as error:
            broken.append((name, error.message))
    return read, broken


def _ones(
    read: Mapping[str, Summary | SegmenterRun],
    notes: Callable[[Any], list[str]],
    evaluations: Callable[[Any], list[dict[str, Any]]] = lambda run: [],
) -> list[One]:
    from train.report.curves import colours

    return [
        One(name, colour, str(run.run), notes(run), evaluations(run))
        for (name, run), colour in zip(read.items(), colours(len(read)), strict=True)
    ]


def _side(each: Sequence[Sequence[tuple[str, Any]]]) -> dict[str, list[Any]]:
    """Name -> a value for each, None where one has none."""
    maps = [dict(one) for one in each]
    names = dict.fromkeys(name for one in maps for name in one)
    return {name: [one.get(name) for one in maps] for name in names}
