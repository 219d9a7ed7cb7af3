"""A model on sets of other pictures, added to its evaluation: never ranked with other lists (G-03).

A chunk of a set is a small file in `ood/SET/` of the evaluation's folder; what is there is not run
again (RK-17). Each row carries the identity of its own pictures.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from partlab.files import exclusive, remove_leftovers
from partlab.images import load_image
from partlab.progress import track
from train.crops import Pixels
from train.evaluate.chunk import Chunk, Manner, chunk_of, clean_outcomes, facts_of
from train.evaluate.claims import claim
from train.evaluate.evaluate import surroundings, usual_chunk
from train.evaluate.opened import Opened
from train.evaluate.outcomes import (
    NOTHING,
    RECORD,
    Evaluation,
    Model,
    Row,
    read_evaluation,
    read_outcomes,
    same_or_refused,
    with_rows,
    write_evaluation,
    write_outcomes,
)
from train.evaluate.pace import Pace
from train.evaluate.preflight import Preflight, forward_memory, free_memory
from train.evaluate.victim import Victim
from train.ood.sets import OodSet
from train.people.stimuli import mean_probabilities

FOLDER = "ood"


@dataclass(frozen=True)
class OodPlan:
    """Which sets to show a model; `chunk` is pictures a file, else as `usual_chunk` says."""

    opened: Opened
    sets: tuple[OodSet, ...]
    batch: int = 50
    chunk: int | None = None

    def size(self, shown: OodSet) -> int:
        """Pictures a file of a set."""
        return self.chunk or usual_chunk(len(shown.names), self.batch)

    def missing(self, shown: OodSet, folder: Path) -> dict[Path, range]:
        """Files of a set that are not there, and which of its pictures each is to hold."""
        return {part: own for part, own in self.parts(shown, folder).items() if not part.is_file()}

    def parts(self, shown: OodSet, folder: Path) -> dict[Path, range]:
        """All of its files in an evaluation's folder."""
        home, total, size = folder / FOLDER / shown.name, len(shown.names), self.size(shown)
        return {
            home / f"{first:07d}.parquet": range(first, min(first + size, total))
            for first in range(0, total, size)
        }


