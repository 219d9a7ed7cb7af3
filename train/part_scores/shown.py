"""The pictures of a panel, clean or attacked, and what each run finds in them."""

from pathlib import Path

import numpy as np
from PIL import Image

from partlab.errors import ConfigError
from train.part_scores.evaluate import Manner, Subject, attacked, subject
from train.part_scores.found import Found, finds_boxes, found_parts
from train.part_scores.panel import Column, Pixels, draw_panel


def make_panel(
    runs: list[Path], data: Path, manner: Manner, cache: Path, device: str | None = None
) -> Image.Image:
    """The panel of a segmenter's run, of a detector's, or of one of each, in any order.

    Pictures are `manner.limit` of the split, evenly spread.

    Raises:
        ConfigError: two runs of one kind, or runs that see other pictures or parts.
        NotFoundError, DatasetError: as `subject`.
    """
    asked = {run: subject(run, data, manner, cache, device) for run in runs}
    by_kind = {finds_boxes(each.network): run for run, each in asked.items()}
    if len(by_kind) < len(runs):
        kind = "detectors" if finds_boxes(asked[runs[0]].network) else "segmenters"
        raise ConfigError(
            f"both runs are {kind}: a panel has one of each", hint="make a panel of each of them"
        )
    first = asked[runs[0]]
    _alike(runs, list(asked.values()))
    batch = next(iter(first.batches(len(first.positions))))
    truth, ignored = first.truth(batch)
    columns = [
        Column(pixels, labels, first.network.classes[class_], None, None)
        for pixels, labels, class_ in zip(
            batch.pixels.permute(0, 2, 3, 1).numpy(), truth, batch.classes.tolist(), strict=True
        )
    ]
    for boxes, run in by_kind.items():
        told = zip(columns, _told(asked[run], manner), strict=True)
        columns = [
            column._replace(detected=each) if boxes else column._replace(segmented=each)
            for column, each in told
        ]
    names = (_name(by_kind.get(False)), _name(by_kind.get(True)))
    return draw_panel(columns, first.names, ignored, names)


def _told(asked: Subject, manner: Manner) -> list[tuple[Pixels, Found, str]]:
    """What a run is shown, finds and says, picture by picture."""
    (batch,) = asked.batches(len(asked.positions))
    images = asked.images(batch)
    if manner.steps:
        images = attacked(asked.network, images, batch.classes, asked.positions, manner)
    logits, found = found_parts(asked.network, images)
    shown = (255 * images).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    said = [asked.network.classes[n] for n in logits.argmax(1).tolist()]
    marks = (logits.argmax(1).cpu() == batch.classes).tolist()
    words = [f"says {name}" if right else f"says {name} (wrong)"
             for name, right in zip(said, marks, strict=True)]  # fmt: skip
    return list(zip(np.asarray(shown), found, words, strict=True))


def _alike(runs: list[Path], asked: list[Subject]) -> None:
    first, *others = asked
    for run, each in zip(runs[1:], others, strict=True):
        if each.config.data.size != first.config.data.size or each.names != first.names or (
            each.network.classes != first.network.classes
        ):  # fmt: skip
            raise ConfigError(
                f"{run} sees other pictures or knows other parts than {runs[0]}",
                hint="train both with the same data and --set data.size",
            )


def _name(run: Path | None) -> str:
    return run.resolve().name if run else ""
