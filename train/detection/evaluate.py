"""Box AP of a detector as pictures are and under attacks, chunk by chunk (G-05, RK-14).

A chunk of pictures under one attack is one small file in `parts/`; what is there is not run
again, so an evaluation that was killed ends with the same figures as one that was not.
"""

import json
import logging
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from partlab.coco import read_dataset
from partlab.errors import ConfigError, DatasetError
from partlab.files import exclusive, read_json, remove_leftovers, sha256_file, write_json
from partlab.objects import require_ids
from partlab.progress import track
from partlab.schema import Dataset
from partlab.truth import MaskCount, need_masks, usable
from segmenter.ap import Result, mask_ap
from train.attacks.ball import Ball
from train.detection.attack import attack, losses_attacked, losses_of
from train.detection.boxes import boxed, with_rectangles
from train.detection.network import Detector
from train.detection.runs import load_detector, read_run, settings_of
from train.detection.settings import DetectorConfig
from train.detection.shown import Group, results, shown_in
from train.evaluate.claims import PLAN, claim
from train.evaluate.evaluate import usual_chunk
from train.evaluate.pace import Pace

log = logging.getLogger(__name__)

RECORD, PARTS, CLEAN = "detection.json", "parts", "clean"


@dataclass(frozen=True)
class Manner:
    """How a detector is attacked; `batch` and `seed` decide which regions are drawn."""

    attacks: tuple[str, ...] = ("cls", "reg")
    eps: float = 4 / 255
    steps: int = 10
    step_size: float | None = None  # ε / 4
    batch: int = 8
    seed: int = 0
    large_eps: bool = False

    def __post_init__(self) -> None:
        for name in self.attacks:
            losses_attacked(name)
        if self.steps < 1 or self.batch < 1:
            raise ConfigError(f"{min(self.steps, self.batch)} steps or pictures are none")
        if self.step_size is not None and not 0 < self.step_size < float("inf"):
            raise ConfigError(f"step size {self.step_size:g} is none", hint="above 0, e.g. 1/255")
        _ = self.ball

    @property
    def ball(self) -> Ball:
        """Where attacked pictures may be."""
        return Ball("linf", self.eps, self.large_eps)


def evaluate_detector(
    run: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    manner: Manner | None = None,
    split: str | None = None,
    limit: int | None = None,
    checkpoint: str = "last",
    device: str | None = None,
    chunk: int | None = None,
) -> dict[str, Any]:
    """Measure a detector on a split, as it is and under each attack; the record, as in `out`.

    Pictures whose masks cannot be used are measured without those, classes that the detector
    does not know count with AP 0; both are told. `limit`: only so many images, evenly spread.
    `chunk` is images a file, as `usual_chunk` says unless given.

    Raises:
        NotFoundError: no run, no checkpoint, no data, no such split.
        SchemaError: a run of another kind.
        DatasetError: nothing to find in the data, or nothing that the detector knows.
        ConfigError: `out` was begun with something else; a number makes no sense.
        BusyError: another process works on `out`.
        PartlabError: a gradient is not finite.
    """
    given: Any = {"split": split, "limit": limit, "checkpoint": checkpoint, "device": device}
    return measure(plan_detector(run, data, out, manner=manner, **given, chunk=chunk))


def plan_detector(
    run: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    manner: Manner | None = None,
    split: str | None = None,
    limit: int | None = None,
    checkpoint: str = "last",
    device: str | None = None,
    chunk: int | None = None,
) -> "DetectorPlan":
    """What `measure` does; arguments and errors are those of `evaluate_detector`."""
    run, manner = Path(run), manner or Manner()
    described = read_run(run)
    config = settings_of(described, run)
    truth, count = _truth(data, split, limit, described["classes"], config)
    detector = load_detector(run, checkpoint=checkpoint, device=device)
    size = chunk or usual_chunk(len(truth.images), manner.batch)
    about = _About(described, checkpoint, split, count)
    return DetectorPlan(run, detector, config, truth, manner, size, Path(out), about)