class MeanProbability(nn.Module):
    """Logits to each category's mean probability over its classes (C2)."""

    def __init__(self, network: nn.Module, classes: Sequence[str], groups: Any) -> None:
        super().__init__()
        place = {name: at for at, name in enumerate(classes)}
        self.network, self.classes = network, tuple(groups)
        self.index = [[place[one] for one in own] for own in groups.values()]
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in 0…1 to (B, categories), float64."""
        return mean_probabilities(self.network(images), self.index)


def estimate_ood(plan: OodPlan, folder: Path) -> Preflight:
    """What is not in `folder` yet takes; a few pictures of each set are timed.

    Raises:
        DatasetError, NotFoundError, PartlabError: as `evaluate_ood`.
    """
    left = [sum(map(len, plan.missing(each, folder).values())) for each in plan.sets]
    total = sum(len(each.names) for each in plan.sets)
    seconds = sum(n * _seconds(plan, one) for n, one in zip(left, plan.sets, strict=True) if n)
    few = _chunk(plan, plan.sets[0], range(1), _victim(plan.opened, plan.sets[0])).images
    memory, free = forward_memory(plan.opened.network, few) * plan.batch, free_memory(few.device)
    return Preflight(total, total, total - sum(left), sum(left), 0, memory, seconds / 3600, free)


def _seconds(plan: OodPlan, shown: OodSet) -> float:
    """Of a picture: read, scaled and shown."""
    victim, few = _victim(plan.opened, shown), range(min(4, len(shown.names)))
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        clean_outcomes(victim, _chunk(plan, shown, few, victim), Manner(plan.batch, 0))
        taken.append(time.perf_counter() - began)
    return min(taken) / len(few)


def evaluate_ood(plan: OodPlan, model: Model, folder: Path) -> Evaluation:
    """Run what is not there yet, and add it to the evaluation in `folder`, or begin one.

    Raises:
        BusyError: another process works on the folder.
        ConfigError: it holds an evaluation of another model, or a set was begun with other
            pictures.
        DatasetError, NotFoundError, PartlabError: a picture is damaged or missing; logits are
            not finite; nothing can be written.
    """
    with exclusive(folder):
        old = read_evaluation(folder) if (folder / RECORD).is_file() else None
        new = Evaluation(model=model, list=NOTHING, rows=(), **surroundings(plan.opened.device))
        if old is not None:
            same_or_refused(old, model, NOTHING)
        left = sum(len(own) for s in plan.sets for own in plan.missing(s, folder).values())
        pace = Pace({FOLDER: left}, folder.name)
        made = [_measured(plan, each, model, folder, pace) for each in plan.sets]
        before = (old or new).settings
        noted = {**before.get("ood", {}), **{s.name: _facts(s, t) for s, (_, t) in
                                             zip(plan.sets, made, strict=True)}}  # fmt: skip
        record = (old or new).model_copy(update={"settings": {**before, "ood": noted}})
        joined = pa.concat_tables([table for _, table in made])
        write_evaluation(folder, *with_rows(old, record, joined, [row for row, _ in made]))
        return read_evaluation(folder)


def _measured(
    plan: OodPlan, shown: OodSet, model: Model, folder: Path, pace: Pace
) -> tuple[Row, Any]:
    listed, parts = shown.described, plan.parts(shown, folder)
    claim(folder / FOLDER / shown.name, {
        "weights": model.weights_sha256, "list": listed.sha256, "chunk": plan.size(shown),
        "answers": {one: list(own) for one, own in shown.answers.items()},
        "preprocessing": plan.opened.preprocessing, "squashed": shown.squashed,
        "uncut": shown.uncut,
        "device": plan.opened.device.type, "torch": torch.__version__,
    })  # fmt: skip
    remove_leftovers(parts)
    victim = _victim(plan.opened, shown)
    for part, own in track(list(plan.missing(shown, folder).items()), shown.name):
        began = time.perf_counter()
        table = clean_outcomes(victim, _chunk(plan, shown, own, victim), Manner(plan.batch, 0))
        named = table.set_column(2, "threat", pa.array([f"ood:{shown.name}"] * len(table)))
        seconds = {"seconds": time.perf_counter() - began}
        write_outcomes(part, named, {"partlab": json.dumps(seconds)})
        pace.done(FOLDER, len(own))
    tables = [read_outcomes(part) for part in parts]
    whole = pa.concat_tables([each.replace_schema_metadata(None) for each in tables])
    right = whole["right"].to_pylist()
    row = Row(threat=f"ood:{shown.name}", attack="clean", upper_bound=False,
              accuracy=sum(right) / len(right), images=len(right), pictures=listed,
              seconds=round(sum(facts_of(each)["seconds"] for each in tables), 3))  # fmt: skip
    return row, whole


def _victim(opened: Opened, shown: OodSet) -> Any:
    """What answers: the model's own columns, groups of them, or categories by mean probability."""
    if shown.by_mean:
        return MeanProbability(opened.network, opened.classes, shown.answers)
    if all(list(own) == [one] for one, own in shown.answers.items()):
        return Victim(opened.network, opened.classes, columns=list(shown.answers))
    return Victim(opened.network, opened.classes, groups=shown.answers)


def _chunk(plan: OodPlan, shown: OodSet, own: range, victim: Any) -> Chunk:
    seen = _squashed if shown.squashed else _uncut if shown.uncut else Opened.seen
    pixels = [seen(plan.opened, load_image(shown.paths[n])) for n in own]
    names, labels = ([each[n] for n in own] for each in (shown.names, shown.labels))
    return chunk_of(victim.classes, own, names, labels, plan.opened.tensor(pixels))


def _squashed(opened: Opened, pixels: Pixels) -> Pixels:
    """To a square, bilinear, whatever the picture's shape, and its middle (C3)."""
    side, size = opened.preprocessing["shorter_side"], opened.data.size
    large = F.resize(Image.fromarray(pixels), [side, side], InterpolationMode.BILINEAR)
    return np.asarray(F.center_crop(large, [size, size]))


def _uncut(opened: Opened, pixels: Pixels) -> Pixels:
    """Whole, at the model's size; a picture of that size is left as it is."""
    size = opened.data.size
    scaled = F.resize(Image.fromarray(pixels), [size, size], InterpolationMode.BICUBIC)
    return np.asarray(scaled)


def _facts(shown: OodSet, table: Any) -> dict[str, Any]:
    """What a set says besides accuracy."""
    facts: dict[str, Any] = {"left_out": dict(shown.left_out), "answers": len(shown.answers)}
    if not shown.extra:
        return facts
    said, right = table["prediction"].to_pylist(), table["right"].to_pylist()
    if shown.by_mean:
        kept = [ok for ok, each in zip(right, shown.extra, strict=True) if each == "kept"]
        return {**facts, "kept": len(kept), "right_of_kept": sum(kept)}
    other = [answer == second for answer, second in zip(said, shown.extra, strict=True)]
    return {**facts, "right": sum(right), "other_cue": sum(other)}
