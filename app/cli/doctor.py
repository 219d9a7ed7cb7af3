"""`partlab doctor`: what is installed, what is missing, how to get it."""

import typer

from app.cli._ui import JsonOpt, reported


def doctor(json: JsonOpt = False) -> None:
    """Say what is installed, what is missing, and the line that gets it.

    Ends with 0 when everything required is there, also without the optional parts, else with 4.

    Example: partlab doctor
    """
    with reported(json) as ui:
        from app.doctor import as_json, as_text, examine, healthy

        parts = examine()
        ui.emit(as_json(parts), as_text(parts))
        if not healthy(parts):
            raise typer.Exit(4)
