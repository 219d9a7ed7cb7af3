"""`partlab evaluate detector`: box AP of a detector, clean and under attack."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._plain import table
from app.cli._ui import DryRunOpt, JsonOpt, reported
from app.cli.evaluate import DeviceOpt, MaxHoursOpt, agreed, estimated

_ATTACKS = (
    "cls and reg: A_cls and A_reg; cwa: both at once; cls+rpn, reg+rpn: the proposals' losses too. "
    "With commas."
)


def register(group: typer.Typer) -> None:
    """Add this command to the group `evaluate`."""
    group.command()(detector)


def detector(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of the detector.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    attacks: Annotated[str, typer.Option(help=_ATTACKS)] = "cls,reg",
    eps: Annotated[str, typer.Option(help="How far a colour in 0…1 may be moved.")] = "4/255",
    steps: Annotated[int, typer.Option(min=1, help="Of PGD.")] = 10,
    step_size: Annotated[str | None, typer.Option(help="Of one step; ε / 4.")] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "val",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only this many images, evenly spread.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once; part of the result.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the regions that attacks draw.")] = 0,
    large_eps: Annotated[bool, typer.Option("--large-eps", help="Yes, 0.2 or more.")] = False,
    checkpoint: Annotated[str, typer.Option(help="last or best.")] = "last",
    per_class: Annotated[bool, typer.Option("--per-class", help="Also a row a class.")] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Also the published figures (Table S5).")
    ] = False,
    max_hours: MaxHoursOpt = None,
    device: DeviceOpt = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Box AP of a detector on pictures as they are, and attacked in class and in place.

    The same command again goes on where it was stopped. The result is kept as detection.json.

    Example: partlab evaluate detector runs/det world --out results --attacks cls,reg --steps 20
    """
    with reported(json) as ui:
        from train.detection.estimate import estimate_detector
        from train.detection.evaluate import Manner, measure, plan_detector

        manner = Manner(
            attacks=tuple(name.strip() for name in attacks.split(",") if name.strip()),
            eps=_number(eps, "--eps"),
            steps=steps,
            step_size=None if step_size is None else _number(step_size, "--step-size"),
            batch=batch,
            seed=seed,
            large_eps=large_eps,
        )
        plan = plan_detector(
            run, data, out, manner=manner, split=split, limit=limit, checkpoint=checkpoint,
            device=device,
        )  # fmt: skip
        cost = estimate_detector(plan)
        if dry_run:
            ui.emit(*estimated([run.resolve().name], [cost]))
        else:
            agreed([cost], max_hours)
            found = measure(plan)
            ui.emit(found, _told(found, out, per_class=per_class, reference=reference))


def _number(text: str, option: str) -> float:
    """A number, or a fraction such as 4/255."""
    from fractions import Fraction

    from partlab.errors import ConfigError

    try:
        return float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"{option} {text!r} is no number", hint="for example 4/255") from None


NAMES = {"clean": "clean", "cls": "A_cls", "reg": "A_reg"}


def _told(found: dict[str, Any], out: Path, *, per_class: bool, reference: bool) -> str:
    data, settings = found["data"], found["settings"]
    shown = [
        f"{found['model']['run']} on {data['path']}: {data['images']:,} images, "
        f"{data['boxes']:,} boxes. Percent.",
        _rows(found["rows"]),
        f"PGD, linf {255 * settings['eps']:g}/255, {settings['steps']} steps of "
        f"{255 * settings['step_size']:g}/255, no restart: a stronger attack may leave less.",
    ]
    if unknown := data["unknown_classes"]:
        shown.insert(2, f"the detector knows no {', '.join(unknown)}: AP 0")
    if per_class:
        shown.append(_classes(found["rows"]))
    if reference:
        shown.append(_published())
    return "\n".join([*shown, f"kept in {out / 'detection.json'}"])


def _rows(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            NAMES.get(row["attack"], row["attack"]),
            *(_percent(row[key]) for key in ("ap", "ap50", "ap75")),
            f"{row['loss']['before']:.2f} → {row['loss']['after']:.2f}" if "loss" in row else "",
        ]
        for row in rows
    ]
    return table(["", "AP", "AP50", "AP75", "attacked loss"], cells)


def _classes(rows: list[dict[str, Any]]) -> str:
    names = [name for name, ap in rows[0]["per_class"].items() if ap is not None]
    head = ["AP", *(NAMES.get(row["attack"], row["attack"]) for row in rows)]
    return table(head, [[n, *(_percent(row["per_class"][n]) for row in rows)] for n in names])


def _published() -> str:
    from train.references import references

    published = references("S5")
    cells = [
        [row.name, *("–" if each is None else f"{each:.1f}" for each in row.figures.values())]
        for row in published
    ]
    title = f"Published, not measured here, other data and network ({published[0].source}):"
    return "\n".join([title, table(["", *published[0].figures], cells)])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
