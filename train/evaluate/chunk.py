"""A chunk of pictures under one attack, and what is kept of it."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from partlab.errors import PartlabError
from train.attacks.ball import Ball
from train.attacks.evaluation import Searched
from train.attacks.evaluation import search as pgd_search
from train.evaluate.attacks import Attack
from train.evaluate.autoattack import Found, autoattack
from train.evaluate.opened import Opened
from train.evaluate.outcomes import SCHEMA
from train.evaluate.shown import Shown
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim
from train.honesty.adaptive import ADAPTIVE
from train.honesty.watched import margin


@dataclass(frozen=True)
class Chunk:
    """Pictures (n, 3, H, W) float32 in 0…1 that stand at `places` of their list."""

    places: Sequence[int]
    names: Sequence[str]
    labels: Sequence[str]
    images: Tensor
    targets: Tensor  # (n,) positions in the victim's classes


def chunk_of(
    classes: Sequence[str],
    places: Sequence[int],
    names: Sequence[str],
    labels: Sequence[str],
    images: Tensor,
) -> Chunk:
    """A chunk whose targets are the positions of its labels in `classes`."""
    of = {name: n for n, name in enumerate(classes)}
    targets = torch.tensor([of[name] for name in labels], device=images.device)
    return Chunk(places, names, labels, images, targets)


def load_chunk(
    opened: Opened, classes: Sequence[str], shown: Shown, places: Sequence[int]
) -> Chunk:
    """The pictures at `places` of what a model is shown; its own preprocessing, read anew.

    Raises:
        NotFoundError, DatasetError: a picture is missing or damaged.
    """
    names, labels = ([each[n] for n in places] for each in (shown.names, shown.labels))
    images = opened.pictures([shown.pictures.path(shown.positions[n]) for n in places])
    return chunk_of(classes, places, names, labels, images)


@dataclass(frozen=True, slots=True)
class Manner:
    """What decides the random numbers of an attack besides the pictures."""

    batch: int
    seed: int


class Attacked(NamedTuple):
    """Outcomes of a chunk (`SCHEMA`); `seconds` and `disagreements`; points (n, 3, H, W)."""

    table: Any
    facts: dict[str, Any]
    points: Tensor


def attacked_outcomes(
    victim: Victim, chunk: Chunk, threat: Threat, attack: Attack, manner: Manner
) -> Attacked:
    """What becomes of the chunk under an attack.

    Raises:
        PartlabError: logits or points are not finite, or a point is outside the ball.
    """
    began = time.perf_counter()
    found = _found(victim, chunk, threat, attack, manner)
    threat.verify(found.points, chunk.images)
    table, differing = _judged(victim, chunk, found, (threat.name, attack.name), manner.batch)
    facts = {"seconds": time.perf_counter() - began, "disagreements": differing}
    return Attacked(table, facts, found.points)


def clean_outcomes(victim: Victim, chunk: Chunk, manner: Manner) -> Any:
    """Outcomes of the chunk as it is (RK-04)."""
    logits = exact_logits(victim, chunk, chunk.images, manner.batch)
    wrong = logits.argmax(1) != chunk.targets
    broken: list[str | None] = ["clean" if each else None for each in wrong.tolist()]
    found = Found(chunk.images, broken)
    return _judged(victim, chunk, found, ("clean", "clean"), manner.batch)[0]


def _found(victim: Victim, chunk: Chunk, threat: Threat, attack: Attack, manner: Manner) -> Found:
    if not attack.steps:
        return autoattack(
            victim,
            chunk.images,
            chunk.targets,
            threat,
            attack.stages,
            batch=manner.batch,
            seed=manner.seed,
        )
    search = _through_parts if attack.aim else _pgd
    points, broken = chunk.images.clone(), _wrong_already(len(chunk.names))
    steps: list[int | None] = [None] * len(chunk.names)
    right = (
        exact_logits(victim, chunk, chunk.images, manner.batch).argmax(1) == chunk.targets
    ).nonzero()[:, 0]
    for at in torch.split(right, manner.batch) if len(right) else ():
        points[at], taken = search(victim, chunk, at, threat.ball, attack, manner.seed)
        errs = victim(points[at]).argmax(1) != chunk.targets[at]
        for n, fooled, many in zip(at.tolist(), errs.tolist(), taken.tolist(), strict=True):
            broken[n] = attack.name if fooled else None
            steps[n] = many if many >= 0 else None
    return Found(points, broken, steps)


def _pgd(
    victim: Victim, chunk: Chunk, at: Tensor, ball: Ball, attack: Attack, seed: int
) -> Searched:
    """What PGD on the class finds about the pictures `at`."""
    return pgd_search(
        victim,
        chunk.images[at],
        chunk.targets[at],
        ball,
        steps=attack.steps,
        restarts=attack.restarts,
        seed=seed,
        positions=[chunk.places[n] for n in at.tolist()],
    )


def _through_parts(
    victim: Victim, chunk: Chunk, at: Tensor, ball: Ball, attack: Attack, seed: int
) -> Searched:
    """What an attack through the part outputs finds about the pictures `at` (E-10).

    Their maps are those that the model itself predicts, so that it needs no annotations. After
    how many steps the class was lost it does not tell.
    """
    images, labels = chunk.images[at], chunk.targets[at]
    worst, least = images, torch.full(labels.shape, torch.inf, device=labels.device)
    for restart in range(attack.restarts):
        search = ADAPTIVE[attack.aim]
        found = search(victim, images, labels, None, ball, attack.steps, seed + restart)
        margins = margin(victim(found), labels)
        lower = margins < least
        worst = torch.where(lower.view(-1, 1, 1, 1), found, worst)
        least = torch.minimum(margins, least)
    return Searched(worst, torch.full_like(labels, -1))


def _wrong_already(pictures: int) -> list[str | None]:
    """What stands of those that no attack is made on."""
    return ["clean"] * pictures


def _judged(
    victim: Victim, chunk: Chunk, found: Found, what: tuple[str, str], batch: int
) -> tuple[Any, list[str]]:
    """Verdicts from predictions in fp32; and where the attack's own were others (RK-08)."""
    logits = exact_logits(victim, chunk, found.points, batch)
    predicted = [victim.classes[n] for n in logits.argmax(1).tolist()]
    right = [a == b for a, b in zip(predicted, chunk.labels, strict=True)]
    claimed = [by is None for by in found.broken_by]
    names = chunk.names
    differing = [n for n, a, b in zip(names, right, claimed, strict=True) if a != b]
    by = [None if ok else each or what[1] for ok, each in zip(right, found.broken_by, strict=True)]
    size = len(names)
    taken = [
        None if ok else many for ok, many in zip(right, found.steps or [None] * size, strict=True)
    ]
    columns = [
        list(names),
        list(chunk.labels),
        [what[0]] * size,
        [what[1]] * size,
        right,
        predicted,
        margin(logits, chunk.targets).tolist(),
        by,
        taken,
    ]
    arrays = [pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)]
    return pa.table(arrays, schema=SCHEMA), differing


@torch.no_grad()
def exact_logits(victim: Victim, chunk: Chunk, images: Tensor, batch: int) -> Tensor:
    """Logits in float32 proper, without TF32.

    Raises:
        PartlabError: some are not finite; the message names the picture.
    """
    with without_tf32():
        found: Any = torch.cat([victim(part) for part in torch.split(images, batch)])
    good = found.isfinite().all(1)
    if not bool(good.all()):
        bad = int((~good).nonzero()[0])
        raise PartlabError(
            f"the model's logits of {chunk.names[bad]} are not finite",
            hint="its weights are damaged: train it again, or take another checkpoint",
        )
    return found  # type: ignore[no-any-return]


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions and products of a GPU in whole float32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def facts_of(table: Any) -> dict[str, Any]:
    """What is kept beside a chunk's outcomes in its file."""
    kept = (table.schema.metadata or {}).get(b"partlab", b"{}")
    return dict(json.loads(kept))
