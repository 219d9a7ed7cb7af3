"""The same server as replicas of Ray Serve, for when one machine is not enough (extra `ray`).

    serve run app.serve.on_ray:build runs=runs/seg,robust=runs/mpm replicas=4

Each replica is a whole server with models and queues of its own; Ray starts them, spreads
requests over them and replaces those that die. Runs and keys must lie where all machines see them.
"""

from typing import Any

from pydantic import Field, field_validator

from app.serve.settings import ServeSettings
from partlab.cluster import INSTALL
from partlab.config import Config, validate
from partlab.errors import BackendUnavailableError, ConfigError


class RayConfig(Config):
    """What `serve run` is told after the name, or `args` in a file of `serve deploy`.

    `gpus` and `cpus` are what Ray sets aside for each replica.
    """

    runs: tuple[str, ...] = Field(min_length=1)
    replicas: int = Field(1, ge=1)
    gpus: float = Field(0.0, ge=0)
    cpus: float = Field(1.0, gt=0)
    checkpoint: str = "best"
    device: str | None = None
    settings: ServeSettings = ServeSettings()

    @field_validator("runs", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """On the command line they stand with commas between them."""
        return tuple(value.split(",")) if isinstance(value, str) else value


def build(args: dict[str, Any]) -> Any:
    """The application that Ray deploys; `args` are the values of `RayConfig`.

    Raises:
        ConfigError: a value is unknown or of no use, or bulk jobs are asked for: their folder
            belongs to one process.
        BackendUnavailableError: Ray is not installed.
    """
    config = validate(RayConfig, args, "the arguments of serve run")
    if config.settings.jobs is not None:
        raise ConfigError(
            "bulk jobs belong to one process, and replicas are several",
            hint="run jobs with partlab serve --jobs, or partlab pseudolabel",
        )
    try:
        from ray import serve
    except ImportError as error:
        raise BackendUnavailableError("Ray Serve is not installed", hint=INSTALL) from error

    def replica() -> Any:
        from app.serve.app import create_app
        from app.serve.source import Source

        sources = [
            Source.of_run(run, checkpoint=config.checkpoint, device=config.device)
            for run in config.runs
        ]
        app = create_app(sources, config.settings)
        app.state.partlab.models.load()  # here a failure is told by `serve status`
        return app

    deployment = serve.deployment(serve.ingress(replica)()).options(
        name="partlab",
        num_replicas=config.replicas,
        max_ongoing_requests=config.settings.requests,
        ray_actor_options={"num_gpus": config.gpus, "num_cpus": config.cpus},
    )
    return deployment.bind()
