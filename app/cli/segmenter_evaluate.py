"""`partlab segmenter evaluate`: mask AP and pixel scores with and without the category filter."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._plain import percent, table
from app.cli._ui import JsonOpt, SetOpt, reported
from app.cli.segmenter import group as group

OVERALL = {
    "ap": "mask AP",
    "ap50": "mask AP50",
    "ap75": "mask AP75",
    "pixel_accuracy": "pixel accuracy (all pixels)",
    "foreground_pixel_accuracy": "pixel accuracy (parts only)",
    "miou": "mIoU of the composite",
    "part_miou": "mIoU without background",
    "boundary_iou": "boundary IoU of the composite",
}
WAYS = {"without_cf": "without CF", "with_cf": "with CF"}
SHORT = {"without_cf": "", "with_cf": "+CF"}


@group.command()
def evaluate(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folder of each segmenter.")
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set with human masks.")],
    split: Annotated[
        str | None, typer.Option(help="Which split; val where there is one.", show_default=False)
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="best or last.")] = "best",
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, …; the best there is.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only this many images, evenly spread.", show_default=False),
    ] = None,
    per_part: Annotated[bool, typer.Option("--per-part", help="Also a row for each part.")] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Also the published figures (Table 5).")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File of a comparison; else in the first run.", show_default=False),
    ] = None,
    set: SetOpt = None,
    json: JsonOpt = False,
) -> None:
    """Measure a segmenter on human masks, with and without the category filter in one pass.

    Several runs are compared in one table, with the filter: scores, cost, and how far each is
    from the first run, with an interval over images.

    The table is in percent, the JSON in shares of 1. The result is kept in the run folder as
    evaluation-<data>-<split>.json.

    [bold]--set[/] takes score_threshold (0.001: detections that AP ranks), composite_threshold
    (0.5: detections in the composite), max_dets (100) and batch_size (4).

    Example: partlab segmenter evaluate runs/seg-parts parts --split val --per-part
    """
    with reported(json) as ui:
        from partlab.config import load_config
        from segmenter.evaluate import EvaluationSettings
        from segmenter.evaluation_file import evaluate_run

        settings = load_config(EvaluationSettings, overrides=set or [])
        how: Any = {"split": split, "checkpoint": checkpoint, "device": device, "limit": limit}
        if len(runs) > 1:
            from app.cli._compared import compared
            from segmenter.comparison import compare_runs

            both = compare_runs(runs, data, out=out, settings=settings, **how)
            ui.emit(both, compared(both, per_part=per_part))
            return
        found = evaluate_run(runs[0], data, settings=settings, **how)
        ui.emit(found, _tables(found, per_part=per_part, reference=reference))


def _tables(found: dict[str, Any], *, per_part: bool, reference: bool) -> str:
    data = found["data"]
    head = f"{found['run']} ({found['checkpoint']}) on {data['path']} {data['split']}: "
    head += f"{found['images']} images, {found['images_per_second']:g}/s. Percent."
    shown = [head, _overall(found), _rows(found["per_object"], ["object"])]
    if per_part:
        shown.append(_rows(found["per_part"], ["object", "part"]))
    if reference:
        shown.append(_published())
    return "\n".join([*shown, f"kept in {found['file']}"])


def _overall(found: dict[str, Any]) -> str:
    ways = [*WAYS, "difference"]
    rows = [[title, *(percent(found[w][key], w) for w in ways)] for key, title in OVERALL.items()]
    rows.append(["detections", *(f"{found[way]['detections']:,}" for way in WAYS), ""])
    return table(["", *WAYS.values(), "difference"], rows)


def _rows(records: list[dict[str, Any]], names: list[str]) -> str:
    columns = [(way, key) for way in WAYS for key in ("ap", "ap50", "ap75")]
    head = [*names, "masks", *(key.upper() + SHORT[way] for way, key in columns)]
    rows = [
        [
            *(record[name] for name in names),
            str(record["masks"]),
            *(percent(record[way][key]) for way, key in columns),
        ]
        for record in records
        if record["masks"]
    ]
    return table(head, rows, words=len(names))


def _published() -> str:
    from segmenter.evaluation_file import TABLE_5

    rows = [
        [OVERALL[key], *(percent(TABLE_5[way][key]) for way in WAYS)]  # type: ignore[index]
        for key in ("ap", "ap50")
    ]
    title = f"Published, not measured here, other data and network ({TABLE_5['source']}):"
    return "\n".join([title, table(["", *WAYS.values()], rows)])
