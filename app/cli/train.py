"""`partlab train …`: train a recognition model, see how it went, take it out."""

import logging
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._engine import EngineKind, EngineOpt, RayAddressOpt, RayWorkersOpt, training
from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported
from partlab.counts import counted

log = logging.getLogger(__name__)

group = typer.Typer(no_args_is_help=True, help="Recognition models: train, look, export.")

PicturesOpt = Annotated[
    list[Path] | None,
    typer.Option(
        help="Class-only pictures: a folder with one sub-folder per class, or a published list "
        "beside its pictures. Repeatable."
    ),
]


class Variant(StrEnum):
    """Of a recipe."""

    code = "code"
    text = "text"


@group.command()
def run(
    out: Annotated[Path, typer.Option("--out", help="Run folder, e.g. runs/mpm.")],
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="Named settings; partlab train recipes lists them. With --experiment, "
            "sitawarin_at unless named."
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            help="A part model of Berkeley by name, e.g. part-pooling-4-no_bg-semi; changes the "
            "recipe's model and masks."
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Part data set, or label-map file (.arrow). Repeatable."),
    ] = None,
    pseudo: Annotated[
        list[Path] | None, typer.Option(help="Pseudo-label store. Repeatable.")
    ] = None,
    images: PicturesOpt = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Kind, or KIND_BACKBONE: vanilla, mpm, mpm_resnet18, …; else the recipe's."
        ),
    ] = None,
    variant: Annotated[
        Variant, typer.Option(help="Where paper and released code disagree.")
    ] = Variant.code,
    split: Annotated[str, typer.Option(help="Split to train on (folders with several).")] = "train",
    val: Annotated[
        Path | None,
        typer.Option(
            help="Part data set to validate on; else the first --data that has the split val."
        ),
    ] = None,
    val_split: Annotated[
        str | None, typer.Option(help="Its split; val, where there is one.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML or JSON.")] = None,
    settings: SetOpt = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained on what, and stop.")
    ] = False,
    engine: EngineOpt = EngineKind.local,
    ray_address: RayAddressOpt = None,
    ray_workers: RayWorkersOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Train a recognition model; the same command again goes on with an unfinished run.

    Several GPUs: torchrun --nproc-per-node 2 --no-python partlab train run …

    Example: partlab train run small_at --data world --pseudo pseudo --model mpm --out runs/mpm
    """
    with reported(json) as ui:
        from app.training import maps_of_stores
        from train.train import plan_training, train_model

        recipe, named = _asked(recipe, experiment, model)
        given: dict[str, Any] = {
            "recipe": recipe,
            "variant": variant.value,
            "model": model,
            "plain": images or [],
            "split": split,
            "val": val,
            "val_split": val_split,
            "config_file": config,
            "overrides": [*named, *(settings or [])],
        }
        _tell_unread(given)
        sources = [*(data or []), *maps_of_stores(pseudo or [], out.parent / "label-maps")]
        if dry_run:
            plan = plan_training(sources, out, **given)
            ui.emit(plan, _planned(plan))
            return
        work = partial(train_model, sources, out, **given, device=device)
        train = training(engine, ray_address, ray_workers)
        summary = train(work, out, force=force)
        if summary:
            ui.emit(summary, _told(summary))


def _asked(recipe: str | None, experiment: str | None, model: str | None) -> tuple[str, list[str]]:
    """The recipe, and the settings that the name of an experiment changes in it."""
    from partlab.errors import ConfigError
    from train.experiments import parse_experiment, tell

    if experiment is None:
        if recipe is None:
            raise ConfigError("no recipe named", hint="partlab train recipes lists them")
        return recipe, []
    if model is not None:
        raise ConfigError(
            "--experiment and --model both name a model",
            hint="leave out --model; the encoder is --set model.backbone=resnet18",
        )
    found = parse_experiment(experiment)
    tell(found, experiment)
    return recipe or "sitawarin_at", found.overrides()


def _tell_unread(given: dict[str, Any]) -> None:
    """Say which of the settings given change nothing."""
    from train.train import training_settings
    from train.unread import told

    names = ("recipe", "variant", "model", "config_file", "overrides")
    settings = training_settings(*(given[name] for name in names))
    for sentence in told(settings, given["recipe"], given["variant"]):
        log.warning(sentence)


def _planned(plan: dict[str, Any]) -> str:
    tested = "none" if plan["val"] is None else f"{plan['val']:,} pictures"
    settings = [f"  {name} = {value}" for name, value in plan["settings"].items()]
    return "\n".join(
        [
            f"model:       {plan['model']}, {plan['parameters'] / 1e6:.2f} M parameters "
            f"({plan['inference_parameters'] / 1e6:.2f} M when it is used)",
            f"data:        {plan['pictures']}",
            f"validation:  {tested}",
            f"steps:       {plan['steps']:,} in {counted(plan['epochs'], 'epoch')}",
            "settings:",
            *settings,
        ]
    )


def _told(summary: dict[str, Any]) -> str:
    clean, pgd = summary["val_clean"], summary["val_pgd"]
    score = (
        ""
        if pgd is None
        else (f", best on validation: clean {100 * clean:.1f}, under PGD {100 * pgd:.1f} percent")
    )
    return (
        f"trained {summary['model']} for {counted(summary['epochs'], 'epoch')} on "
        f"{summary['pictures']:,} pictures of {summary['classes']} classes{score}\n"
        f"run:   {summary['run']}\n"
        f"next:  partlab train show {summary['run']}"
    )


@group.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="One recipe: all its settings.")] = None,
    json: JsonOpt = False,
) -> None:
    """List the recipes; of one, its settings, and where the paper's text and code disagree.

    Example: partlab train recipes pinpp_at
    """
    with reported(json) as ui:
        from train.recipes import RECIPES, described

        if name is None:
            rows = [described(each) for each in RECIPES]
            wide = max(len(row["name"]) for row in rows)
            lines = [f"{row['name']:<{wide}}  {row['about']} ({row['where']})" for row in rows]
            ui.emit(rows, "\n".join(lines))
            return
        found = described(name, settings=True)
        ui.emit(found, _recipe_told(found))


def _recipe_told(found: dict[str, Any]) -> str:
    lines = [f"{found['name']}: {found['about']} ({found['where']})", ""]
    lines += [f"  {key} = {value}" for key, value in found["settings"].items()]
    if found["differences"]:
        lines += ["", "The paper's text says otherwise (--variant text):"]
        lines += [f"  {key} = {text}" for key, (text, _) in found["differences"].items()]
    return "\n".join(lines)


@group.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    checkpoint: Annotated[str, typer.Option(help="best or last.")] = "best",
    onnx: Annotated[bool, typer.Option("--onnx", help="Also as ONNX, checked.")] = False,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Take the trained model out: the plain network, without what only training needs.

    Example: partlab train export runs/mpm --out mpm
    """
    with reported(json) as ui:
        from train.export import export_model

        card = export_model(run, out, checkpoint=checkpoint, onnx=onnx, force=force)
        ui.emit(card, f"{card['what']}\nmodel: {out}   (load it: train.load_model({str(out)!r}))")
