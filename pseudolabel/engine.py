"""The pseudo-label engine: images in, one row of part layers per image out (P-01, P-02, B4).

`predict_batch` is a pure function of a batch, so another engine can be put around it; the
local driver `label_images` feeds it shard by shard and can be killed at any moment.
"""

import logging
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partlab.errors import ConfigError, DatasetError, PartlabError, SchemaError
from partlab.masks import Rle, area, bbox, union
from partlab.parts import Parts
from partlab.progress import track
from partlab.training.process import Process
from pseudolabel.inputs import find_inputs, frozen_shards, refuse_unreadable, survey
from pseudolabel.job import Job, claimed, complete, describe
from pseudolabel.loading import Sample, batches, plan
from pseudolabel.settings import Settings
from pseudolabel.store import Row, Status, Store, StoredMask, write_shard
from segmenter.protocol import Detections, Pixels, Segmenter
from segmenter.runs import load_segmenter, read_run

logger = logging.getLogger(__name__)

Classify = Callable[[Sequence[Pixels]], list[str]]


def predict_batch(
    segmenter: Segmenter,
    batch: Sequence[Sample],
    settings: Settings,
    classify: Classify | None = None,
) -> list[Row]:
    """Label one batch; row i belongs to sample i, and nothing but the arguments matters.

    The category filter takes an image's class from its entry, or from `classify` (then
    `object_source` is "classifier"). A class without parts gives a blank row with the reason.
    """
    batch = _classified(batch, classify) if classify else batch
    filtered = settings.category_filter
    ready = [
        (sample.entry, sample.pixels)
        for sample in batch
        if sample.pixels is not None
        and (sample.entry.object in segmenter.parts.by_object or not filtered)
    ]
    floor = settings.thresholds.of(segmenter.names)
    found = segmenter.predict(
        [pixels for _, pixels in ready],
        [entry.object if filtered else None for entry, _ in ready],
        threshold=float(floor.min(initial=1.0)),
    )
    by_id = {entry.image_id: each for (entry, _), each in zip(ready, found, strict=True)}
    return [
        _row(sample, by_id.get(sample.entry.image_id), floor, settings.unite) for sample in batch
    ]


def _classified(batch: Sequence[Sample], classify: Classify) -> list[Sample]:
    readable = [sample for sample in batch if sample.pixels is not None]
    names = iter(classify([s.pixels for s in readable if s.pixels is not None]))
    return [
        replace(s, entry=replace(s.entry, object=next(names), object_source="classifier"))
        if s.pixels is not None
        else replace(s, entry=replace(s.entry, object=None, object_source=None))
        for s in batch
    ]


def _row(sample: Sample, found: Detections | None, floor: NDArray[np.float32], united: bool) -> Row:
    entry, pixels, reason = sample.entry, sample.pixels, sample.reason
    keep = unite if united else keep_apart
    masks = keep(found, floor) if found is not None else ()
    if pixels is not None and found is None:
        reason = f"the segmenter has no parts of {entry.object!r}"
    height, width = pixels.shape[:2] if pixels is not None else (0, 0)
    status: Status = "unreadable" if pixels is None else "labelled" if masks else "blank"
    return Row(
        entry.image_id,
        entry.path,
        entry.object,
        entry.object_source,
        height,
        width,
        status,
        reason,
        masks,
    )


def unite(found: Detections, floor: NDArray[np.float32]) -> tuple[StoredMask, ...]:
    """One mask per part: the union of its instances with a score of at least `floor[label]`.

    The photos hold one foreground object category each (D-03), so all instances belong to that
    object (B4.3); the united score is the best instance's. Parts come in the order of labels.
    """
    groups: dict[int, list[int]] = {}
    for position, label in enumerate(found.labels.tolist()):
        if found.scores[position] >= floor[label]:
            groups.setdefault(label, []).append(position)
    masks = (
        _stored(label, [found.masks[i] for i in members], float(found.scores[members].max()))
        for label, members in sorted(groups.items())
    )
    return tuple(mask for mask in masks if mask.area)


