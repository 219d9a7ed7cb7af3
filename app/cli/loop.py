"""`partlab loop …`: the next segmenter from what was accepted, and which pictures come next."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import DryRunOpt, JsonOpt, ObjectsArg, SetOpt, WorkArg, reported
from partlab.counts import counted

if TYPE_CHECKING:
    from segmenter.loop.ahead import Ordered
    from segmenter.loop.control import Standing
    from segmenter.loop.state import Job
    from segmenter.loop.versions import Version

group = typer.Typer(
    no_args_is_help=True,
    help="The next segmenter from what inspectors accepted; what to draw next.",
)
WhoOpt = Annotated[
    str, typer.Option("--by", metavar="WHO", envvar="PARTLAB_ME", help="Your email or name.")
]
DeviceOpt = Annotated[str | None, typer.Option(help="cpu, cuda, …; the best there is.")]


@group.command()
def start(
    work: WorkArg,
    run: Annotated[
        Path | None, typer.Option(help="Run folder that becomes the first version.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Of a first version trained here.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Named settings of the backend: light, small, resnet50.")
    ] = None,
    set_: SetOpt = None,
    who: WhoOpt = "partlab",
    json: JsonOpt = False,
) -> None:
    """Train the next segmenter on what inspectors accepted, in a process of its own.

    It is served if it is better than the one that is served, on pictures held out from both. Cut
    off, the same command goes on.

    Example: partlab loop start farm --run runs/seg
    """
    with reported(json) as ui:
        from segmenter.loop.control import start as begin

        job = begin(
            work,
            run=run,
            who=who,
            backend=backend,
            recipe=recipe,
            overrides=set_ or (),
        )
        begun = f"from version {job.parent}" if job.parent else "from nothing"
        words = f"job {job.number}: training version {job.version} {begun}"
        ui.emit(_job(job), f"{words}\nnext: partlab loop status {quote(str(work))}")


def _job(job: "Job | None") -> dict[str, Any] | None:
    return job.model_dump(mode="json") if job else None


@group.command()
def status(work: WorkArg, json: JsonOpt = False) -> None:
    """Show the training that runs, or how the last one ended, and which version is served.

    Example: partlab loop status farm
    """
    with reported(json) as ui:
        from dataclasses import asdict

        from segmenter.loop.control import status as stands

        found = stands(work)
        told = {
            "job": _job(found.job),
            "progress": asdict(found.progress) if found.progress else None,
            "served": found.served.number if found.served else None,
            "versions": len(found.versions),
        }
        ui.emit(told, "\n".join(_standing(found, quote(str(work)))))


def _standing(found: "Standing", work: str) -> list[str]:
    lines = []
    if (job := found.job) is None:
        lines.append(f"nothing was trained yet; next: partlab loop start {work}")
    else:
        why = f": {job.why}" if job.why else ""
        how = found.progress.words if found.progress else ""
        lines.append(f"job {job.number} (version {job.version}) is {job.state}{why}")
        lines += [how] if how else []
        if job.state in ("stopped", "failed"):
            lines.append(f"go on: partlab loop start {work}; drop it: partlab loop cancel {work}")
    if found.served is None:
        lines.append("no version is served yet")
    else:
        lines.append(f"version {found.served.number} of {len(found.versions)} is served")
    return lines


@group.command()
def cancel(work: WorkArg, json: JsonOpt = False) -> None:
    """End the training that runs or was cut off, and drop what it has done.

    Example: partlab loop cancel farm
    """
    with reported(json) as ui:
        from segmenter.loop.control import cancel as end

        job = end(work)
        ended = job.state == "cancelled"
        words = "is cancelled" if ended else f"is {job.state}, and will end at its next step"
        ui.emit(_job(job), f"job {job.number} {words}")


@group.command()
def versions(work: WorkArg, json: JsonOpt = False) -> None:
    """List the versions: what each learnt from, how it did in its exam, whether it was served.

    Example: partlab loop versions farm
    """
    with reported(json) as ui:
        from dataclasses import asdict

        from segmenter.loop.control import status as stands

        found = stands(work)
        served = found.served.number if found.served else None
        told = [{**asdict(one), "current": one.number == served} for one in found.versions]
        ui.emit({"served": served, "versions": told})
        if not json:
            _show(found.versions, served)


def _show(found: "Any", served: int | None) -> None:
    from app.cli._tables import _table
    from app.cli._ui import stdout

    if not found:
        stdout.print("no version yet", markup=False)
        return
    table = _table(
        "Versions", "version", "made (UTC)", "from", "pictures,\nmasks", "exam:\nnew, old", "p"
    )
    for one in found:
        mark = " (served)" if one.number == served else ""
        table.add_row(f"{one.number}{mark}", one.at[:16].replace("T", " "), *_row(one))
    stdout.print(table)
    for one in found:
        stdout.print(f"version {one.number} {_fate(one)}: {one.why}", markup=False)


def _row(one: "Version") -> tuple[str, str, str, str]:
    begun = str(one.parent) if one.parent else "given" if one.given else "nothing"
    learnt = (one.data or {}).get("train")
    found = (one.exam or {}).get("all")
    return (
        begun,
        f"{learnt['images']:,}, {learnt['masks']:,}" if learnt else "",
        f"{100 * found['new']:.1f}, {100 * found['old']:.1f}" if found else "",
        f"{found['p']:.2g}" if found else "",
    )


def _fate(one: "Version") -> str:
    return "was served" if one.served else "was kept aside"


@group.command()
def rollback(
    work: WorkArg,
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="Else the one before.", min=1)
    ] = None,
    who: WhoOpt = "partlab",
    json: JsonOpt = False,
) -> None:
    """Serve an earlier version again; servers that follow the work take it up by themselves.

    Example: partlab loop rollback farm
    """
    with reported(json) as ui:
        from annotate.work import Work
        from segmenter.loop.versions import roll_back

        with Work.open(work) as opened:
            found = roll_back(opened, version, who)
        ui.emit({"served": found.number}, f"version {found.number} is served again")


@group.command()
def next(
    work: WorkArg,
    objects: ObjectsArg = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many pictures.")] = 20,
    device: DeviceOpt = None,
    dry_run: DryRunOpt = False,
    who: WhoOpt = "partlab",
    json: JsonOpt = False,
) -> None:
    """Choose the pictures to draw next, and put them first in Label Studio's tab "Draw first".

    Those the served version is unsure of, with rare parts, unlike what is drawn. Answers stay as
    they are. With --dry-run Label Studio is not asked and the choice is only shown.

    Example: partlab loop next farm --n 20
    """
    with reported(json) as ui:
        from annotate.studio.acts.order import put_first
        from annotate.studio.api.client import Studio
        from annotate.work import Work
        from segmenter.loop.ahead import next_images

        with Work.open(work) as opened:
            chosen = next_images(opened, n, objects or (), device=device)
            sent = 0
            if not dry_run:
                with Studio.from_env() as studio:
                    for object, order in chosen.orders.items():
                        sent += put_first(opened, studio, opened.batch(object), order, who=who)
        ui.emit({**chosen.as_json(), "written": sent}, _chosen(chosen, sent, dry_run=dry_run))


def _chosen(found: "Ordered", sent: int, *, dry_run: bool) -> str:
    lines = [
        f"{place:3}  {one.file_name} (image {one.image_id}): {one.choice.words}"
        for place, one in enumerate(found.images, 1)
    ]
    open_ = counted(found.looked_at, "picture")
    lines.append(f"chosen by version {found.version} from {open_} not drawn yet")
    if found.held_out:
        are = counted(found.held_out, "keeps its place", "keep their place")
        lines.append(f"besides, {are}: for the exam")
    if found.unreadable:
        lines.append(f"{len(found.unreadable)} cannot be read: {', '.join(found.unreadable[:3])}")
    lines.append(
        "nothing was changed"
        if dry_run
        else f'{counted(sent, "task")} changed; annotators press "Label Tasks As Displayed" in '
        '"Draw first"'
    )
    return "\n".join(lines)
