"""The exam: is a new segmenter better than the one that is served, on pictures neither learnt from?

Both suggest masks as annotators would get them: the object category known, one mask for each
part. A picture's score is the mean, over the parts that are drawn or suggested there, of how far
the two masks agree (IoU; 0 for a part that is missing or invented). So 1 is a picture in which
nobody has to do anything. The two scores of each picture are compared by a sign-flip test
(`partlab.paired`).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from partlab.counts import counted
from partlab.images import load_image
from partlab.masks import Rle, iou, union
from partlab.paired import SIGNIFICANT, sign_flip
from partlab.progress import track
from partlab.schema import Dataset, Image
from partlab.truth import drawn_masks
from segmenter.predictor import Predictor
from segmenter.protocol import Segmenter

FEWEST = 6  # pictures; with fewer no difference, however large, is significant

Agreement = dict[str, float]
"""Part name -> IoU of what is drawn and what is suggested, of one picture."""


def answers(
    segmenter: Segmenter, exam: Dataset, called: Mapping[str, str], what: str
) -> dict[int, Agreement]:
    """How well a segmenter does in each picture; `called` is its names -> those of the exam."""
    predictor = Predictor(segmenter)
    found = {}
    for image in track(exam.images, what, len(exam.images)):
        truth = _drawn(exam, image)
        suggested = _suggested(predictor, exam, image, called)
        found[image.id] = {
            name: float(iou([truth[name]], [suggested[name]])[0, 0])
            if name in truth and name in suggested
            else 0.0
            for name in sorted(truth.keys() | suggested.keys())
        }
    return found


def nothing(exam: Dataset) -> dict[int, Agreement]:
    """The answers of no segmenter at all: it suggests nothing."""
    return {image.id: dict.fromkeys(_drawn(exam, image), 0.0) for image in exam.images}


def _drawn(exam: Dataset, image: Image) -> dict[str, Rle]:
    together: defaultdict[str, list[Rle]] = defaultdict(list)
    for annotation, rle in drawn_masks(exam, image).masks:
        together[exam.category_by_id[annotation.category_id].name].append(rle)
    return {name: union(rles) for name, rles in together.items()}


def _suggested(
    predictor: Predictor, exam: Dataset, image: Image, called: Mapping[str, str]
) -> dict[str, Rle]:
    shown = exam.object_of(image)
    if shown not in predictor.objects:
        return {}
    together: defaultdict[str, list[Rle]] = defaultdict(list)
    for mask in predictor(load_image(exam.image_path(image)), shown).masks:
        if (name := called.get(mask.name)) is not None:
            together[name].append(mask.rle)
    return {name: union(rles) for name, rles in together.items()}


@dataclass(frozen=True, slots=True)
class Compared:
    """Mean scores of two segmenters on as many pictures, and how likely the gain is luck."""

    images: int
    old: float
    new: float
    p: float

    @property
    def gain(self) -> float:
        """-1…1."""
        return self.new - self.old

    @property
    def better(self) -> bool:
        """Whether the new one is, beyond luck."""
        return self.gain > 0 and self.p <= SIGNIFICANT

    @property
    def worse(self) -> bool:
        """Whether the new one is, beyond luck."""
        return self.gain < 0 and self.p <= SIGNIFICANT

    @property
    def words(self) -> str:
        """What people read."""
        return (
            f"mean IoU {100 * self.new:.1f} against {100 * self.old:.1f} percent on "
            f"{counted(self.images, 'picture')}, "
            f"p = {self.p:.2g}"
        )


def compare(
    old: Mapping[int, Agreement],
    new: Mapping[int, Agreement],
    parts: Collection[str] | None = None,
) -> Compared:
    """Two segmenters' answers to the same exam; on these `parts` alone, if they are named."""
    pairs = [_scores(old[id], new[id], parts) for id in sorted(old)]
    kept = [pair for pair in pairs if pair is not None]
    if not kept:
        return Compared(0, 0.0, 0.0, 1.0)
    before, after = (fmean(side) for side in zip(*kept, strict=True))
    return Compared(len(kept), before, after, sign_flip([b - a for a, b in kept]))


def _scores(
    old: Agreement, new: Agreement, parts: Collection[str] | None
) -> tuple[float, float] | None:
    """One picture's; None where nothing is drawn and nothing suggested."""
    found = [_mean(side, parts) for side in (old, new)]
    if found == [None, None]:
        return None
    # Where only one of them invents a part in an empty picture, the other is right.
    return tuple(1.0 if score is None else score for score in found)  # type: ignore[return-value]


def _mean(answer: Agreement, parts: Collection[str] | None) -> float | None:
    values = [value for name, value in answer.items() if parts is None or name in parts]
    return fmean(values) if values else None


@dataclass(frozen=True, slots=True)
class Result:
    """Whether a version is to be served, and why; `known` is on parts that both know."""

    compared: Compared
    known: Compared | None
    seen: int  # pictures left out because one of the two had learnt from them

    @property
    def passed(self) -> bool:
        """Whether the new one is better, and not worse at what the old one could do."""
        enough = self.compared.images >= FEWEST
        return enough and self.compared.better and not (self.known and self.known.worse)

    @property
    def why(self) -> str:
        """One sentence for people."""
        told = self.compared
        if told.images < FEWEST:
            return (
                f"too few pictures are held out to tell: {told.images}, and {FEWEST} are needed"
                + (f" ({self.seen} more were learnt from before)" if self.seen else "")
            )
        if self.passed:
            return f"it is better: {told.words}"
        if told.better and self.known:
            return f"it is worse at the parts that were known before: {self.known.words}"
        if told.worse:
            return f"it is worse: {told.words}"
        return f"it is not better beyond luck: {told.words}"

    def as_json(self) -> dict[str, Any]:
        """For the history."""
        sides = {"all": self.compared, "known": self.known}
        told = {
            name: {"images": one.images, "old": one.old, "new": one.new, "p": one.p}
            for name, one in sides.items()
            if one is not None
        }
        return {**told, "seen": self.seen, "measure": "mean IoU of parts", "test": "sign-flip"}


def judge(
    old: Mapping[int, Agreement],
    new: Mapping[int, Agreement],
    *,
    known: Sequence[str] | None = None,
    seen: int = 0,
) -> Result:
    """Compare two segmenters; `known` are the parts that the old one knows, if it knows not all."""
    on_known = compare(old, new, known) if known is not None else None
    return Result(compare(old, new), on_known, seen)
