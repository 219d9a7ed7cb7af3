"""How long commands take before they work, against `import torch` alone: ratios in one run.

    python benchmarks/startup.py [--rounds 3]

Every command runs in a process of its own, in rounds, so that a busy machine slows all alike;
kept is the quickest of each. `first_line` is the first line on stderr, `begins` the first
training step (`segmenter train`) or the first labelled image (`pseudolabel`), `seconds` the end.
The result goes to benchmarks/results/startup.json. Aim: a line within a second, and light
commands that need less than torch alone.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MARK = "BEGINS"
SMALL = "import sys; sys.path.insert(0, {root!r}); from app.cli.main import main; main()"
# Stops the command when its counted work begins.
STOPPING = """
import os, sys
sys.path.insert(0, {root!r})
from app.cli import _ui
def track(self, items, what, total=None):
    for item in items:
        if what.startswith(("training", "labelling")):
            print({mark!r}, file=sys.stderr, flush=True)
            os._exit(0)
        yield item
_ui.Ui.track = track
from app.cli.main import main
main()
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """What is measured; the two that load a network are stopped where their work begins."""
    world, run = str(folder / "world"), str(folder / "run")
    own, stopping = (text.format(root=str(HERE.parent), mark=MARK) for text in (SMALL, STOPPING))
    light = {
        "--help": ["--help"],
        "data check": ["data", "check", world],
        "segmenter list": ["segmenter", "list", str(folder)],
    }
    heavy = {
        "segmenter train": ["segmenter", "train", world, "--recipe", "small", "--set",
                            "train.workers=0", "--force", "--out", str(folder / "new")],
        "pseudolabel": ["pseudolabel", f"{world}/pool", "--segmenter", run, "--workers", "0",
                        "--batch-size", "1", "--force", "--out", str(folder / "pseudo")],
    }  # fmt: skip
    return {
        "import torch": [sys.executable, "-c", "import torch"],
        **{name: [sys.executable, "-c", own, *words] for name, words in light.items()},
        **{name: [sys.executable, "-c", stopping, *words] for name, words in heavy.items()},
    }


def prepare(folder: Path) -> None:
    """A small part world and a run trained for one epoch."""
    sys.path.insert(0, str(HERE.parent))
    from annotate.world import WorldConfig, make_world
    from segmenter.train import train_segmenter

    make_world(folder / "world", WorldConfig(images=12, pool=4, heldout=4, size=96))
    train_segmenter(
        folder / "world", folder / "run", recipe="small",
        overrides=["train.epochs=1", "train.workers=0", "train.val_images=1"],
    )  # fmt: skip


def measure(command: list[str]) -> dict[str, float]:
    """Seconds to the first line on stderr, to the mark if there is one, and to the end."""
    start = time.perf_counter()
    found: dict[str, float] = {}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        found.setdefault("first_line", time.perf_counter() - start)
        if line.startswith(MARK):
            found["begins"] = time.perf_counter() - start
    if process.wait() != 0:
        raise SystemExit(f"{command[3:]} ended with {process.returncode}")
    return {**found, "seconds": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "startup.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        asked = commands(Path(folder))
        rounds = [
            {name: measure(words) for name, words in asked.items()} for _ in range(args.rounds)
        ]
    write(args.out, args.rounds, rounds)


def write(out: Path, number: int, rounds: list[dict[str, dict[str, float]]]) -> None:
    best = {
        name: {what: min(each[name][what] for each in rounds) for what in rounds[0][name]}
        for name in rounds[0]
    }
    torch = best["import torch"]["seconds"]
    found = {name: _told(times, torch) for name, times in best.items()}
    heavy = [each for name, each in found.items() if "begins" in each]
    light = [best[name]["seconds"] for name in ("--help", "data check", "segmenter list")]
    record: dict[str, Any] = {
        "command": f"python benchmarks/startup.py --rounds {number}",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores, {platform.system()}",
        "load_at_end": round(os.getloadavg()[0], 1),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "timm")},
        **found,
        "aim": "a first line within 1 s; light commands quicker than import torch",
        "met": all(each["first_line"] < 1 for each in heavy) and max(light) < torch,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n")
    print(out.read_text())


def _told(times: dict[str, float], torch: float) -> dict[str, float]:
    until = times.get("begins", times["seconds"])
    shown = {what: round(value, 2) for what, value in times.items()}
    if "begins" in shown:  # it was stopped there
        del shown["seconds"]
    return {**shown, "times_import_torch": round(until / torch, 2)}


if __name__ == "__main__":
    main()
