"""`partlab studio …`."""

import typer

group = typer.Typer(
    no_args_is_help=True, help="Label Studio: start it, hand out the work, fetch it back."
)
