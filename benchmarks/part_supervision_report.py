"""Tables and the figure of benchmarks/results/part_supervision.jsonl: what part supervision gains.

    python benchmarks/part_supervision_report.py [--write]

For each setting and arm the mean accuracy over seeds, and the gain over the vanilla model of the
same seed: McNemar's exact test on the pictures of each seed, Student's t over seeds (one model is
one draw), Holm-corrected over the arms of a setting. Where p > 0.05 it says so. `--write` puts
the tables where docs/guide/results.md has `<!-- table NAME -->` … `<!-- end -->`, and draws
docs/guide/images/part-supervision.png.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.paired import Paired
from train.statistics import holm, student, verdict

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "part_supervision.jsonl"
GUIDE = HERE.parent / "docs" / "guide"
TITLES = {"A": "setting A", "C": "10 epochs", "D": "150 pictures a class, 12 epochs",
          "E": "25 pictures a class, 40 epochs", "F": "a smaller network", "G": "ε 8/255",
          "L": "40 epochs", "W": "no warm-up of the attack", "H": "photographs"}  # fmt: skip
Arms = dict[str, dict[int, dict[str, Any]]]  # arm, seed
Lines = dict[str, Arms]  # setting


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


def table(arms: Arms) -> list[str]:
    """One setting, as lines of Markdown."""
    rows = [
        "| arm | seeds | clean | PGD-50 | clean gain | PGD gain | p over seeds, clean / PGD "
        "| p by pictures, PGD |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    gains = {arm: _gains(arms.get(base, {}), lines) for arm, lines in arms.items()
             if (base := rival(arm))}  # fmt: skip
    tested = {(arm, key): p for arm, each in gains.items() for key in ("clean", "robust")
              if (p := student(each[key])) is not None}  # fmt: skip
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
            over = [verdict(corrected.get((arm, key))) for key in ("clean", "robust")]
            told += [
                " / ".join(dict.fromkeys(over)),
                verdict(worst) + (" at worst" if worst else ""),
            ]
        else:
            told += ["", "", "", ""]
        rows.append(f"| {' | '.join(told)} |")
    return rows


def rival(arm: str) -> str | None:
    """The arm that this one is compared with, if any."""
    place = "found, " if arm.startswith("found, ") else ""
    control = any(word in arm for word in ("standard training", "background", "box"))
    return None if control or arm == f"{place}vanilla" else f"{place}vanilla"


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


def weights(arms: Arms) -> list[str]:
    """λ against what validation says, which is not what is reported."""
    rows = ["| λ | seeds | validation, clean | validation, PGD-5 | held out, PGD-50 |",
            "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for weight, arm in (("0.3", "mpm, weight 0.3"), ("1", "mpm, weight 1"), ("3", "mpm"),
                        ("10", "mpm, weight 10")):  # fmt: skip
        lines = [line for seed, line in arms.get(arm, {}).items() if seed in shared(arms, LAMBDAS)]
        if lines:
            last = [line["validation"][-1] for line in lines]
            told = [_mean([one[key] for one in last]) for key in ("val_clean", "val_pgd")]
            told.append(_mean([line["robust"] for line in lines]))
            rows.append(f"| {weight} | {len(lines)} | {' | '.join(told)} |")
    return rows


LAMBDAS = ("mpm", "mpm, weight 0.3", "mpm, weight 1", "mpm, weight 10")


def shared(arms: Arms, tried: Iterable[str]) -> set[int]:
    """Seeds that all of these have: means over different seeds are not compared."""
    return set.intersection(*(set(arms.get(arm, {})) for arm in tried))


def pace(arms: Arms) -> list[str]:
    """When MPM has the training accuracy that vanilla ends with, and what it has learned then."""
    rows = ["| seed | vanilla, at the end: training, validation clean / PGD-5 "
            "| MPM as soon as its training accuracy is that: epoch, validation clean / PGD-5 |",
            "| --- | --- | --- |"]  # fmt: skip
    base, other = arms.get("vanilla", {}), arms.get("mpm", {})
    for seed in sorted(base.keys() & other.keys()):
        reached = _in_training(base[seed], base[seed]["train accuracy"][-1][0])
        epochs = sorted({epoch for epoch, _ in other[seed]["train accuracy"]})
        epoch = next((e for e in epochs if _in_training(other[seed], e) >= reached), None)
        then = next((v for v in other[seed]["validation"] if v["epoch"] == epoch), None)
        end = base[seed]["validation"][-1]
        told = "not reached" if then is None else f"{epoch}, {_validated(then)}"
        rows.append(f"| {seed} | {100 * reached:.1f}, {_validated(end)} | {told} |")
    return rows


def _in_training(line: dict[str, Any], epoch: int) -> float:
    """Accuracy on attacked batches of the last three epochs: one batch of 32 says too little."""
    logged = line["train accuracy"]
    return float(np.mean([share for at, share in logged if epoch - 3 < at <= epoch]))


def _validated(found: dict[str, float]) -> str:
    return f"{100 * found['val_clean']:.1f} / {100 * found['val_pgd']:.1f}"


def shares(lines: Lines) -> list[str]:
    """PartImageNet++, Table 5: gain over vanilla by share of pictures with human masks."""
    rows = ["| human masks on | alone | and pseudo labels, unfiltered | filtered by the category |",
            "| --- | --- | --- | --- |"]  # fmt: skip
    for share, points in curves(lines).items():
        told = [f"{_mean(clean, sign=True)} / {_mean(robust, sign=True)}" if clean else ""
                for clean, robust in points]  # fmt: skip
        rows.append(f"| {share} % | {' | '.join(told)} |")
    return rows


def parts_or_objects(lines: Lines) -> list[str]:
    """What parts gain over masks of whole objects, of the same seeds."""
    rows = ["| setting | seeds | clean gain | PGD gain | p over seeds, clean / PGD |",
            "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for setting in "AH":
        gains = _gains(lines[setting].get("object masks", {}), lines[setting].get("mpm", {}))
        if each := gains["robust"]:
            over = " / ".join(verdict(student(gains[key])) for key in ("clean", "robust"))
            told = f"{_mean(gains['clean'], sign=True)} | {_mean(each, sign=True)} | {over}"
            rows.append(f"| {TITLES[setting]} | {len(each)} | {told} |")
    return rows


def makers(arms: Arms) -> list[str]:
    """Whose labels make the better MPM: gains over those of the Mask R-CNN, of the same seeds."""
    rows = ["| labels of | seeds | clean | PGD-50 | clean gain | PGD gain "
            "| p over seeds, clean / PGD | p by pictures, PGD |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    base = arms.get("torchvision", {})
    gains = {arm: _gains(base, arms[arm]) for arm in ("dense", "fused") if arm in arms}
    tested = {(arm, key): p for arm, each in gains.items() for key in ("clean", "robust")
              if (p := student(each[key])) is not None}  # fmt: skip
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    for arm in ("torchvision", "dense", "fused"):
        if lines := arms.get(arm):
            told = [_mean([line[key] for line in lines.values()]) for key in ("clean", "robust")]
            if (each := gains.get(arm)) and each["p"]:
                over = [verdict(corrected.get((arm, key))) for key in ("clean", "robust")]
                told += [_mean(each[key], sign=True) for key in ("clean", "robust")]
                told += [" / ".join(dict.fromkeys(over)), f"{verdict(max(each['p']))} at worst"]
            else:
                told += [""] * 4
            rows.append(f"| {arm} | {len(lines)} | {' | '.join(told)} |")
    return rows


WAYS = ("", ", pseudo raw", ", pseudo filtered")


def curves(lines: Lines) -> dict[int, list[tuple[list[float], list[float]]]]:
    """Share -> for each way, gains over vanilla of each seed that all have: clean, under attack."""
    arms = {
        **lines["S"],
        "vanilla": lines["A"].get("vanilla", {}),
        "mpm": lines["A"].get("mpm", {}),
    }
    named = {share: [f"{share} % human{way}" for way in WAYS] for share in (5, 10, 25, 50)}
    seeds = shared(arms, [arm for each in named.values() for arm in each])

    def gains(arm: str) -> tuple[list[float], list[float]]:
        own = {seed: line for seed, line in arms.get(arm, {}).items() if seed in seeds}
        return _pair(arms["vanilla"], own)

    found = {share: [gains(arm) for arm in each] for share, each in named.items()}
    return {**found, 100: [gains("mpm"), ([], []), ([], [])]}


def _pair(base: dict[int, Any], lines: dict[int, Any]) -> tuple[list[float], list[float]]:
    gains = _gains(base, lines)
    return gains["clean"], gains["robust"]


def draw(lines: Lines, out: Path) -> None:
    """The gains of `shares` as a picture."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharex=True)
    names = ("human masks alone", "and pseudo labels, unfiltered", "and pseudo labels, filtered")
    styles = (("o-", "#8a5a00"), ("s--", "#6b8fb5"), ("D-", "#0b5d9e"))
    for which, (axis, what) in enumerate(zip(axes, ("clean", "PGD-50"), strict=True)):
        axis.axhline(0, color="#777", linewidth=0.8)
        for way, (name, (form, colour)) in enumerate(zip(names, styles, strict=True)):
            points = [(share, 100 * gain) for share, each in curves(lines).items()
                      for gain in each[way][which]]  # fmt: skip
            _line(axis, points, form, colour, name)
        axis.set(
            title=f"gain in {what} accuracy over vanilla",
            xscale="log",
            xlabel="share of the pictures with human masks, %",
            ylabel="percentage points",
        )
        axis.set_xticks([5, 10, 25, 50, 100], ["5", "10", "25", "50", "100"])
        axis.minorticks_off()
    axes[0].legend(frameon=False)
    figure.savefig(out, dpi=150)


