"""`partlab studio connect`: model help in the projects of a work."""

from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._origin import ModelOpt
from app.cli._ui import JsonOpt, Ui, WorkArg, reported
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.studio.acts.connect import Connected
    from app.model_help import Helper


def register(group: typer.Typer) -> None:
    """Add this command to the group `studio`."""
    group.command()(connect)


def connect(
    folder: WorkArg,
    server: Annotated[
        str | None,
        typer.Argument(
            metavar="[SERVER]", help="Address of `partlab serve`, as Label Studio reaches it."
        ),
    ] = None,
    objects: Annotated[
        list[str] | None, typer.Option("--object", help="Only this object category; repeatable.")
    ] = None,
    model: ModelOpt = None,
    off: Annotated[bool, typer.Option("--off", help="Take the model away again.")] = False,
    json: JsonOpt = False,
) -> None:
    """Let a served segmenter answer clicks and boxes in the projects that are being drawn.

    Next rounds are connected like the ones before; run it again for categories that are handed
    out for the first time. The key of a server that asks for one is taken from PARTLAB_SERVE_KEY,
    and kept by Label Studio.

    Example: partlab studio connect farm http://127.0.0.1:8600
    """
    with reported(json) as ui:
        from annotate.studio.api.client import Studio
        from annotate.work import Work

        if off == (server is not None):
            raise ConfigError(
                "either SERVER is named, or --off", hint="such as http://127.0.0.1:8600"
            )
        with Work.open(folder) as work, Studio.from_env() as studio:
            if server is None:
                from annotate.studio.acts.connect import disconnect

                rounds = disconnect(work, studio, objects=objects or ())
                _tell_off(ui, rounds)
            else:
                import os

                from app.model_help import connect_work
                from segmenter.remote import KEY
                from segmenter.remote import connect as reach

                key = os.environ.get(KEY) or None
                origin = reach(server, model=model, key=key, patience=10)
                told = connect_work(work, studio, origin, key=key, objects=objects or ())
                _tell(ui, told, str(folder))


def _tell_off(ui: Ui, rounds: list["Connected"]) -> None:
    lines = [f"{one.object} round {one.round}: no model help" for one in rounds]
    ui.emit({"rounds": [one.as_json() for one in rounds]}, "\n".join(lines))


def _tell(ui: Ui, told: "Helper", folder: str) -> None:
    result = {"model": told.model, "url": told.url, "rounds": [r.as_json() for r in told.rounds]}
    asked = any(one.tools for one in told.rounds)
    how = (
        "annotators choose a part, take the tool with the star, and click on it or draw a box "
        "about it; they accept or refuse what comes"
    )
    lines = [f"{told.model} at {told.url}", *map(_line, told.rounds), *([how] if asked else [])]
    ui.emit(result, "\n".join([*lines, f"to end it: partlab studio connect {quote(folder)} --off"]))


def _line(one: "Connected") -> str:
    head = f"{one.object} round {one.round}: "
    if one.known_as is None:
        return head + "no help, the segmenter does not know it"
    called = f" (as {one.known_as})" if one.known_as != one.object else ""
    tools = "clicks and boxes are answered" if one.tools else "no tools: its project is older"
    return f"{head}{tools}{called}; suggestions shown are those of {one.shows}"
