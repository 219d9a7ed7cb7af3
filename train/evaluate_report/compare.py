"""Which models may be compared, how they rank, and which of two is better."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from partlab.files import sha256_json
from train.evaluate.average import FOUR
from train.evaluate_report.figures import AVERAGE, average, conditions, figure, kind, scores
from train.evaluate_report.reading import Condition, Measured
from train.paired import Paired
from train.statistics import SIGNIFICANT, bootstrap, difference_interval, holm, student, verdict

Key = dict[str, Any]


def key(each: Measured) -> Key:
    """What must be equal for figures to be ranked together (X-05)."""
    training = each.model.get("training") or {}
    return {
        "list": each.list["sha256"],
        "number of images": each.list["images"],
        "picture size": each.size,
        "extra data": each.list.get("extra_data") or training.get("extra_data"),
        "number of training pictures": _trained_on(training),
        "way of merging classes": _merging(each),
    }


def _trained_on(training: Any) -> str | None:
    """Of "840 pictures (840 human) of …", as a run says it: more of them is extra data."""
    words = str(training.get("pictures") or "").split()
    return words[0] if words[1:2] == ["pictures"] else None


def _merging(each: Measured) -> str | None:
    """Super-categories are easier than classes, and their rule decides accuracy too."""
    settings = each.facts.get("settings") or {}
    if not settings.get("merged"):
        return None
    return f"{settings.get('merge')} of {sha256_json(settings['merged'])[:8]}"


def groups(found: Sequence[Measured]) -> list[list[int]]:
    """Positions of evaluations that may be ranked together, in the order given."""
    by_key: dict[str, list[int]] = defaultdict(list)
    for at, each in enumerate(found):
        by_key[sha256_json(key(each))].append(at)
    return list(by_key.values())


def why_apart(found: Sequence[Measured]) -> list[str]:
    """A sentence for each group after the first: what keeps it from being ranked with that."""
    first, *others = groups(found)
    lead = key(found[first[0]])
    sentences = []
    for group in others:
        unlike = [
            f"{what}: {_said(lead[what], found[first[0]])} and {_said(value, found[group[0]])}"
            for what, value in key(found[group[0]]).items()
            if value != lead[what]
        ]
        names = " and ".join(", ".join(found[at].name for at in each) for each in (first, group))
        sentences.append(f"not ranked together: {names}; other {'; other '.join(unlike)}")
    return sentences


def _said(value: Any, each: Measured) -> str:
    if value == each.list["sha256"]:
        return f"{each.list['name']} ({str(value)[:8]})"
    return "none" if value is None else str(value)


def columns(found: Sequence[Measured]) -> list[Condition]:
    """Clean, attacks, and the average of four where one has it, in order of appearance."""
    plain = dict.fromkeys(c for each in found for c in conditions(each, "clean", "attacked"))
    attacks = dict.fromkeys(c.attack for c in plain if c.threat in FOUR)
    means = [Condition(AVERAGE, a) for a in attacks if any(average(each, a) for each in found)]
    return sorted(plain, key=lambda one: kind(one.threat) != "clean") + means


def ranked_by(found: Sequence[Measured]) -> Condition | None:
    """The column to rank by: the average, else the first attack that all have, else clean.

    Figures that are no upper bounds come first.
    """
    shared = [one for one in columns(found) if all(figure(each, one) for each in found)]

    def order(one: Condition) -> tuple[bool, bool, bool]:
        bound = any(told.upper_bound for each in found if (told := figure(each, one)))
        return kind(one.threat) == "clean", bound, one.threat != AVERAGE

    return min(shared, key=order, default=None)


@dataclass(frozen=True, slots=True)
class Place:
    """A model's place; `tied` where there is no evidence that the one above is better."""

    model: int
    place: int
    tied: bool


def ranking(found: Sequence[Measured], group: Sequence[int], by: Condition) -> list[Place]:
    """Best first; two that cannot be told apart say so."""
    told = {at: scores(found[at], by) for at in group}
    best_first = sorted(group, key=lambda at: -float(np.mean(told[at])))  # type: ignore[arg-type]
    places = []
    for place, at in enumerate(best_first, 1):
        above, own = told[best_first[max(place - 2, 0)]], told[at]
        tied = place > 1 and len(above) == len(own) and not _apart(above, own, by)  # type: ignore[arg-type]
        places.append(Place(at, place, tied))
    return places