def _line(axis: Any, points: list[tuple[int, float]], form: str, colour: str, name: str) -> None:
    if not points:
        return
    by_share = defaultdict(list)
    for share, gain in points:
        by_share[share].append(gain)
    axis.plot(list(by_share), [np.mean(each) for each in by_share.values()], form, color=colour,
              label=name)  # fmt: skip
    axis.plot(*zip(*points, strict=True), ".", color=colour, alpha=0.35)


def tables(lines: Lines) -> dict[str, list[str]]:
    """Everything by the name it has in the guide."""
    settings = {setting: table(lines[setting]) for setting in TITLES if lines[setting]}
    others = [f"| {TITLES[setting]} | {row}" for setting in "CDEFGLW" if lines[setting]
              for row in compared(lines[setting])]  # fmt: skip
    head = ["| regime | arm | seeds | clean | PGD-50 | clean gain | PGD gain | p by pictures |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    return {
        **{name: settings[name] for name in ("A", "H") if name in settings},
        "parts": parts_or_objects(lines),
        "weights": weights(lines["A"]),
        "pace": pace(lines["A"]),
        "shares": shares(lines),
        **({"makers": makers(lines["M"])} if lines["M"] else {}),
        "regimes": head + others,
    }


def compared(arms: Arms) -> Iterable[str]:
    """Rows of `table` without its header and the test over seeds."""
    for row in table(arms)[2:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        yield " | ".join([*cells[:6], cells[7]]) + " |"


def filled(text: str, found: dict[str, list[str]]) -> str:
    """The guide with the tables in their places."""
    for name, rows in found.items():
        place = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.S)
        text = place.sub(lambda m, rows=rows: m[1] + "\n".join(rows) + "\n" + m[2], text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into the guide, with the figure")
    given = parser.parse_args()
    lines = read()
    found = tables(lines)
    for name, rows in found.items():
        print(f"\n## {name}\n")
        print("\n".join(rows))
    if given.write:
        guide = GUIDE / "results.md"
        guide.write_text(filled(guide.read_text(encoding="utf-8"), found), encoding="utf-8")
        draw(lines, GUIDE / "images" / "part-supervision.png")


if __name__ == "__main__":
    main()
