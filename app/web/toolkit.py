"""Gradio, imported so that it asks nobody for anything: pages say `from app.web.toolkit import gr`.

It reads its environment once, when it is imported.
"""

import os
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GRADIO_RUN_HISTORY"] = "False"
os.environ["GRADIO_NODE_PATH"] = ""

import gradio as gr

__all__ = ["asked", "gr", "markup", "person"]


def person(request: "gr.Request") -> Any:
    """Who asks: a `Person`."""
    from app.web.door import PERSON

    sent: Any = request.request
    return sent.scope[PERSON]


def asked(request: "gr.Request") -> dict[str, str]:
    """The words after the `?` of the page's address; of one that stands there twice the last."""
    return {str(name): str(value) for name, value in dict(request.query_params).items()}


def markup(text: str, **values: Any) -> str:
    """HTML of a jinja template given as text; values are escaped."""
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined).from_string(text).render(values)
