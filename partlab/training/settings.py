"""Settings that every training has; importing them needs no torch."""

from typing import Annotated, Literal

from pydantic import Field

from partlab.config import SPEED, Config

Amp = Literal["auto", "bf16", "off"]
"""Precision: bf16 where it pays (`auto`), always, or never."""


class LoopConfig(Config):
    """How long and how fast to train; sizes are per process."""

    epochs: int = Field(12, ge=1)
    batch_size: int = Field(4, ge=1)
    lr: float = Field(4e-4, gt=0)
    clip_norm: float | None = Field(5.0, gt=0)  # None: gradients are left as they are
    seed: int = Field(0, ge=0, lt=2**32)
    workers: Annotated[int, SPEED] = Field(1, ge=0)
    amp: Amp = "auto"
    checkpoint_steps: Annotated[int, SPEED] = Field(200, ge=1)
