"""What a segmenter calls the object and the parts of a project, and which projects it may help.

A project of partlab's says in its interface whether a model may help, and what the object
category is to the segmenter (`partlab studio connect` writes both); without that it gets no help,
so that a work that forbids it has none, whoever adds a backend by hand (D-05).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotate.studio.spelling.interface import Interface, interface_of
from annotate.studio.spelling.mark import HELP, mark_of
from app.serve.studio.asks import Task
from partlab.errors import StateError
from partlab.parts import split_name

_DRAWN = "annotate"
_OBJECT_KEYS = ("object", "category")


@dataclass(frozen=True, slots=True)
class Words:
    """One project's interface in a segmenter's words.

    `object` is what its pictures show where the project says it; else each task may.
    """

    interface: Interface
    objects: tuple[str, ...]
    object: str | None

    def object_of(self, task: Task) -> str | None:
        """The object category of a task's picture, if the segmenter knows it."""
        said = [self.object] if self.object else [task.data.get(key) for key in _OBJECT_KEYS]
        return next((each for each in said if each in self.objects), None)

    def label_of(self, part: str) -> str | None:
        """The label of a part category `object:part`; None where there is none."""
        name = split_name(part)[1]
        labels = self.interface.labels
        by_name = {read: label for label, read in labels.items()}
        return name if name in labels else by_name.get(name)

    def part_of(self, label: str | None, names: Iterable[str], object: str | None) -> str | None:
        """The part category of a label among a segmenter's `names`, or one that it has not."""
        if label is None:
            return None
        known = [
            each
            for each in names
            if self.label_of(each) == label and object in (None, split_name(each)[0])
        ]
        if len(known) == 1:
            return known[0]
        return None if known else f"{object or 'object'}:{label}"


def words_of(xml: str, tasks: Iterable[Task], objects: Iterable[str]) -> Words:
    """What a project says, for a segmenter that knows these object categories.

    Raises:
        StateError: no model may help in it; the message says why.
        SchemaError: its interface has no place for masks.
    """
    facts = mark_of({"label_config": xml})
    ours = bool(facts) or any("partlab" in task.data for task in tasks)
    if ours and (why := _refusal(facts)):
        raise StateError(why)
    return Words(interface_of(xml), tuple(objects), facts.get(HELP) or None)


def _refusal(facts: Mapping[str, Any]) -> str:
    """Why a project of partlab's gets no help; nothing if it does."""
    if not facts:
        return "what partlab knows the project by was taken out of its interface"
    if facts.get("kind") != _DRAWN:
        return f"nothing is drawn in it (it is for {facts.get('kind')})"
    if facts.get(HELP) is False:
        return "its work forbids model help (D-05)"
    return "" if facts.get(HELP) else "it was not connected: run `partlab studio connect`"
