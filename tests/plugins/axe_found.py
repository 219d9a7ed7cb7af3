"""What axe finds in a page that is serious and ours."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

OPTIONS = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
GRADIO: dict[str, tuple[str, ...]] = {"nested-interactive": ('<div class="toast-header',)}
"""Rules broken by nodes that Gradio owns: what the node's HTML begins with."""


def serious(page: Page) -> list[tuple[str, str]]:
    """(rule, HTML of the node) of what is serious and not known to be Gradio's."""
    found: Any = Axe().run(page, options=OPTIONS).response
    return [
        (rule["id"], node["html"][:300])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
        if not any(known in node["html"] for known in GRADIO.get(rule["id"], ()))
    ]
