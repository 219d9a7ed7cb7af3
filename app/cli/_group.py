"""A command group that is also a command: `partlab pseudolabel IMAGES` and `… report DIR`."""

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

DEFAULT = "run"
_NOT_UNDERSTOOD = (2, 3)  # exit codes: bad usage, and something that is not there


class DefaultGroup(TyperGroup):
    """Falls back to its hidden command `run` when the first word is no command of its own.

    A folder that is called like a command is written `./report`, which is said where the command
    could make nothing of the words after it. The group's help shows the arguments and options of
    `run`, then the other commands.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name in front where none was typed."""
        ctx.meta[__name__] = args[0] if args and args[0] in self.commands else None
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; if that fails, its name may have been meant as a folder's."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            word = ctx.meta[__name__]
            if word and getattr(error, "exit_code", 0) in _NOT_UNDERSTOOD and Path(word).is_dir():
                said = f"note: {word} is a command of its own here; the folder is written ./{word}"
                typer.echo(said, err=True)
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the default command's help, with the list of the other commands below."""
        default: Any = self.commands[DEFAULT]
        self.params, self.help = default.params, default.help
        super().format_help(ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] IMAGES | COMMAND …`."""
        default: Any = self.commands[DEFAULT]
        return [*default.collect_usage_pieces(ctx), "| COMMAND ..."]
