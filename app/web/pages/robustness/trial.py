"""What is asked of this page, and what each model makes of it: no browser, no Gradio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.web.recognise import PartMaps, Recogniser, Trial, Tried
from partlab.errors import ConfigError
from partlab.progress import event
from segmenter.protocol import Pixels

if TYPE_CHECKING:
    from train.attacks.ball import Norm

LEVELS = 255
PGD = "pgd"
_NORMS: tuple["Norm", ...] = ("linf", "l2")
NORMS: dict[str, str] = dict(zip(_NORMS, ("ℓ∞", "ℓ2"), strict=True))


@dataclass(frozen=True, slots=True)
class Ask:
    """As the page has it: `attack` is "pgd" or the name of a corruption.

    `eps` is in 255ths under ℓ∞, and a length of colours 0…1 under ℓ2.
    """

    attack: str = PGD
    norm: str = "linf"
    eps: float = 4.0
    steps: int = 20
    severity: int = 3

    def trial(self, label: str | None) -> Trial:
        """For a model; away from `label`.

        Raises:
            ConfigError: a norm, radius or number of steps that makes no sense.
        """
        if self.attack != PGD:
            return Trial("corruption", corruption=self.attack, severity=self.severity, label=label)
        norm: Norm | None = next((known for known in _NORMS if known == self.norm), None)
        if norm is None:
            raise ConfigError(f"unknown norm {self.norm!r}", hint="linf or l2")
        if self.steps < 1:
            raise ConfigError(f"an attack of {self.steps} steps", hint="1 or more")
        eps = self.eps / LEVELS if norm == "linf" else self.eps
        return Trial(norm=norm, eps=eps, steps=self.steps, label=label)

    def query(self, model: str) -> dict[str, Any]:
        """What `/v1/attack` is asked for the same."""
        if self.attack != PGD:
            told = {"attack": "corruption", "corruption": self.attack, "severity": self.severity}
            return {"model": model, **told}
        eps = self.trial(None).eps
        return {"model": model, "norm": self.norm, "eps": eps, "steps": self.steps}

    @property
    def words(self) -> str:
        """`PGD-20, ℓ∞ 4/255`, `fog, severity 3 of 5`."""
        if self.attack != PGD:
            return f"{self.attack.replace('_', ' ')}, severity {self.severity} of 5"
        size = f"{self.eps:g}/{LEVELS}" if self.norm == "linf" else f"{self.eps:g}"
        return f"PGD-{self.steps}, {NORMS.get(self.norm, self.norm)} {size}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one model; part maps are None where it has no part outputs."""

    name: str
    tried: Tried
    clean_parts: PartMaps | None = None
    attacked_parts: PartMaps | None = None

    @property
    def moved(self) -> tuple[float, ...]:
        """Share of the cells of each resolution whose part is another one under attack."""
        if self.clean_parts is None or self.attacked_parts is None:
            return ()
        pairs = zip(self.clean_parts.cells, self.attacked_parts.cells, strict=True)
        return tuple(float(np.mean(a != b)) for a, b in pairs)

    @property
    def largest(self) -> int:
        """Of the changes of single colours, in 255ths."""
        tried = self.tried
        return int(np.abs(tried.attacked.astype(int) - tried.clean).max(initial=0))

    @property
    def length(self) -> float:
        """ℓ2 distance of the two pictures, colours 0…1."""
        away = (self.tried.attacked.astype(float) - self.tried.clean) / LEVELS
        return float(np.sqrt((away**2).sum()))


@dataclass(frozen=True, slots=True)
class Asked:
    """A picture, what is known of it, what is done to it, and what each model made of that."""

    file: str
    path: str
    shows: str | None
    ask: Ask
    answers: Sequence[Answer] = field(default=())


def answered(asked: Asked, pixels: Pixels, models: Mapping[str, Recogniser]) -> Asked:
    """Each model attacked for itself; told as it goes on, and stopped where that is told.

    Raises:
        PartlabError: as `Recogniser.tried`.
    """
    trial = asked.ask.trial(asked.shows)
    answers = [_answer(name, model, pixels, trial) for name, model in models.items()]
    return replace(asked, answers=answers)


def _answer(name: str, model: Recogniser, pixels: Pixels, trial: Trial) -> Answer:
    event("step", words=f"{name}: attacking …")
    tried = model.tried(pixels, trial)
    event("step", words=f"{name}: where it sees parts …")
    clean = model.parts(tried.clean)
    return Answer(name, tried, clean, model.parts(tried.attacked) if clean else None)


def table_of(asked: Asked, addresses: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The answers for programs; `addresses` are those of each model's pictures."""
    return {
        "picture": asked.file,
        "how": asked.ask.words,
        "models": [
            {
                "model": one.name,
                "label": one.tried.label,
                "fooled": one.tried.fooled,
                "first_error": one.tried.first_error,
                "largest_change": one.largest,
                "clean": _top(one.tried.before),
                "attacked": _top(one.tried.after),
                "parts_moved": [round(share, 4) for share in one.moved],
                "pictures": dict(addresses[one.name]),
            }
            for one in asked.answers
        ],
    }


def _top(classes: Mapping[str, float], most: int = 5) -> list[dict[str, Any]]:
    return [{"name": n, "probability": p} for n, p in list(classes.items())[:most]]


def name_of(file: str | None, picture: str) -> str:
    """What the picture's file is called."""
    return Path(file or picture).name
