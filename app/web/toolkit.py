"""Gradio, imported so that it asks nobody for anything: pages say `from app.web.toolkit import gr`.

It reads its environment once, when it is imported.
"""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any
from unittest.mock import patch

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_RUN_HISTORY"] = "False"
os.environ["GRADIO_NODE_PATH"] = ""
# Before each event Gradio asks matplotlib where it would draw: unless that is said, matplotlib
# loads all of itself to find out, a second of CPU of the first page. A server has no window.
os.environ["MPLBACKEND"] = "agg"


@contextmanager
def _without_stubs() -> Iterator[None]:
    """Gradio writes stubs for editors beside its source at each import, for 2 seconds of CPU.

    It writes none for what has no file, so that is what it is told of its own classes.
    """
    known = inspect.getfile

    def told(object: Any) -> str:
        if isinstance(object, type) and object.__module__.startswith("gradio."):
            raise OSError("no stubs are wanted")
        return known(object)

    with patch.object(inspect, "getfile", told):
        yield


with _without_stubs():
    import gradio as gr

__all__ = ["asked", "gr", "markup", "number", "person"]


def person(request: "gr.Request") -> Any:
    """Who asks: a `Person`."""
    from app.web.door import PERSON

    sent: Any = request.request
    return sent.scope[PERSON]


def asked(request: "gr.Request") -> dict[str, str]:
    """The words after the `?` of the page's address; of one that stands there twice the last."""
    return {str(name): str(value) for name, value in dict(request.query_params).items()}


def number(text: str | None, least: float, most: float, usual: float) -> float:
    """What an address says, within bounds; `usual` where it says nothing, or no number."""
    try:
        value = float(text or usual)
    except ValueError:
        return usual
    return min(max(value, least), most) if isfinite(value) else usual


def markup(text: str, **values: Any) -> str:
    """HTML of a jinja template given as text; values are escaped."""
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined).from_string(text).render(values)
