"""Tables of benchmarks/results/part_supervision.jsonl: what part supervision gains, and how surely.

    python benchmarks/part_supervision_report.py

For each setting and arm the mean accuracy over seeds, and the gain over the vanilla model of the
same seed: McNemar's exact test on the pictures of each seed, Student's t over seeds (one model is
one draw), Holm-corrected over the arms of a setting. Where p > 0.05 it says so.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.paired import Paired

RESULTS = Path(__file__).resolve().parent / "results" / "part_supervision.jsonl"
Lines = dict[str, dict[str, dict[int, dict[str, Any]]]]  # setting, arm, seed


def read(path: Path = RESULTS) -> Lines:
    """The table by setting, arm and seed."""
    found: Lines = defaultdict(lambda: defaultdict(dict))
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        found[line["setting"]][line["arm"]][line["seed"]] = line
    return found


def flags(line: dict[str, Any], key: str) -> Any:
    """Picture by picture, (n,) bool."""
    packed = np.frombuffer(bytes.fromhex(line[key]), np.uint8)
    return np.unpackbits(packed)[: line["pictures"]].astype(bool)


def paired(first: dict[str, Any], second: dict[str, Any], key: str) -> Paired:
    return Paired.of(flags(first, key), flags(second, key))


def student(gains: Sequence[float]) -> float | None:
    """Two-sided p of the mean being 0, over seeds; None with fewer than two."""
    if len(gains) < 2:
        return None
    spread = float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
    if not spread:
        return 0.0 if any(gains) else 1.0
    return 2 * _tail(abs(float(np.mean(gains))) / spread, len(gains) - 1)


def _tail(t: float, degrees: int) -> float:
    """P(T > t), by the density over an angle: T = sqrt(degrees) · tan(angle)."""
    angles = np.linspace(math.atan(t / math.sqrt(degrees)), math.pi / 2, 20_001)
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2))
    density = scale / math.sqrt(math.pi) * np.cos(angles) ** (degrees - 1)
    return float(np.trapezoid(density, angles))


def holm(p: Sequence[float]) -> list[float]:
    """Corrected for as many tests, in the order given."""
    order = sorted(range(len(p)), key=lambda at: p[at])
    corrected, highest = [0.0] * len(p), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, p[at] * (len(p) - rank)))
        corrected[at] = highest
    return corrected


def table(arms: dict[str, dict[int, dict[str, Any]]]) -> list[str]:
    """One setting, as lines of Markdown."""
    base = arms.get("vanilla", {})
    rows = [
        "| arm | seeds | clean | PGD-50 | clean gain | PGD gain | p over seeds | p by pictures |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    gains = {arm: _gains(base, lines) for arm, lines in arms.items() if arm != "vanilla"}
    tested = {arm: p for arm, each in gains.items() if (p := student(each["robust"])) is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    for arm, lines in arms.items():
        clean, robust = (
            _mean([line[key] for line in lines.values()]) for key in ("clean", "robust")
        )
        told = [arm, str(len(lines)), clean, robust]
        if arm in gains and gains[arm]["robust"]:
            each = gains[arm]
            worst = max(each["p"])
            told += [_mean(each["clean"], sign=True), _mean(each["robust"], sign=True)]
            told += [_likely(corrected.get(arm)), _likely(worst) + (" at worst" if worst else "")]
        else:
            told += ["", "", "", ""]
        rows.append(f"| {' | '.join(told)} |")
    return rows


def _gains(base: dict[int, Any], lines: dict[int, Any]) -> dict[str, list[float]]:
    both = sorted(base.keys() & lines.keys())
    pairs = {
        name: [paired(base[seed], lines[seed], key) for seed in both]
        for name, key in (("clean", "right"), ("robust", "right under attack"))
    }
    gains = {name: [pair.gain for pair in each] for name, each in pairs.items()}
    return {**gains, "p": [pair.p for pair in pairs["robust"]]}


def _mean(shares: Sequence[float], *, sign: bool = False) -> str:
    mean = 100 * float(np.mean(shares))
    spread = f" ± {100 * float(np.std(shares, ddof=1)):.1f}" if len(shares) > 1 else ""
    return f"{mean:+.1f}{spread}" if sign else f"{mean:.1f}{spread}"


def _likely(p: float | None) -> str:
    if p is None:
        return "one seed"
    return f"{p:.1g}" if p <= 0.05 else f"no evidence ({p:.2f})"


def main() -> None:
    for setting, arms in sorted(read().items()):
        print(f"\n## Setting {setting}\n")
        print("\n".join(table(arms)))


if __name__ == "__main__":
    main()
