"""What a tuning leaves in a run's folder: `tuned.json`."""

from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from partlab.config import Config, validate
from partlab.errors import SchemaError
from partlab.files import read_json, sha256_file, sha256_json, write_json
from partlab.parts import Parts
from segmenter.thresholds import Thresholds
from segmenter.tuning.scale import Scale

FILE = "tuned.json"
CHECKPOINT = "best"
Kept = TypeVar("Kept", bound=Config)


class Line(Config):
    """`sigmoid(slope * logit(score) + offset)`."""

    slope: float = 1.0
    offset: float = 0.0


class Tuning(Config):
    """How scores of one checkpoint are read: by part, and of parts that are not named by all."""

    checkpoint_sha256: str
    data: dict[str, Any]
    images: int
    common: Line
    parts: dict[str, Line]
    thresholds: Thresholds
    held_out: dict[str, Any]

    def scale(self, parts: Parts) -> Scale:
        """Slopes and offsets by label."""
        lines = [self.parts.get(name, self.common) for name in parts.names]
        both = np.array([(line.slope, line.offset) for line in lines], float).reshape(-1, 2)
        return Scale(both[:, 0], both[:, 1])


def read_tuning(run: Path, checkpoint: str = CHECKPOINT) -> Tuning | None:
    """A run's tuning; None if it has none, or none of this checkpoint.

    Raises:
        SchemaError: the file is damaged, or was made with other weights than the run has now.
    """
    file = run / FILE
    if checkpoint != CHECKPOINT or not file.is_file():
        return None
    found = validate(Tuning, read_json(file), str(file))
    weights = run / f"{checkpoint}.safetensors"
    if weights.is_file() and sha256_file(weights) != found.checkpoint_sha256:
        raise SchemaError(
            f"{file} was made with other weights than {run} has now",
            hint=f"tune it again: partlab segmenter tune {run} DATA; or delete the file",
        )
    return found


def write_tuning(run: Path, tuning: Tuning) -> Path:
    """Keep it with the run."""
    write_json(run / FILE, tuning.model_dump(mode="json"))
    return run / FILE


def told(run: Path) -> dict[str, Any]:
    """What a description of the run says of its tuning; nothing without one."""
    found = read_tuning(run)
    if found is None:
        return {}
    thresholds = found.thresholds.model_dump(mode="json")
    content = sha256_json(found.model_dump(mode="json"))
    return {"tuning": {"sha256": content, "thresholds": thresholds}}


def own_of(description: dict[str, Any], checkpoint: str = CHECKPOINT) -> Thresholds | None:
    """The thresholds of a tuned run, from what a run or a server tells of it; None without any."""
    tuning = description.get("tuning")
    if not tuning or checkpoint != CHECKPOINT:
        return None
    return validate(Thresholds, tuning["thresholds"], "the run's own thresholds")


def with_own(settings: Kept, description: dict[str, Any], checkpoint: str = CHECKPOINT) -> Kept:
    """Settings that name no `thresholds` take those of the run's tuning, if it has one."""
    own = own_of(description, checkpoint)
    if own is None or "thresholds" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"thresholds": own})
