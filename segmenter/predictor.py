"""From pictures and what they show to part masks: what everybody who predicts sits on.

The pseudo-label engine, suggestions for annotators, a server and a notebook ask the same
`Predictor`. It keeps nothing between two calls, so threads may share one.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps

from annotate.draw.display import show
from partlab.composite import Layer
from partlab.config import Config, validate
from partlab.errors import ConfigError
from partlab.images import load_image
from partlab.masks import Rle, area, bbox, union
from partlab.parts import Parts
from segmenter.objects import Objects, allowed_each
from segmenter.origin import Origin, origin_of
from segmenter.protocol import Detections, Pixels, Segmenter
from segmenter.thresholds import Thresholds as Thresholds
from segmenter.tuning.file import with_own

Picture = str | Path | Pixels | PillowImage.Image
"""A file, an RGB array (height, width, 3) of uint8, or a Pillow image."""
_PICTURE = "give RGB of shape (height, width, 3) and type uint8, or the path of its file"
_PLAIN = frozenset({"RGB", "L", "1", "P", "CMYK"})


class PredictionSettings(Config):
    """What of a segmenter's detections is kept, and how."""

    thresholds: Thresholds = Thresholds()
    category_filter: bool = True
    unite: bool = True  # B4.3; False keeps instances apart, so that any threshold can be tried


@dataclass(frozen=True, slots=True)
class FoundPart:
    """One mask of one part in one image; `bbox` is x, y, width, height in pixels.

    `alternatives` are the names and probabilities that come after its own, best first, if asked
    for; of a united mask those of its best instance.
    """

    label: int
    score: float
    area: int
    bbox: tuple[float, float, float, float]
    rle: Rle
    name: str = ""
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """The whole answer for one image.

    `status` "blank": nothing was found above the threshold, which is no proof of background;
    where the filter left nothing to look for `reason` says so. `pixels` is the picture as the
    network got it, (height, width, 3).
    """

    status: Literal["labelled", "blank"]
    masks: tuple[FoundPart, ...]
    parts: Parts
    pixels: Pixels = field(repr=False, compare=False)
    reason: str | None = None

    def __repr__(self) -> str:
        best = sorted(self.masks, key=lambda mask: -mask.score)
        few = ", ".join(f"{mask.name} {mask.score:.2f}" for mask in best[:3])
        found = self.reason or few + (", …" if len(best) > 3 else "") or "nothing found"
        height, width = self.size
        return f"Prediction({width} x {height}, {len(best)} masks: {found})"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture and its masks."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    @property
    def layers(self) -> list[Layer]:
        """The masks as layers, for composite masks and drawing."""
        return [Layer(mask.label, mask.rle, mask.score) for mask in self.masks]

    def show(self, part: str | None = None) -> PillowImage.Image:
        """The masks (of all parts, or of one) on the picture.

        Raises:
            UnknownNameError: no such part.
        """
        return show(self.pixels, self.layers, parts=self.parts, part=part)

    def _repr_png_(self) -> bytes:
        """What a notebook displays."""
        picture = io.BytesIO()
        self.show().save(picture, "PNG")
        return picture.getvalue()


