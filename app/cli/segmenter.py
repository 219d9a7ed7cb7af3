"""`partlab segmenter …`: train a part segmenter, measure it, list what there is."""

import typer

group = typer.Typer(no_args_is_help=True, help="Part segmenters: train, evaluate, list.")
