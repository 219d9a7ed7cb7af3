"""How many of something, as a person says it: `1 image`, `3 images`."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """The number, then `one` if it is 1, else `many` (`one` and an s, if not given).

    A verb goes along where there is one: `counted(n, "picture is", "pictures are")`.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"
