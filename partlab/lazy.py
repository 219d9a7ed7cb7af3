"""What a room's `__init__` offers: names that are imported when they are first used."""

import logging
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def room(
    name: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of the package `name`.

    `homes` names the module of each thing it offers. The package's log is silent until
    somebody configures logging: a library writes nothing by itself.
    """
    logging.getLogger(name).addHandler(logging.NullHandler())

    def get(attribute: str) -> Any:
        if attribute not in homes:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        found = getattr(import_module(homes[attribute]), attribute)
        setattr(sys.modules[name], attribute, found)
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[name]), *homes})

    return get, names
