"""`partlab evaluate honesty` and `partlab evaluate transfer`: may robust figures be believed?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import JsonOpt, reported
from app.cli.evaluate import CheckpointOpt
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from train.attacks.ball import Ball
    from train.honesty.finding import Honesty
    from train.honesty.transfer import Transfer

DataArg = Annotated[Path, typer.Argument(metavar="DATA", help="Part data set.")]
ThreatOpt = Annotated[str, typer.Option(help="linf or l2, and ε: linf:4/255, l2:2.")]
SplitOpt = Annotated[str, typer.Option(help="Split of the data set.")]
SeedOpt = Annotated[int, typer.Option(help="Of the pictures drawn and of the attacks.")]
DeviceOpt = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …")]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `evaluate`."""
    group.command()(honesty)
    group.command()(transfer)


def honesty(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    data: DataArg,
    threat: ThreatOpt = "linf:4/255",
    split: SplitOpt = "val",
    images: Annotated[int, typer.Option(help="Pictures to check it on.")] = 64,
    seed: SeedOpt = 0,
    checkpoint: CheckpointOpt = "best",
    keep_in: Annotated[
        Path | None,
        typer.Option(help="Evaluation of the same weights whose record and report show it too."),
    ] = None,
    device: DeviceOpt = None,
    json: JsonOpt = False,
) -> None:
    """Whether a model hides its gradients: what to run before any robust figure.

    Some 330 passes over the pictures. Ends with exit code 1 if anything was found.

    Example: partlab evaluate honesty runs/mpm world --threat linf:4/255
    """
    with reported(json) as ui:
        from train.honesty.runs import check_run, record_into

        if keep_in:
            record_into(keep_in, run, checkpoint, None)
        found = check_run(
            run,
            data,
            _ball(threat),
            split=split,
            images=images,
            seed=seed,
            checkpoint=checkpoint,
            device=device,
        )
        if keep_in:
            record_into(keep_in, run, checkpoint, found)
        ui.emit(found.as_json(), _honesty_told(found))
    if not found.ok:
        raise typer.Exit(1)


def _honesty_told(found: "Honesty") -> str:
    from train.honesty.finding import sentences

    said = "nothing speaks against its robust figures"
    if not found.ok:
        said = "its robust figures are not to be believed as they stand"
    return "\n".join(
        [
            *sentences(found.findings),
            f"{found.right} of {found.images} pictures were right and checked with {found.threat}, "
            f"{found.forwards:,} passes of one picture, {found.seconds:.0f} s: {said}",
        ]
    )


def transfer(
    places: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN... DATA", help="Two runs or more, then the data set."),
    ],
    threat: ThreatOpt = "linf:4/255",
    split: SplitOpt = "val",
    images: Annotated[int, typer.Option(help="Pictures to attack.")] = 200,
    steps: Annotated[int, typer.Option(help="Of PGD.")] = 20,
    seed: SeedOpt = 0,
    device: DeviceOpt = None,
    json: JsonOpt = False,
) -> None:
    """Adversarial images made on each model, tried on every other.

    Ends with exit code 1 if another model's images break more of a model than its own attack.

    Example: partlab evaluate transfer runs/vanilla runs/mpm world
    """
    with reported(json) as ui:
        if len(places) < 3:
            raise ConfigError(
                "a transfer matrix needs two runs or more, and then a data set",
                hint="partlab evaluate transfer runs/vanilla runs/mpm world",
            )
        from train.honesty.runs import transfer_of_runs

        *runs, data = places
        given: dict[str, Any] = {"split": split, "images": images, "steps": steps}
        found = transfer_of_runs(runs, data, _ball(threat), **given, seed=seed, device=device)
        ui.emit(found.as_json(), _transfer_told(found))
    if not all(each.ok for each in found.findings):
        raise typer.Exit(1)


def _transfer_told(found: "Transfer") -> str:
    from train.honesty.finding import sentences

    wide = max(12, *(len(name) for name in found.names)) + 2
    head = "made on".ljust(wide) + "".join(name.rjust(wide) for name in found.names)
    rows = [("(clean)", found.clean.mean(1))]
    rows += list(zip(found.names, found.accuracy, strict=True))
    table = [
        name.ljust(wide) + "".join(f"{100 * share:.1f} %".rjust(wide) for share in shares)
        for name, shares in rows
    ]
    return "\n".join([head, *table, "", *sentences(found.findings)])


def _ball(threat: str) -> "Ball":
    """The ball that `linf:4/255` names; what the checks cannot be made with is refused."""
    from train.evaluate.threats import Threat

    found = Threat.parse(threat)
    if found.norm == "l1":
        raise ConfigError(
            f"threat {threat!r} cannot be checked: PGD has no l1 form here",
            hint="check linf:4/255 or l2:2; a gradient that is hidden there is hidden under l1 too",
        )
    if not found.eps:
        raise ConfigError(
            f"threat {threat!r} cannot be checked: nothing may change",
            hint="a radius above 0: linf:4/255, l2:2",
        )
    return found.ball
