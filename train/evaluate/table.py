"""The small table at the end of an evaluation: what each figure is, and what it is not."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from partlab.counts import counted
from train.evaluate.average import four
from train.evaluate.outcomes import Evaluation, Row

UPPER = "upper bound"


def as_json(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Records without the outcomes of single pictures, with four-way averages."""
    return {
        "evaluations": [
            {**each.model_dump(mode="json", exclude={"folder"}), "folder": str(each.folder)}
            | {"four_way_average": averages(each)}
            for each in evaluations
        ]
    }


def averages(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Attack -> mean over the four standard threats, where all were run (E-05)."""
    found: dict[str, dict[str, Any]] = {}
    for attack in dict.fromkeys(row.attack for row in evaluation.rows):
        own = {row.threat: row for row in evaluation.rows if row.attack == attack}
        if rows := four(own):
            mean, upper = fmean(row.accuracy for row in rows), any(row.upper_bound for row in rows)
            found[attack] = {"accuracy": mean, "upper_bound": upper}
    return found


def as_text(evaluations: Sequence[Evaluation]) -> str:
    """For the terminal."""
    return "\n\n".join(_told(each) for each in evaluations)


def _told(evaluation: Evaluation) -> str:
    model, pictures = evaluation.model, evaluation.list
    head = (
        f"{model.name} ({model.kind}, {len(model.classes):,} classes), {pictures.images:,} "
        f"pictures of {pictures.name} ({pictures.sha256[:12]}), "
        f"{preprocessing_told(model.preprocessing)}"
    )
    means = averages(evaluation)
    corrupted = [row for row in evaluation.rows if row.threat.startswith("corruption:")]
    others = [row for row in evaluation.rows if row not in corrupted]
    wide = max((len(row.attack) for row in others), default=0) + 2
    named = max((len(row.threat) for row in others), default=0)
    lines = [head, *(_line(row, wide, max(14, named + 2)) for row in others)]
    if corrupted:
        lines.append(
            f"  and under {counted(len(corrupted), 'corruption')}: partlab evaluate corruptions"
        )
    for attack, mean in means.items():
        note = f"  {UPPER}" if mean["upper_bound"] else ""
        lines.append(f"  {'mean of four':<14}{attack:<{wide}}{_percent(mean['accuracy'])}{note}")
    return "\n".join([*lines, _honesty(evaluation), f"in {evaluation.folder}"])


def _honesty(evaluation: Evaluation) -> str:
    """Which signs of hidden gradients were looked for, and what that means for the figures."""
    told = evaluation.honesty or {}
    findings = told.get("findings", ())
    bad = [str(each.get("sentence") or each["name"]) for each in findings if not each["ok"]]
    if bad:
        return f"  honesty: figures under attack are not to be believed: {'; '.join(bad)}"
    if findings and told.get("complete", True):
        return f"  honesty: all {len(findings)} checks were run, and found nothing"
    names = ", ".join(each["name"] for each in findings) or "nothing"
    return (
        f"  honesty: only {names} checked, and found nothing; figures under attack are not to be "
        "trusted fully before all checks are run: --honesty, or "
        f"partlab evaluate honesty {evaluation.model.path} DATA --keep-in "
        f"{evaluation.folder}"
    )


def _line(row: Row, wide: int, named: int) -> str:
    """One figure; and what each stage left, where there were several."""
    note = f"  {UPPER}" if row.upper_bound else ""
    differ = f"  {counted(len(row.disagreements), 'disagreement')}" if row.disagreements else ""
    line = f"  {row.threat:<{named}}{row.attack:<{wide}}{_percent(row.accuracy)}{note}{differ}"
    if len(row.stages) <= 2:
        return line
    left = ", ".join(f"{each.name} {_percent(each.robust).strip()}" for each in row.stages)
    return f"{line}\n{'':<16}left after {left}"


def preprocessing_told(facts: Mapping[str, Any]) -> str:
    """How pictures came to the model, for every figure of it (RK-15)."""
    size = facts.get("size", "?")
    how = facts.get("interpolation", "bicubic")
    return f"shorter side {facts.get('shorter_side', '?')} ({how}), middle {size} x {size}"


def _percent(share: float) -> str:
    return f"{100 * share:5.1f} %"
