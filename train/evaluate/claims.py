"""What the parts in a folder are made with: others are never mixed with them (RK-17)."""

import json
from pathlib import Path
from typing import Any

from partlab.errors import ConfigError
from partlab.files import read_json, write_json

PLAN = "plan.json"


def claim(folder: Path, wanted: dict[str, Any]) -> None:
    """Note in a folder what its parts are made with.

    Raises:
        ConfigError: parts were made there with something else, which is named.
    """
    wanted = json.loads(json.dumps(wanted))
    if not (folder / PLAN).is_file():
        write_json(folder / PLAN, wanted)
        return
    found = read_json(folder / PLAN)
    if key := next((key for key in wanted if found.get(key) != wanted[key]), None):
        raise ConfigError(
            f"{folder} was begun with another {key}: {_short(found.get(key))}, now "
            f"{_short(wanted[key])}",
            hint="use the same, or choose another --out",
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
