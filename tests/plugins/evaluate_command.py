"""`partlab evaluate …` as a test types it, and what it says on stderr."""

from typing import Any

from typer.testing import CliRunner

from app.cli.main import app


def call(*words: Any) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def told(result: Any) -> str:
    """On one line, with what was raised."""
    return " ".join(f"{result.stderr} {result.exception or ''}".split())
