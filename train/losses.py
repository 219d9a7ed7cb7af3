"""What a recognition model learns from: L = L_cls + λ · L_seg (L-01), and what to watch of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from train.models.base import Outputs
from train.part_loss import label_cells, part_loss
from train.pictures import HUMAN, PSEUDO
from train.settings import PartConfig

Targets = Literal["parts", "objects", "foreground"]


def part_labels(
    labels: Tensor, classes: Tensor, *, targets: Targets, parts: int, n_classes: int
) -> Tensor:
    """Label maps of what the part outputs are asked (A13: object and foreground masks).

    Args:
        labels: (B, F, F) integers, 0 background, 1…K parts, K + 1 ignored.
        classes: (B,) object categories, 0…C-1.
        targets: see `PartConfig.targets`.
        parts: K.
        n_classes: C.

    Returns:
        (B, F, F): the same for `parts`; category + 1 on the object, ignored is C + 1, for
        `objects`; 1 on the object, ignored is 2, for `foreground`.
    """
    if targets == "parts":
        return labels
    inside = classes[:, None, None].to(labels.dtype) + 1 if targets == "objects" else 1
    asked = torch.where(labels == 0, 0, inside).to(labels.dtype)
    return asked.masked_fill_(labels == parts + 1, n_classes + 1 if targets == "objects" else 2)


def ignored_label(targets: Targets, *, parts: int, n_classes: int) -> int:
    """The label of what is not asked, which is also the number of part channels."""
    return {"parts": parts + 1, "objects": n_classes + 1, "foreground": 2}[targets]


def image_weights(labels: Tensor, sources: Tensor, config: PartConfig, ignore: int) -> Tensor:
    """How much each picture's part loss counts, (B,) float32 (B3, P-04).

    0 for pictures of which only the class is known, for those ignored everywhere, and, with
    `ignore_blank`, for crops without any part; `pseudo_weight` for pseudo labels, 1 for the rest.

    Args:
        labels: (B, F, F), as `part_labels` gives them.
        sources: (B,) `HUMAN`, `PSEUDO` or `PLAIN`.
        config: its `ignore_blank` and `pseudo_weight`.
        ignore: the ignored label.
    """
    worth = (sources == HUMAN).float() + config.pseudo_weight * (sources == PSEUDO)
    return worth * _tells(labels, config, ignore)


def _tells(labels: Tensor, config: PartConfig, ignore: int) -> Tensor:
    """Which pictures have something to say of parts, (B,) bool."""
    told = labels != ignore
    if config.ignore_blank:
        told = told & (labels != 0)
    return told.flatten(1).any(1)


class PartAccuracy(NamedTuple):
    """Counts of cells at the finest part output, 0-d tensors; nothing waits for a GPU."""

    right: Tensor  # no label of the cell is more frequent than the predicted one
    cells: Tensor  # with any valid label
    missed: Tensor  # foreground cells that were predicted background
    foreground: Tensor  # cells whose most frequent label is a part

    @property
    def accuracy(self) -> Tensor:
        """Share of the valid cells that are right; NaN where there are none."""
        return self.right / self.cells

    @property
    def missed_share(self) -> Tensor:
        """Share of the foreground predicted background, 1 when all parts collapsed into it."""
        return self.missed / self.foreground


@torch.no_grad()
def part_accuracy(outputs: Sequence[Tensor], labels: Tensor) -> PartAccuracy:
    """How many cells of the finest output are right, and how much of the foreground is missed.

    The smoothed focal loss has a floor of about 1.1 at 50 parts: this is what to watch instead.

    Args:
        outputs: as for `part_loss`; the first one counts.
        labels: as for `part_loss`.
    """
    finest = outputs[0]
    cells = label_cells(labels, finest, "area")
    predicted = finest.max(1).indices.flatten(1)[:, None]
    same = (cells.ids[:, :, None] == cells.ids[:, None]) & cells.known[:, None]
    most = same.sum(2).where(cells.known, 0).amax(1)
    count = ((cells.ids == predicted) & cells.known).sum(1)
    background = ((cells.ids == 0) & cells.known).sum(1)
    foreground = cells.valid & (background < most)
    return PartAccuracy(
        ((count == most) & cells.valid).sum(),
        cells.valid.sum(),
        (foreground & (predicted[:, 0] == 0)).sum(),
        foreground.sum(),
    )


@dataclass
class Facts:
    """Counts of one or more batches, on the device until they are asked as numbers."""

    sums: Mapping[str, tuple[Tensor, Tensor]]  # name: what was found, out of how much

    def __add__(self, other: "Facts") -> "Facts":
        """Of both together."""
        names = {**self.sums, **other.sums}
        return Facts({name: _added(self.sums.get(name), other.sums.get(name)) for name in names})

    def numbers(self) -> dict[str, float]:
        """Means by name; what was not seen is left out. Waits for the device, once."""
        if not self.sums:
            return {}
        table = torch.stack([torch.stack([x.float() for x in each]) for each in self.sums.values()])
        rows = zip(self.sums, table.tolist(), strict=True)
        return {name: found / of for name, (found, of) in rows if of}


def _added(
    one: tuple[Tensor, Tensor] | None, other: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    if one is None or other is None:
        found = one or other
        assert found is not None
        return found
    return one[0] + other[0], one[1] + other[1]


def loss_weights(config: PartConfig) -> tuple[float, float]:
    """What class and part loss are multiplied by: 1 and λ (L-01), or 1 − c and c (L-05)."""
    if config.share is None:  # 0.0 is a share: the released code took it for none
        return 1.0, config.weight
    return 1.0 - config.share, config.share


@dataclass
class Objective:
    """The training loss of one batch, by name: `class`, and `part` where the model has parts.

    Called with a model's outputs for the batch; losses that are the model's own come by its names.
    `seen` counts what the last of them showed:
    `class_accuracy`; `part_human` and `part_pseudo`, the unweighted part loss by label source
    (X-03), over pictures that tell of parts; `part_accuracy` and `part_missed`, as
    `PartAccuracy` says.
    """

    classes: Tensor  # (B,) integer
    labels: Tensor  # (B, F, F) 0 background, 1…K parts, K + 1 ignored
    sources: Tensor  # (B,) HUMAN, PSEUDO or PLAIN
    config: PartConfig  # unused by models without part outputs
    smoothing: float  # of the class (L-07)
    n_parts: int
    n_classes: int
    seen: Facts = field(default_factory=lambda: Facts({}), init=False)

    def __call__(self, outputs: Outputs) -> dict[str, Tensor]:
        """Losses of these outputs, whose sum is to be differentiated."""
        logits = outputs.logits
        found = F.cross_entropy(logits, self.classes, label_smoothing=self.smoothing)
        of_class, of_parts = self._weights(outputs)
        losses = {"class": of_class * found}
        right = logits.detach().argmax(1) == self.classes
        sums = {"class_accuracy": (right.sum(), torch.ones_like(right).sum())}
        if outputs.parts:
            part, told = self._part(outputs.parts)
            losses["part"] = of_parts * part
            sums |= told
        losses |= {name: of_parts * found for name, found in outputs.losses.items()}
        self.seen = Facts(sums)
        return losses

    def _weights(self, outputs: Outputs) -> tuple[float, float]:
        told = outputs.parts or outputs.losses
        return loss_weights(self.config) if told else (1.0, 0.0)

    @cached_property
    def known(self) -> Tensor:
        """Which pictures have something to say of parts, (B,) bool."""
        return image_weights(self.asked, self.sources, self.config, self.ignore) > 0

    @cached_property
    def asked(self) -> Tensor:
        """The label maps of what the part outputs are asked."""
        asked = part_labels(
            self.labels,
            self.classes,
            targets=self.config.targets,
            parts=self.n_parts,
            n_classes=self.n_classes,
        )
        return asked if self.config.background else asked.masked_fill(asked == 0, self.ignore)

    @cached_property
    def ignore(self) -> int:
        """The ignored label of `asked`."""
        return ignored_label(self.config.targets, parts=self.n_parts, n_classes=self.n_classes)

    def _part(self, outputs: Sequence[Tensor]) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        config = self.config
        found = part_loss(
            outputs,
            self.asked,
            image_weights(self.asked, self.sources, config, self.ignore),
            gamma=config.gamma,
            smoothing=config.smoothing,
            shrink=config.shrink,
        )
        cells = part_accuracy(outputs, self.asked)
        sums = self._by_source(found.per_image)
        sums["part_accuracy"] = cells.right, cells.cells
        sums["part_missed"] = cells.missed, cells.foreground
        return found.total, sums

    def _by_source(self, per_image: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        tells = _tells(self.asked, self.config, self.ignore)
        sums = {}
        for name, source in (("part_human", HUMAN), ("part_pseudo", PSEUDO)):
            these = tells & (self.sources == source)
            sums[name] = (per_image * these).sum(), these.sum().to(per_image.dtype)
        return sums
