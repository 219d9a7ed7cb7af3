"""`partlab evaluate parts` and `panel`: what part models find, as masks and as boxes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._plain import wide_table
from app.cli._ui import ForceOpt, JsonOpt, reported
from app.cli.evaluate import CheckpointOpt, DeviceOpt

EpsOpt = Annotated[str, typer.Option(help="How far a colour in 0…1 may be moved, linf.")]
StepsOpt = Annotated[int, typer.Option(min=0, help="Of PGD on the class; 0: no attack.")]
SplitOpt = Annotated[str | None, typer.Option(help="Which split of the part data set.")]
BatchOpt = Annotated[int, typer.Option(min=1, help="Pictures at once.")]


def register(group: typer.Typer) -> None:
    """Add both commands to the group `evaluate`."""
    group.command("parts")(parts)
    group.command("panel")(panel)


def parts(
    places: Annotated[
        list[Path], typer.Argument(metavar="RUN... DATA", help="Runs of part models; the data.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results, one sub-folder a run.")],
    split: SplitOpt = "val",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only this many pictures, evenly spread.")
    ] = None,
    eps: EpsOpt = "8/255",
    steps: StepsOpt = 20,
    batch: BatchOpt = 25,
    seed: Annotated[int, typer.Option(help="Of the attack.")] = 0,
    reference: Annotated[
        bool, typer.Option(help="Also the published rows (Hingun 2023, Tables 2.2 and 2.3).")
    ] = True,
    checkpoint: CheckpointOpt = "best",
    device: DeviceOpt = None,
    json: JsonOpt = False,
) -> None:
    """Pixel accuracy, mIoU, box AP and accuracy of part models, clean and under PGD, in one table.

    Masks become boxes and boxes masks, so segmenters and detectors are measured alike. A run that
    is measured already is not measured again.

    Example: partlab evaluate parts runs/pooling runs/seq world --out parts --steps 20
    """
    with reported(json) as ui:
        from partlab.errors import ConfigError
        from train.evaluate.opened import names_of
        from train.part_scores.evaluate import Manner, measure_parts

        if len(places) < 2:
            raise ConfigError(
                "name runs, and then the data", hint="partlab evaluate parts RUN DATA --out DIR"
            )
        *runs, data = places
        manner = Manner(split, limit, _number(eps), steps, batch, seed, checkpoint)
        names = names_of(runs)
        found = {
            name: measure_parts(run, data, out / name, manner, device)
            for name, run in zip(names, runs, strict=True)
        }
        ui.emit(found, _told(found, out, reference))


def _number(text: str) -> float:
    from train.evaluate.threats import Threat

    return Threat.parse(f"linf:{text}").eps


def _told(found: dict[str, dict[str, Any]], out: Path, reference: bool) -> str:
    from train.part_scores import table as told

    rows = [told.ours(name, record) for name, record in found.items()]
    pictures = ", ".join(f"{name}: {record['pictures']:,}" for name, record in found.items())
    lines = [told.note(list(found.values())), f"Pictures with masks: {pictures}."]
    if reference:
        rows += told.published()
        lines.append(told.PUBLISHED)
    return "\n".join([wide_table(list(told.HEAD), rows), *lines, f"kept in {out}"])


def panel(
    places: Annotated[
        list[Path],
        typer.Argument(metavar="RUN... DATA", help="A segmenter's run, a detector's, or both."),
    ],
    out: Annotated[Path, typer.Option(help="The picture, .png.")],
    split: SplitOpt = "val",
    pictures: Annotated[int, typer.Option(min=1, max=12, help="Columns.")] = 4,
    eps: EpsOpt = "8/255",
    steps: StepsOpt = 0,
    seed: Annotated[int, typer.Option(help="Of the attack.")] = 0,
    checkpoint: CheckpointOpt = "best",
    device: DeviceOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Six rows: true boxes, true masks, a segmenter's masks and their boxes, a detector's best
    10 boxes and their masks. With --steps, as the models see the pictures under PGD.

    Example: partlab evaluate panel runs/pooling runs/seq world --out panel.png --steps 20
    """
    with reported(json) as ui:
        from partlab.errors import ConfigError
        from partlab.files import need_new_file

        if not 2 <= len(places) <= 3:
            raise ConfigError(
                "name one run or two, and then the data",
                hint="partlab evaluate panel SEGMENTER DETECTOR DATA --out panel.png",
            )
        need_new_file(out, force=force)
        from annotate.draw.sheet import save_png
        from train.part_scores.evaluate import Manner
        from train.part_scores.shown import make_panel

        *runs, data = places
        manner = Manner(split, pictures, _number(eps), steps, pictures, seed, checkpoint)
        drawn = make_panel(runs, data, manner, out.parent / ".label-maps", device)
        save_png(drawn, out, force=force)
        ui.emit({"picture": str(out), "size": list(drawn.size)}, f"picture: {out}")
