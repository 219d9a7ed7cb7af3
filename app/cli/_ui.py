"""What every command shares: progress and errors on stderr, only the result on stdout."""

import json as jsonlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Annotated, Any, TypeVar

import typer
import typer.main
from rich.console import Console
from rich.markup import escape

from partlab.errors import ConfigError, NotFoundError, PartlabError
from partlab.places import refusal
from partlab.progress import listening

T = TypeVar("T")

JsonOpt = Annotated[bool, typer.Option("--json", help="Print only the result, as JSON, on stdout.")]
DryRunOpt = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")
]
WorkArg = Annotated[Path, typer.Argument(metavar="WORK", help="The work's folder.")]
ME = "PARTLAB_ME"
"""Who inspects at this machine, where --by does not say."""
ByOpt = Annotated[str, typer.Option("--by", metavar="WHO", envvar=ME, help="Your email or name.")]
NewOpt = Annotated[
    bool, typer.Option("--new-inspector", help="Another person, though the name looks known.")
]
ObjectArg = Annotated[str, typer.Argument(metavar="OBJECT", help="The object category.")]
ObjectsArg = Annotated[
    list[str] | None, typer.Argument(metavar="OBJECT", help="Object categories; else all.")
]
ForceOpt = Annotated[bool, typer.Option("--force", help="Replace an output that already exists.")]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override one setting; may be repeated."),
]

# No emoji: `stork:leg: …` would become a picture of a leg.
stderr = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
stdout = Console(highlight=False, soft_wrap=True, emoji=False)


@dataclass(frozen=True)
class Ui:
    """How one command talks; `json` switches the result to machine-readable form."""

    json: bool = False

    def emit(self, result: Any, text: str = "") -> None:
        """Print the result: `result` as JSON with --json, else `text` for people."""
        if self.json:
            print(jsonlib.dumps(result, indent=2, ensure_ascii=False, default=str))
        elif text:
            stdout.print(text, markup=False)

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """On stderr: a bar on a terminal, else a line a minute; of several processes, one."""
        from app.cli._progress import bar, lines

        if total is None and isinstance(items, Sized):
            total = len(items)
        if not _leads():
            yield from items
        else:
            yield from (bar if stderr.is_terminal else lines)(stderr, items, what, total)

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """Nothing: what is measured is logged in words where it is measured."""


def _leads() -> bool:
    """Whether this process speaks for those that torchrun started with it."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def reported(json: bool = False) -> Iterator[Ui]:
    """Run a command's body: the one place where errors become words and exit codes."""
    ui = Ui(json)
    try:
        with _logged(), listening(ui), _slow_import_told():
            yield ui
    except PartlabError as error:
        error.hint = _swapped(error) or error.hint
        _complain(error, json)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:  # `partlab … | head`: typer ends quietly
        raise
    except Exception as error:
        if (told := refusal(error) or _of_system(error)) is None:
            raise
        _complain(told, json)
        raise typer.Exit(told.exit_code) from error
    except KeyboardInterrupt:
        stderr.print("interrupted")
        raise typer.Exit(130) from None


def _of_system(error: Exception) -> PartlabError | None:
    """A folder where a file belongs, a file that may not be read, an address in place of either."""
    if isinstance(error, TypeError) and "os.PathLike object, not" in str(error):
        return ConfigError(
            "this command cannot work on an address such as s3://bucket/folder",
            hint="bring it here first: partlab data import ADDRESS --out FOLDER",
        )
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return PartlabError(f"{where}{error.strerror or error}")


def _swapped(error: PartlabError) -> str | None:
    """A hint where something was not found because two arguments changed places."""
    context: Any = typer.main.get_current_context(silent=True)  # type: ignore[attr-defined]
    if not isinstance(error, NotFoundError) or context is None:
        return None
    named = [one for one in context.command.params if one.param_type_name == "argument"][:2]
    given = [context.params.get(str(one.name)) for one in named]
    given = [one[0] if isinstance(one, list | tuple) and one else one for one in given]
    if len(given) < 2 or not all(isinstance(one, str | Path) and str(one) for one in given):
        return None
    first, second = (Path(str(one)) for one in given)
    is_name = not isinstance(given[1], Path)
    if (is_name and second.exists() and not first.exists()) or (
        _is_work(second) and not _is_work(first)
    ):
        command = context.command_path.partition(" ")[2]
        words = f"partlab {command} {quote(str(second))} {quote(str(first))}"
        return f"the arguments seem to have changed places: {words} …"
    return None


def _is_work(path: Path) -> bool:
    return (path / "work.json").is_file()


@contextmanager
def _logged() -> Iterator[None]:
    """What rooms log goes to stderr while a command runs, as plain sentences.

    Of the processes that torchrun starts the first one speaks; errors are told by each.
    """
    handler, root = logging.StreamHandler(sys.stderr), logging.getLogger()
    handler.setFormatter(logging.Formatter("%(message)s"))
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO if _leads() else logging.ERROR)
    for noisy in ("PIL", "matplotlib", "httpx", "urllib3", "filelock"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        yield
    finally:  # whoever calls a command from a program has logging of their own
        root.removeHandler(handler)
        root.setLevel(before)


class _Teller:
    """Finds torch as everybody does, and says a line when it begins to load."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            load: Any = spec.loader
            load.exec_module = partial(_told_then, load.exec_module)
        return spec


def _told_then(load: Callable[[ModuleType], None], module: ModuleType) -> None:
    if _leads():
        stderr.print("loading torch, which takes some seconds …")
    load(module)


@contextmanager
def _slow_import_told() -> Iterator[None]:
    """A line before the first import of torch: nobody should look at an empty screen for it."""
    teller = _Teller()
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, teller)
    try:
        yield
    finally:
        if teller in sys.meta_path:
            sys.meta_path.remove(teller)


def _complain(error: PartlabError, json: bool) -> None:
    if json:
        words = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
        print(jsonlib.dumps(words, ensure_ascii=False), file=sys.stderr)
        return
    stderr.print(f"[bold red]error:[/] {escape(error.message)}")
    if error.hint:
        stderr.print(f"[bold]hint:[/] {escape(error.hint)}")
