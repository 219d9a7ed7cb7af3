"""Accuracy on other sets of one evaluation, as JSON and in words, each with what it rests on."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from train.evaluate.outcomes import Evaluation, Row
from train.evaluate.table import preprocessing_told
from train.ood.sets import FOUR, PUBLISHED, VARIANTS
from train.people.trials import EXCLUDED

Facts = dict[str, Any]
GAP = ("mixed_same", "mixed_rand")
"""The two variants of ImageNet-9 that the background gap is between."""


def ood_facts(evaluation: Evaluation) -> Facts:
    """Shares of 1: each set, and means and gaps over several where all of them are there (G-03)."""
    rows = {r.threat.partition(":")[2]: r for r in evaluation.rows if r.threat.startswith("ood:")}
    noted = evaluation.settings.get("ood", {})
    sets = {name: _set(row, noted.get(name, {})) for name, row in rows.items()}
    din = _din(sets)
    four = {"din": din["kept"] if din else None}
    four |= {name: sets[name]["accuracy"] for name in FOUR if name in sets}
    present = [name for name in FOUR if four.get(name) is not None]
    return {
        "model": evaluation.model.name,
        "kind": evaluation.model.kind,
        "classes": len(evaluation.model.classes),
        "folder": str(evaluation.folder),
        "preprocessing": evaluation.model.preprocessing,
        "sets": sets,
        "din": din,
        "background_gap": _gap(sets),
        "incomplete": _incomplete(sets),
        "four": {
            "present": present,
            "mean": fmean(four[name] for name in FOUR) if len(present) == len(FOUR) else None,  # type: ignore[misc]
        },
    }


def _incomplete(sets: Mapping[str, Facts]) -> dict[str, list[int]]:
    """Set -> pictures here, pictures published, of those that are not whole."""
    here: dict[str, int] = {}
    for name, each in sets.items():
        known = name.partition("/")[0]
        here[known] = here.get(known, 0) + each["images"]
    return {n: [here[n], all_] for n, all_ in PUBLISHED.items() if 0 < here.get(n, 0) < all_}


def _set(row: Row, noted: Mapping[str, Any]) -> Facts:
    facts = {"accuracy": row.accuracy, "images": row.images, **noted}
    facts["sha256"] = row.pictures.sha256 if row.pictures else None
    if "right_of_kept" in noted:
        facts["kept_accuracy"] = noted["right_of_kept"] / noted["kept"] if noted["kept"] else None
    if "other_cue" in noted:
        decided = noted["right"] + noted["other_cue"]
        facts["share_of_own_cue"] = noted["right"] / decided if decided else None
    return facts


def _din(sets: Mapping[str, Facts]) -> Facts | None:
    """Means over the 17 sets, None unless all are there; over kept conditions, and over all."""
    have = {name: each for name, each in sets.items() if name.startswith("din/")}
    if not have:
        return None
    whole = len(have) == len(EXCLUDED)
    kept = [each["kept_accuracy"] for each in have.values()]
    return {
        "present": len(have),
        "of": len(EXCLUDED),
        "kept": fmean(kept) if whole and None not in kept else None,
        "all": fmean(each["accuracy"] for each in have.values()) if whole else None,
    }


def _gap(sets: Mapping[str, Facts]) -> float | None:
    """ImageNet-9's: what is lost when the background is of any class and not of the object's."""
    same, random = (sets.get(f"imagenet-9/{name}") for name in GAP)
    return same["accuracy"] - random["accuracy"] if same and random else None


def _nine(sets: Mapping[str, Facts]) -> list[str]:
    """Of ImageNet-9: how many variants there are, and the gap."""
    lacks = [name for name in VARIANTS if f"imagenet-9/{name}" not in sets]
    if len(lacks) == len(VARIANTS):
        return []
    gap = _gap(sets)
    told = (
        f"background gap {100 * gap:.1f} points: mixed_same less mixed_rand"
        if gap is not None
        else f"no background gap without {' and '.join(name for name in GAP if name in lacks)}"
    )
    absent = f", not {', '.join(lacks)}" if lacks else ""
    return [
        f"  imagenet-9: {len(VARIANTS) - len(lacks)} of {len(VARIANTS)} variants present{absent}",
        f"  {told}",
    ]


def ood_text(facts: Facts) -> str:
    """For the terminal."""
    wide = max(map(len, facts["sets"]), default=0) + 2
    lines = [
        f"{facts['model']} ({facts['kind']}, {facts['classes']:,} classes), "
        f"{preprocessing_told(facts['preprocessing'])}"
    ]
    for name, each in facts["sets"].items():
        lines.append(
            f"  {name:<{wide}}{_percent(each['accuracy']):>8}  {each['images']:,} pictures, "
            f"{each.get('answers', '?'):,} answers, list {str(each['sha256'])[:12]}"
        )
        lines += [f"  {'':<{wide}}          left out: {number:,} {why}"
                  for why, number in each.get("left_out", {}).items()]  # fmt: skip
        lines += _cue(name, each)
    return "\n".join([*lines, *_over_several(facts), f"in {facts['folder']}"])


def _cue(name: str, each: Facts) -> list[str]:
    if "other_cue" not in each:
        return []
    first, second = ("shape", "texture") if name == "texture" else ("object", "background")
    right, other = each["right"], each["other_cue"]
    share = "none: no answer is either" if right + other == 0 else _percent(right / (right + other))
    return [
        f"    {first} / ({first} + {second}) = {right:,} / ({right:,} + {other:,}) = {share}; "
        f"{each['images'] - right - other:,} answers are neither, left out"
    ]


def _over_several(facts: Facts) -> list[str]:
    lines, din, four = _nine(facts["sets"]), facts["din"], facts["four"]
    if din:
        told = "no mean of fewer" if din["all"] is None else (
            f"mean over sets {_percent(din['kept'])} of kept conditions, "
            f"{_percent(din['all'])} of all pictures"
        )  # fmt: skip
        lines.append(f"  din: {din['present']} of {din['of']} sets present, {told}")
    if four["present"]:
        mean = "no mean of fewer" if four["mean"] is None else f"mean {_percent(four['mean'])}"
        lines.append(
            f"  {len(four['present'])} of {len(FOUR)} sets present ({', '.join(FOUR)}): {mean}"
        )
    lines += [
        f"  {name} is not whole: {here:,} of {published:,} pictures, so its figures compare with "
        "no published ones"
        for name, (here, published) in facts["incomplete"].items()
    ]
    return lines


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"
