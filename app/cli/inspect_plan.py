"""`partlab inspect plan | audit | agreement`: sampling plans, likely errors, who agrees."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._origin import ModelOpt, ServerOpt, chosen
from app.cli._ui import ForceOpt, JsonOpt, Ui, reported, stdout
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.inspect.audit import Audit
    from annotate.inspect.plan import Plan
    from partlab.schema import Dataset

DataArg = Annotated[Path, typer.Argument(metavar="DATA|WORK", help="Part data set, or a work.")]
SplitOpt = Annotated[str | None, typer.Option("--split", help="Which split of the data set.")]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `inspect`."""
    group.command()(plan)
    group.command()(audit)
    group.command()(agreement)


def plan(
    size: Annotated[int, typer.Option(min=1, help="Images in a category.")] = 100,
    draw: Annotated[int, typer.Option(min=1, help="Images drawn at once by the single plan.")] = 10,
    reject_at: Annotated[int, typer.Option(min=1, help="Bad ones that reject it.")] = 2,
    name: Annotated[
        str | None,
        typer.Option("--plan", help="Only this one: paper, sequential, ranked, or a .json file."),
    ] = None,
    tune: Annotated[
        Path | None,
        typer.Option(help="Search its limits for this --size; write the plan to a new .json."),
    ] = None,
    auroc: Annotated[
        float, typer.Option(help="How good the audit's ranking is, for the ranked plan.")
    ] = 0.9,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves: a new .png or .svg.")] = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """What sampling plans let through, and how many images they cost (exact).

    Example: partlab inspect plan --size 100 --plot plans.png
    """
    with reported(json) as ui:
        from app.cli._inspect_tables import plan_json, plan_tables

        _must_be_free(tune, plot, force=force)
        plans = _plans(name, draw, reject_at)
        if tune is not None:
            plans = [_tuned(name, size, auroc, tune)]
        if plot is not None:
            from annotate.inspect.plot import plot_curves

            plot_curves(plans, plot, size=size, auroc=auroc, force=force)
        ui.emit(plan_json(plans, size, auroc))
        _show(ui, plan_tables(plans, size, auroc))


def _plans(name: str | None, draw: int, reject_at: int) -> "list[Plan]":
    from annotate.inspect.plan import PAPER, PLANS, get_plan, single

    usual = (draw, reject_at) == (10, 2)
    if name and not usual:
        raise ConfigError(
            "--draw and --reject-at make a plan of their own, --plan names one", hint="choose one"
        )
    if name:
        return [get_plan(name)]
    first = PAPER if usual else single(draw, reject_at, f"{draw} at once")
    return [first, *(plan for plan in PLANS.values() if plan is not PAPER)]


def _tuned(name: str | None, size: int, auroc: float, out: Path) -> "Plan":
    from annotate.inspect.design import Goal
    from annotate.inspect.design import tune as search
    from annotate.inspect.plan import get_plan
    from partlab.files import write_json

    if name is None:
        raise ConfigError("no plan is named whose limits are to be searched", hint="give --plan")
    if out.suffix.lower() != ".json":
        raise ConfigError(f"{out.name}: a plan is written as .json", hint=f"{out.stem}.json")
    found = search(get_plan(name), Goal(size=size, auroc=auroc))
    plan = found.model_copy(update={"name": out.stem})
    write_json(out, plan.model_dump(mode="json", exclude_defaults=True))
    return plan


def _show(ui: Ui, pieces: list[Any]) -> None:
    for piece in [] if ui.json else pieces:
        stdout.print(piece, markup=False)


def audit(
    data: DataArg,
    predictions: Annotated[
        Path | None, typer.Option(help="Pseudo labels of the same images, exported as COCO.")
    ] = None,
    segmenter: Annotated[
        Path | None, typer.Option(help="Or a segmenter's run, which looks at the images now.")
    ] = None,
    server: ServerOpt = None,
    model: ModelOpt = None,
    split: SplitOpt = None,
    out: Annotated[Path | None, typer.Option(help="Write every image's score, as JSON.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many images to show.")] = 20,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw them, with what was found if known: a new .png.")
    ] = None,
    plant: Annotated[
        float | None,
        typer.Option(help="Instead, spoil this share of the images and see if they are found."),
    ] = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Rank the images by how likely their annotations are wrong.

    Of a work its newest rounds, accepted or not; it is kept there, and `inspect sample` shows the
    likely wrong images first. With none of --predictions, --segmenter and --server only the sizes
    of parts are judged.

    Example: partlab inspect audit world --split val --segmenter runs/seg --sheet suspects.png
    """
    with reported(json) as ui:
        from annotate.inspect.audit import audit as rank
        from annotate.inspect.dataset import as_folder
        from app.cli._inspect_tables import audit_tables

        _must_be_free(out, sheet, force=force)
        if split is not None and (data / "work.json").is_file():
            raise ConfigError(f"{data} is a work, which has no splits", hint="leave --split out")
        asked = (segmenter, server, model)
        with as_folder(data, pictures=any((*asked, sheet))) as folder:
            drawn, found = _both(folder, split, predictions, asked)
            if plant is not None:
                return _plant(ui, drawn, found, plant)
            told = rank(drawn, found)
            _keep(ui, told, drawn, found, (out, sheet), top)
        kept = _kept_in_work(data, told)
        ui.emit(told.as_json())
        return _show(ui, [*audit_tables(told, top, found is not None), *kept])


def _kept_in_work(data: Path, told: "Audit") -> list[str]:
    """Keep the audit where a work is audited, and say what for."""
    from annotate.inspect.suspicion import keep_audit
    from annotate.work import Work
    from partlab.folders import is_work

    if not is_work(data):
        return []
    with Work.open(data) as work:
        kept = keep_audit(work, told)
    return [f"kept in {kept}: `partlab inspect sample` shows the likely wrong images first"]


def _must_be_free(*paths: Path | None, force: bool) -> None:
    from partlab.files import need_new_file

    for path in paths:
        if path is not None:
            need_new_file(path, force=force)


def _both(
    data: Path,
    split: str | None,
    predictions: Path | None,
    asked: tuple[Path | None, str | None, str | None],
) -> "tuple[Dataset, Dataset | None]":
    """What was drawn, and what a network found; `asked` is what `chosen` takes."""
    from app.prelabel import found_by
    from partlab.coco import read_dataset

    by_network = any(asked)
    if predictions and by_network:
        raise ConfigError(
            "--predictions, --segmenter and --server exclude each other", hint="give one"
        )
    drawn = read_dataset(data, split)
    if by_network:
        return drawn, found_by(chosen(*asked), data, split)
    return drawn, _other(predictions, split, "--predictions ") if predictions else None


def _other(path: Path, split: str | None, option: str = "") -> "Dataset":
    """A second data set: its split of the same name, or its only one; --split is the first's.

    Raises:
        NotFoundError: it has several others; the hint names one by its file.
    """
    from partlab.coco import find_splits, read_coco
    from partlab.errors import NotFoundError

    found = find_splits(path)
    if split in found or len(found) == 1:
        return read_coco(found[split] if split in found else next(iter(found.values())))
    which = f"and none of them is {split}" if split else "and the first data set has one"
    example = next(iter(found.values()))
    raise NotFoundError(
        f"{path} has several splits ({', '.join(found)}), {which}",
        hint=f"name the file of the one you mean, such as {option}{example}",
    )


def _keep(
    ui: Ui,
    told: "Audit",
    drawn: "Dataset",
    found: "Dataset | None",
    outputs: tuple[Path | None, Path | None],
    top: int,
) -> None:
    from annotate.draw.sheet import save_png
    from annotate.inspect.audit_sheet import audit_sheet
    from partlab.files import write_json

    out, sheet = outputs
    if out is not None:
        write_json(out, told.as_json())
    if sheet is not None:
        picture = audit_sheet(drawn, found, told.suspects[:top])
        save_png(picture, sheet, force=True)


def _plant(ui: Ui, drawn: "Dataset", found: "Dataset | None", share: float) -> None:
    from dataclasses import asdict

    from annotate.inspect.plant import measure
    from app.cli._inspect_tables import plant_tables

    trial = measure(drawn, found, share=share)
    ui.emit(asdict(trial))
    _show(ui, plant_tables(trial))


def agreement(
    a: Annotated[Path, typer.Argument(metavar="FIRST", help="Part data set: folder or COCO file.")],
    b: Annotated[
        Path, typer.Argument(metavar="SECOND", help="The same images, drawn by somebody else.")
    ],
    split: SplitOpt = None,
    parts: Annotated[bool, typer.Option("--parts", help="Every part, not only objects.")] = False,
    json: JsonOpt = False,
) -> None:
    """How far the masks of two data sets agree, part by part.

    Example: partlab inspect agreement first-round second-round --parts
    """
    with reported(json) as ui:
        from annotate.inspect.agreement import compare
        from app.cli._inspect_tables import agreement_tables
        from partlab.coco import read_dataset

        other = _other(b, split)
        found = compare(read_dataset(a, split), other)
        ui.emit(found.as_json())
        _show(ui, agreement_tables(found, parts))
