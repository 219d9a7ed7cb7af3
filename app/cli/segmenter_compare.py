"""`partlab segmenter compare`: any tool's predictions beside ours, on the same masks."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._plain import percent, table
from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported
from app.cli.segmenter_prompt_head import group as group
from partlab.counts import counted, few

NAMINGS = {"by_name": "by name", "mapped": "mapped names", "class_agnostic": "without names"}


@group.command()
def compare(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set with human masks.")],
    out: Annotated[Path, typer.Option("--out", help="The figures and the names' map, as JSON.")],
    predictions: Annotated[
        list[str] | None,
        typer.Option(help="COCO results, as FILE or zero-shot=FILE; may be repeated."),
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option(help="Run of ours beside them; may be repeated.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which split; val where there is one.", show_default=False)
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(help="COCO file that the predictions' ids are of, if not DATA's own."),
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="Table category,object,part of the models' names.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="For runs: cpu, cuda, …; the best there is.")
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Also published figures, never measured here.")
    ] = False,
    set: SetOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Measure any tool's predictions beside ours: by name, by mapped names and without names.

    How a model was trained stands before its file: [bold]in-domain=[/] on this kind of data,
    [bold]zero-shot=[/] on other data, [bold]joint=[/] on both. Each has a column of its own. Names
    that differ in case and signs alone are mapped; --names says others.

    [bold]--set[/] takes score_threshold, composite_threshold (0.5: for mIoU) and max_dets (100).

    Example: partlab segmenter compare parts --predictions zero-shot=sam.json --out compared.json
    """
    with reported(json) as ui:
        from partlab.config import load_config
        from segmenter.evaluate import EvaluationSettings
        from segmenter.others.files import compare_files

        found = compare_files(
            data, predictions or [], run or [], out, split=split, ids=ids, names=names,
            device=device, settings=load_config(EvaluationSettings, overrides=set or []),
            force=force,
        )  # fmt: skip
        ui.emit(found, _told(found, reference))


def _told(found: dict[str, Any], reference: bool) -> str:
    data, models = found["data"], found["models"]
    head = f"{data['path']} {data['split']}: {counted(found['images'], 'image')}, "
    head += f"{counted(found['masks'], 'mask')}. Percent."
    threshold = found["settings"]["composite_threshold"]
    shown = [head, "AP and AP50, of masks or boxes:", _table(models, _ap, NAMINGS)]
    shown += [f"Mean IoU of the composite, scores of at least {threshold:g}:"]
    shown += [_table([m for m in models if m["of"] == "masks"], _miou, ("by_name", "mapped"))]
    shown += [line for model in models for line in _names(model)]
    if reference:
        shown += [f"Published, not measured here ({found['references']['source']}):"]
        shown += [_published(found["references"]["rows"])]
    return "\n".join([*shown, f"kept in {found['file']}"])


def _columns(models: list[dict[str, Any]]) -> list[str]:
    from segmenter.others.compare import NOT_SAID, TRAINED

    unsaid = any(model["trained"] == NOT_SAID for model in models)
    return [*TRAINED, *([NOT_SAID] if unsaid else [])]


def _table(models: list[dict[str, Any]], cell: Any, namings: Any) -> str:
    columns = _columns(models)
    rows = [
        [
            model["name"],
            f"{NAMINGS[naming]}{', boxes' if model['of'] == 'boxes' else ''}",
            *(cell(model[naming]) if model["trained"] == column else "" for column in columns),
        ]
        for model in models
        for naming in namings
    ]
    return table(["", "", *columns], rows, words=2)


def _ap(scores: dict[str, Any]) -> str:
    return " / ".join(percent(scores.get(key)) for key in ("ap", "ap50"))


def _miou(scores: dict[str, Any]) -> str:
    return percent(scores["miou"])


def _names(model: dict[str, Any]) -> list[str]:
    names, count = model["names"], model["names"]["predictions"]
    said = [
        f"{len(names['map'][kind])} {words} ({count[kind]:,} predictions)"
        for kind, words in (("same", "the same"), ("alike", "alike"), ("table", "by the table"))
        if names["map"][kind]
    ]
    lines = [f"names of {model['name']}: {', '.join(said) or 'none is known here'}"]
    if names["left_out"]:
        lines.append(f"  left out, as told: {few(names['left_out'])} ({count['left_out']:,})")
    if names["unknown"]:
        lines.append(
            f"  not in the data set: {few(list(names['unknown']))} "
            f"({count['unknown']:,} predictions)"
        )
    return lines


def _published(rows: list[dict[str, Any]]) -> str:
    from segmenter.others.compare import TRAINED

    cells = [
        [row["name"], *(_ap(row[column]) if column in row else "" for column in TRAINED)]
        for row in rows
    ]
    return table(["", *TRAINED], cells)
