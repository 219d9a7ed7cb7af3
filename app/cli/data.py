"""`partlab data …`: make, look at and divide part data sets."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, Ui, reported
from partlab.counts import counted

group = typer.Typer(no_args_is_help=True, help="Part data sets: make, check, convert, look at.")


@group.command("make-world")
def make_world(
    out: Annotated[Path, typer.Option(help="New folder for the world.")],
    images: Annotated[int, typer.Option(help="Pictures in train and val together.")] = 700,
    per_object: Annotated[
        int | None, typer.Option(help="The same, for each object category.", show_default=False)
    ] = None,
    pool: Annotated[int, typer.Option(help="Pictures that only say their object.")] = 280,
    heldout: Annotated[int, typer.Option(help="Pictures kept apart for measuring.")] = 140,
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 192,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    hint: Annotated[
        str, typer.Option(help="What else tells the object: none, background or texture.")
    ] = "none",
    objects: Annotated[
        str,
        typer.Option(help="Object categories, by comma; all when left out.", show_default=False),
    ] = "",
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Draw the procedural part world: pictures with exact part masks.

    Parts have twins in other object categories, so that only the known object tells them
    apart.

    Example: partlab data make-world --out world --per-object 60 --seed 0
    """
    with reported(json) as ui:
        from annotate.world import KINDS, WorldConfig
        from annotate.world import make_world as draw
        from partlab.config import validate

        names = tuple(name.strip() for name in objects.split(",") if name.strip())
        if per_object is not None:
            images = per_object * (len(names) or len(KINDS))
        values: dict[str, Any] = {"images": images, "pool": pool, "heldout": heldout, "size": size}
        values |= {"seed": seed, "hint": hint, "objects": names}
        config = validate(WorldConfig, values, "the command line")
        counts = draw(out, config, force=force)
        ui.emit(
            {"out": out, "images": counts},
            f"{out}: " + ", ".join(f"{n} {s}" for s, n in counts.items()),
        )


@group.command()
def stats(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="Data sets, or works.")],
    split: Annotated[
        str | None, typer.Option(help="Only this split; else all together.", show_default=False)
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Add the published rows, marked as such.")
    ] = False,
    coverage: Annotated[
        bool,
        typer.Option("--coverage", help="How much of each object its parts cover, worst first."),
    ] = False,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also balance, provenance, licences, each object; people and hours of a work.",
        ),
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Count objects, parts, images and masks, with both densities, in one table.

    With --all also balance, inclusions, origins and licences, and each object category; of an
    annotation work, or what was exported from one, people, hours, rounds, rejections, discards.

    Example: partlab data stats world --reference
    """
    with reported(json) as ui:
        from dataclasses import asdict

        from annotate.data.effort import PUBLISHED
        from annotate.data.statistics import REFERENCE_BINS, REFERENCES, measure
        from annotate.inspect.dataset import read_all

        read = {str(path): read_all(path, split) for path in data}
        found = [measure(datasets, name) for name, datasets in read.items()]
        covers = _coverage(read, ui) if coverage else {}
        if not json:
            return _print_statistics(found, covers, reference=reference, every=every)
        result: dict[str, Any] = {"datasets": [asdict(row) for row in found]}
        if reference:
            result["published"] = [asdict(row) for row in REFERENCES]
            result["published_bins"] = REFERENCE_BINS
            result["published_effort"] = PUBLISHED
        if coverage:
            result["coverage"] = {name: asdict(one) for name, one in covers.items()}
        return ui.emit(result)


def _coverage(read: dict[str, Any], ui: Ui) -> dict[str, Any]:
    from annotate.data.coverage import measure_coverage

    return {name: measure_coverage(datasets) for name, datasets in read.items()}


def _print_statistics(
    found: list[Any], covers: dict[str, Any], *, reference: bool, every: bool
) -> None:
    from rich.console import Console

    from app.cli import _tables

    width = None if Console().is_terminal else 120  # a pipe tells no width
    console = Console(highlight=False, width=width)
    console.print(_tables.comparison(found, reference=reference))
    if every:
        console.print(_tables.part_bins(found, reference=reference))
    for row in found if every else ():
        console.print(*_tables.details(row), *_tables.effort_tables(row, reference=reference))
    for name, one in covers.items():
        console.print(*_tables.coverage_tables(name, one))


@group.command()
def split(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set.")],
    out: Annotated[Path, typer.Option(help="New folder for train and val.")],
    protocol: Annotated[
        str, typer.Option(help="seeded, first90 (file order) or recognition (all train).")
    ] = "seeded",
    ratio: Annotated[float, typer.Option(help="Share of train in each category.")] = 0.9,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same split.")] = 0,
    split: Annotated[
        str | None,
        typer.Option(help="Which split to divide, if DATA has several.", show_default=False),
    ] = None,
    together: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=20,
            help="Keep pictures that look the same, to so many of 64 bits (6 is usual), together.",
            show_default=False,
        ),
    ] = None,
    look: Annotated[
        bool, typer.Option(help="Look whether pictures of val look like one of train.")
    ] = True,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Divide a data set into train and val inside each object category, whole images only.

    Pictures stay where they are; the new files name their folder. Pictures of val that look like
    one of train are counted: their masks would tell too much of a model.

    Example: partlab data split world --split train --out world-split --seed 1
    """
    with reported(json) as ui:
        from annotate.data.split import look_alikes, split_dataset, write_splits
        from annotate.data.stale import marked
        from partlab.coco import read_dataset
        from partlab.folders import need_free

        whole = marked(read_dataset(data, split))
        parts = split_dataset(whole, protocol, ratio=ratio, seed=seed, together=together)
        about: dict[str, Any] = {"source": str(data), "split": split}
        about |= {"protocol": protocol, "ratio": ratio, "seed": seed}
        about |= {} if together is None else {"together": together}
        need_free(out, force=force, inputs=[data])  # before pictures are looked at
        leaks = look_alikes(parts) if look else {"not_compared": "not asked for (--no-look)"}
        counts = write_splits(parts, out, about | {"look_alike": leaks}, force=force)
        text = ", ".join(f"{count} {name}" for name, count in counts.items())
        told = {"out": out, "images": counts, "look_alike": leaks}
        ui.emit(told, "\n".join([f"{out}: {text}", *_leaks(leaks)]))


