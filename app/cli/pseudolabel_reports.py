"""`partlab pseudolabel report | calibrate | export | cache`: what is made from a store."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._ui import ForceOpt, JsonOpt, SetOpt, reported
from app.cli.pseudolabel import group
from partlab.counts import counted
from partlab.places import located

if TYPE_CHECKING:
    from partlab.schema import Dataset
    from pseudolabel.calibrate import Calibration
    from pseudolabel.report import Report
    from pseudolabel.store import Store

__all__ = ["group"]

StoreArg = Annotated[Path, typer.Argument(metavar="DIR", help="A pseudo-label store.")]
TruthOpt = "Part data set with the true masks of (some of) the store's images."
ImagesOpt = Annotated[
    Path | None, typer.Option(help="Where the pictures lie now, if they were moved.")
]


class Layout(StrEnum):
    """What `export` can write."""

    coco = "coco"
    prepared = "prepared"


class PictureMode(StrEnum):
    """What happens to the picture files."""

    link = "link"
    copy = "copy"
    none = "none"


@group.command()
def report(
    store: StoreArg,
    truth: Annotated[Path | None, typer.Option(metavar="DATA", help=TruthOpt)] = None,
    human: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="People's masks to compare with; by default the segmenter's training set.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file; DIR/report.html.")] = None,
    images: ImagesOpt = None,
    set_: SetOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Say what the labels are worth, as one HTML page with pictures that works offline.

    Blank images, missing parts and area drift against people's masks, scores, best and worst
    images; with --truth also AP, precision, recall and coverage at every score threshold.

    Example: partlab pseudolabel report pseudo --truth parts/annotations/val.json
    """
    with reported(json) as ui:
        from partlab.config import load_config
        from pseudolabel.report import Bounds, make_report, write_page

        opened = _open(store, images)
        target = _free(located(out) if out else opened.path / "report.html", force)
        bounds = load_config(Bounds, None, set_ or [])
        people = _dataset(human) if human else _training_set(opened)
        known = _dataset(truth) if truth else None
        found = make_report(opened, truth=known, human=people, bounds=bounds)
        write_page(found, target)
        ui.emit({"out": str(target), **found.result()}, _report_words(found, target))


