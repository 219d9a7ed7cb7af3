"""Tables of benchmarks/results/part_supervision_attacked.json: two models attacked and corrupted.

    python benchmarks/part_supervision_attacked_report.py [--write]

Intervals are of 95 %, over pictures. The two models are compared picture by picture: McNemar's
exact test under attacks; under corruptions, of which a picture has five a type, the interval and
Student's t of the difference; Holm-corrected over each table. `--write` puts the tables where
docs/guide/results.md has `<!-- table NAME -->` … `<!-- end -->`.
"""

import argparse
import json
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from part_supervision_report import GUIDE, filled  # noqa: E402

from train.paired import Paired  # noqa: E402
from train.statistics import (  # noqa: E402
    bootstrap,
    difference_interval,
    holm,
    student,
    verdict,
)

RESULTS = HERE / "results" / "part_supervision_attacked.json"
FIRST, SECOND = "vanilla", "mpm"
SEVERITIES = 5
Models = dict[str, dict[str, Any]]
Difference = tuple[Any, float]
"""The interval of a gain, and its p."""


def read(path: Path = RESULTS) -> Models:
    """Each model's verdicts by its arm."""
    found: Models = json.loads(path.read_text(encoding="utf-8"))["models"]
    return found


def flags(bits: str, pictures: int) -> Any:
    """Picture by picture, (n,) bool."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8))[:pictures].astype(bool)


def tables(models: Models) -> dict[str, list[str]]:
    """What both models have, by the name it has in the guide."""
    ways = {"attacked": attacked, "corrupted": corrupted}
    whole = [name for name in ways if all(name in each for each in models.values())]
    return {name: ways[name](models) for name in whole}


def attacked(models: Models) -> list[str]:
    """Clean, PGD-50, AutoAttack stage by stage, and what the honesty checks found."""
    own = {arm: each["attacked"] for arm, each in models.items()}
    rows = {arm: {row["attack"]: row for row in each["rows"]} for arm, each in own.items()}
    stages = [stage["name"] for stage in rows[FIRST]["autoattack"]["stages"][1:]]
    lines = ["| model | clean | PGD-50 | AutoAttack | " + " | ".join(f"after {s}" for s in stages)
             + " | honesty checks |", "| --- " * (5 + len(stages)) + "|"]  # fmt: skip
    right = {
        arm: {name: flags(row["right"], own[arm]["pictures"]) for name, row in each.items()}
        for arm, each in rows.items()
    }
    names = ("clean", "pgd-50", "autoattack")
    for arm, each in right.items():
        left = [f"{100 * stage['robust']:.1f}" for stage in rows[arm]["autoattack"]["stages"][1:]]
        checks = own[arm]["checks"].values()
        told = f"{sum(check['ok'] for check in checks)} of {len(checks)} passed"
        lines.append(line([arm, *(share(bootstrap(each[name])) for name in names), *left, told]))
    found = {name: compared(*(right[arm][name] for arm in (FIRST, SECOND))) for name in names}
    empty = [""] * (len(stages) + 1)
    return [*lines, line(["gain", *(gain for gain, _ in told_of(found)), *empty]),
            line(["p", *(p for _, p in told_of(found)), *empty])]  # fmt: skip


def compared(first: Any, second: Any) -> Difference:
    """Two models under an attack, (n,) bool each."""
    return difference_interval(first, second), Paired.of(first, second).p


def corrupted(models: Models) -> list[str]:
    """Each type, the mean of five severities, and the mean of the types."""
    own = {arm: each["corrupted"] for arm, each in models.items()}
    lines = ["| corruption | vanilla | mpm | gain | p |", "| --- | --- | --- | --- | --- |"]
    of = {arm: shares(each) for arm, each in own.items()}
    found = {name: differing(*(of[arm][name] for arm in (FIRST, SECOND))) for name in of[FIRST]}
    for name, (gain, p) in zip(found, told_of(found), strict=True):
        both = [share(bootstrap(of[arm][name])) for arm in (FIRST, SECOND)]
        lines.append(line([name.replace("_", " "), *both, gain, p]))
    return lines


def shares(corrupted: dict[str, Any]) -> dict[str, Any]:
    """What each picture says under a type, (n,) 0…1: clean first, the mean of all types last."""
    types = {
        name: np.array(list(digits), int) / SEVERITIES
        for name, digits in corrupted["types"].items()
    }
    clean = flags(corrupted["clean"], corrupted["pictures"]).astype(float)
    return {"none (clean)": clean, **types, f"mean of {len(types)}": np.mean([*types.values()], 0)}


def differing(first: Any, second: Any) -> Difference:
    """Two models under a corruption, (n,) 0…1 each."""
    gains = second - first
    p = student(gains)
    return bootstrap(gains, bounds=(-1.0, 1.0)), 1.0 if p is None else p


def told_of(found: dict[str, Difference]) -> list[tuple[str, str]]:
    """Gain and p of each, as the table has them."""
    corrected = holm([p for _, p in found.values()])
    gains = [share(gain, sign=True) for gain, _ in found.values()]
    return list(zip(gains, map(verdict, corrected), strict=True))


def share(found: Any, *, sign: bool = False) -> str:
    """Percent with the interval."""
    value, low, high = (100 * each for each in astuple(found))
    return f"{value:{'+' * sign}.1f} ({low:{'+' * sign}.1f} to {high:{'+' * sign}.1f})"


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into the guide")
    given = parser.parse_args()
    found = tables(read())
    for name, rows in found.items():
        print(f"\n## {name}\n")
        print("\n".join(rows))
    if given.write:
        guide = GUIDE / "results.md"
        guide.write_text(filled(guide.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
