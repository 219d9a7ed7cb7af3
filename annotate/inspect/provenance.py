"""Who made a mask: a person, or a model whose suggestion a person took (D-05).

A round may begin with the masks of the round before; what a model did there still counts.
"""

from collections.abc import Sequence
from typing import Any

from annotate.work import Answer, Task, Work
from annotate.work.change import BLANK

Mask = dict[str, Any]


class Provenance:
    """Looks into the answers of a work, and those of earlier rounds where they began with them."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._starts: dict[tuple[str, int], str | None] = {}

    def of(self, answer: Answer, masks: Sequence[Mask]) -> str:
        """`human:<who>`, or `model-assisted:<model>` when one of the masks came from a model."""
        models = [model for mask in masks if (model := self.model(answer, mask)) is not None]
        return f"model-assisted:{models[0]}" if models else f"human:{answer.annotator}"

    def model(self, answer: Answer, mask: Mask) -> str | None:
        """The model a mask came from, as it was or changed by hand; None for a person's own."""
        if mask.get("origin", "manual") == "manual":
            return None
        name = str(mask.get("model") or "unknown")
        if name != self._start(answer):
            return name
        earlier = self._earlier(answer)
        if earlier is None:
            return None
        same = [m for m in earlier.masks if _key(m) == _key(mask)]
        models = (self.model(earlier, m) for m in same or earlier.masks)
        return next((model for model in models if model is not None), None)

    def helped(self, answer: Answer) -> bool:
        """Whether a model had a hand in an image: in a mask, or by what it showed."""
        return self._hand(answer) is not None

    def suggested_by(self, answer: Answer) -> str | None:
        """The model whose suggestion was shown while this image was drawn, if there was one.

        Masks of an earlier round, shown to begin with, are such where a model had a hand in them.
        """
        with self.work.read() as session:
            task = session.get(Task, (answer.object, answer.round, answer.image_id))
        pushed = (task.pushed if task is not None else None) or ""
        model = "" if pushed.endswith(BLANK) else pushed.rpartition(":")[0]
        if model and model != self._start(answer):
            return model
        earlier = self._earlier(answer)
        return self._hand(earlier) if earlier is not None and earlier.masks else None

    def _hand(self, answer: Answer) -> str | None:
        """The model that had a hand in an image."""
        shown = self.suggested_by(answer)
        models = (self.model(answer, mask) for mask in answer.masks)
        return shown or next((model for model in models if model is not None), None)

    def _earlier(self, answer: Answer) -> Answer | None:
        """The answer of the round whose masks this one began with, if it did."""
        round = answer.round
        while (start := self._began(answer.object, round)) is not None:
            round = int(start.partition(":")[0].removeprefix("r"))
            with self.work.read() as session:
                found = session.get(Answer, (answer.object, round, answer.image_id))
            if found is not None:  # else that round was given up before it came to this image
                return found
        return None

    def _start(self, answer: Answer) -> str | None:
        """What its round began with, as its suggestions are called: `r1:<who>`."""
        return self._began(answer.object, answer.round)

    def _began(self, object: str, round: int) -> str | None:
        key = object, round
        if key not in self._starts:
            self._starts[key] = self.work.batch(*key).start_from
        return self._starts[key]


def _key(mask: Mask) -> tuple[str, int]:
    return mask["part"], mask["object"]