def keep_apart(found: Detections, floor: NDArray[np.float32]) -> tuple[StoredMask, ...]:
    """Every instance with a score of at least `floor[label]`, by label, best first.

    For `calibrate` and the threshold sweep: which instances are united depends on the threshold.
    """
    kept = np.flatnonzero(found.scores >= floor[found.labels]).tolist()
    ordered = sorted(kept, key=lambda i: (found.labels[i], -found.scores[i], i))
    masks = (
        _stored(int(found.labels[i]), [found.masks[i]], float(found.scores[i])) for i in ordered
    )
    return tuple(mask for mask in masks if mask.area)


def _stored(label: int, rles: list[Rle], score: float) -> StoredMask:
    whole = rles[0] if len(rles) == 1 else union(rles)
    x, y, width, height = bbox(whole)
    return StoredMask(label, score, area(whole), (x, y, width, height), whole)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call did: the finished store, how many images it labelled, in how long."""

    store: Store
    images: int
    seconds: float
    passed_over: int = 0  # files beside the pictures that are none by their names

    def refuse_nothing_read(self) -> None:
        """A header may be whole and the rest damaged.

        Raises:
            DatasetError: not one picture of the store could be read; the first is named.
        """
        if self.store.manifest.counts["unreadable"] < len(self.store):
            return
        first = next(iter(self.store.rows(["file_name", "reason"])))
        raise DatasetError(
            f"none of the {len(self.store)} pictures can be read; the first is "
            f"{first.file_name}: {first.reason}",
            hint=f"get the pictures again; {self.store.path} holds nothing and can be removed",
        )

    def result(self) -> dict[str, Any]:
        """The facts, for `--json`."""
        speed = self.images / self.seconds if self.seconds else 0.0
        return {
            "out": str(self.store.path),
            "images": len(self.store),
            **self.store.manifest.counts,
            "images_this_run": self.images,
            "files_passed_over": self.passed_over,
            "seconds": round(self.seconds, 1),
            "images_per_second": round(speed, 2),
        }

    def summary(self) -> str:
        """The facts, for people."""
        counts, out = self.store.manifest.counts, self.store.path
        lines = [
            f"{len(self.store)} images in {out}: {counts['labelled']} with parts "
            f"({counts['masks']} masks), {counts['blank']} blank, "
            f"{counts['unreadable']} unreadable",
            f"{self.images} of them labelled now, in {self.seconds:.0f} s",
            f"next: partlab pseudolabel report {shlex.quote(str(out))}",
        ]
        return "\n".join(lines)


def label_images(
    images: str | Path,
    run: str | Path,
    out: str | Path,
    settings: Settings | None = None,
    *,
    split: str | None = None,
    classes: str | Path | None = None,
    workers: int = 1,
    device: str | None = None,
    force: bool = False,
) -> Outcome | None:
    """Label every image into the store `out`; the same call again goes on where it stopped.

    Everything is checked before anything is written. Under `torchrun` the processes share the
    shards; only the first one returns an outcome, the others None.

    Raises:
        NotFoundError: no images, no run, or an object category the segmenter does not know.
        DatasetError: images without a known class, damaged inputs, a damaged checkpoint, or not
            one picture that can be read.
        OutputExistsError: `out` holds something else, or labels made in another way.
        BusyError: another run is writing to `out`.
    """
    settings, run, process = settings or Settings(), Path(run), Process.current()
    objects = Parts.of(read_run(run)["names"]).objects
    inputs = find_inputs(images, split=split, classes=classes)
    need_class = settings.category_filter and settings.classifier is None
    found = survey(inputs, objects, need_class=need_class)
    refuse_unreadable(inputs)
    manifest = describe(run, settings, found, inputs.root)
    labeller = None
    if force or not complete(Path(out), manifest):
        labeller = Labeller.load(run, settings, device or process.device())
    with claimed(Path(out), manifest, inputs, process, force=force) as job:
        start, todo = time.monotonic(), job.todo()
        if todo and labeller:
            _store_rows(job, todo, _rows(job, todo, labeller, workers))
        seconds = time.monotonic() - start
        if not process.leads:
            return None
        done = Outcome(job.finish(), job.images(todo), seconds, inputs.others.total)
        done.refuse_nothing_read()
        return done


@dataclass(frozen=True, slots=True)
class Labeller:
    """`predict_batch` with everything but the batch filled in."""

    segmenter: Segmenter
    settings: Settings
    classify: Classify | None = None

    def __call__(self, batch: Sequence[Sample]) -> list[Row]:
        """Label one batch.

        Raises:
            PartlabError: the GPU's memory is too small for it.
        """
        import torch

        try:
            return predict_batch(self.segmenter, batch, self.settings, self.classify)
        except torch.OutOfMemoryError as error:
            raise PartlabError(
                "the GPU's memory is too small for a batch of these images",
                hint="run the same command again with a smaller --batch-size",
            ) from error

    @classmethod
    def load(cls, run: Path, settings: Settings, device: str | None = None) -> "Labeller":
        """Load the segmenter of a run, and the classifier if the settings name one.

        Raises:
            ConfigError: torch knows no such device here.
            DatasetError: a checkpoint is damaged, or does not fit its description.
        """
        _check_device(device)
        try:
            segmenter = load_segmenter(run, checkpoint=settings.checkpoint, device=device)
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise SchemaError(
                f"the checkpoint {settings.checkpoint!r} of {run} cannot be loaded: {error}",
                hint="copy the run again, or train it again",
            ) from error
        if settings.classifier is None:
            return cls(segmenter, settings)
        from pseudolabel.classifier import load_classifier

        classify = load_classifier(settings.classifier, segmenter.objects, device)
        return cls(segmenter, settings, classify)


def _check_device(device: str | None) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"the device {device!r} cannot be used here: {str(error).splitlines()[0]}",
            hint="choose cpu, or leave --device out; what there is: partlab doctor",
        ) from error


def _rows(job: Job, todo: list[int], labeller: Labeller, workers: int) -> Iterator[Row]:
    root = Path(job.manifest.image_root)
    shards = frozen_shards(job.out / "inputs.parquet", todo)
    plans = (batch for entries in shards for batch in plan(entries, root, labeller.settings))
    for batch in batches(plans, root, workers):
        yield from labeller(batch)


def _store_rows(job: Job, todo: list[int], rows: Iterator[Row]) -> None:
    """Write each shard when its last row has come."""
    total = job.images(todo)
    pace = _Pace(total, job.manifest.images, job.process)
    following = iter(todo)
    shard, done = next(following, -1), list[Row]()
    for row in track(rows, "labelling", total=total):
        done.append(row)
        pace.step()
        if len(done) == len(job.manifest.span(shard)):
            done.sort(key=lambda each: each.image_id)
            write_shard(job.out, shard, done, job.manifest.identity)
            shard, done = next(following, -1), []


class _Pace:
    """A log line a minute, for runs that nobody watches."""

    def __init__(self, total: int, images: int, process: Process) -> None:
        self.total, self.done, self.said = total, 0, time.monotonic()
        self.start = self.said
        who = f"process {process.rank} of {process.world}: " if process.world > 1 else ""
        self.who = who
        if total < images and process.world == 1:
            logger.info("%d of %d images are stored already", images - total, images)

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.said < 60:
            return
        self.said, rate = now, self.done / (now - self.start)
        left = (self.total - self.done) / rate / 60
        logger.info(
            "%s%d of %d images, %.2f a second, %.0f min left",
            *(self.who, self.done, self.total, rate, left),
        )
