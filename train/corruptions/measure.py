"""A model over corruptions: one outcome for each picture, corruption and severity (G-01)."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from partlab.errors import ConfigError, DatasetError, PartlabError, UnknownNameError
from partlab.images import load_image
from partlab.workers import end_with_parent
from train.common_corruptions import CORRUPTIONS, SEVERITIES
from train.corruptions.generate import check
from train.corruptions.package import need_corruptions
from train.corruptions.protocol import RELEASED, Protocol
from train.corruptions.tree import CorruptionTree
from train.evaluate.chunk import without_tf32
from train.evaluate.outcomes import SCHEMA
from train.lists import PictureList

Model = Callable[[Tensor], Tensor]
Cell = tuple[str, int]


class Example(NamedTuple):
    """A picture to be corrupted: its key decides the chance in it."""

    key: str
    label: str
    path: Path


def open_examples(root: str | Path, pictures: PictureList) -> list[Example]:
    """The pictures of a list, below `root`; their names in the list are their keys."""
    owners = [pictures.classes[of] for of in pictures.class_of]
    return [Example(n, o, Path(root) / n) for n, o in zip(pictures.names, owners, strict=True)]


def corruption_outcomes(
    model: Model,
    examples: Sequence[Example],
    classes: Sequence[str],
    protocol: Protocol = RELEASED,
    *,
    corruptions: Sequence[str] = CORRUPTIONS,
    severities: Sequence[int] = SEVERITIES,
    done: Collection[str] = (),
    batch: int = 75,
    workers: int = 0,
    device: str | torch.device = "cpu",
) -> Iterator[Any]:
    """Run a model over corruptions of pictures, a picture at a time.

    Args:
        model: float32 pixels (B, 3, size, size) in 0…1 to logits (B, len(classes)).
        classes: names of its outputs; labels are among them.
        done: keys of pictures that have their outcomes already: work that died goes on.
        batch: at most so many corrupted pictures go through the model at once.
        workers: processes that corrupt; 0 is this one. They change no byte.

    Yields:
        a pyarrow table of `outcomes.SCHEMA` for each picture, a row for each corruption and
        severity; the threat is `corruption:NAME:SEVERITY`, the attack `clean`.

    Raises:
        BackendUnavailableError, UnknownNameError, ConfigError, DatasetError: as `corrupt`; and a
            label that is no class, two pictures of one key, a model in training mode.
        PartlabError: logits that are not finite, or not one for each class.
    """
    need_corruptions()
    cells = [(c, s) for c in corruptions for s in severities]
    for cell in cells:
        check(*cell)
    _check(model, [(e.key, e.label) for e in examples], classes, cells)
    return _outcomes(
        model, [e for e in examples if e.key not in set(done)], classes, protocol, cells,
        batch, workers, torch.device(device),
    )  # fmt: skip


def _outcomes(
    model: Model, examples: Sequence[Example], classes: Sequence[str], protocol: Protocol,
    cells: Sequence[Cell], batch: int, workers: int, device: torch.device,
) -> Iterator[Any]:  # fmt: skip
    loader = DataLoader(
        _Corrupted(examples, cells, protocol), batch_size=None, num_workers=workers,
        worker_init_fn=end_with_parent,
    )  # fmt: skip
    for example, pixels in zip(examples, loader, strict=True):
        if isinstance(pixels, PartlabError):
            raise pixels
        logits = torch.cat([_logits(model, part, classes, device) for part in pixels.split(batch)])
        threats = [threat_of(*cell) for cell in cells]
        yield _table([example.key] * len(cells), [example.label] * len(cells), threats, logits,
                     classes)  # fmt: skip


class _Corrupted(Dataset[Any]):
    """All corruptions of a picture: (cells, 3, size, size) uint8.

    Errors are given back, as a loader would put a traceback in place of their sentence.
    """

    def __init__(
        self, examples: Sequence[Example], cells: Sequence[Cell], protocol: Protocol
    ) -> None:
        self.examples, self.cells, self.protocol = examples, cells, protocol

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, at: int) -> Tensor | PartlabError:
        key, _, path = self.examples[at]
        try:
            clean = self.protocol.clean(load_image(path))
            return _planes([self.protocol.corrupted(clean, *cell, key) for cell in self.cells])
        except PartlabError as error:
            return error


def tree_outcomes(
    model: Model,
    tree: CorruptionTree,
    classes: Sequence[str],
    protocol: Protocol = RELEASED,
    *,
    done: Collection[str] = (),
    batch: int = 64,
    device: str | torch.device = "cpu",
) -> Iterator[Any]:
    """Run a model over files of ImageNet-C; a table for each corruption and severity.

    `done` are threats, as `corruption:fog:3`. The files have been through JPEG, so the protocol's
    `jpeg` is not applied again. Other arguments and errors are those of `corruption_outcomes`.
    """
    pictures = {(key, label) for cell in tree.cells.values() for key, label, _ in cell}
    _check(model, sorted(pictures), classes, list(tree.cells))
    return _tree_outcomes(model, tree, classes, protocol, set(done), batch, torch.device(device))


def _tree_outcomes(
    model: Model, tree: CorruptionTree, classes: Sequence[str], protocol: Protocol,
    done: set[str], batch: int, device: torch.device,
) -> Iterator[Any]:  # fmt: skip
    for cell, found in tree.cells.items():
        if threat_of(*cell) in done:
            continue
        logits = []
        for start in range(0, len(found), batch):
            pixels = [protocol.seen(load_image(p)) for _, _, p in found[start : start + batch]]
            logits.append(_logits(model, _planes(pixels), classes, device))
        keys, labels = [key for key, _, _ in found], [label for _, label, _ in found]
        yield _table(keys, labels, [threat_of(*cell)] * len(found), torch.cat(logits), classes)


def _check(
    model: Model, pictures: Sequence[tuple[str, str]], classes: Sequence[str], cells: Sequence[Cell]
) -> None:
    if not pictures or not cells:
        raise DatasetError("there is no picture, or no corruption, to measure a model on")
    if len({key for key, _ in pictures}) < len(pictures):
        raise DatasetError("two pictures have the same name: their outcomes would be one")
    if unknown := {label for _, label in pictures} - set(classes):
        raise UnknownNameError("class", min(unknown), classes)
    if isinstance(model, nn.Module) and any(m.training for m in model.modules()):
        raise ConfigError("a model in training mode was to be evaluated", hint="model.eval()")


def _planes(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())


def _logits(model: Model, pixels: Tensor, classes: Sequence[str], device: torch.device) -> Tensor:
    with torch.no_grad(), without_tf32():
        logits = model(pixels.to(device).float() / 255).float().cpu()
    if logits.ndim != 2 or logits.shape[1] != len(classes):
        raise PartlabError(
            f"the model gives logits of shape {tuple(logits.shape)} for {len(classes)} classes",
            hint="its list of classes is of another model",
        )
    if not bool(logits.isfinite().all()):
        raise PartlabError("the model's logits are not finite", hint="its weights are damaged")
    return logits


def _table(
    keys: Sequence[str], labels: Sequence[str], threats: Sequence[str], logits: Tensor,
    classes: Sequence[str],
) -> Any:  # fmt: skip
    place = {name: at for at, name in enumerate(classes)}
    true = torch.tensor([place[label] for label in labels])[:, None]
    others = logits.scatter(1, true, -torch.inf).amax(1)
    margins = logits.gather(1, true)[:, 0] - others  # infinite for a model of one class
    predictions = [classes[at] for at in logits.argmax(1).tolist()]
    right = [said == label for said, label in zip(predictions, labels, strict=True)]
    columns = {
        "image": keys,
        "label": labels,
        "threat": threats,
        "attack": ["clean"] * len(keys),
        "right": right,
        "prediction": predictions,
        "margin": margins.numpy(),
        "broken_by": [None if well else "clean" for well in right],
        "steps": [None] * len(keys),
    }
    return pa.table(columns, SCHEMA)


def threat_of(corruption: str, severity: int) -> str:
    """As outcomes call it: `corruption:fog:3`."""
    return f"corruption:{corruption}:{severity}"
