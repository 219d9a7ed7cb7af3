"""Two models of setting A under AutoAttack and under common corruptions: is PGD-50 to be believed?

    python benchmarks/part_supervision_attacked.py --work DIR [--jobs 2]

Trains the vanilla model and MPM of seed 0 as benchmarks/part_supervision.py does, says on how many
held-out pictures they answer as those of its table did, and runs `partlab evaluate` on 15 held-out
pictures of each class: all honesty checks, PGD-50 and AutoAttack at 4/255, and the 15 corruptions
at five severities. Stopped at any moment, the same command goes on. Verdicts picture by picture go
to benchmarks/results/part_supervision_attacked.json; tables:
benchmarks/part_supervision_attacked_report.py.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
RESULTS = HERE / "results" / "part_supervision_attacked.json"
ARMS, PER_CLASS, SEED = ("vanilla", "mpm"), 15, 0
SHOWN = ("--split", "heldout", "--checkpoint", "last", "--device", "cpu")
ATTACKED = (*SHOWN, "--list", "list.txt", "--threats", "linf:4/255", "--attacks", "autoattack",
            "--attacks", "pgd-50", "--honesty", "--out", "attacked")  # fmt: skip
COMMANDS = {
    "list": ("list", "world", "--split", "heldout", "--per-class", str(PER_CLASS), "--out",
             "list.txt"),
    "attacked": ("runs/A-{arm}-0", "world", *ATTACKED),
    "corrupted": ("corruptions", "runs/A-{arm}-0", "world", *SHOWN, "--list", "list.txt", "--out",
                  "corrupted"),
}  # fmt: skip
Facts = dict[str, Any]


def partlab(work: Path, words: tuple[str, ...]) -> None:
    """`partlab evaluate …` in the work folder, on one thread."""
    command = [sys.executable, "-m", "app.cli.main", "evaluate", *words]
    paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    subprocess.run(command, cwd=work, check=True, env=os.environ | threads)


def measured(arm: str, what: str, work: Path) -> Facts:
    """Evaluate one model, and tell."""
    from train.evaluate_report import read_measured

    partlab(work, tuple(word.format(arm=arm) for word in COMMANDS[what]))
    (found,) = read_measured([work / what / f"A-{arm}-{SEED}"])
    return attacked(found) if what == "attacked" else corrupted(found)


def trained(arm: str, work: Path) -> Facts:
    """On how many of the held-out pictures the model answers as that of the table did."""
    import part_supervision as trainings

    job = next(j for j in trainings.jobs() if (j.setting, j.arm, j.seed) == ("A", arm, SEED))
    file = work / f"{arm}.json"
    if not file.is_file():
        file.write_text(json.dumps(trainings.train(job, work)), encoding="utf-8")
    line = json.loads(file.read_text(encoding="utf-8"))
    lines = map(json.loads, trainings.RESULTS.read_text(encoding="utf-8").splitlines())
    of_table = next(x for x in lines if (x["setting"], x["arm"], x["seed"]) == ("A", arm, SEED))
    same = {
        key: int((unpacked(line[key]) == unpacked(of_table[key]))[: line["pictures"]].sum())
        for key in ("right", "right under attack")
    }
    return {"pictures": line["pictures"], **same, "clean": line["clean"], "robust": line["robust"]}


def unpacked(bits: str) -> Any:
    """Of `packed`, with what fills the last byte."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8))


def packed(flags: Any) -> str:
    """(n,) bool as hexadecimal digits."""
    return np.packbits(flags).tobytes().hex()


def attacked(found: Any) -> Facts:
    """Verdicts in the order of the pictures' names, and what stood after each stage."""
    rows = [
        {
            "attack": attack,
            "right": packed(outcome.right),
            "stages": outcome.row["stages"],
            "disagreements": len(outcome.row["disagreements"]),
            "seconds": round(outcome.row["seconds"]),
        }
        for (_, attack), outcome in found.outcomes.items()
    ]
    honesty = found.facts["honesty"]
    findings = {e["name"]: {k: e[k] for k in ("ok", "measured", "threshold")}
                for e in honesty["findings"]}  # fmt: skip
    return {
        "pictures": found.list["images"],
        "list_sha256": found.list["sha256"],
        "rows": rows,
        "honest": honesty["ok"],
        "checks": findings,
    }


def corrupted(found: Any) -> Facts:
    """Of each picture by name, at how many of the five severities of a type it was right."""
    from train.evaluate_report.figures import corruptions
    from train.evaluate_report.reading import Condition

    types = {
        name: "".join(
            map(str, np.sum([found.outcomes[c].right for c in severities.values()], 0).tolist())
        )
        for name, severities in corruptions(found).items()
    }
    by_severity = {
        name: {s: round(float(found.outcomes[c].right.mean()), 6) for s, c in each.items()}
        for name, each in corruptions(found).items()
    }
    return {
        "pictures": found.list["images"],
        "list_sha256": found.list["sha256"],
        "protocol": found.facts["settings"]["corruptions"]["protocol"],
        "clean": packed(found.outcomes[Condition("clean", "clean")].right),
        "types": types,
        "accuracy": by_severity,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and runs")
    parser.add_argument("--jobs", type=int, default=len(ARMS))
    given = parser.parse_args()
    work = given.work.resolve()
    import part_supervision as trainings

    work.mkdir(parents=True, exist_ok=True)
    mine = [j for j in trainings.jobs() if j.setting == "A" and j.arm in ARMS and j.seed == SEED]
    trainings.prepare(work, mine, None)
    if not (work / "list.txt").is_file():
        partlab(work, COMMANDS["list"])
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        again = dict(zip(ARMS, pool.map(trained, ARMS, [work] * len(ARMS)), strict=True))
        models = {arm: {"answers_as_in_the_table": again[arm]} for arm in ARMS}
        asked = [(arm, what) for what in ("corrupted", "attacked") for arm in ARMS]
        at_work = {pool.submit(measured, *each, work): each for each in asked}
        for future in as_completed(at_work):
            arm, what = at_work[future]
            models[arm][what] = future.result()
            write(models)


def write(models: dict[str, Facts]) -> None:
    """What is done so far; the report shows a table once both models have it."""
    names = ("torch", "pyautoattack", "timm", "numpy", "imagecorruptions-imaug")
    result = {
        "commands": {n: f"partlab evaluate {' '.join(words)}" for n, words in COMMANDS.items()},
        "machine": f"{platform.machine()}, 1 CPU core of {os.cpu_count()} each, "
        f"{platform.system()}",
        "versions": {"python": platform.python_version()} | {n: version(n) for n in names},
        "models": models,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
