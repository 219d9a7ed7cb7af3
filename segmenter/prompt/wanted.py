"""Which labels a prompt may mean: the part that was chosen, and the picture's object category."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partlab.parts import Parts
from segmenter.objects import Objects


@dataclass(frozen=True, slots=True)
class Wanted:
    """`labels` are those to look for, none of them: what is asked for has no name here.

    `part` is what the annotator chose, whether the segmenter knows it or not.
    """

    labels: tuple[int, ...]
    part: str | None

    @classmethod
    def of(cls, parts: Parts, part: str | None, objects: Objects) -> "Wanted":
        """The chosen part; else those of the object categories; else all of them."""
        if part is not None:
            return cls((parts.label[part],) if part in parts.label else (), part)
        if objects is None:
            return cls(tuple(range(len(parts))), None)
        names = [objects] if isinstance(objects, str) else objects
        known = (parts.by_object.get(name, ()) for name in names)
        return cls(tuple(sorted({label for own in known for label in own})), None)

    def name(self, parts: Parts, label: int) -> str | None:
        """What the answer's part is called, of a mask with this label."""
        if self.part is not None or not self.labels:
            return self.part
        return parts.names[label]

    def scores(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """How likely each of (N, K) vectors is what is wanted; without a name, any part."""
        some = probabilities[:, list(self.labels)].max(1) if self.labels else probabilities.sum(1)
        found: NDArray[np.float32] = some
        return found

    def likeliest(self, probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
        """The label of each of (N, K) vectors; without a name, the likeliest of all."""
        if not self.labels:
            every: NDArray[np.int64] = probabilities.argmax(1)
            return every
        labels = np.array(self.labels, np.int64)
        found: NDArray[np.int64] = labels[probabilities[:, labels].argmax(1)]
        return found
