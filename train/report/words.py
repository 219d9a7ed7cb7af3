"""Facts of recognition runs as people read them, the same on the page and on the terminal."""

from collections.abc import Callable, Sequence
from typing import Any

from partlab.progress import duration as duration_of
from train.report.summary import Accuracy, Summary, differing

NOTHING = "–"


def percent(share: float | None) -> str:
    """0.123 -> `12.3 %`."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def duration(seconds: float | None) -> str:
    """4000 -> `1 h 07 min`."""
    return NOTHING if seconds is None else duration_of(seconds)


def speed(run: Summary) -> str:
    """`312 pictures/s`, the median."""
    found = run.history.speed
    return NOTHING if found is None else f"{found:,.{0 if found >= 100 else 1}f} pictures/s"


def accuracy(run: Summary, found: Accuracy | None) -> str:
    """`clean 85.1 %, under PGD 63.9 % (epoch 18)`."""
    if found is None:
        return "not validated yet" if run.validates else "not validated"
    under = "" if found.pgd is None else f", under PGD {percent(found.pgd)}"
    return f"clean {percent(found.clean)}{under} (epoch {found.epoch})"


def data(run: Summary) -> str:
    """`1,240 pictures (840 human, 400 pseudo) of 14 classes, 50 parts`."""
    known = run.pictures or f"{run.classes:,} classes, {run.parts:,} parts"
    return known + (
        "; its parts are not used" if run.config.model.kind == "vanilla" and run.parts else ""
    )


def _count(run: Summary) -> str:
    """The number of pictures alone."""
    number, says, _ = run.pictures.partition(" pictures")
    return number if says else NOTHING


def progress(run: Summary) -> str:
    """How far it is, in what time, and how long it takes still."""
    history, epochs = run.history, run.config.train.epochs
    if not history.step:
        return "no step logged yet"
    done = f"{history.epochs_done} of {epochs} epochs, {history.step:,} steps"
    took = f" in {duration(history.seconds)}" if history.seconds else ""
    if run.finished:
        return f"{done}{took}, finished"
    left = run.seconds_left
    return f"{done}{took}, not finished" + (f"; about {duration(left)} left" if left else "")


def about_best(runs: Sequence[Summary]) -> str:
    """What to think of the figures of the best checkpoints."""
    if not any(run.validates for run in runs):
        return "Without validation the best checkpoint is that of the last epoch."
    how = dict.fromkeys("clean" if run.standard else "PGD" for run in runs)
    what = " or ".join(f"{each} accuracy" for each in how)
    return (
        f"The best epoch is chosen by {what} on these same validation pictures, which flatters: "
        "report figures of others."
    )


ROWS: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("model", lambda run: run.model),
    ("trained on", data),
    ("attack", lambda run: run.attack),
    ("progress", progress),
    ("best", lambda run: accuracy(run, run.best)),
    ("last", lambda run: accuracy(run, run.last)),
    ("speed", speed),
)
"""What is told of one run, in order."""


def notes(run: Summary) -> list[str]:
    """What is odd about a run: alarms, and what was left out of its log."""
    found = [alarm.words for alarm in run.alarms]
    history = run.history
    if not history.step:
        found.append("no step logged yet")
    if history.not_finite:
        found.append(f"{history.not_finite} logged steps had no finite loss; they are not drawn")
    if history.damaged:
        lines = "line" if history.damaged == 1 else "lines"
        found.append(f"{history.damaged} damaged {lines} of metrics.jsonl left out")
    return found


_MEASURE = ("attack.norm", "attack.eps", "val.steps", "val.pictures")


def warnings(runs: Sequence[Summary]) -> list[str]:
    """Why figures of several runs may not be compared."""
    measured = [run for run in runs if run.validates]
    found = []
    if len({run.data for run in runs}) > 1:
        found.append("these runs were trained on different pictures or masks")
    if len({run.val for run in measured}) > 1:
        found.append("these runs were validated on different pictures: do not compare accuracies")
    if unlike := [name for name in _MEASURE if name in differing(measured)]:
        found.append(
            f"these runs were validated differently ({', '.join(unlike)}): do not compare "
            "their accuracies"
        )
    return found


def setting(value: Any) -> str:
    """A setting's value as `--set` takes it, shortened."""
    if isinstance(value, list):
        return f"[{', '.join(map(setting, value))}]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


COLUMNS: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("model", lambda run: run.model),
    ("pictures", _count),
    ("epochs", lambda run: f"{run.history.epochs_done} of {run.config.train.epochs}"),
    ("best: clean", lambda run: percent(run.best.clean if run.best else None)),
    ("PGD", lambda run: percent(run.best.pgd if run.best else None)),
    ("epoch", lambda run: str(run.best.epoch) if run.best else NOTHING),
    ("last: clean", lambda run: percent(run.last.clean if run.last else None)),
    ("PGD", lambda run: percent(run.last.pgd if run.last else None)),
    ("pictures/s", lambda run: speed(run).partition(" ")[0]),
    ("time left", lambda run: duration(run.seconds_left)),
)
"""What is told of each of several runs, one a row."""


def table(runs: Sequence[Summary]) -> tuple[list[str], list[list[str]]]:
    """Several runs side by side: the names of the columns, and a row of cells for each run."""
    return [name for name, _ in COLUMNS], [[tell(run) for _, tell in COLUMNS] for run in runs]


def facts(run: Summary) -> list[tuple[str, str]]:
    """One run, a line each: (name, words)."""
    return [(name, tell(run)) for name, tell in ROWS]
