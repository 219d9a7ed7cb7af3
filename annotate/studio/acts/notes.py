"""What is to be said of the drawings of one round, summed up: each thing once, with its images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = 10  # images that a sentence names
_ORDER = ("error", "warning", "note")
Seen = tuple[int, Mapping[str, Any]]
"""An image's id, and one problem of its answer."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that holds for `images` (ids), of `drawn` ones in all.

    `severity` is "error" where they count as not done, "warning" where something looks wrong,
    else "note".
    """

    severity: str
    words: str
    images: tuple[int, ...]
    drawn: int

    def __str__(self) -> str:
        if len(self.images) == 1:
            return f"image {self.images[0]}: {self.words}"
        named = [*map(str, self.images[:SHOWN]), *(["…"] if len(self.images) > SHOWN else [])]
        share = f"{len(self.images)} of {self.drawn} images"
        return f"{share}: {self.words} (image {', '.join(named)})"


def sum_up(seen: Iterable[Seen], drawn: int) -> tuple[Note, ...]:
    """A note for each thing that was seen; what concerns most images comes first.

    Problems say the same when their `gist` does, where they have one. What holds for one image
    only is said in full.
    """
    groups: dict[tuple[str, str], list[Seen]] = {}
    for image, problem in seen:
        gist = problem.get("gist") or problem["message"]
        groups.setdefault((problem["severity"], gist), []).append((image, problem))
    notes = []
    for (severity, gist), found in groups.items():
        images = tuple(dict.fromkeys(image for image, _ in found))
        full = "; ".join(dict.fromkeys(problem["message"] for _, problem in found))
        notes.append(Note(severity, full if len(images) == 1 else gist, images, drawn))
    return tuple(sorted(notes, key=lambda n: (_ORDER.index(n.severity), -len(n.images))))
