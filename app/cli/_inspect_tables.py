"""Plans, audits and agreement as tables for people."""

from collections.abc import Sequence
from typing import Any

from annotate.inspect.agreement import Agreed, Agreement
from annotate.inspect.audit import Audit
from annotate.inspect.curve import (
    BAD,
    GOOD,
    consumer_risk,
    mean_images,
    operating_curve,
    producer_risk,
)
from annotate.inspect.plan import Plan, in_words
from annotate.inspect.plant import Trial
from app.cli._tables import _table
from partlab.counts import counted


def plan_json(plans: Sequence[Plan], size: int, auroc: float) -> dict[str, Any]:
    """Everything the tables show, and the plans' settings."""
    return {
        "size": size,
        "auroc": auroc,
        "plans": [
            {
                "settings": plan.model_dump(),
                "rules": in_words(plan, size),
                "producer_risk": producer_risk(plan, size, auroc),
                "producer_risk_whatever_the_ranking": producer_risk(plan, size),
                "consumer_risk": consumer_risk(plan, size, auroc),
                "consumer_risk_whatever_the_ranking": consumer_risk(plan, size),
                "mean_images_half_good": mean_images(plan, size, auroc),
                "points": [
                    {"bad": point.bad, "accept": point.accept, "images": point.images}
                    for point in operating_curve(plan, size, auroc=auroc)
                ],
            }
            for plan in plans
        ],
    }


def plan_tables(plans: Sequence[Plan], size: int, auroc: float) -> list[Any]:
    """The operating curves side by side, then each plan's rules and risks in words."""
    columns = [f"{plan.name}\n{what}" for plan in plans for what in ("accepted", "images")]
    table = _table(f"Categories of {size} images", "bad images", *columns)
    curves = [operating_curve(plan, size, auroc=auroc) for plan in plans]
    for points in zip(*curves, strict=True):
        bad = points[0].bad
        cells = [cell for p in points for cell in (f"{p.accept:.1%}", f"{p.images:.1f}")]
        table.add_row(f"{bad} ({bad / size:.0%})", *cells)
    return [table, *(_words(plan, size, auroc) for plan in plans)]


def _words(plan: Plan, size: int, auroc: float) -> str:
    lines = [f"{plan.name}:", *in_words(plan, size)]
    known = f" with a ranking of AUROC {auroc:g}" if plan.suspects else ""
    counts = (round(rate * size) for rate in (GOOD, BAD))
    good, bad = (f"{count} bad ({count / size:.0%})" for count in counts)
    lines.append(
        f"rejects {producer_risk(plan, size, auroc):.1%} of categories with {good}, "
        f"accepts {consumer_risk(plan, size, auroc):.1%} of those with {bad}{known}"
    )
    if plan.suspects:
        lines.append(
            f"whatever the ranking is worth: rejects at most {producer_risk(plan, size):.1%}, "
            f"accepts at most {consumer_risk(plan, size):.1%} of them"
        )
    lines.append(
        f"costs {mean_images(plan, size, auroc):.1f} images on average where half of the "
        "categories are of the first kind and half of the second"
    )
    return "\n  ".join(lines) + "\n"


def audit_tables(told: Audit, top: int, compared: bool) -> list[Any]:
    """The most suspicious images, and what could not be judged."""
    table = _table("Most likely wrong first", "suspicion", "image", "why")
    for column in table.columns[1:]:
        column.justify = "left"
    for one in told.suspects[:top]:
        why = [f"{reason.part}: {reason.message}" for reason in one.reasons[:3]]
        text = "\n".join(why) or "nothing unusual"
        table.add_row(f"{one.suspicion:.2f}", one.file_name, text)
    notes = []
    if not compared:
        notes.append("only sizes were judged: give --segmenter RUN or --predictions for more")
    elif told.unseen:
        have = counted(len(told.unseen), "image has", "images have")
        notes.append(f"{have} no predictions: judged by size alone")
    if told.unknown_parts and compared:
        names = ", ".join(told.unknown_parts[:5])
        notes.append(f"parts that the segmenter does not know were not judged: {names}")
    return [table, *notes]


def plant_tables(trial: Trial) -> list[Any]:
    """How well planted errors were found."""
    head = f"{trial.planted} of {trial.images} images spoilt in a copy"
    table = _table(head, "kind of error", "images", "AUROC")
    for kind, value in trial.by_kind.items():
        table.add_row(kind, str(trial.counts[kind]), f"{value:.3f}")
    table.add_row("all", str(trial.planted), f"{trial.auroc:.3f}", style="bold")
    return [table, "1 is perfect, 0.5 is chance; images left alone count as right"]


def agreement_tables(found: Agreement, parts: bool) -> list[Any]:
    """Objects (or parts), all together, and the images that differ most."""
    columns = ("images", "pairs", "only\nfirst", "only\nsecond", "overlap\n(IoU)")
    title = f"{counted(found.images, 'image')} in both"
    table = _table(title, "", *columns, "pixels\n(kappa)", "present\n(kappa)")
    for row in found.per_part if parts else found.per_object:
        table.add_row(*_agreed(row))
    table.add_row(*_agreed(found.overall), style="bold")
    differ = [(overlap, name) for name, overlap in found.per_image.items() if overlap < 1]
    notes = [f"{overlap:.2f}  {name}" for overlap, name in differ[:5]]
    notes = ["least agreement:", *notes] if differ else []
    for which, names in (("first", found.only_a), ("second", found.only_b)):
        if names:
            notes.append(f"{counted(len(names), 'image is', 'images are')} only in the {which}")
    if found.broken:
        notes.append(f"{counted(len(found.broken), 'mask')} cannot be read, e.g. {found.broken[0]}")
    return [table, "\n".join(notes)] if notes else [table]


def _agreed(row: Agreed) -> list[Any]:
    kappas = ["–" if k is None else f"{k:.2f}" for k in (row.pixel_kappa, row.presence_kappa)]
    counts = [f"{n:,}" for n in (row.images, row.pairs, row.only_a, row.only_b)]
    return [row.name, *counts, f"{row.overlap:.3f}", *kappas]
