"""All that a report says, as one JSON object: the page and the terminal are made of it."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from train.evaluate_report.beside import beside
from train.evaluate_report.compare import (
    columns,
    gains_over_seeds,
    groups,
    key,
    over_seeds,
    pairs,
    ranked_by,
    ranking,
    why_apart,
)
from train.evaluate_report.figures import (
    TYPES,
    conditions,
    corrupted,
    corruptions,
    figure,
    norm_and_eps,
)
from train.evaluate_report.matched import matched
from train.evaluate_report.reading import Condition, Measured, Outcome

Facts = dict[str, Any]
_STEPS = re.compile(r"-(\d+)(?:x(\d+))?$")  # of an attack's name
_FEW = 5  # images say little


def report(found: Sequence[Measured], references: Sequence[str] | None = None) -> Facts:
    """Figures with intervals, rankings, paired differences, honesty and cost; shares of 1.

    `references` names published tables to be shown beside, as `beside` says; () is none.

    Raises:
        SchemaError: an evaluation averages over different images.
        UnknownNameError: there is no such published table.
    """
    apart = groups(found)
    return {
        "format": 1,
        "partlab": version("partlab"),
        "models": [_model(each) for each in found],
        "groups": [_group(found, group) for group in apart],
        "apart": why_apart(found) if len(apart) > 1 else [],
        "notes": _notes(found),
        "references": beside(found, references),
    }


def _model(each: Measured) -> Facts:
    keep = ("kind", "parameters", "flops", "latency_ms", "preprocessing", "weights_sha256")
    listed = {name: fact for name, fact in each.list.items() if name != "per_class"}
    counts = list((each.list.get("per_class") or {}).values())
    return {
        "name": each.name,
        "folder": str(each.folder),
        **{name: each.model.get(name) for name in keep},
        "classes": len(each.model["classes"]),
        "list": {**listed, "per_class": [min(counts), max(counts)] if counts else None},
        "machine": each.facts.get("machine"),
        "settings": each.facts.get("settings") or {},
        "versions": each.facts.get("versions") or {},
        "honesty": each.facts.get("honesty"),
        "seconds": sum(one.row.get("seconds") or 0.0 for one in each.outcomes.values()),
        "stages": _stages(each),
        "curve": _curve(each),
        "corruptions": _corruptions(each),
        "other": [
            {
                **_said(each, one),
                "list": (each.outcomes[one].row.get("pictures") or {}).get("sha256"),
            }
            for one in conditions(each, "ood")
        ],
    }


def _said(each: Measured, condition: Condition) -> Facts:
    found = figure(each, condition)
    return {**condition._asdict(), "figure": found.as_json() if found else None}


def _stages(each: Measured) -> list[Facts]:
    """Waterfalls: what is left right after each stage of an attack."""
    return [
        {**condition._asdict(), "upper_bound": outcome.row["upper_bound"],
         "stages": outcome.row["stages"]}
        for condition, outcome in each.outcomes.items()
        if outcome.row.get("stages")
    ]  # fmt: skip


def _curve(each: Measured) -> list[Facts]:
    """Accuracy against eps."""
    found = []
    for condition in conditions(each, "attacked"):
        if ball := norm_and_eps(condition.threat):
            found.append({**_said(each, condition), "norm": ball[0], "eps": ball[1]})
    return found


def _corruptions(each: Measured) -> Facts | None:
    grid = corruptions(each)
    if not grid:
        return None
    whole = corrupted(each)
    types = {
        name: {
            "figure": told.as_json() if (told := corrupted(each, name)) else None,
            "severities": {s: _said(each, severities[s])["figure"] for s in sorted(severities)},
        }
        for name, severities in grid.items()
    }
    cells = sum(len(severities) for severities in grid.values())
    figure = whole.as_json() if whole else None
    return {
        "figure": figure,
        "types": types,
        "of": TYPES,
        "complete": cells == 5 * TYPES,
        "way": _way(each) or "not stated",
    }


def _way(each: Measured) -> str | None:
    """How its corrupted pictures were made; those of other ways do not compare."""
    told = (each.facts.get("settings") or {}).get("corruptions")
    return told and f"{told.get('protocol')}, {told.get('made_by') or told.get('files')}"


def _group(found: Sequence[Measured], group: Sequence[int]) -> Facts:
    members = [found[at] for at in group]
    by = ranked_by(members)
    shown = columns(members)
    places = ranking(found, group, by) if by and len(group) > 1 else []
    order = [place.model for place in places] or list(group)
    return {
        "key": key(members[0]),
        "list": members[0].list["name"],
        "columns": [one._asdict() for one in shown],
        "ranked_by": by._asdict() if by and places else None,
        "rows": [
            {
                "model": at,
                "place": next(({k: v for k, v in asdict(p).items() if k != "model"}
                               for p in places if p.model == at), None),
                "figures": [_said(found[at], one)["figure"] for one in shown],
            }
            for at in order
        ],
        "pairs": pairs(found, group),
        "seeds": over_seeds(found, group),
        "seed_gains": gains_over_seeds(found, group),
        "matched": matched(found, group, by),
    }  # fmt: skip


def _late(outcome: Outcome) -> str | None:
    """Says so if PGD was still finding errors when it ended, since more steps find more."""
    name = outcome.row["attack"]
    steps = outcome.steps[np.isfinite(outcome.steps)]
    if not len(steps) or not (told := _STEPS.search(name)):
        return None
    late = int((steps > 0.75 * int(told[1]) * int(told[2] or 1)).sum())
    if late < _FEW or late < 0.1 * len(steps):
        return None
    return (
        f"{outcome.row['threat']}, {name}: {late} of the {len(steps)} images it broke fell only in "
        "the last quarter of its steps, so more steps will break more"
    )


def _notes(found: Sequence[Measured]) -> list[str]:
    """What a reader has to know before any figure."""
    notes = [f"{each.name}: {note}" for each in found for note in each.notes]
    for each in found:
        honesty = each.facts.get("honesty")
        if honesty is None:
            notes.append(f"{each.name}: honesty was not checked; its gradients may be masked")
        else:
            checked = [str(one.get("name")) for one in honesty.get("findings", ())]
            if "zero_gradients" not in checked or not honesty.get("complete", True):
                notes.append(
                    f"{each.name}: most signs of masked gradients were not looked for (checked: "
                    f"{', '.join(checked) or 'nothing'}); partlab evaluate honesty "
                    f"{each.model.get('path', 'RUN')} DATA --keep-in {each.folder} does"
                )
            bad = [one for one in honesty.get("findings", ()) if not one.get("ok", False)]
            notes += [f"{each.name}: {one.get('sentence') or one.get('name')}" for one in bad]
        notes += [f"{each.name}: {late}" for late in map(_late, each.outcomes.values()) if late]
        bounds = [c for c, one in each.outcomes.items() if one.row["upper_bound"]]
        if bounds:
            names = ", ".join(f"{threat} ({attack})" for threat, attack in bounds)
            notes.append(
                f"{each.name}: upper bounds (≤), which a stronger attack may lower: {names}"
            )
    for threat in dict.fromkeys(c.threat for each in found for c in conditions(each, "ood")):
        rows = [one.row for each in found for c, one in each.outcomes.items() if c.threat == threat]
        if len({(row.get("pictures") or {}).get("sha256") for row in rows}) > 1:
            notes.append(f"{threat}: not the same pictures or answers for all models")
    made = {way for each in found if (way := _way(each))}
    if len(made) > 1:
        notes.append(
            f"corrupted pictures were made in {len(made)} ways ({'; '.join(sorted(made))}): "
            "figures under corruptions do not compare between them"
        )
    machines = {str(each.facts.get("machine")) for each in found if each.model.get("latency_ms")}
    if len(machines) > 1:
        told = "; ".join(sorted(machines))
        notes.append(f"latencies are of {len(machines)} machines ({told}), and do not compare")
    trained = {str((each.model.get("training") or {}).get("data")) for each in found}
    if len(trained) > 1:
        notes.append("these models were trained on different data: a gain may be the data's")
    return notes
