"""A command group that is also a command: `partlab pseudolabel IMAGES` and `… report DIR`."""

from typing import Any

from typer.core import TyperGroup

DEFAULT = "run"


class DefaultGroup(TyperGroup):
    """Falls back to its hidden command `run` when the first word is no command of its own.

    A folder that is called like a command is written `./report`. The group's help shows the
    arguments and options of `run`, then the other commands.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name in front where none was typed."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Show the default command's help, with the list of the other commands below."""
        default: Any = self.commands[DEFAULT]
        self.params, self.help = default.params, default.help
        super().format_help(ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] IMAGES | COMMAND …`."""
        default: Any = self.commands[DEFAULT]
        return [*default.collect_usage_pieces(ctx), "| COMMAND ..."]
