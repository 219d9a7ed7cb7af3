"""Figures as people read them, the same on the page and on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from train.evaluate_report.figures import AVERAGE
from train.report.words import NOTHING

Facts = Mapping[str, Any]


def share(figure: Facts | None) -> str:
    """`39.1`, in percent, and `≤ 39.1` where it is an upper bound."""
    if figure is None:
        return NOTHING
    return f"{'≤ ' if figure.get('upper_bound') else ''}{100 * figure['value']:.1f}"


def interval(figure: Facts | None) -> str:
    """`36.0 to 42.2`, in percent."""
    if figure is None:
        return ""
    return f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f}"


def gain(figure: Facts | None) -> str:
    """`+1.2`, in points."""
    return NOTHING if figure is None else f"{100 * figure['value']:+.1f}"


def title(condition: Facts) -> str:
    """`linf-4/255, pgd-20`; a clean figure has no attack."""
    threat, attack = condition["threat"], condition["attack"]
    if threat == AVERAGE:
        return f"average of the four threats, {attack}"
    return threat if attack in (threat, "clean") else f"{threat}, {attack}"


def place(row: Facts) -> str:
    """`2`, or `2 =` where nothing shows that the model above is better."""
    found = row["place"]
    return NOTHING if found is None else f"{found['place']}{' =' if found['tied'] else ''}"


def count(number: float | None) -> str:
    """25557032 -> `25.6 M`."""
    if number is None:
        return NOTHING
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:g}"


def milliseconds(number: float | None) -> str:
    """12.34 -> `12.3 ms`."""
    return NOTHING if number is None else f"{number:.1f} ms"


def settings(values: Any) -> str:
    """A mapping on one line: `size 224, interpolation bicubic`."""
    if isinstance(values, Mapping):
        return ", ".join(f"{name} {settings(each)}" for name, each in values.items()) or NOTHING
    if isinstance(values, list | tuple):
        return f"[{' '.join(map(settings, values))}]"
    if values is None:
        return NOTHING
    return f"{values:.4g}" if isinstance(values, float) else str(values)


def leaderboard(group: Facts, models: Sequence[Facts]) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and a row of cells for each model, best first."""
    head = ["place", "model", *map(title, group["columns"]), "parameters", "FLOPs", "latency"]
    rows = []
    for row in group["rows"]:
        model = models[row["model"]]
        cells = [f"{share(f)} [{interval(f)}]" if f else NOTHING for f in row["figures"]]
        cost = [count(model["parameters"]), count(model["flops"])]
        cost.append(milliseconds(model["latency_ms"]))
        rows.append([place(row), model["name"], *cells, *cost])
    return head, rows


def about_rank(group: Facts) -> str:
    """By what a table is ranked, and what its marks mean."""
    if group["ranked_by"] is None:
        return "Not ranked."
    return (
        f"Ranked by {title(group['ranked_by'])}. = means that there is no evidence that the model "
        "above is better (95 % interval of the paired difference)."
    )


def about_list(group: Facts) -> str:
    """What all rows of a table have in common."""
    key = group["key"]
    size = f"pictures of {key['picture size']} px" if key["picture size"] else "size not stated"
    extra = f"extra data: {key['extra data']}" if key["extra data"] else "no extra data"
    images = f"{key['number of images']:,} images"
    told = [f"{images} of {group['list']} (sha256 {key['list'][:12]})", size, extra]
    if trained := key["number of training pictures"]:
        told.append(f"trained on {trained} pictures")
    if merged := key["way of merging classes"]:
        told.append(f"classes merged by {merged}")
    return ", ".join(told)
