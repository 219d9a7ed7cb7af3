"""HTML pages that stand alone: one look for all rooms, no script, nothing fetched from anywhere.

A room keeps its template beside its code; `{% include "page.css" %}` in a <style> gives it the
common look, light and dark, on a phone and on paper.
"""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

STYLE = "page.css"


def render(
    package: str, template: str, *, filters: Mapping[str, Callable[..., str]], **values: Any
) -> str:
    """A page made of the template in `package`; values are escaped, a missing one is an error."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    texts = {STYLE: _text("partlab", STYLE), template: _text(package, template)}
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(template).render(**values)


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
