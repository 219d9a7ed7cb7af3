"""`partlab data …`: make, look at and divide part data sets."""

import typer

group = typer.Typer(no_args_is_help=True, help="Part data sets: make, check, convert, look at.")