@dataclass(frozen=True, slots=True)
class Predictor:
    """A segmenter and what is kept of what it finds."""

    segmenter: Segmenter
    settings: PredictionSettings = field(default_factory=PredictionSettings)

    @classmethod
    def load(
        cls,
        run: str | Path | Origin,
        settings: PredictionSettings | None = None,
        *,
        checkpoint: str = "best",
        device: str | None = None,
    ) -> Self:
        """The predictor of a run folder, or of a served model.

        Settings without `thresholds` take those of a tuned run.

        Raises:
            NotFoundError: the folder is no run, or has no checkpoint yet.
            UnknownNameError: a threshold names a part that it does not have.
            DatasetError: a checkpoint is damaged, or does not fit its description.
            BackendUnavailableError: its backend is not installed here.
        """
        origin = origin_of(run)
        settings = with_own(settings or PredictionSettings(), origin.description(), checkpoint)
        segmenter = origin.load(checkpoint, device)
        settings.thresholds.of(segmenter.names)
        return cls(segmenter, settings)

    @property
    def parts(self) -> Parts:
        """The part categories it knows, by label."""
        return self.segmenter.parts

    @property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        return self.segmenter.names

    @property
    def objects(self) -> tuple[str, ...]:
        """The object categories it knows."""
        return self.segmenter.objects

    @property
    def usual(self) -> float | dict[str, float]:
        """The thresholds of the settings: one number, or numbers by part."""
        own = self.settings.thresholds
        return (
            {name: own.parts.get(name, own.default) for name in self.names}
            if own.parts
            else (own.default)
        )

    def __call__(
        self,
        picture: Picture,
        objects: Objects = None,
        *,
        thresholds: "Wanted" = None,
        alternatives: int = 0,
    ) -> Prediction:
        """The parts in one picture; see `predict`."""
        return self.predict([picture], [objects], thresholds=thresholds, alternatives=alternatives)[
            0
        ]

    def predict(
        self,
        pictures: Sequence[Picture],
        objects: str | Sequence[Objects] | None = None,
        *,
        thresholds: "Wanted" = None,
        alternatives: int = 0,
    ) -> list[Prediction]:
        """The parts in some pictures, one answer each.

        `objects` says what they show: one name for all, or for each a name, several names, or
        None where it is not known (no filter). `thresholds` are those of the settings, or for
        this call one number, numbers by part name, or `Thresholds`. A mask comes with so many
        `alternatives` to its name.

        Raises:
            UnknownNameError: an object category or part is named that it does not know.
            ConfigError: a threshold or a picture of no use, or not one entry for each picture.
            DatasetError: a picture cannot be read.
        """
        return self.predict_at(pictures, objects, [thresholds], alternatives=alternatives)[0]

    def predict_at(
        self,
        pictures: Sequence[Picture],
        objects: str | Sequence[Objects] | None,
        thresholds: Sequence["Wanted"],
        *,
        alternatives: int = 0,
    ) -> list[list[Prediction]]:
        """`predict` at several thresholds, for which the network runs once."""
        floors = [self.floor(each) for each in thresholds]
        lowest = lowest_of(floors)
        if isinstance(pictures, str | Path | np.ndarray | PillowImage.Image):
            raise ConfigError(
                "one picture was given where several are asked for",
                hint="call the predictor itself, or give a list",
            )
        pixels = [pixels_of(picture) for picture in pictures]
        found = self._detections(pixels, objects, lowest)
        return [
            [self.kept(*pair, floor, alternatives) for pair in zip(pixels, found, strict=True)]
            for floor in floors
        ]

    def floor(self, wanted: "Wanted") -> NDArray[np.float32]:
        """(K,) lowest score by label; errors are those of `predict`."""
        if wanted is None:
            return self.settings.thresholds.of(self.names)
        if isinstance(wanted, Thresholds):
            return wanted.of(self.names)
        values = (
            {"default": self.settings.thresholds.default, "parts": dict(wanted)}
            if isinstance(wanted, Mapping)
            else {"default": wanted}
        )
        return validate(Thresholds, values, "thresholds").of(self.names)

    def _detections(
        self, pixels: Sequence[Pixels], objects: str | Sequence[Objects] | None, threshold: float
    ) -> list[Detections | None]:
        """None where the filter leaves nothing to look for."""
        each = [objects] * len(pixels) if isinstance(objects, str) else objects
        if not self.settings.category_filter:
            each = None
        allowed = allowed_each(self.parts, each, len(pixels))
        asked = [i for i, own in enumerate(allowed) if own != ()]
        found = iter(
            self.segmenter.predict(
                [pixels[i] for i in asked],
                None if each is None else [each[i] for i in asked],
                threshold=threshold,
            )
            if asked
            else ()
        )
        return [None if own == () else next(found) for own in allowed]

    def kept(
        self,
        pixels: Pixels,
        found: Detections | None,
        floor: NDArray[np.float32],
        alternatives: int = 0,
    ) -> Prediction:
        """The answer of what the network found; None: the filter left nothing to look for."""
        if found is None:
            reason = "the category filter leaves no part to look for"
            return Prediction("blank", (), self.parts, pixels, reason)
        keep = unite if self.settings.unite else keep_apart
        masks = keep(found, floor, names=self.names, alternatives=alternatives)
        return Prediction("labelled" if masks else "blank", masks, self.parts, pixels)


