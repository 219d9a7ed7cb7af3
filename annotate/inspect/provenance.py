"""Who made a mask: a person, or a model whose suggestion a person took (D-05).

A round may begin with the masks of the round before; what a model did there still counts.
"""

import re
from collections.abc import Sequence
from typing import Any

from annotate.work import Answer, Task, Work

_EARLIER = re.compile(r"r(\d+):.+", re.DOTALL)  # masks of an earlier round, as suggestions
_NOTHING_SHOWN = "-blank"
Mask = dict[str, Any]


class Provenance:
    """Looks into the answers of a work, and those of earlier rounds where they began with them."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def of(self, answer: Answer, masks: Sequence[Mask]) -> str:
        """`human:<who>`, or `model-assisted:<model>` when one of the masks came from a model."""
        models = [model for mask in masks if (model := self.model(answer, mask)) is not None]
        return f"model-assisted:{models[0]}" if models else f"human:{answer.annotator}"

    def model(self, answer: Answer, mask: Mask) -> str | None:
        """The model a mask came from, as it was or changed by hand; None for a person's own."""
        if mask.get("origin", "manual") == "manual":
            return None
        name = str(mask.get("model") or "unknown")
        earlier = self._earlier(answer, name)
        if earlier is None:
            return None if _EARLIER.fullmatch(name) else name
        same = [m for m in earlier.masks if _key(m) == _key(mask)]
        models = (self.model(earlier, m) for m in same or earlier.masks)
        return next((model for model in models if model is not None), None)

    def helped(self, answer: Answer) -> bool:
        """Whether a model had a hand in an image: in a mask, or by what it showed."""
        if self.suggested_by(answer) is not None:
            return True
        if any(self.model(answer, mask) is not None for mask in answer.masks):
            return True
        names = {str(m.get("model") or "") for m in answer.masks if m.get("origin") != "manual"}
        earlier = [self._earlier(answer, name) for name in names]
        return any(self.helped(one) for one in earlier if one is not None)

    def suggested_by(self, answer: Answer) -> str | None:
        """The model whose suggestion was shown while this image was drawn, if there was one."""
        with self.work.read() as session:
            task = session.get(Task, (answer.object, answer.round, answer.image_id))
        pushed = task.pushed if task is not None else None
        if not pushed or pushed.endswith(_NOTHING_SHOWN) or _EARLIER.fullmatch(pushed):
            return None
        return pushed.rpartition(":")[0]

    def _earlier(self, answer: Answer, model: str) -> Answer | None:
        found = _EARLIER.fullmatch(model)
        if found is None or int(found[1]) >= answer.round:
            return None
        with self.work.read() as session:
            return session.get(Answer, (answer.object, int(found[1]), answer.image_id))


def _key(mask: Mask) -> tuple[str, int]:
    return mask["part"], mask["object"]
