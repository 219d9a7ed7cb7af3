"""`partlab inspect …`."""

import typer

group = typer.Typer(
    no_args_is_help=True, help="Category batches: sample, decide, review discards, plan, hand over."
)
