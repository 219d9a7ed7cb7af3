"""What is attacked: pixels in, logits of the classes in question out (E-06, E-07, RK-03, RK-04)."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from partlab.errors import ConfigError, UnknownNameError
from train.attacks.modes import bare
from train.models.base import Outputs

Merge = Literal["max", "logsumexp"]


class Victim(nn.Module):
    """A network as an attack sees it, in evaluation mode, its parameters without gradients.

    The columns of a subset of classes, or super-categories, are made inside, so that attacks
    aim at no class that is not asked about (E-07; Tables S2, S3). `classes` are those of its
    outputs.

    Args:
        network: pixels (B, 3, H, W) in 0…1 to logits (B, C).
        classes: the C names of its outputs.
        columns: names of the classes that stay, in this order; all unless given.
        groups: super-category -> its classes, instead of columns; no class in two of them.
        merge: the logit of a super-category: the `max` of its classes, which keeps the
            network's own arg-max, or `logsumexp`, which adds their probabilities.

    Raises:
        ConfigError: a layer is in training mode (RK-10), both or empty columns and groups,
            one class in two groups, or not as many classes as outputs (found at first use).
        UnknownNameError: a class that the network has not.
    """

    def __init__(
        self,
        network: nn.Module,
        classes: Sequence[str],
        *,
        columns: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        merge: Merge = "max",
    ) -> None:
        super().__init__()
        _as_used(network)
        if columns is not None and groups is not None:
            raise ConfigError("columns and groups were both given", hint="name one of them")
        if merge not in ("max", "logsumexp"):
            raise ConfigError(f"unknown merge {merge!r}", hint="max or logsumexp")
        self.network = bare(network).requires_grad_(False)
        self.all_classes, self.merge = tuple(classes), merge
        members = _members(columns, groups)
        self.of = {name: new for new, own in (members or {}).items() for name in own}
        """Class of the network -> class of the victim; empty where they are the same."""
        self.classes: tuple[str, ...] = tuple(members) if members else self.all_classes
        self._index = _indices(self.all_classes, members) if members else None
        self.training = False

    @property
    def has_parts(self) -> bool:
        """Whether the network also says where parts are."""
        return bool(getattr(self.network, "part_channels", 0))

    def forward(self, images: Tensor, *, parts: bool = False) -> Tensor | Outputs:
        """Logits (B, len(classes)), float32 (float64 of float64); `Outputs` if `parts`."""
        if parts:
            found = self.network(images, parts=True)
            return Outputs(self._asked(found[0]), found[1])
        return self._asked(self.network(images))

    def _asked(self, logits: Tensor) -> Tensor:
        if logits.shape[1] != len(self.all_classes):
            raise ConfigError(
                f"the model has {logits.shape[1]} outputs and {len(self.all_classes)} classes",
                hint="its list of classes is of another model",
            )
        wide = logits if logits.dtype == torch.float64 else logits.float()
        if self._index is None:
            return wide
        if all(len(each) == 1 for each in self._index):
            return wide[:, [each[0] for each in self._index]]
        merged = [self._merged(wide[:, each]) for each in self._index]
        return torch.stack(merged, 1)

    def _merged(self, logits: Tensor) -> Tensor:
        return logits.amax(1) if self.merge == "max" else logits.logsumexp(1)

    def own(self, name: str) -> str | None:
        """The victim's class for a class of the network; None if it is not asked about."""
        return self.of.get(name) if self.of else name


def _as_used(network: nn.Module) -> None:
    """RK-10. Modes are those of the raw module (RK-21)."""
    if any(module.training for module in bare(network).modules()):
        raise ConfigError(
            "a model in training mode was to be attacked",
            hint="model.eval(): BatchNorm would mix the images of a batch",
        )


def _members(
    columns: Sequence[str] | None, groups: Mapping[str, Sequence[str]] | None
) -> dict[str, tuple[str, ...]] | None:
    """New class -> classes of the network; None if all stay as they are."""
    if columns is None and groups is None:
        return None
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in columns or ()}
    found |= {name: tuple(own) for name, own in (groups or {}).items()}
    if len(found) < 2 or not all(found.values()):
        raise ConfigError("a model needs two classes or more, and none of them empty")
    every = [name for own in found.values() for name in own]
    if len(set(every)) < len(every) or (columns is not None and len(found) < len(columns)):
        raise ConfigError("a class is named twice", hint="name each class once")
    return found


def _indices(classes: tuple[str, ...], members: Mapping[str, Sequence[str]]) -> list[list[int]]:
    place = {name: at for at, name in enumerate(classes)}
    for name in (name for own in members.values() for name in own):
        if name not in place:
            raise UnknownNameError("class", name, classes)
    return [[place[name] for name in own] for own in members.values()]
