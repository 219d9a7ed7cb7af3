"""Promises every command keeps: a quick, light --help with an example, and --json."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from app.cli.main import app

HEAVY = ("torch", "torchvision", "timm", "gradio", "matplotlib", "label_studio_sdk")

HELP_OF_ALL = f"""
import sys
from typer.testing import CliRunner
from app.cli.main import app
for line in sys.stdin.read().splitlines():
    answer = CliRunner().invoke(app, [*line.split(), "--help"])
    assert answer.exit_code == 0, (line, answer.output)
print([name for name in {HEAVY!r} if name in sys.modules])
"""


ROOT = Path(__file__).resolve().parents[3]


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command a person can type; `pseudolabel` is a group and, by default, a command."""
    children = getattr(command, "commands", {})
    if "run" in children and children["run"].hidden:
        yield " ".join(path), children["run"]
    elif not children:
        yield " ".join(path), command
    for name, child in children.items():
        if not child.hidden:
            yield from leaves(child, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_no_help_imports_anything_heavy() -> None:
    """`partlab --help` has to answer at once on a laptop and on a login node."""
    lines = "\n".join(["", "data", *COMMANDS])
    answer = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"


def test_help_is_quick() -> None:
    """In processor time, since the machine may be busy; importing torch alone takes 3 s."""
    took = []
    for _ in range(3):
        start = _children()
        subprocess.run(
            [sys.executable, "-c", "from app.cli.main import main; main()", "--help"],
            capture_output=True,
            check=True,
        )
        took.append(_children() - start)
    assert min(took) < 2


def _children() -> float:
    """Processor seconds of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example(name: str) -> None:
    text = COMMANDS[name].help or ""
    assert "Example:" in text, f"`partlab {name} --help` shows no example"
    example = text.partition("Example:")[2].split()
    assert example[: len(name.split()) + 1] == ["partlab", *name.split()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_speaks_json(name: str) -> None:
    options = {option for param in COMMANDS[name].params for option in param.opts}
    assert "--json" in options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    silent = [param.name for param in COMMANDS[name].params if not getattr(param, "help", None)]
    assert silent == [], f"`partlab {name} --help` does not say what these are for"


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("partlab ")


def test_the_table_of_the_readme_lists_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `partlab ([a-z][a-z -]*?)(?: [A-Z-].*?)?` \|", readme, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
