"""`partlab evaluate honesty` and `partlab evaluate transfer`: may robust figures be believed?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._ui import JsonOpt, reported
from app.cli.evaluate import CheckpointOpt, DeviceOpt, SplitOpt
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from train.attacks.ball import Ball
    from train.honesty.finding import Honesty
    from train.honesty.transfer import Transfer

_MODEL = "A run folder, an exported model, or a folder with others' weights and a card."
DataArg = Annotated[
    Path, typer.Argument(metavar="DATA", help="A part data set, or a folder by class.")
]
ThreatOpt = Annotated[str, typer.Option(help="linf or l2, and ε: linf:4/255, l2:2.")]
SeedOpt = Annotated[int, typer.Option(help="Of the pictures drawn and of the attacks.")]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `evaluate`."""
    group.command()(honesty)
    group.command()(transfer)


def honesty(
    model: Annotated[Path, typer.Argument(metavar="RUN", help=_MODEL)],
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
        from train.evaluate.opened import open_model
        from train.honesty.models import Looked, check_model

        ball = _ball(threat)
        opened = open_model(model, checkpoint=checkpoint, device=device)
        looked = Looked(data, cache_of(model), split, images, seed)
        found = check_model(opened, looked, ball, keep_in=keep_in)
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
        typer.Argument(
            metavar="RUN RUN... DATA",
            help="Two models or more, as of partlab evaluate, then the data.",
        ),
    ],
    threat: ThreatOpt = "linf:4/255",
    split: SplitOpt = "val",
    images: Annotated[int, typer.Option(help="Pictures to attack.")] = 200,
    steps: Annotated[int, typer.Option(help="Of PGD.")] = 20,
    seed: SeedOpt = 0,
    checkpoint: CheckpointOpt = "best",
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
                "a transfer matrix needs two models or more, and then the data",
                hint="partlab evaluate transfer runs/vanilla runs/mpm world",
            )
        from train.honesty.models import Looked, transfer_of

        *models, data = places
        looked = Looked(data, cache_of(models[0]), split, images, seed)
        found = transfer_of(
            models, looked, _ball(threat), steps=steps, checkpoint=checkpoint, device=device
        )
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


def cache_of(model: Path) -> Path:
    """Where label maps are kept: beside the model, as training keeps them."""
    return model.resolve().parent / "label-maps"


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
