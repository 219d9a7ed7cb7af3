"""Things by name: register, list, get. Other packages add theirs through entry points."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from partlab.errors import PartlabError, UnknownNameError


class Registry:
    """Names that stand for `module:attribute`, imported only when asked for.

    Listing imports nothing heavy. `group` is the entry-point group (for example
    `partlab.segmenters`) through which another distribution registers its own.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._targets: dict[str, str] = {}

    def register(self, name: str, target: str) -> None:
        """Add `name` for the object at `target` ("module:attribute"); duplicates are refused."""
        if name in self._targets:
            raise PartlabError(f"{self.kind} {name!r} is registered twice")
        self._targets[name] = target

    def names(self) -> list[str]:
        """All names, sorted; imports none of them."""
        return sorted({*self._targets, *(point.name for point in self._points())})

    def get(self, name: str) -> Callable[..., Any]:
        """Import and return what `name` stands for.

        Raises:
            UnknownNameError: nobody registered the name; near names are suggested.
        """
        if name in self._targets:
            module, _, attribute = self._targets[name].partition(":")
            found: Callable[..., Any] = getattr(import_module(module), attribute)
            return found
        for point in self._points():
            if point.name == name:
                loaded: Callable[..., Any] = point.load()
                return loaded
        raise UnknownNameError(self.kind, name, self.names())

    def _points(self) -> list[Any]:
        return list(entry_points(group=self.group))
