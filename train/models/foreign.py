"""Checkpoints of others, read by a small card beside the weights (X-02, RK-15, RK-16).

`card.json`: `{"foreign": 1, "architecture": TIMM NAME, "weights": FILE, "classes": [NAME...],
"mean": [3], "std": [3], "size": int, "gelu": bool, "keys": "timm" | "pinpp" | [[OLD, NEW]...]}`.
NEW is a prefix, or null for tensors that recognition does not use.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from partlab.errors import ConfigError, DatasetError, NotFoundError, UnknownNameError
from partlab.files import read_json
from train.models.backbones import replace_relu

KEYS: dict[str, list[tuple[str, str | None]]] = {
    "timm": [],
    "pinpp": [
        ("segmenter.", ""),
        ("classifer.2.", "fc."),
        *((name, None) for name in ("cp", "up_layer", "segmenter_head")),
    ],
}
"""Prefixes of a release's tensors -> timm's; `pinpp` is PartImageNet++'s MPM of ResNet layout."""
_NEEDED = ("architecture", "weights", "classes", "mean", "std", "size")


class Foreign(nn.Module):
    """A timm network with its normalisation inside: pixels (N, 3, H, W) in 0..1 to logits."""

    def __init__(self, network: nn.Module, card: dict[str, Any], left_out: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.classes: tuple[str, ...] = tuple(card["classes"])
        self.preprocessing = {key: card[key] for key in ("mean", "std", "size")}
        self.left_out = tuple(left_out)
        self.register_buffer("mean", torch.tensor(card["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(card["std"]).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, classes) of pixels (N, 3, H, W) in 0..1."""
        logits: Tensor = self.network((pixels - self.mean) / self.std)
        return logits


def load_foreign(path: str | Path) -> Foreign:
    """The model that a folder's card.json describes, in eval mode; `left_out` names what is not.

    Raises:
        NotFoundError: there is no card or no file of weights.
        UnknownNameError: timm has no such architecture, or there is no such key map.
        ConfigError: the card lacks something, or the weights do not fit it.
        DatasetError: the file is no weights.
    """
    folder = Path(path)
    if not (folder / "card.json").is_file():
        raise NotFoundError(f"{folder} has no card.json", hint="describe the weights in one")
    card = read_json(folder / "card.json")
    if missing := [key for key in _NEEDED if key not in card]:
        raise ConfigError(f"{folder / 'card.json'} lacks {', '.join(missing)}")
    if not timm.is_model(card["architecture"]):
        raise UnknownNameError("architecture", card["architecture"], timm.list_models())
    network = timm.create_model(card["architecture"], num_classes=len(card["classes"]))
    if card.get("gelu"):
        replace_relu(network, card["architecture"])
    file = folder / card["weights"]
    state, left_out = _renamed(read_state(file), card.get("keys", "timm"))
    _fill(network, state, file)
    return Foreign(network, card, left_out).eval()


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a torch file that runs no code.

    Raises:
        NotFoundError: there is no such file.
        DatasetError: it is empty, a web page, damaged, or a pickle of more than tensors.
    """
    if not file.is_file():
        raise NotFoundError(f"no file of weights {file}")
    with open(file, "rb") as handle:
        begin = handle.read(256).lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html")):
        raise DatasetError(
            f"{file} is a web page, not weights", hint="open its address in a browser and download"
        )
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise DatasetError(
            f"{file} is damaged, or holds more than tensors, which may run code when it is read",
            hint="download it again, or have its owner save the state dict alone",
        ) from error
    for key in ("state_dict", "model"):
        found = found.get(key, found) if isinstance(found, dict) else {}
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise DatasetError(f"{file} holds no state dict", hint="save model.state_dict()")
    return found


def _renamed(
    state: dict[str, Tensor], keys: str | list[list[str | None]]
) -> tuple[dict[str, Tensor], list[str]]:
    """The state in timm's names, and the names left out."""
    if isinstance(keys, str) and keys not in KEYS:
        raise UnknownNameError("key map", keys, KEYS)
    pairs: Any = KEYS[keys] if isinstance(keys, str) else keys
    named: dict[str, Tensor] = {}
    left_out = []
    for key, value in state.items():
        name = key.removeprefix("module.")
        old, new = next((pair for pair in pairs if name.startswith(pair[0])), ("", ""))
        if new is None:
            left_out.append(key)
        else:
            named[new + name.removeprefix(old)] = value
    return named, left_out


def _fill(network: nn.Module, state: dict[str, Tensor], file: Path) -> None:
    wanted = network.state_dict()
    shared = wanted.keys() & state.keys()
    faults = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unknown": sorted(state.keys() - wanted.keys()),
        "of another shape": sorted(k for k in shared if state[k].shape != wanted[k].shape),
    }
    if told := [f"{len(k)} {n} ({', '.join(k[:3])})" for n, k in faults.items() if k]:
        raise ConfigError(
            f"{file} does not fit its card: tensors {'; '.join(told)}",
            hint="check architecture, classes and keys in card.json",
        )
    network.load_state_dict(state)