Wanted = float | Mapping[str, float] | Thresholds | None


def lowest_of(floors: Sequence[NDArray[np.float32]]) -> float:
    """What the network is asked for, where several thresholds are wanted of one look."""
    return min((float(floor.min(initial=1.0)) for floor in floors), default=1.0)


def pixels_of(picture: Picture) -> Pixels:
    """RGB, (height, width, 3) of uint8.

    Raises:
        ConfigError: an array or Pillow image of another kind.
        NotFoundError, DatasetError: a file that is missing or cannot be read.
    """
    if isinstance(picture, str | Path):
        return load_image(picture)
    if isinstance(picture, PillowImage.Image):
        if picture.mode not in _PLAIN or "transparency" in picture.info:
            raise ConfigError(
                f"a Pillow image of mode {picture.mode} can be taken in several ways",
                hint="give the path of its file, or convert it to RGB",
            )
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    if not isinstance(picture, np.ndarray):
        raise ConfigError(f"{type(picture).__name__} is no picture", hint=_PICTURE)
    wrong = picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3
    if wrong or not picture.size:
        raise ConfigError(
            f"a picture has shape {picture.shape} and numbers of {picture.dtype}",
            hint=_PICTURE,
        )
    return picture


def unite(
    found: Detections, floor: NDArray[np.float32], *, names: Sequence[str], alternatives: int = 0
) -> tuple[FoundPart, ...]:
    """One mask per part: the union of its instances with a score of at least `floor[label]`.

    The photos hold one foreground object category each (D-03), so all instances belong to that
    object (B4.3); the united score is the best instance's. Parts come in the order of labels.
    """
    groups: dict[int, list[int]] = {}
    for position, label in enumerate(found.labels.tolist()):
        if found.scores[position] >= floor[label]:
            groups.setdefault(label, []).append(position)
    return _masks(found, [members for _, members in sorted(groups.items())], names, alternatives)


def keep_apart(
    found: Detections, floor: NDArray[np.float32], *, names: Sequence[str], alternatives: int = 0
) -> tuple[FoundPart, ...]:
    """Every instance with a score of at least `floor[label]`, by label, best first.

    For `calibrate` and the threshold sweep: which instances are united depends on the threshold.
    """
    kept = np.flatnonzero(found.scores >= floor[found.labels]).tolist()
    ordered = sorted(kept, key=lambda i: (found.labels[i], -found.scores[i], i))
    return _masks(found, [[i] for i in ordered], names, alternatives)


def _masks(
    found: Detections, groups: Sequence[Sequence[int]], names: Sequence[str], alternatives: int
) -> tuple[FoundPart, ...]:
    """A mask of each group of detections; masks without pixels are no parts."""
    masks = (_mask(found, members, names, alternatives) for members in groups)
    return tuple(mask for mask in masks if mask.area)


def _mask(
    found: Detections, members: Sequence[int], names: Sequence[str], alternatives: int
) -> FoundPart:
    best = max(members, key=lambda i: float(found.scores[i]))
    label, vector = int(found.labels[best]), found.probabilities[best]
    rles = [found.masks[i] for i in members]
    whole = rles[0] if len(rles) == 1 else union(rles)
    x, y, width, height = bbox(whole)
    order = np.argsort(-vector, kind="stable").tolist() if alternatives else []
    others = [i for i in order if i != label and vector[i] > 0][:alternatives]
    return FoundPart(
        label,
        float(found.scores[best]),
        area(whole),
        (x, y, width, height),
        whole,
        names[label],
        tuple((names[i], float(vector[i])) for i in others),
    )
