"""Accuracy under corruptions of one evaluation, as JSON and in words."""

from collections.abc import Mapping
from typing import Any

from partlab.errors import ConfigError
from train.common_corruptions import SEVERITIES
from train.corruptions.metrics import ALEXNET_ERRORS, accuracies, summarize
from train.corruptions.protocol import RELEASED
from train.evaluate.outcomes import Evaluation

Facts = dict[str, Any]


def reference_errors(baseline: Evaluation) -> dict[str, float]:
    """Mean errors by type of an evaluation, for another's mCE; types that are not whole are not in.

    Raises:
        ConfigError: it has no corruptions.
    """
    found = accuracies(baseline.outcomes)
    if not found:
        raise ConfigError(
            f"{baseline.folder} has no corruptions to compare with",
            hint="partlab evaluate corruptions on that model first",
        )
    means = summarize(found).per_corruption
    return {name: 1 - mean for name, mean in means.items() if mean is not None}


def corruption_facts(evaluation: Evaluation, baseline: Evaluation | None = None) -> Facts:
    """Shares of 1: clean, by type and severity, mean of 15 and mCE, None where not whole.

    mCE is over AlexNet's published errors if the model has ImageNet's 1,000 classes, or over
    the `baseline`'s, measured on the same pictures in the same way.

    Raises:
        ConfigError: the baseline was measured on other pictures, or by another protocol.
        DatasetError: it has no error under some type.
    """
    found = accuracies(evaluation.outcomes)
    against, errors = _reference(evaluation, baseline)
    summary = summarize(found, errors or ALEXNET_ERRORS)
    clean = next((row.accuracy for row in evaluation.rows if row.threat == "clean"), None)
    return {
        "model": evaluation.model.name,
        "kind": evaluation.model.kind,
        "classes": len(evaluation.model.classes),
        "folder": str(evaluation.folder),
        "list": evaluation.list.model_dump(exclude={"per_class"}),
        **evaluation.settings["corruptions"],
        "clean": clean,
        "types": {
            name: {"mean": mean,
                   "severities": {s: found[name, s] for s in SEVERITIES if (name, s) in found}}
            for name, mean in summary.per_corruption.items()
            if any(key[0] == name for key in found)
        },
        "mean": summary.mean,
        "mce": summary.mce if errors else None,
        "mce_against": against,
        "missing": list(summary.missing),
    }  # fmt: skip


def _reference(
    evaluation: Evaluation, baseline: Evaluation | None
) -> tuple[str | None, Mapping[str, float] | None]:
    if baseline is None:
        wnids = [c for c in evaluation.model.classes if c[:1] == "n" and c[1:].isdigit()]
        whole = (
            len(wnids) == len(evaluation.model.classes) == len(evaluation.list.per_class) == 1000
        )
        whole = whole and evaluation.settings["corruptions"]["protocol"] == RELEASED.name
        return ("AlexNet, published", ALEXNET_ERRORS) if whole else (None, None)
    ways = [each.settings.get("corruptions", {}).get("protocol") for each in (evaluation, baseline)]
    what = f"protocol ({ways[1]}, not {ways[0]})" if ways[0] != ways[1] else None
    if baseline.list.sha256 != evaluation.list.sha256:
        what = f"list of pictures ({baseline.list.name}, not {evaluation.list.name})"
    if what:
        raise ConfigError(
            f"{baseline.folder} cannot be the reference of {evaluation.folder}: it has another "
            f"{what}",
            hint="measure both alike",
        )
    return f"{baseline.model.name} in {baseline.folder}", reference_errors(baseline)


def corruption_text(facts: Facts) -> str:
    """For the terminal."""
    listed = facts["list"]
    head = (
        f"{facts['model']} ({facts['kind']}, {facts['classes']:,} classes), {listed['images']:,} "
        f"pictures of {listed['name']} ({listed['sha256'][:12]}), {facts['protocol']}"
    )
    scale = "".join(f"{f'severity {s}':>12}" for s in SEVERITIES)
    lines = [head, f"  {'':<18}{'mean':>8}{scale}", _line("clean", facts["clean"], {})]
    lines += [_line(n, each["mean"], each["severities"]) for n, each in facts["types"].items()]
    lines += [_line("mean of 15", facts["mean"], {}), *_about(facts), f"in {facts['folder']}"]
    return "\n".join(lines)


def _line(name: str, mean: float | None, severities: Mapping[int, float]) -> str:
    cells = "".join(f"{_percent(severities.get(s)):>12}" for s in SEVERITIES if severities)
    return f"  {name:<18}{_percent(mean):>8}{cells}".rstrip()


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _about(facts: Facts) -> list[str]:
    """What a reader has to know of the means."""
    lines = []
    if missing := facts["missing"]:
        lines.append(
            f"  no mean of 15: {75 - len(missing)} of 75 corruptions and severities were measured"
        )
    if facts["mce"] is not None:
        lines.append(f"  mCE {100 * facts['mce']:.1f} % of the errors of {facts['mce_against']}")
    elif not missing:
        lines.append(
            "  no mCE: AlexNet's errors are those on ImageNet's 1,000 classes; --baseline names "
            "another reference"
        )
    return lines
