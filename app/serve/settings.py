"""What can be set of a server; `--set NAME=VALUE` on the command line."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from partlab.config import Config

Role = Literal["read", "attack", "admin"]
MIB = 1 << 20


class BatchLimits(Config):
    """How much one model looks at together, and how much may wait for it.

    `wait_ms` is how long a batch waits to be filled when others wait already; who comes to an
    empty queue never waits. It has nothing to do with a request's deadline.
    """

    images: int = Field(16, ge=1)
    pixels: int = Field(1 << 25, ge=1)
    wait_ms: float = Field(2.0, ge=0, le=1000)
    queue: int = Field(64, ge=1)  # images that wait; more are turned away
    queue_pixels: int = Field(1 << 28, ge=1)


class HelpSettings(Config):
    """Help inside Label Studio: where its pictures may be fetched, and for how long one answers.

    `studio` is Label Studio's address as seen from here; without it the one it says of itself
    counts, on this machine only. `pictures` are further addresses below which pictures may lie,
    and folders that Label Studio serves as local files. `sam` is the folder of a SAM model that
    answers clicks and boxes in place of the segmenters, on `sam_device`.
    """

    studio: str | None = None
    pictures: tuple[str, ...] = ()
    deadline_s: float = Field(10.0, gt=0)  # of an answer to a click or a box
    cache_bytes: int = Field(256 * MIB, ge=0)  # of what each model keeps of pictures
    sam: Path | None = None
    sam_device: str | None = None


class ServeSettings(Config):
    """A server's limits and folders."""

    batch: BatchLimits = BatchLimits()
    body_bytes: int = Field(32 * MIB, ge=1024)
    picture_pixels: int = Field(50_000_000, ge=1)
    read_s: float = Field(30.0, gt=0)  # silence of a client that is sending
    deadline_s: float = Field(60.0, gt=0)  # of a request that asks for no shorter one
    drain_s: int = Field(30, ge=0)  # after SIGTERM, for what was accepted
    follow_s: float = Field(5.0, gt=0)  # how often a work's loop is asked for its version
    requests: int = Field(128, ge=1)  # at the same time, waiting or at work
    rate: int | None = Field(None, ge=1)  # requests a minute of one client
    repeats_bytes: int = Field(64 * MIB, ge=0)  # answers kept for who repeats a request
    attack_steps: int = Field(50, ge=1, le=1000)  # the most one request may ask for
    attack: bool = True  # the first one makes a second copy of the model
    keys: Path | None = None
    jobs: Path | None = None
    roots: dict[str, Path] = Field(default_factory=dict)  # folders that jobs may name
    help: HelpSettings = HelpSettings()
    job_pictures: int = Field(1000, ge=1)  # sent with one job
