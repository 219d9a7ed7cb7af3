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
from train.crops import Pixels, eval_view, resize
from train.evaluate.chunk import Chunk, Manner, clean_outcomes, facts_of
from train.evaluate.evaluate import claim, surroundings
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
from train.evaluate.victim import Victim
from train.ood.sets import OodSet

FOLDER = "ood"


@dataclass(frozen=True)
class OodPlan:
    """Which sets to show a model; `chunk` is pictures a file."""

    opened: Opened
    sets: tuple[OodSet, ...]
    batch: int = 50
    chunk: int = 500


class MeanProbability(nn.Module):
    """Logits to the logarithm of each category's mean probability over its classes (C2)."""

    def __init__(self, network: nn.Module, classes: Sequence[str], groups: Any) -> None:
        super().__init__()
        place = {name: at for at, name in enumerate(classes)}
        self.network, self.classes = network, tuple(groups)
        self.index = [[place[one] for one in own] for own in groups.values()]
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in 0…1 to (B, categories), float64."""
        chances = self.network(images).double().log_softmax(1)
        means = [chances[:, own].logsumexp(1) - np.log(len(own)) for own in self.index]
        return torch.stack(means, 1)


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
        made = [_measured(plan, each, model, folder) for each in plan.sets]
        before = (old or new).settings
        noted = {**before.get("ood", {}), **{s.name: _facts(s, t) for s, (_, t) in
                                             zip(plan.sets, made, strict=True)}}  # fmt: skip
        record = (old or new).model_copy(update={"settings": {**before, "ood": noted}})
        joined = pa.concat_tables([table for _, table in made])
        write_evaluation(folder, *with_rows(old, record, joined, [row for row, _ in made]))
        return read_evaluation(folder)


def _measured(plan: OodPlan, shown: OodSet, model: Model, folder: Path) -> tuple[Row, Any]:
    home, listed = folder / FOLDER / shown.name, shown.described
    claim(home, {
        "weights": model.weights_sha256, "list": listed.sha256, "chunk": plan.chunk,
        "answers": {one: list(own) for one, own in shown.answers.items()},
        "preprocessing": plan.opened.preprocessing, "squashed": shown.squashed,
        "device": plan.opened.device.type, "torch": torch.__version__,
    })  # fmt: skip
    starts = range(0, len(shown.names), plan.chunk)
    parts = [home / f"{first:07d}.parquet" for first in starts]
    remove_leftovers(parts)
    todo = [pair for pair in zip(starts, parts, strict=True) if not pair[1].is_file()]
    victim = _victim(plan.opened, shown)
    for first, part in track(todo, shown.name):
        began = time.perf_counter()
        table = clean_outcomes(victim, _chunk(plan, shown, first, victim), Manner(plan.batch, 0))
        named = table.set_column(2, "threat", pa.array([f"ood:{shown.name}"] * len(table)))
        seconds = {"seconds": time.perf_counter() - began}
        write_outcomes(part, named, {"partlab": json.dumps(seconds)})
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


def _chunk(plan: OodPlan, shown: OodSet, first: int, victim: Any) -> Chunk:
    rows, data = slice(first, first + plan.chunk), plan.opened.data
    seen = [_seen(load_image(p), data, shown.squashed) for p in shown.paths[rows]]
    pixels = torch.from_numpy(np.stack(seen).transpose(0, 3, 1, 2).copy()).to(plan.opened.device)
    place, labels = {name: n for n, name in enumerate(victim.classes)}, shown.labels[rows]
    numbers = torch.tensor([place[name] for name in labels], device=plan.opened.device)
    return Chunk(first, shown.names[rows], labels, pixels.float() / 255, numbers)


def _seen(pixels: Pixels, data: Any, squashed: bool) -> Pixels:
    """By the model's own preprocessing; or squashed to a square, bilinear, and its middle."""
    if squashed:
        side = round(data.size / data.eval_crop)
        large = F.resize(Image.fromarray(pixels), [side, side], InterpolationMode.BILINEAR)
        return np.asarray(F.center_crop(large, [data.size, data.size]))
    scaled, _, (left, top) = eval_view((pixels.shape[0], pixels.shape[1]), data)
    return resize(pixels, scaled)[top : top + data.size, left : left + data.size]


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
