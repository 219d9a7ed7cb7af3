"""`partlab evaluate ood RUN… --set NAME=DIR`: accuracy on pictures from elsewhere."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import DryRunOpt, JsonOpt, reported
from app.cli.evaluate import (
    CheckpointOpt,
    ChunkOpt,
    DeviceOpt,
    MaxHoursOpt,
    ResultsOpt,
    agreed,
    estimated,
)

_SETS = (
    "A set and its folder: imagenet-a, imagenet-a-plus, imagenet-r, imagenet-sketch, "
    "stylized-imagenet, imagenet-9, din; or spurious, texture of make-set. May be repeated."
)


def register(group: typer.Typer) -> None:
    """Add this command to the group `evaluate`."""
    group.command("ood")(ood)


def ood(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run folders, exported models or others' weights with a card."
        ),
    ],
    sets: Annotated[
        list[str], typer.Option("--set", metavar="NAME=DIR", help=_SETS, show_default=False)
    ],
    out: ResultsOpt,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 50,
    chunk: ChunkOpt = None,
    max_hours: MaxHoursOpt = None,
    checkpoint: CheckpointOpt = "best",
    device: DeviceOpt = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Accuracy of models on other sets, each with its own list, never ranked with other lists.

    Figures are added to the evaluations in --out. The same command again goes on where it was
    stopped. Sets are not brought: of one that is not there is said what to fetch.

    Example: partlab evaluate ood runs/mpm --set spurious=world-mixed --out results
    """
    with reported(json) as ui:
        from train.evaluate.opened import names_of, open_model
        from train.ood.evaluation import OodPlan, estimate_ood
        from train.ood.sets import open_set

        names, asked = names_of(models), _named(sets)
        plans = []
        for path in models:
            opened = open_model(path, checkpoint=checkpoint, device=device)
            found = [each for n, f in asked for each in open_set(n, f, opened.classes)]
            plans.append(OodPlan(opened, tuple(found), batch, chunk))
        costs = [estimate_ood(p, out / n) for p, n in zip(plans, names, strict=True)]
        if dry_run:
            facts, told = estimated(names, costs)
            by_set, words = _planned(plans, names)
            ui.emit({**facts, "sets": by_set}, f"{told}\n{words}")
        else:
            agreed(costs, max_hours)
            ui.emit(*_measured(plans, names, models, out))


def _named(texts: list[str]) -> list[tuple[str, Path]]:
    from partlab.errors import ConfigError

    found: dict[str, Path] = {}
    for text in texts:
        name, _, folder = text.partition("=")
        if not (name and folder):
            raise ConfigError(
                f"--set {text} is not NAME=DIR", hint="--set imagenet-r=data/imagenet-r"
            )
        if name in found:
            raise ConfigError(
                f"--set {name} is given twice", hint="another --out holds figures of another one"
            )
        found[name] = Path(folder)
    return list(found.items())


def _planned(plans: list[Any], names: list[str]) -> tuple[Any, str]:
    """Model -> set -> how many pictures it has."""
    facts = {
        name: {each.name: len(each.names) for each in plan.sets}
        for plan, name in zip(plans, names, strict=True)
    }
    lines = [
        f"{name}: " + ", ".join(f"{n} {count:,}" for n, count in sets.items())
        for name, sets in facts.items()
    ]
    return facts, "\n".join(lines)


def _measured(plans: list[Any], names: list[str], models: list[Path], out: Path) -> tuple[Any, str]:
    from train.ood.evaluation import evaluate_ood
    from train.ood.table import ood_facts, ood_text

    facts = []
    for plan, name, path in zip(plans, names, models, strict=True):
        described = plan.opened.described(name, path)
        facts.append(ood_facts(evaluate_ood(plan, described, out / name)))
    return {"evaluations": facts}, "\n\n".join(map(ood_text, facts))