def _leaks(found: dict[str, Any]) -> list[str]:
    """What a person must know of pictures of val that look like training pictures."""
    if why := found.get("not_compared"):
        return [f"whether pictures of val look like those of train was not looked at: {why}"]
    lines = []
    if pairs := found.get("pairs"):
        first = pairs[0]
        pictures = counted(len(pairs), "picture of val looks", "pictures of val look")
        lines.append(
            f"LEAK: {pictures} like one of train (first: {first['val']} like {first['train']}); "
            "--together 6 keeps such pictures on one side"
        )
    if unseen := found.get("not_looked_at"):
        lines.append(f"not compared: {counted(unseen, 'picture')} unreadable or of one colour")
    return lines


@group.command()
def sample(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Folder with a sub-folder per object, or data set."),
    ],
    out: Annotated[Path, typer.Option(help="New folder for the manifest.")],
    per_object: Annotated[int, typer.Option(help="Images of each object category.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same images.")] = 0,
    split: Annotated[
        str | None, typer.Option(help="Which split, if it has several.", show_default=False)
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(help="Split the images come from, for the record.", show_default=False),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the pictures to OUT/images.")] = False,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Choose N random images of each object category; writes OUT/manifest.json with hashes.

    Example: partlab data sample photos --per-object 100 --seed 0 --origin train --out chosen
    """
    with reported(json) as ui:
        from annotate.data.sample import sample_images
        from partlab.files import read_json

        chosen = sample_images(
            source,
            out,
            per_object=per_object,
            seed=seed,
            split=split,
            origin_split=origin,
            copy=copy,
            force=force,
        )
        objects = len({one.object for one in chosen})
        unreadable = read_json(out / "manifest.json")["unreadable"]
        result = {"out": out, "images": len(chosen), "objects": objects, "unreadable": unreadable}
        kinds = counted(objects, "object category", "object categories")
        text = f"{out}: {counted(len(chosen), 'image')} of {kinds}"
        passed = f"; {len(unreadable)} unreadable passed over" if unreadable else ""
        ui.emit(result, text + passed)


@group.command()
def show(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Part data set.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")],
    image: Annotated[
        str | None,
        typer.Option(help="This image: its file name, or the end of it.", show_default=False),
    ] = None,
    object: Annotated[
        str | None, typer.Option(help="Only this object category.", show_default=False)
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="Only this part (or object:part).", show_default=False)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only this split; else all.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="At most so many images.")] = 12,
    columns: Annotated[
        int | None, typer.Option(min=1, help="Images in a row.", show_default=False)
    ] = None,
    legend: Annotated[bool, typer.Option(help="Name the parts below each image.")] = False,
    side: Annotated[int, typer.Option(min=64, max=4096, help="Long side of an image.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Which images, by chance.")] = 0,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Draw the masks over their pictures: one image, or a contact sheet.

    Example: partlab data show world --object ram --legend --out ram.png
    """
    with reported(json) as ui:
        from annotate.draw import Style
        from annotate.draw.sheet import Wish, choose, make_sheet, save_png
        from annotate.inspect.dataset import read_all

        chosen = choose(read_all(data, split), Wish(image, object, part, count, seed))
        style = Style(side=side, legend=legend)
        sheet = make_sheet(chosen, part=part, style=style, columns=columns)
        save_png(sheet.picture, out, force=force)
        told = {
            "out": out,
            "images": len(chosen),
            "unreadable": sheet.unreadable,
            "masks_not_drawn": sheet.not_drawn,
        }
        ui.emit(told, "\n".join([f"{out}: {counted(len(chosen), 'image')}", *sheet.notes()]))
