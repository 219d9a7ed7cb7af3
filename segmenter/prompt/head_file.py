"""A prompt head on disk: two files beside the run whose weights it was trained on.

RUN/prompt.safetensors holds the head's tensors, RUN/prompt.json what it was made of: its
settings, the data, and the hash of the run's checkpoint, without which its features mean nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from partlab.errors import DatasetError
from partlab.files import read_json, sha256_file, write_json
from partlab.training.checkpoints import load_weights, save_weights
from segmenter.prompt.head import PromptHead
from segmenter.torchvision_backend import MaskRCNN

NAME = "prompt"


def has_head(run: Path | None) -> bool:
    """Whether a finished prompt head lies beside a run."""
    return run is not None and all(file.is_file() for file in files(run))


def files(run: Path) -> tuple[Path, Path]:
    """Its description and its tensors."""
    return run / f"{NAME}.json", run / f"{NAME}.safetensors"


def save_head(run: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write the tensors, and then the description that makes them count.

    That of an earlier head goes first: it must not be taken for that of the new tensors.
    """
    files(run)[0].unlink(missing_ok=True)
    save_weights(run, NAME, weights)
    write_json(files(run)[0], dict(facts))


def load_head(segmenter: MaskRCNN) -> PromptHead:
    """The prompt head beside a segmenter's run.

    Raises:
        DatasetError: it is damaged, or was trained on other weights than the segmenter has.
    """
    weights = segmenter.weights
    assert weights is not None
    facts = read_json(files(weights.parent)[0])
    if not isinstance(facts, dict) or facts.get("weights") != sha256_file(weights):
        raise DatasetError(
            f"the prompt head in {weights.parent} was trained on other weights than {weights.name}",
            hint=f"train it again: partlab segmenter prompt-head {weights.parent} DATA --force; "
            f"or delete {files(weights.parent)[0].name} to go without",
        )
    head = PromptHead.of(segmenter.network.roi_heads.part_masks)
    load_weights(head, weights.parent, NAME)
    return head.eval()
