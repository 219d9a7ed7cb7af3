"""Write the versions of the newest working resolution into pyproject.toml.

Run it with `uv run --no-project .ci/pins.py`, then run the tests. The pins stand as
`constraint-dependencies` because those hold no addresses, unlike uv.lock, and because both
`uv run` and `uv sync` obey them (docs/adr/0004-pins-as-constraints.md).
"""

import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
PINS = re.compile(r"(?ms)^(constraint-dependencies = \[\n).*?^(\]\n)")


def main() -> None:
    """Resolve without the old pins, then put the new ones in their place."""
    text = PROJECT.read_text(encoding="utf-8")
    pins = resolve(PINS.sub(r"\1\2", text))
    lines = "".join(f'  "{pin}",\n' for pin in pins)
    PROJECT.write_text(PINS.sub(rf"\1{lines}\2", text), encoding="utf-8")
    print(f"{len(pins)} pins written to {PROJECT.name}; now run the tests")


def resolve(pyproject: str) -> list[str]:
    """Name==version of every package, for every platform and Python, with all groups and extras."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(pyproject, encoding="utf-8")
        command = [
            *("uv", "export", "--all-groups", "--all-extras", "--no-emit-project"),
            *("--no-hashes", "--no-header", "--no-annotate"),
        ]
        found = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    pins = [line for line in found.stdout.splitlines() if "==" in line and "@" not in line]
    copies = Counter(name_of(pin) for pin in pins)
    # A marker only matters where one name has several versions.
    return [pin if copies[name_of(pin)] > 1 else pin.partition(" ;")[0] for pin in pins]


def name_of(pin: str) -> str:
    """The package a pin is about."""
    return pin.partition("==")[0]


if __name__ == "__main__":
    main()
