"""Plain tables and percents of commands that measure segmenters and detectors."""

from io import StringIO


def percent(value: float | None, way: str = "") -> str:
    """A share as percent with one digit; with its sign where it is a "difference"."""
    if value is None:
        return "–"
    return f"{100 * value:+.1f}" if way == "difference" else f"{100 * value:.1f}"


def wide_table(head: list[str], rows: list[list[str]]) -> str:
    """A plain table of many columns, whose rows are never broken."""
    return table(head, rows, width=200)


def table(head: list[str], rows: list[list[str]], words: int = 1, width: int = 120) -> str:
    """A plain table; the first `words` columns hold words, the others numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for position, title in enumerate(head):
        table.add_column(Text(title), justify="left" if position < words else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    target = StringIO()
    Console(file=target, width=width).print(table)
    return target.getvalue().rstrip()