def measure(plan: "DetectorPlan") -> dict[str, Any]:
    """Run what is not there yet; the record, as in the plan's folder.

    Raises:
        ConfigError, BusyError, PartlabError: as `evaluate_detector`.
    """
    with exclusive(plan.out):
        claim(plan.out, _wanted(plan))
        plan.run_all()
        record = _record(plan)
        write_json(plan.out / RECORD, record)
    return record


def _truth(
    place: str | Path,
    split: str | None,
    limit: int | None,
    classes: Sequence[str],
    config: DetectorConfig,
) -> tuple[Dataset, MaskCount]:
    """What is to be found, its classes numbered as the detector's; and what was left out."""
    data = with_rectangles(read_dataset(place, split))
    require_ids(data)
    if limit and limit < len(data.images):
        step = len(data.images) / limit
        data = data.subset(data.images[int(at * step)].id for at in range(limit))
    data, count = usable(data)
    need_masks(data, count)
    truth = boxed(data, config.boxes, classes)
    shown = {annotation.category_id for annotation in truth.annotations}
    if not any(number <= len(classes) for number in shown):
        few = ", ".join(classes[:5]) + (" …" if len(classes) > 5 else "")
        raise DatasetError(
            f"{place} has none of the {len(classes)} classes that this detector knows",
            hint=f"it knows {few}; name data with some of them",
        )
    if words := count.sentence():
        log.warning("%s", words)
    return truth, count


@dataclass(frozen=True, slots=True)
class _About:
    """What only the record tells."""

    described: dict[str, Any]
    checkpoint: str
    split: str | None
    count: MaskCount


@dataclass(frozen=True)
class DetectorPlan:
    """Which images a detector is shown, and how it is attacked; chunks are spread over all."""

    run: Path
    detector: Detector
    config: DetectorConfig
    truth: Dataset
    manner: Manner
    chunk: int
    out: Path
    about: _About

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured: as they are, and each attack once."""
        return tuple(dict.fromkeys((CLEAN, *self.manner.attacks)))

    def part(self, number: int, name: str) -> Path:
        """The file of a chunk under an attack."""
        return self.out / PARTS / f"{number:07d}-{name}.json"

    @property
    def chunks(self) -> range:
        """Their numbers."""
        return range(-(-len(self.truth.images) // self.chunk))

    def positions(self, number: int) -> range:
        """Of a chunk's images: each so many apart, so that chunks are alike."""
        return range(number, len(self.truth.images), len(self.chunks))

    def measured_ones(self) -> list[str]:
        """What every chunk has a file of, also from earlier calls; clean first."""
        found = {p.stem.partition("-")[2] for p in (self.out / PARTS).glob("*.json")}
        whole = [n for n in found if all(self.part(number, n).is_file() for number in self.chunks)]
        return sorted(whole, key=lambda name: (name != CLEAN, name))

    @property
    def missing(self) -> list[tuple[int, str]]:
        """Chunks under attacks that have no file."""
        work = [(number, name) for number in self.chunks for name in self.names]
        return [each for each in work if not self.part(*each).is_file()]

    def left(self) -> dict[str, int]:
        """Images that are not measured under each attack."""
        found = dict.fromkeys(self.names, 0)
        for number, name in self.missing:
            found[name] += len(self.positions(number))
        return found

    def run_all(self) -> None:
        """Whatever has no file yet."""
        (self.out / PARTS).mkdir(exist_ok=True)
        remove_leftovers(self.part(n, name) for n in self.chunks for name in self.names)
        pace = Pace(self.left(), self.run.name)
        for number, name in track(self.missing, "attacking"):
            write_json(self.part(number, name), self.measured(number, name))
            pace.done(name, len(self.positions(number)))

    def measured(self, number: int, name: str) -> dict[str, Any]:
        """What is found in a chunk; and the attacked losses before and after, each of a batch."""
        began, found, losses = time.perf_counter(), [], []
        for group in self.groups(self.positions(number)):
            images = group.shown.images
            if name != CLEAN:
                images, change = self.attacked(group, name)
                losses.append(change)
            boxes = self.detector.find(images, group.shown.sizes)
            found += results(boxes, group.images, group.shown.sizes)
        return {"results": found, "losses": losses, "seconds": time.perf_counter() - began}

    def groups(self, positions: Sequence[int]) -> Iterator[Group]:
        """Images at these positions, in batches."""
        size, batch = self.config.model.image_size, self.manner.batch
        return shown_in(self.detector, self.truth, positions, size, batch)

    def attacked(self, group: Group, name: str) -> tuple[torch.Tensor, list[float]]:
        """The pictures under attack, and the attacked loss before and after it."""
        manner, shown = self.manner, group.shown
        draw = {"seed": manner.seed, "first": group.positions[0]}
        images = attack(
            self.detector,
            shown,
            name,
            manner.ball,
            steps=manner.steps,
            step_size=manner.step_size,
            **draw,
        )
        both = [losses_of(self.detector, shown, each, **draw) for each in (shown.images, images)]
        names = losses_attacked(name)
        return images, [float(sum(each[one] for one in names)) for each in both]


