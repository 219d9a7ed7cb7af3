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

log = logging.getLogger(__name__)

RECORD, PLAN, PARTS, CLEAN = "detection.json", "plan.json", "parts", "clean"


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
    chunk: int = 64,
) -> dict[str, Any]:
    """Measure a detector on a split, as it is and under each attack; the record, as in `out`.

    Pictures whose masks cannot be used are measured without those, classes that the detector
    does not know count with AP 0; both are told. `limit`: only so many images, evenly spread.

    Raises:
        NotFoundError: no run, no checkpoint, no data, no such split.
        SchemaError: a run of another kind.
        DatasetError: nothing to find in the data, or nothing that the detector knows.
        ConfigError: `out` was begun with something else; a number makes no sense.
        BusyError: another process works on `out`.
        PartlabError: a gradient is not finite.
    """
    run, out, manner = Path(run), Path(out), manner or Manner()
    described = read_run(run)
    config = settings_of(described, run)
    truth, count = _truth(data, split, limit, described["classes"], config)
    detector = load_detector(run, checkpoint=checkpoint, device=device)
    job = _Job(run, detector, config, truth, manner, chunk, out)
    with exclusive(out):
        _claim(job, checkpoint)
        job.run_all()
        record = _record(job, described, checkpoint, split, count)
        write_json(out / RECORD, record)
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


@dataclass(frozen=True)
class _Job:
    run: Path
    detector: Detector
    config: DetectorConfig
    truth: Dataset
    manner: Manner
    chunk: int
    out: Path

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured: as they are, and each attack once."""
        return tuple(dict.fromkeys((CLEAN, *self.manner.attacks)))

    def part(self, first: int, name: str) -> Path:
        """The file of a chunk under an attack."""
        return self.out / PARTS / f"{first:07d}-{name}.json"

    @property
    def chunks(self) -> range:
        """Where chunks begin."""
        return range(0, len(self.truth.images), self.chunk)

    def measured_ones(self) -> list[str]:
        """What every chunk has a file of, also from earlier calls; clean first."""
        found = {p.stem.partition("-")[2] for p in (self.out / PARTS).glob("*.json")}
        whole = [n for n in found if all(self.part(first, n).is_file() for first in self.chunks)]
        return sorted(whole, key=lambda name: (name != CLEAN, name))

    def run_all(self) -> None:
        """Whatever has no file yet."""
        (self.out / PARTS).mkdir(exist_ok=True)
        work = [(first, name) for first in self.chunks for name in self.names]
        remove_leftovers(self.part(*each) for each in work)
        todo = [each for each in work if not self.part(*each).is_file()]
        for first, name in track(todo, "attacking", len(todo)):
            write_json(self.part(first, name), self.measured(first, name))

    def measured(self, first: int, name: str) -> dict[str, Any]:
        """What is found in a chunk; and the attacked losses before and after, each of a batch."""
        began, found, losses = time.perf_counter(), [], []
        for group in self.groups(first):
            images = group.shown.images
            if name != CLEAN:
                images, change = self.attacked(group, name)
                losses.append(change)
            boxes = self.detector.find(images, group.shown.sizes)
            found += results(boxes, group.images, group.shown.sizes)
        return {"results": found, "losses": losses, "seconds": time.perf_counter() - began}

    def groups(self, first: int) -> Iterator[Group]:
        """The pictures of a chunk, in batches."""
        last = min(first + self.chunk, len(self.truth.images))
        size, batch = self.config.model.image_size, self.manner.batch
        return shown_in(self.detector, self.truth, range(first, last), size, batch)

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


def _claim(job: _Job, checkpoint: str) -> None:
    """The folder for this evaluation: new, or begun with the same."""
    manner = job.manner
    wanted: dict[str, Any] = {
        "weights": sha256_file(job.run / f"{checkpoint}.safetensors"),
        "data": job.truth.fingerprint,
        "eps": manner.eps,
        "steps": manner.steps,
        "step_size": manner.step_size or manner.eps / 4,
        "batch": manner.batch,
        "chunk": job.chunk,
        "seed": manner.seed,
        "torch": torch.__version__,
        "device": next(job.detector.parameters()).device.type,
    }
    if not (job.out / PLAN).is_file():
        write_json(job.out / PLAN, wanted)
        return
    found = read_json(job.out / PLAN)
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ConfigError(
                f"{job.out} was begun with another {key}: {found.get(key)}, now {value}",
                hint="use the same, or choose another --out",
            )


def _record(
    job: _Job, described: dict[str, Any], checkpoint: str, split: str | None, count: MaskCount
) -> dict[str, Any]:
    truth, detector = job.truth, job.detector
    unknown = [category for category in truth.categories if category.id > len(detector.classes)]
    used = {annotation.category_id for annotation in truth.annotations}
    plan = read_json(job.out / PLAN)
    return {
        "format": 1,
        "kind": "detection",
        "model": {
            "run": str(job.run),
            "checkpoint": checkpoint,
            "weights_sha256": plan["weights"],
            "backbone": described["backbone"],
            "method": job.config.attack.method,
            "boxes": job.config.boxes,
            "classes": list(detector.classes),
            "parameters": sum(each.numel() for each in detector.parameters()),
        },
        "data": {
            "path": str(truth.path),
            "split": split,
            "fingerprint": plan["data"],
            "images": len(truth.images),
            "boxes": sum(not each.iscrowd for each in truth.annotations),
            "crowd": sum(bool(each.iscrowd) for each in truth.annotations),
            "masks_left_out": [str(each) for each in count.left_out],
            "unknown_classes": [each.name for each in unknown if each.id in used],
        },
        "settings": {**plan, "norm": "linf", "random_start": False, "restarts": 1},
        "rows": [_row(job, name) for name in job.measured_ones()],
        "machine": f"{platform.machine()} {platform.system()}, {plan['device']}",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "torchvision", "timm", "hotcoco")},
        "partlab": version("partlab"),
    }


def _row(job: _Job, name: str) -> dict[str, Any]:
    """The figures under one attack, from the files of all chunks."""
    parts = [json.loads(job.part(first, name).read_text("utf-8")) for first in job.chunks]
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
