"""What there is to say of a run without a picture: how far it is, how good, and what is odd."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from train.alarms import alarms
from train.recipes import flat
from train.report.history import History, read_history
from train.runs import best_validation, read_run, settings_of
from train.settings import TrainConfig


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares of the validation pictures, 0…1, after an epoch."""

    epoch: int
    clean: float
    pgd: float | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """One sentence that held after these epochs, without a break."""

    first: int
    last: int
    sentence: str

    @property
    def words(self) -> str:
        """With the epochs in front."""
        when = (
            f"epoch {self.first}" if self.first == self.last else f"epochs {self.first}–{self.last}"
        )
        return f"{when}: {self.sentence}"


@dataclass(frozen=True)
class Summary:
    """A recognition run as it stands.

    `pictures` says how many of what it was trained on; `data` and `val` are the content hashes
    of those and of the validation pictures, "" where there are none or nobody knows.
    """

    run: Path
    config: TrainConfig
    classes: int
    parts: int
    pictures: str
    processes: int
    data: str
    val: str
    history: History

    @property
    def model(self) -> str:
        """Kind and backbone."""
        return f"{self.config.model.kind} on {self.config.model.backbone}"

    @property
    def attack(self) -> str:
        """What it was trained against, such as `pgd, 2 steps, 4/255 (linf)`; steps are PGD's."""
        attack = self.config.attack
        if attack.method == "none":
            return "none (clean pictures)"
        one = {"free": f"{attack.replays} replays", "nfgsm": "one step"}
        steps = one.get(attack.method, f"{attack.steps} step{'s' if attack.steps > 1 else ''}")
        eps = f"{255 * attack.eps:g}/255" if attack.norm == "linf" else f"{attack.eps:g}"
        return f"{attack.method}, {steps}, {eps} ({attack.norm})"

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.history.epochs_done >= self.config.train.epochs

    @property
    def validates(self) -> bool:
        """Whether there are pictures to measure it with."""
        return bool(self.val or self.history.validations)

    @property
    def standard(self) -> bool:
        """Whether it was trained without attack: then clean accuracy chooses the best epoch."""
        return self.config.attack.method == "none"

    @property
    def accuracies(self) -> list[Accuracy]:
        """After each validated epoch."""
        return [_accuracy(each) for each in self.history.validations]

    @property
    def best(self) -> Accuracy | None:
        """Of the best checkpoint, which was chosen by these very figures; the later of equals."""
        best = best_validation(self.history.validations, self.config)
        return _accuracy(best) if best else None

    @property
    def last(self) -> Accuracy | None:
        """After the last validated epoch."""
        return self.accuracies[-1] if self.accuracies else None

    @property
    def seconds_left(self) -> float | None:
        """About; None when finished, and when nothing tells."""
        length = self.history.epoch_steps
        if self.finished or length is None:
            return None
        left = length * self.config.train.epochs - self.history.step
        return self.history.seconds_left(left, self.config.train.batch_size * self.processes)

    @cached_property
    def alarms(self) -> tuple[Alarm, ...]:
        """Everything that was alarming after any epoch, oldest first."""
        told = self.history.validations
        found = [
            (_kind(sentence), int(told[at]["epoch"]), sentence)
            for at in range(len(told))
            for sentence in alarms(told[: at + 1], self.config.attack)
        ]
        return tuple(sorted(_joined(found), key=lambda alarm: (alarm.first, alarm.sentence)))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All of them, by dotted name."""
        return flat(self.config)

    def as_json(self) -> dict[str, Any]:
        """The facts, for programs; accuracies are shares, times seconds."""
        history = self.history
        return {
            "run": str(self.run),
            "model": self.model,
            "classes": self.classes,
            "parts": self.parts,
            "pictures": self.pictures,
            "epochs": self.config.train.epochs,
            "epochs_done": history.epochs_done,
            "step": history.step,
            "finished": self.finished,
            "best": asdict(self.best) if self.best else None,
            "chosen_by": self.config.chosen_by,
            "last": asdict(self.last) if self.last else None,
            "pictures_per_second": history.speed,
            "seconds": history.seconds,
            "seconds_left": self.seconds_left,
            "alarms": [asdict(alarm) for alarm in self.alarms],
            "not_finite": history.not_finite,
            "damaged_lines": history.damaged,
            "validations": [dict(each) for each in history.validations],
            "settings": self.settings,
        }


def _accuracy(told: Mapping[str, float]) -> Accuracy:
    return Accuracy(int(told["epoch"]), told["val_clean"], told.get("val_pgd"))


def run_summary(run: str | Path) -> Summary:
    """Read a run folder, also one that is being written; needs no torch.

    Raises:
        NotFoundError: the folder is no run.
        SchemaError: it is a run of another kind, or not one of ours.
        ConfigError: it has settings that this version does not know.
    """
    run = Path(run)
    found = read_run(run)
    return Summary(
        run,
        settings_of(found, run),
        len(found["classes"]),
        len(found["parts"]),
        str(found.get("pictures", "")),
        int(found.get("processes", 1)),
        str(found.get("data") or ""),
        str(found.get("val") or ""),
        read_history(run),
    )


def _kind(sentence: str) -> str:
    """A sentence without its figures."""
    return re.sub(r"[\d.]+", "", sentence)


def _joined(found: Sequence[tuple[str, int, str]]) -> list[Alarm]:
    """Epochs in a row with the same kind of sentence become one; its newest words are kept."""
    joined: list[Alarm] = []
    for _, group in groupby(sorted(found), key=lambda each: each[0]):
        alarm: Alarm | None = None
        for _, epoch, sentence in group:
            goes_on = alarm is not None and alarm.last == epoch - 1
            alarm = Alarm(joined.pop().first if goes_on else epoch, epoch, sentence)
            joined.append(alarm)
    return joined


def differing(runs: Sequence[Summary]) -> dict[str, list[Any]]:
    """The settings in which runs are not alike: dotted name -> value in each."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: [run.settings.get(name) for run in runs] for name in names}
    return {name: each for name, each in values.items() if any(v != each[0] for v in each)}


def short_names(runs: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart: `mpm`, or `a/mpm` and `b/mpm`."""
    whole = [run.resolve().parts for run in runs]
    for length in range(1, max(map(len, whole), default=1)):
        names = ["/".join(parts[-length:]) for parts in whole]
        if len(set(names)) == len(names):
            return names
    return [str(run) for run in runs]
