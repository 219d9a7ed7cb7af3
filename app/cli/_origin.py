"""`--segmenter RUN`, or `--server URL` and `--model NAME`: where a command's segmenter runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partlab.errors import ConfigError

if TYPE_CHECKING:
    from segmenter.origin import Origin

ServerOpt = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Or a segmenter that `partlab serve` serves."),
]
ModelOpt = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Which, if --server has several.")
]


def chosen(run: Path | None, server: str | None, model: str | None) -> "Path | Origin":
    """The run folder, or the served model.

    Raises:
        ConfigError: both or neither are named.
        BackendUnavailableError, NotFoundError: no such server, no such model.
    """
    if (run is None) == (server is None):
        raise ConfigError(
            "a segmenter comes either from --segmenter RUN or from --server URL",
            hint="name one of the two",
        )
    if run is not None:
        if model is not None:
            raise ConfigError("--model names a model of a server", hint="give --server URL too")
        return run
    from segmenter.remote import connect

    assert server is not None
    return connect(server, model=model)
