"""`partlab evaluate make-set`: other pictures made of one's own, to see what a model goes by."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, Ui, reported
from app.cli.evaluate import ListOpt, SplitOpt

if TYPE_CHECKING:
    from train.ood.making import Recipe
    from train.ood.sources import Sources

made = typer.Typer(
    no_args_is_help=True,
    help="Make a set from a part data set: corrupted, on other backgrounds, of other texture.",
)
PartsArg = Annotated[Path, typer.Argument(metavar="DATA", help="A part data set.")]
OutOpt = Annotated[Path, typer.Option(help="The new folder.")]
SeedOpt = Annotated[int, typer.Option(min=0, help="Of what is drawn.")]
WorkersOpt = Annotated[
    int, typer.Option(min=0, help="Processes that make pictures; 0: this one.")
]  # they change no byte
NotInOpt = Annotated[
    str, typer.Option("--not-in", help="No picture that this split has too, or none.")
]


def register(group: typer.Typer) -> None:
    """Add these commands to the group `evaluate`."""
    group.add_typer(made, name="make-set")


@made.command()
def corrupt(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set or folder by class.")],
    out: OutOpt,
    split: SplitOpt = "val",
    list_: ListOpt = None,
    types: Annotated[
        str | None, typer.Option(help="With commas: fog,snow; all 15 unless given.")
    ] = None,
    severities: Annotated[str, typer.Option(help="With commas, of 1 to 5.")] = "1,2,3,4,5",
    size: Annotated[int, typer.Option(help="Pixels a side; ImageNet-C is defined at 224.")] = 224,
    jpeg: Annotated[int, typer.Option(help="Quality of the files; 85 as published.")] = 85,
    workers: WorkersOpt = 0,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """The 15 common corruptions as files, corruption/severity/class/picture.

    Example: partlab evaluate make-set corrupt world --split heldout --out world-c
    """
    with reported(json) as ui:
        import tempfile

        from app.cli.evaluate_corruptions import numbers_of, words_of
        from train.corruptions import CORRUPTIONS
        from train.evaluate.shown import chosen_of, open_data
        from train.ood.corrupted import Corrupted

        with tempfile.TemporaryDirectory() as cache:
            pictures = open_data(data, split, Path(cache))
            which, asked = chosen_of(pictures, list_), words_of(types) or CORRUPTIONS
            recipe = Corrupted(pictures, which, size, jpeg, asked, numbers_of(severities))
            _make(ui, recipe, out, workers, force, data)


@made.command()
def spurious(
    data: PartsArg,
    out: OutOpt,
    split: SplitOpt = "val",
    not_in: NotInOpt = "train",
    seed: SeedOpt = 0,
    smallest: Annotated[int, typer.Option(min=1, help="Pixels of an object's long side.")] = 48,
    workers: WorkersOpt = 0,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Objects on the background of another class, as ImageNet-9 mixes them.

    Example: partlab evaluate make-set spurious world --split heldout --out world-mixed
    """
    with reported(json) as ui:
        from train.ood.spurious import Spurious

        recipe = Spurious(_sources(data, split, not_in, smallest), seed)
        _make(ui, recipe, out, workers, force, data)


@made.command()
def texture(
    data: PartsArg,
    out: OutOpt,
    split: SplitOpt = "val",
    not_in: NotInOpt = "train",
    seed: SeedOpt = 0,
    smallest: Annotated[int, typer.Option(min=1, help="Pixels of an object's long side.")] = 48,
    square: Annotated[
        int, typer.Option(min=8, help="Pixels a side that a piece of texture must have.")
    ] = 40,
    workers: WorkersOpt = 0,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Outlines of one class filled with the texture of another: shape or texture?

    Example: partlab evaluate make-set texture world --split heldout --out world-texture
    """
    with reported(json) as ui:
        from train.ood.texture import Texture

        recipe = Texture(_sources(data, split, not_in, smallest), seed, square)
        _make(ui, recipe, out, workers, force, data)


def _sources(data: Path, split: str | None, not_in: str, smallest: int) -> "Sources":
    from train.ood.sources import open_sources

    training = None if not_in == "none" else not_in
    return open_sources(data, split, training=training, smallest=smallest)


def _make(ui: Ui, recipe: "Recipe", out: Path, workers: int, force: bool, data: Path) -> None:
    from train.ood.making import make_set

    facts = make_set(recipe, out, workers=workers, force=force, inputs=[data])
    ui.emit({"out": str(out), **facts}, _told(facts, out))


def _told(facts: dict[str, Any], out: Path) -> str:
    counts = facts["per_class"].values()
    lines = [
        f"{out}: {facts['pictures']:,} pictures of {len(counts)} classes, {min(counts):,} to "
        f"{max(counts):,} of each, sha256 {facts['sha256'][:12]}"
    ]
    lines += [f"left out: {number:,} {why}" for why, number in facts["left_out"].items()]
    if facts["settings"].get("not_in", "") is None:
        lines.append("nothing was compared with pictures of training")
    return "\n".join(lines)