def _wanted(plan: DetectorPlan) -> dict[str, Any]:
    """What decides results."""
    manner = plan.manner
    return {
        "weights": sha256_file(plan.run / f"{plan.about.checkpoint}.safetensors"),
        "data": plan.truth.fingerprint,
        "eps": manner.eps,
        "steps": manner.steps,
        "step_size": manner.step_size or manner.eps / 4,
        "batch": manner.batch,
        "chunk": plan.chunk,
        "spread": True,
        "seed": manner.seed,
        "torch": torch.__version__,
        "device": next(plan.detector.parameters()).device.type,
    }


def _record(job: DetectorPlan) -> dict[str, Any]:
    truth, detector, about = job.truth, job.detector, job.about
    unknown = [category for category in truth.categories if category.id > len(detector.classes)]
    used = {annotation.category_id for annotation in truth.annotations}
    plan = read_json(job.out / PLAN)
    return {
        "format": 1,
        "kind": "detection",
        "model": {
            "run": str(job.run),
            "checkpoint": about.checkpoint,
            "weights_sha256": plan["weights"],
            "backbone": about.described["backbone"],
            "method": job.config.attack.method,
            "boxes": job.config.boxes,
            "classes": list(detector.classes),
            "parameters": sum(each.numel() for each in detector.parameters()),
        },
        "data": {
            "path": str(truth.path),
            "split": about.split,
            "fingerprint": plan["data"],
            "images": len(truth.images),
            "boxes": sum(not each.iscrowd for each in truth.annotations),
            "crowd": sum(bool(each.iscrowd) for each in truth.annotations),
            "masks_left_out": [str(each) for each in about.count.left_out],
            "unknown_classes": [each.name for each in unknown if each.id in used],
        },
        "settings": {**plan, "norm": "linf", "random_start": False, "restarts": 1},
        "rows": [_row(job, name) for name in job.measured_ones()],
        "machine": f"{platform.machine()} {platform.system()}, {plan['device']}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "timm", "hotcoco")},
        "partlab": version("partlab"),
    }


def _row(job: DetectorPlan, name: str) -> dict[str, Any]:
    """The figures under one attack, from the files of all chunks."""
    parts = [json.loads(job.part(n, name).read_text("utf-8")) for n in job.chunks]
    found: list[Result] = [each for part in parts for each in part["results"]]
    scored = mask_ap(job.truth, found, of="bbox")
    row: dict[str, Any] = {
        "attack": name,
        "ap": scored.ap,
        "ap50": scored.ap50,
        "ap75": scored.ap75,
        "detections": len(found),
        "per_class": {c.name: scored.per_category[c.id].ap for c in job.truth.categories},
        "seconds": round(sum(part["seconds"] for part in parts), 1),
    }
    if name == CLEAN:
        return row
    changes = [change for part in parts for change in part["losses"]]
    before, after = (sum(c[at] for c in changes) / max(len(changes), 1) for at in (0, 1))
    if changes and after <= before:
        log.warning(
            "attack %s does not raise its own loss (%.3f before, %.3f after): its row says nothing",
            name, before, after,
        )  # fmt: skip
    return {
        **row,
        "raised": not changes or after > before,
        "losses": list(losses_attacked(name)),
        "loss": {"before": before, "after": after},
    }