def _apart(above: Any, own: Any, by: Condition) -> bool:
    """Whether the upper one is better on the same images: McNemar's, or a mean's interval."""
    if by.threat == AVERAGE:
        return bootstrap(above - own, bounds=(-1.0, 1.0)).low > 0
    return Paired.of(own > 0.5, above > 0.5).p <= SIGNIFICANT


def pairs(found: Sequence[Measured], group: Sequence[int]) -> list[dict[str, Any]]:
    """Every two models of a group under every attack both have, on the images both have.

    McNemar's exact test, Holm-corrected over all of these, with the names of the images that
    one gets and the other loses.
    """
    lines = [
        _pair(found, first, second, condition)
        for first, second in combinations(group, 2)
        for condition in conditions(found[first], "clean", "attacked")
        if condition in found[second].outcomes
    ]
    for line, p in zip(lines, holm([line["p"] for line in lines]), strict=True):
        line |= {"p_holm": p, "verdict": verdict(p)}
    return lines


def _pair(found: Sequence[Measured], one: int, other: int, condition: Condition) -> dict[str, Any]:
    a, b = found[one].outcomes[condition], found[other].outcomes[condition]
    images, at, there = np.intersect1d(a.images, b.images, assume_unique=True, return_indices=True)
    first, second = a.right[at], b.right[there]
    paired = Paired.of(first, second)
    return {
        "first": one,
        "second": other,
        **condition._asdict(),
        "images": paired.n,
        "gain": asdict(difference_interval(first, second)) if paired.n else None,
        "upper_bound": bool(a.row["upper_bound"] or b.row["upper_bound"]),
        "only_first": images[first & ~second].tolist(),
        "only_second": images[second & ~first].tolist(),
        "p": paired.p,
    }


def families(found: Sequence[Measured], group: Sequence[int]) -> list[list[int]]:
    """Models of a group that were trained alike but for the seed, two or more."""
    alike: dict[str, list[int]] = defaultdict(list)
    for at in group:
        training = found[at].model.get("training") or {}
        if config := training.get("config"):
            data = training.get("data"), training.get("pictures")
            alike[sha256_json([_without_seed(config), data])].append(at)
    return [each for each in alike.values() if len(each) > 1]


def _without_seed(config: Any) -> Any:
    if isinstance(config, dict):
        return {name: _without_seed(each) for name, each in config.items() if name != "seed"}
    return config


def _seed(each: Measured) -> Any:
    config = each.model["training"]["config"]
    return (config.get("train") or config).get("seed")


def over_seeds(found: Sequence[Measured], group: Sequence[int]) -> list[dict[str, Any]]:
    """Each family under each condition that all its members have, on the same images.

    The interval is over images and seeds (hierarchical).
    """
    lines = []
    for family in families(found, group):
        for condition in columns([found[at] for at in family]):
            told = [scores(found[at], condition) for at in family]
            rows = [row for row in told if row is not None]
            if len(rows) == len(family) and len({len(row) for row in rows}) == 1:
                accuracy = asdict(bootstrap(np.stack(rows)))
                lines.append({"models": family, **condition._asdict(), "accuracy": accuracy})
    return lines


def gains_over_seeds(found: Sequence[Measured], group: Sequence[int]) -> list[dict[str, Any]]:
    """Two families with seeds in common: gain of each seed, Student's t, Holm over the table."""
    lines: list[dict[str, Any]] = []
    for one, other in combinations(families(found, group), 2):
        a, b = ({_seed(found[at]): found[at] for at in family} for family in (one, other))
        if len(a) < len(one) or len(b) < len(other):
            continue  # two runs of one seed: which belongs to which of the others is not known
        seeds = [seed for seed in a if seed in b]
        for condition in columns([*a.values(), *b.values()]) if len(seeds) > 1 else []:
            both = [(scores(a[s], condition), scores(b[s], condition)) for s in seeds]
            gains = [float(y.mean() - x.mean()) for x, y in both if x is not None and y is not None]
            if len(gains) == len(seeds):
                facts = {"first": one, "second": other, **condition._asdict(), "gains": gains}
                lines.append({**facts, "p": student(gains)})
    for line, p in zip(lines, holm([line["p"] for line in lines]), strict=True):
        line |= {"p_holm": p, "verdict": verdict(p)}
    return lines
