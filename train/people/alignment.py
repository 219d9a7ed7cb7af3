"""Human alignment: do a model and people get the same pictures right? (robustness.md C2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from partlab.errors import DatasetError
from train.people.trials import EXCLUDED, Answers, Sets, Subject

FORMULA = """\
right: the answer is the picture's category; no answer (na) counts as wrong
accuracy difference: (accuracy of one - accuracy of the other) squared
observed consistency O: share of pictures that both get right or both get wrong
error consistency: (O - E) / (1 - E), E = a b + (1 - a)(1 - b) of the two accuracies; 1 if O = 1
means over conditions, then over pairs, then over sets, all unweighted; excluded conditions are
the undistorted controls and those where people get less than 20 % right"""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Means over the sets present: accuracy, (difference)², and both consistencies.

    `accuracy` is the mean over the kept conditions, then over the sets; `accuracy_of_all` is the
    share right of all trials, the excluded ones too: both are published as OOD accuracy.
    Trials are the model's, or people's where there is none. `unanswered` counts trials of people
    on pictures that the model was not shown: no figure says anything of them.
    """

    accuracy: float
    accuracy_of_all: float
    accuracy_difference: float
    observed_consistency: float
    error_consistency: float
    sets: tuple[str, ...]
    trials: int
    excluded_trials: int
    no_answer: int
    unanswered: int

    @property
    def told(self) -> str:
        """How many of the sets the means are of: never silently fewer than 17."""
        return f"{len(self.sets)} of {len(EXCLUDED)} sets present"


def consistency(ours: Sequence[bool], theirs: Sequence[bool]) -> tuple[float, float, float]:
    """(Accuracy difference squared, observed consistency O, error consistency (O-E)/(1-E))."""
    mine, other = np.asarray(ours, bool), np.asarray(theirs, bool)
    a, b, observed = mine.mean(), other.mean(), (mine == other).mean()
    chance = a * b + (1 - a) * (1 - b)
    kappa = 1.0 if observed == 1 else (observed - chance) / (1 - chance)
    return float((a - b) ** 2), float(observed), float(kappa)


def _pair(ours: Answers, theirs: Answers, name: str) -> np.ndarray[Any, Any]:
    """The three figures of two subjects, the mean over the conditions that both saw."""
    figures = []
    for condition in ours.keys() & theirs.keys():
        images = sorted(ours[condition].keys() & theirs[condition].keys())
        if images:
            pairs = [(ours[condition][i], theirs[condition][i]) for i in images]
            figures.append(consistency(*zip(*pairs, strict=True)))
    if not figures:
        raise DatasetError(
            f"two subjects of the set {name} have no picture in common",
            hint="see that both name pictures and conditions as model-vs-human does",
        )
    means: np.ndarray[Any, Any] = np.mean(figures, axis=0)
    return means


def _accuracy(answers: Answers) -> float:
    return float(np.mean([np.mean(list(each.values())) for each in answers.values()]))


def align(humans: Sets, model: Sets | None = None) -> Alignment:
    """A model against people, or people against each other where no model is given.

    Means over conditions, then over people, then over the sets present, unweighted.

    Raises:
        DatasetError: there is no set of both, or a set has nothing to compare.
    """
    names = [name for name in humans if model is None or name in model]
    if not names:
        raise DatasetError("the model answered none of the sets of human trials")
    shown = humans if model is None else model
    answered = [subject for name in names for subject in shown[name].values()]
    difference, observed, error = np.mean(
        [
            _set_figures(name, humans[name], None if model is None else model[name])
            for name in names
        ],
        axis=0,
    ).tolist()
    return Alignment(
        accuracy=float(np.mean([_set_accuracy(name, shown[name]) for name in names])),
        accuracy_of_all=sum(s.right for s in answered) / sum(s.trials for s in answered),
        accuracy_difference=difference,
        observed_consistency=observed,
        error_consistency=error,
        sets=tuple(names),
        trials=sum(s.trials for s in answered),
        excluded_trials=sum(s.excluded for s in answered),
        no_answer=sum(s.no_answer for s in answered),
        unanswered=sum(_unanswered(humans[n], model[n]) for n in names) if model else 0,
    )


def _set_figures(
    name: str, people: dict[str, Subject], model: dict[str, Subject] | None
) -> np.ndarray[Any, Any]:
    if model is None:
        pairs = list(permutations(people.values(), 2))
        if not pairs:
            raise DatasetError(
                f"the set {name} has one subject, who cannot be compared with another",
                hint="add the files of other subjects",
            )
    else:
        pairs = [(ours, theirs) for ours in model.values() for theirs in people.values()]
    figures = [_pair(ours.answers, theirs.answers, name) for ours, theirs in pairs]
    means: np.ndarray[Any, Any] = np.mean(figures, axis=0)
    return means


def _set_accuracy(name: str, subjects: dict[str, Subject]) -> float:
    kept = [_accuracy(each.answers) for each in subjects.values() if each.answers]
    if not kept:
        raise DatasetError(
            f"all conditions of the set {name} are excluded ones", hint="leave the set out"
        )
    return float(np.mean(kept))


def _unanswered(people: dict[str, Subject], model: dict[str, Subject]) -> int:
    shown = {
        (c, i) for each in model.values() for c, images in each.answers.items() for i in images
    }
    asked = (
        (c, i) for each in people.values() for c, images in each.answers.items() for i in images
    )
    return sum(each not in shown for each in asked)
