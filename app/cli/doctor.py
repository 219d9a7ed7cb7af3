"""`partlab doctor`: what is installed, what is missing, how to get it."""

from typing import Annotated

import typer

from app.cli._ui import JsonOpt, reported


def doctor(
    studio: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Look at this Label Studio and its model help instead."),
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Say what is installed, what is missing, and the line that gets it.

    Ends with 0 when everything required is there, also without the optional parts, else with 4.
    With --studio it looks at a Label Studio, whether it reaches the models that were connected,
    and whether these see its pictures.

    Example: partlab doctor --studio http://127.0.0.1:8080
    """
    with reported(json) as ui:
        from app.doctor import as_json, as_text, examine, healthy

        if studio is None:
            parts = examine()
        else:
            from app.doctor_studio import examine_studio

            parts = examine_studio(studio)
        ui.emit(as_json(parts), as_text(parts))
        if not healthy(parts):
            raise typer.Exit(4)
