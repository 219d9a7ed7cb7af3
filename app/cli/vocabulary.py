"""`partlab vocabulary …`."""

import typer

group = typer.Typer(
    no_args_is_help=True, help="Which parts an object has: seed, vote, check, change."
)
