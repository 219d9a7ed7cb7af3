"""Who labels pictures, and what it costs to begin: this process, torchrun's two, or Ray's workers.

    python benchmarks/engines.py --work DIR --run RUN [--pictures 2000] [--rounds 2]

All label the same pictures of the part world with the segmenter RUN, one thread each, in rounds, so
that a busy machine slows all alike; kept is the quickest round of each. `first` is when the first
shard is on disk, `steady` images a second after it, `machine_cpu` the CPU seconds of everything
that the machine did meanwhile. Rows are compared with the local engine's. Result:
benchmarks/results/engines.json.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
RESULT = HERE / "results" / "engines.json"
SHARD = 64
PARTLAB = [sys.executable, "-c", "import sys; from app.cli.main import main; sys.exit(main())"]
ENGINES = {
    "local": (PARTLAB, []),
    "torchrun, 2 processes": (
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "--no-python", *PARTLAB], []),
    "ray, 2 workers": (PARTLAB, ["--engine", "ray", "--ray-workers", "2"]),
}  # fmt: skip


def pool(work: Path, pictures: int) -> Path:
    """Pictures that only say their object, drawn once."""
    world = work / f"world-{pictures}"
    if not world.exists():
        drawn = ["data", "make-world", "--images", "28", "--pool", str(pictures), "--out"]
        subprocess.run([*PARTLAB, *drawn, str(world)], check=True, cwd=HERE.parent)
    return world / "pool"


def label(engine: str, images: Path, run: Path, out: Path) -> dict[str, float]:
    """One command, watched until it ends."""
    shutil.rmtree(out, ignore_errors=True)
    launch, more = ENGINES[engine]
    words = ["pseudolabel", images, "--segmenter", run, "--out", out, *more]
    words += ["--workers", 0, "--device", "cpu", "--set", f"shard_size={SHARD}"]
    begun, before = time.monotonic(), psutil.cpu_times()
    command = subprocess.Popen([*launch, *map(str, words)], cwd=HERE.parent, env=one_thread())
    first: tuple[float, int] | None = None
    while command.poll() is None:
        if first is None and (there := len(list(out.glob("shards/part-*.parquet")))):
            first = (time.monotonic() - begun, there * SHARD)
        time.sleep(0.05)
    seconds = time.monotonic() - begun
    if command.returncode or first is None:
        raise SystemExit(f"{engine} ended with exit code {command.returncode}")
    after = psutil.cpu_times()
    total = sum(1 for _ in images.rglob("*.png")) + sum(1 for _ in images.rglob("*.jpg"))
    return {
        "seconds": round(seconds, 1),
        "first": round(first[0], 1),
        "steady": round((total - first[1]) / (seconds - first[0]), 2),
        "machine_cpu": round(after.user + after.system - before.user - before.system, 1),
    }


def one_thread() -> dict[str, str]:
    """The environment of every command: one thread for each process."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def rows(out: Path) -> list[Any]:
    """All rows of a store."""
    from pseudolabel.store import Store

    return list(Store.open(out).rows())


def _seconds(one: dict[str, float]) -> float:
    return one["seconds"]


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    images = pool(asked.work, asked.pictures)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES}
    load = os.getloadavg()[0]
    for _ in range(asked.rounds):
        for name in ENGINES:
            out = asked.work / name.partition(",")[0]
            found[name].append(label(name, images, asked.run, out))
            print(name, found[name][-1], flush=True)
    wanted = rows(asked.work / "local")
    same = {name: rows(asked.work / name.partition(",")[0]) == wanted for name in ENGINES}
    result = {
        "command": f"python benchmarks/engines.py --pictures {asked.pictures} "
        f"--rounds {asked.rounds} --work DIR --run RUN",
        "machine": {
            "platform": platform.machine(),
            "cores": os.cpu_count(),
            "load_before": round(load, 1),
            "torch": version("torch"),
            "ray": version("ray"),
        },
        "pictures": asked.pictures,
        "shard": SHARD,
        "quickest": {
            name: min(each, key=lambda one: one["seconds"]) for name, each in found.items()
        },
        "rounds": found,
        "rows_as_local": same,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["quickest"], indent=1), same)


if __name__ == "__main__":
    main()
