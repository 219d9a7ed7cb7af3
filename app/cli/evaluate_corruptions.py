"""`partlab evaluate corruptions RUN… DATA`: accuracy under the 15 common corruptions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import DryRunOpt, JsonOpt, reported
from app.cli.evaluate import (
    CheckpointOpt,
    ChunkOpt,
    ColumnsOpt,
    DeviceOpt,
    GroupsOpt,
    ListOpt,
    MaxHoursOpt,
    MergeOpt,
    ResultsOpt,
    SplitOpt,
    agreed,
    columns_of,
    estimated,
    groups_of,
    plan_of,
    say,
)

if TYPE_CHECKING:
    from train.corruptions.evaluation import CorruptionPlan
    from train.evaluate.outcomes import Evaluation

_PLACES = "Run folders, exported models or others' weights with a card; and last the data."
_TREE = "Corrupted files as published, corruption/severity/class/picture, instead of made ones."
_CROP = "authors scales and crops corrupted pictures a second time, as PartImageNet++'s code does."


def register(group: typer.Typer) -> None:
    """Add this command to the group `evaluate`."""
    group.command("corruptions")(corruptions)


def corruptions(
    places: Annotated[list[Path], typer.Argument(metavar="RUN... DATA", help=_PLACES)],
    out: ResultsOpt,
    split: SplitOpt = "val",
    list_: ListOpt = None,
    types: Annotated[
        str | None, typer.Option(help="With commas: fog,snow; all 15 unless given.")
    ] = None,
    severities: Annotated[str, typer.Option(help="With commas, of 1 to 5.")] = "1,2,3,4,5",
    tree: Annotated[Path | None, typer.Option(help=_TREE)] = None,
    jpeg: Annotated[str, typer.Option(help="Quality that made pictures go through, or none.")] = (
        "85"
    ),
    crop: Annotated[str, typer.Option(help=f"none or authors; {_CROP}")] = "none",
    baseline: Annotated[
        Path | None, typer.Option(help="An evaluation whose errors mCE divides by.")
    ] = None,
    max_hours: MaxHoursOpt = None,
    columns: ColumnsOpt = None,
    groups: GroupsOpt = None,
    merge: MergeOpt = "max",
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 50,
    chunk: ChunkOpt = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that corrupt; 0: this one.")] = 0,
    checkpoint: CheckpointOpt = "best",
    device: DeviceOpt = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Accuracy of models under noise, blur, weather and digital damage, by picture.

    Figures are added to the evaluations in --out, which must be of the same pictures. The same
    command again goes on where it was stopped; other types or severities are added.

    Example: partlab evaluate corruptions runs/mpm world --out results
    """
    with reported(json) as ui:
        from partlab.errors import ConfigError
        from train.corruptions.evaluation import estimate_corruptions
        from train.evaluate.opened import names_of
        from train.evaluate.outcomes import read_evaluation

        if len(places) < 2:
            raise ConfigError(
                "name models, and then the data",
                hint="partlab evaluate corruptions RUN DATA --out DIR",
            )
        *models, data = places
        asked = {"columns": columns_of(columns), "groups": groups_of(groups), "merge": merge}
        given = {"threats": (), "attacks": (), "batch": batch, "chunk": chunk}
        how: Any = {
            "corruptions": words_of(types), "severities": numbers_of(severities), "tree": tree,
            "jpeg": None if jpeg == "none" else _number(jpeg), "crop": crop, "workers": workers,
        }  # fmt: skip
        names = names_of(models)
        against = None if baseline is None else read_evaluation(baseline)
        plans = [
            _planned(plan_of(model, data, given, asked, (split, list_, out), (checkpoint, device)),
                     **how)
            for model in models
        ]  # fmt: skip
        costs = [estimate_corruptions(p, out / n) for p, n in zip(plans, names, strict=True)]
        if dry_run:
            ui.emit(*estimated(names, costs))
        else:
            agreed(costs, max_hours)
            ui.emit(*_measured(plans, names, models, out, against))


def words_of(text: str | None) -> tuple[str, ...] | None:
    """Words with commas between."""
    return None if text is None else tuple(w.strip() for w in text.split(",") if w.strip())


def numbers_of(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between."""
    return tuple(_number(word) for word in words_of(text) or ())


def _number(text: str) -> int:
    from partlab.errors import ConfigError

    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no whole number", hint="as 3 or 1,2,3") from None


def _planned(
    plan: Any, *, corruptions: Any, severities: tuple[int, ...], tree: Path | None,
    jpeg: int | None, crop: Any, workers: int,
) -> "CorruptionPlan":  # fmt: skip
    from train.corruptions import CORRUPTIONS, Protocol, read_tree
    from train.corruptions.evaluation import CorruptionPlan

    types = CORRUPTIONS if corruptions is None else corruptions
    protocol = Protocol(crop, jpeg, plan.opened.data.size)
    found = None
    if tree is not None:
        found = read_tree(tree).only(types, severities).of(plan.shown.names, plan.shown.labels)
        say(f"{tree}: {found}")
    asked = CorruptionPlan(plan, protocol, types, severities, found, workers)
    if protocol.size != 224:
        say(
            f"the model sees pictures of {protocol.size} pixels; ImageNet-C is defined at 224, so "
            "these figures compare only with figures of the same size"
        )
    return asked


def _measured(
    plans: "list[CorruptionPlan]", names: list[str], models: list[Path], out: Path,
    baseline: "Evaluation | None",
) -> tuple[Any, str]:  # fmt: skip
    from train.corruptions.evaluation import evaluate_corruptions
    from train.corruptions.table import corruption_facts, corruption_text

    facts = []
    for plan, name, path in zip(plans, names, models, strict=True):
        model = plan.plan.opened.described(name, path)
        facts.append(corruption_facts(evaluate_corruptions(plan, model, out / name), baseline))
    return {"evaluations": facts}, "\n\n".join(map(corruption_text, facts))
