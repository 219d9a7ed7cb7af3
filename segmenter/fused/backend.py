"""The backend of fused runs, as the registry knows it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from partlab.config import validate
from partlab.errors import ConfigError, DatasetError, NotFoundError
from partlab.files import replacing, sha256_file
from partlab.schema import Dataset
from segmenter.fused.segmenter import FusedConfig, FusedSegmenter
from segmenter.protocol import Segmenter
from segmenter.tuning.file import CHECKPOINT
from segmenter.tuning.scale import Scale
from segmenter.tuning.tuned import Tuned

WEIGHTS = f"{CHECKPOINT}.safetensors"


class FusedBackend:
    """Loads runs that `partlab segmenter fuse` made (the `Backend` protocol)."""

    settings = FusedConfig

    def fit(self, train: Dataset, val: Dataset | None, run: Path, config: Any) -> None:
        """Nothing to train.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "a fused segmenter is made of trained ones",
            hint="partlab segmenter fuse RUN RUN DATA --out RUN",
        )

    def load(self, run: Path, *, checkpoint: str = "best", device: str | None = None) -> Segmenter:
        """The segmenter of a run folder.

        Raises:
            NotFoundError: the run has no such checkpoint.
            DatasetError: the checkpoint is damaged, or a member's weights are others.
        """
        from segmenter.runs import load_segmenter, read_run

        config = validate(FusedConfig, read_run(run)["config"], str(run / "config.json"))
        if checkpoint != CHECKPOINT:
            file = f"{checkpoint}.safetensors"
            raise NotFoundError(f"{run} has no checkpoint {file}", hint="a fused run has best only")
        members = [
            Tuned(load_segmenter(folder, device=device, tuned=False), scale)
            for folder, scale in _scales(run)
        ]
        return FusedSegmenter(members, config)


def folders(run: Path) -> list[Path]:
    """Where the members' own run folders are."""
    return sorted((run / "members").glob("*"), key=lambda path: int(path.name))


def write_scales(run: Path, scales: list[Scale]) -> None:
    """The checkpoint of a fused run: its members' calibration, and the hashes of their weights."""
    digests = [bytes.fromhex(sha256_file(folder / WEIGHTS)) for folder in folders(run)]
    state: dict[str, NDArray[Any]] = {
        "slopes": np.stack([scale.slopes for scale in scales]),
        "offsets": np.stack([scale.offsets for scale in scales]),
        "members": np.stack([np.frombuffer(digest, np.uint8) for digest in digests]),
    }
    with replacing(run / WEIGHTS) as scratch:
        save_file(state, scratch)
        scratch.chmod(0o644)  # safetensors lets nobody else read it


def _scales(run: Path) -> list[tuple[Path, Scale]]:
    try:
        state = load_file(run / WEIGHTS)
        rows = list(zip(state["slopes"], state["offsets"], state["members"], strict=True))
        found = list(zip(folders(run), rows, strict=True))
    except FileNotFoundError:
        raise NotFoundError(f"{run} has no checkpoint {WEIGHTS}", hint="fuse it again") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise DatasetError(f"{run / WEIGHTS} is damaged: {error}", hint="fuse it again") from error
    for folder, (_, _, digest) in found:
        if sha256_file(folder / WEIGHTS) != digest.tobytes().hex():
            raise DatasetError(
                f"{folder / WEIGHTS} are not the weights that were fused", hint="fuse them again"
            )
    return [(folder, Scale(slopes, offsets)) for folder, (slopes, offsets, _) in found]


backend = FusedBackend()
