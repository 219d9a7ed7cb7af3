"""What a project tells the program: a comment in its labelling interface, where people do not read.

Titles and descriptions are for people, and anybody may change them. Earlier versions wrote the
same facts into the description, where they are still found.
"""

import json
from collections.abc import Mapping
from typing import Any

HELP = "help"
"""Among the facts: what the connected segmenter calls the object; False: no model may help."""

_BEGIN = '{"partlab":'
_OPEN, _CLOSE = "<!--", "-->"


def marked(xml: str, facts: Mapping[str, Any]) -> str:
    """An interface with these facts in a comment; those that it had before are replaced."""
    said = json.dumps({"partlab": dict(facts)}).replace("-", "\\u002d")  # no comment holds --
    body, end, rest = unmarked(xml).rpartition("</")
    return f"{body}{_OPEN}{said}{_CLOSE}{end}{rest}"


def unmarked(xml: str) -> str:
    """The interface without its facts."""
    before, found, after = xml.partition(_OPEN + _BEGIN)
    return before + after.partition(_CLOSE)[2] if found else xml


def mark_of(project: Mapping[str, Any]) -> dict[str, Any]:
    """The facts in a project's `label_config`, else in its `description`; nothing without any."""
    return _facts(project.get("label_config")) or _facts(project.get("description"))


def _facts(text: Any) -> dict[str, Any]:
    _, begin, rest = str(text).partition(_BEGIN)
    try:
        facts, _ = json.JSONDecoder().raw_decode(begin + rest)
    except ValueError:
        return {}
    found = facts.get("partlab")
    return found if isinstance(found, dict) else {}
