"""`partlab data …`: make, look at and divide part data sets."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, reported

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
        counts = draw(out, config, force=force, progress=ui.progress)
        ui.emit(
            {"out": out, "images": counts},
            f"{out}: " + ", ".join(f"{n} {s}" for s, n in counts.items()),
        )
