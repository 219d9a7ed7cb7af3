"""What a work was started with; it stands in WORK/work.json and does not change."""

from typing import Any, Literal

from pydantic import Field

from partlab.config import Config

DISCARD_REASONS = ("low quality", "object missing", "object too small", "cannot tell the parts")
"""What an annotator may say of an image that cannot be drawn (M-07)."""

FAIL_REASONS = (
    "part missing",
    "wrong label",
    "not the whole object",
    "overlap",
    "outline",
    "object missed",
    "background drawn",
    "other",
)
"""What an inspector may say of an image that fails: the drawing rules M-01 to M-06."""


class WorkSettings(Config):
    """Name, seed and rules of one annotation work.

    `model_help` off forbids every pre-annotation for good (D-05); `plan` is the inspection
    plan's name, or its numbers; regions of fewer than `min_pixels` pixels are dropped as slips
    of the brush.
    """

    name: str = Field(min_length=1)
    id: str = Field(min_length=1)
    database: Literal["sqlite", "postgresql"] = "sqlite"
    seed: int = Field(0, ge=0)
    per_object: int = Field(100, ge=1)
    model_help: bool = True
    plan: str | dict[str, Any] = "paper"
    min_pixels: int = Field(12, ge=0)
    long_side: int = Field(1024, ge=64)
    image_url: str | None = None
    discard_reasons: tuple[str, ...] = DISCARD_REASONS
    fail_reasons: tuple[str, ...] = FAIL_REASONS
