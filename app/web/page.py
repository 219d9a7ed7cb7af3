"""What a page is, who may see it, and the pages that there are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from app.web.people import Role
from app.web.site import Site


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a page: `key` as browsers call it, what it does, and the element it clicks."""

    key: str
    does: str
    element: str = ""  # "": the page's own script listens to it; it is here for the help


@dataclass(frozen=True, slots=True)
class Page:
    """One page; see `app.web` for how one is written.

    `about` ends the sentence on the first page. `needs` says in a sentence what is
    missing, or None.
    """

    path: str
    title: str
    about: str
    build: Callable[[Site], None]
    order: int = 50
    role: Role = "annotator"
    needs: Callable[[Site], str | None] = lambda site: None
    keys: tuple[Key, ...] = ()


@cache
def pages() -> tuple[Page, ...]:
    """All pages in the order of the head: the `PAGE` of every file in `app/web/pages`."""
    from app.web import pages as folder

    names = [
        found.name for found in iter_modules(folder.__path__) if not found.name.startswith("_")
    ]
    found = [import_module(f"{folder.__name__}.{name}") for name in names]
    return tuple(sorted((each.PAGE for each in found), key=lambda page: (page.order, page.path)))