@group.command()
def calibrate(
    store: StoreArg,
    truth: Annotated[Path, typer.Option(metavar="DATA", help=TruthOpt)],
    out: Annotated[Path, typer.Option(help="JSON file for --thresholds.")],
    goal: Annotated[str, typer.Option(help="f1, or precision=0.9 with the best recall.")] = "f1",
    default: Annotated[
        float, typer.Option(min=0, max=1, help="Threshold of parts with few examples.")
    ] = 0.5,
    min_examples: Annotated[
        int, typer.Option(min=2, help="True and found images a part needs for its own threshold.")
    ] = 20,
    images: ImagesOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Pick a score threshold for each part on held-out truth.

    Make the store from held-out images, with a low threshold and instances kept apart:
    partlab pseudolabel DATA … --threshold 0.05 --set unite=false

    Example: partlab pseudolabel calibrate low --truth parts/annotations/val.json --out tau.json
    """
    with reported(json) as ui:
        from partlab.files import write_json
        from pseudolabel.calibrate import calibrate as pick
        from pseudolabel.calibrate import refuse_leak
        from pseudolabel.matching import match

        target = _free(out, force)
        matched = match(_open(store, images), _dataset(truth))
        refuse_leak(matched)
        found = pick(matched, goal, default=default, min_examples=min_examples)
        write_json(target, found.thresholds())
        ui.emit({"out": str(target), **_calibration(found)}, _calibration_words(found, target))


@group.command()
def export(
    store: StoreArg,
    out: Annotated[Path, typer.Option(help="New or empty folder.")],
    format: Annotated[
        Layout,
        typer.Option(help="coco, or the authors' prepared layout img/ seg/ whether_pseudo/."),
    ] = Layout.coco,
    pictures: Annotated[
        PictureMode, typer.Option(help="Link or copy the pictures, or leave them.")
    ] = PictureMode.link,
    skip_blank: Annotated[
        bool, typer.Option("--skip-blank", help="Leave out images without any part.")
    ] = False,
    images: ImagesOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Write the labels in a layout that other tools read.

    Example: partlab pseudolabel export pseudo --format prepared --out prepared
    """
    with reported(json) as ui:
        from dataclasses import asdict

        from annotate.data.formats.pictures import Pictures
        from pseudolabel import export as room

        write = room.export_coco if format is Layout.coco else room.export_prepared
        done = write(
            _open(store, images),
            out,
            pictures=Pictures(pictures.value),
            skip_blank=skip_blank,
            force=force,
        )
        ui.emit({**asdict(done), "out": str(out), "format": format.value}, _export_words(done))


@group.command()
def cache(
    stores: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Pseudo-label stores.")],
    out: Annotated[Path, typer.Option(help="The cache file.")],
    human: Annotated[
        list[Path] | None,
        typer.Option(metavar="DATA", help="Human part data set; wins over stores. Repeatable."),
    ] = None,
    channels: Annotated[
        int, typer.Option(min=1, help="1: one label a pixel; more: overlapping parts are kept.")
    ] = 1,
    images: ImagesOpt = None,
    force: ForceOpt = False,
    json: JsonOpt = False,
) -> None:
    """Make the label-map file that training reads; up to date, it is left as it is.

    Example: partlab pseudolabel cache pseudo --human parts/annotations/train.json --out maps.arrow
    """
    with reported(json) as ui:
        from partlab.labelmap_cache import open_cache
        from partlab.labelmap_sources import DatasetSource, Source
        from pseudolabel.source import StoreSource

        sources: list[Source] = [DatasetSource(_dataset(path)) for path in human or []]
        sources += [StoreSource(_open(path, images)) for path in stores]
        built = open_cache(out, sources, channels=channels, force=force)
        counts = {"images": len(built.maps), "parts": len(built.maps.names), **built.counts}
        facts = {"out": str(out), "made": built.made, **counts, "bytes": out.stat().st_size}
        ui.emit(facts, _cache_words(facts))


def _open(path: Path, images: Path | None) -> "Store":
    from partlab.errors import NotFoundError
    from pseudolabel.store import Store

    root = images and located(images)
    if root and not root.is_dir():
        raise NotFoundError(f"no folder {root}")
    return Store.open(path, image_root=root)


def _dataset(path: Path) -> "Dataset":
    from partlab.coco import find_splits, read_dataset
    from partlab.errors import NotFoundError

    splits = find_splits(path)
    if len(splits) > 1:
        files = ", ".join(str(file) for file in splits.values())
        raise NotFoundError(f"{path} has several splits", hint=f"name one of its files: {files}")
    return read_dataset(path)


def _training_set(store: "Store") -> "Dataset | None":
    import logging

    from pseudolabel.calibrate import training_set

    found = training_set(store)
    if found is None:
        logging.warning(
            "the segmenter's training set cannot be read from here, so nothing is compared with "
            "people's masks; name it with --human"
        )
    else:
        logging.info("compared with people's masks in the segmenter's training set %s", found.path)
    return found


def _free(path: Path, force: bool) -> Path:
    from partlab.files import need_new_file

    need_new_file(path, force=force)
    return path


def _report_words(found: "Report", out: Path) -> str:
    from pseudolabel.report.page import findings, percent

    blank = found.total("blank") / max(found.total("readable"), 1)
    lines = [
        f"{counted(found.total('images'), 'image')}, {counted(found.total('masks'), 'mask')}; "
        f"{percent(blank)} of the readable images are blank; {len(found.unreadable)} unreadable"
    ]
    notes = [f"  {name}: {words}" for name, words in findings(found)]
    lines += notes[:10] + ([f"  and {len(notes) - 10} more"] if len(notes) > 10 else [])
    if found.truth:
        best = max(found.truth.sweep, key=lambda point: point.ap or 0.0)
        lines.append(
            f"AP {percent(best.ap)}, AP50 {percent(best.ap50)} (instances united) on "
            f"{found.truth.images} images with known masks, at threshold {best.tau}"
        )
    return "\n".join([*lines, f"open {out}"])


def _calibration(found: "Calibration") -> dict[str, Any]:
    from dataclasses import asdict

    picked, plain = found.held_out_picked, found.held_out_default
    return {
        **found.thresholds(),
        "goal": found.goal,
        "images": found.images,
        "details": [asdict(part) for part in found.parts],
        "unknown_parts": found.unknown_parts,
        "held_out": {
            name: {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
            for name, counts in (("picked", picked), ("default", plain))
        },
    }


def _calibration_words(found: "Calibration", out: Path) -> str:
    from collections import Counter

    from pseudolabel.report.page import number_of, percent

    reasons = Counter(part.reason for part in found.parts)
    picked, plain = found.held_out_picked, found.held_out_default
    lines = [f"  {p.tau:.2f}  {p.name} ({p.examples} true, {p.found} found): {p.reason}"
             for p in found.parts if p.reason != "few examples"]  # fmt: skip
    own = counted(
        reasons["picked"], "part has a threshold of its own", "parts have a threshold of their own"
    )
    lines.append(
        f"{own}, "
        f"{counted(reasons['few examples'], 'has', 'have')} too few examples: {found.default} stays"
        + (f", {reasons['goal missed']} miss the goal" if reasons["goal missed"] else "")
    )
    lines.append(
        f"on images not used for picking: F1 {number_of(picked.f1)}, precision "
        f"{percent(picked.precision)}, recall {percent(picked.recall)}; with {found.default} for "
        f"all: F1 {number_of(plain.f1)}, {percent(plain.precision)}, {percent(plain.recall)}"
    )
    lines.append(f"next: partlab pseudolabel IMAGES --segmenter RUN --out DIR --thresholds {out}")
    return "\n".join(lines)


def _export_words(done: Any) -> str:
    left = [
        f"{count} {what}"
        for count, what in (
            (done.unreadable_left_out, "unreadable"),
            (done.blank_left_out, "blank"),
        )
        if count
    ]
    note = f"; left out: {', '.join(left)}" if left else ""
    images, masks = counted(done.images, "image"), counted(done.masks, "mask")
    return f"{images} ({done.blank} blank), {masks} in {done.out}{note}"


def _cache_words(facts: dict[str, Any]) -> str:
    if not facts["made"]:
        return f"{facts['out']} is up to date: {counted(facts['images'], 'image')}"
    known = ("human", "pseudo", "blank", "in an earlier source")
    told = ", ".join(f"{facts[name]} {name}" for name in known if facts.get(name))
    size = facts["bytes"] / max(facts["images"], 1)
    return f"{counted(facts['images'], 'image')} in {facts['out']} ({told}), {size:.0f} bytes each"
