"""How many of something, as a person says it: `1 image`, `3 images`; and long lists of names."""

from collections.abc import Sequence


def counted(number: int, one: str, many: str | None = None) -> str:
    """The number, then `one` if it is 1, else `many` (`one` and an s, if not given).

    A verb goes along where there is one: `counted(n, "picture is", "pictures are")`.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def few(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are: `cat, dog and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
