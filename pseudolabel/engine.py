"""The pseudo-label engine: images in, one row of part layers per image out (P-01, P-02, B4).

`predict_batch` is a pure function of a batch, so another engine can be put around it; the
local driver `label_images` feeds it shard by shard and can be killed at any moment.
"""

import logging
import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from partlab.counts import counted
from partlab.errors import ConfigError, DatasetError, PartlabError
from partlab.parts import Parts
from partlab.places import located
from partlab.progress import track
from partlab.training.process import Process
from pseudolabel.inputs import Entry, find_inputs, frozen_shards, refuse_unreadable, survey
from pseudolabel.job import Job, claimed, complete, describe
from pseudolabel.loading import Sample, batches, plan
from pseudolabel.nearby import nearby
from pseudolabel.settings import Settings
from pseudolabel.store import Row, Store, StoredMask, write_shard
from segmenter.objects import Objects
from segmenter.origin import Origin, origin_of
from segmenter.predictor import Prediction, Predictor
from segmenter.protocol import Pixels, Segmenter
from segmenter.tuning.file import with_own

logger = logging.getLogger(__name__)

Classify = Callable[[Sequence[Pixels]], list[str]]


def _tell_untuned(origin: Origin) -> None:
    """What a score is worth differs from run to run, so that 0.5 is a habit."""
    logger.warning(
        "%s is not tuned: masks that score %g or more are kept, whatever that is worth; "
        "better label maps: partlab segmenter tune RUN DATA, or --threshold",
        origin.name,
        Settings().thresholds.default,
    )


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
    ready = [(sample.entry, sample.pixels) for sample in batch if sample.pixels is not None]
    found = Predictor(segmenter, settings).predict(
        [pixels for _, pixels in ready],
        [_shown(entry.object, segmenter) for entry, _ in ready],
    )
    by_id = {entry.image_id: each for (entry, _), each in zip(ready, found, strict=True)}
    return [_row(sample, by_id.get(sample.entry.image_id)) for sample in batch]


def _shown(object: str | None, segmenter: Segmenter) -> Objects:
    """A class of which the segmenter has no parts leaves nothing to look for."""
    return object if object is None or object in segmenter.parts.by_object else ()


def _classified(batch: Sequence[Sample], classify: Classify) -> list[Sample]:
    readable = [sample for sample in batch if sample.pixels is not None]
    names = iter(classify([s.pixels for s in readable if s.pixels is not None]))
    return [
        replace(s, entry=replace(s.entry, object=next(names), object_source="classifier"))
        if s.pixels is not None
        else replace(s, entry=replace(s.entry, object=None, object_source=None))
        for s in batch
    ]


def _row(sample: Sample, found: Prediction | None) -> Row:
    entry, reason = sample.entry, sample.reason
    if found is not None and found.reason:
        reason = f"the segmenter has no parts of {entry.object!r}"
    height, width = found.size if found is not None else (0, 0)
    return Row(
        entry.image_id,
        entry.path,
        entry.object,
        entry.object_source,
        height,
        width,
        found.status if found is not None else "unreadable",
        reason,
        tuple(StoredMask(m.label, m.score, m.area, m.bbox, m.rle) for m in found.masks)
        if found is not None
        else (),
    )


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
        count = len(self.store)
        none = "the only picture cannot" if count == 1 else f"none of the {count} pictures can"
        raise DatasetError(
            f"{none} be read; the first is {first.file_name}: {first.reason}",
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
            f"{counted(len(self.store), 'image')} in {out}: {counts['labelled']} with parts "
            f"({counted(counts['masks'], 'mask')}), {counts['blank']} blank, "
            f"{counts['unreadable']} unreadable",
            f"{self.images} of them labelled now, in {self.seconds:.0f} s",
            f"next: partlab pseudolabel report {shlex.quote(str(out))}",
        ]
        return "\n".join(lines)


def label_images(
    images: str | Path,
    run: str | Path | Origin,
    out: str | Path,
    settings: Settings | None = None,
    *,
    split: str | None = None,
    classes: str | Path | None = None,
    workers: int = 1,
    device: str | None = None,
    force: bool = False,
    engine: "Engine | None" = None,
) -> Outcome | None:
    """Label every image into the store `out`; the same call again goes on where it stopped.

    `run` is a segmenter's folder, or a served one (`segmenter.remote.connect`). Everything is
    checked before anything is written. Under `torchrun` the processes share the shards; only
    the first one returns an outcome, the others None. `engine` does the work: this process
    (and `workers` that decode for it), or another such as `pseudolabel.on_ray.RayEngine`.

    Raises:
        NotFoundError: no images, no run, or an object category the segmenter does not know.
        DatasetError: images without a known class, damaged inputs, a damaged checkpoint, or not
            one picture that can be read.
        OutputExistsError: `out` holds something else, or labels made in another way.
        BusyError: another run is writing to `out`.
    """
    out = located(out)
    settings, origin, process = settings or Settings(), origin_of(run), Process.current()
    description = origin.description()
    settings = with_own(settings, description, settings.checkpoint)
    if process.leads and "thresholds" not in settings.model_fields_set:
        _tell_untuned(origin)
    objects = Parts.of(description["names"]).objects
    inputs = find_inputs(images, split=split, classes=classes)
    need_class = settings.category_filter and settings.classifier is None
    found = survey(inputs, objects, need_class=need_class)
    refuse_unreadable(inputs, settings.picture_seconds)
    manifest = describe(origin, settings, found, inputs.root)
    device = device or process.device()
    working: AbstractContextManager[Rows | None] = nullcontext()
    if force or not complete(out, manifest):
        working = (engine or Here(workers)).ready(origin, settings, device)
    with working as rows, claimed(out, manifest, inputs, process, force=force) as job:
        start, todo = time.monotonic(), job.todo()
        if todo and rows:
            _store_rows(job, todo, rows(job, todo))
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
    def load(
        cls, run: str | Path | Origin, settings: Settings, device: str | None = None
    ) -> "Labeller":
        """Load the segmenter of a run, and the classifier if the settings name one.

        Raises:
            ConfigError: torch knows no such device here.
            DatasetError: a checkpoint is damaged, or does not fit its description.
        """
        _check_device(device)
        loaded = Predictor.load(run, settings, checkpoint=settings.checkpoint, device=device)
        segmenter = loaded.segmenter
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


Rows = Callable[[Job, list[int]], Iterator[Row]]
"""From shards to their rows: all rows of each shard, in any order."""


class Engine(Protocol):
    """Who labels: `ready` checks and starts what it needs, before anything is written."""

    def ready(
        self, origin: Origin, settings: Settings, device: str | None
    ) -> AbstractContextManager[Rows]:
        """What makes rows of shards, for as long as the block lasts."""
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """This process, with `workers` more that decode pictures for it."""

    workers: int = 1

    @contextmanager
    def ready(self, origin: Origin, settings: Settings, device: str | None) -> Iterator[Rows]:
        """The segmenter is loaded; errors are those of `Labeller.load`."""
        labeller = Labeller.load(origin, settings, device)

        def rows(job: Job, todo: list[int]) -> Iterator[Row]:
            root = located(job.manifest.image_root)
            shards = frozen_shards(job.out / "inputs.parquet", todo)
            yield from labelled(shards, root, labeller, self.workers)

        yield rows


def labelled(
    shards: Iterable[list[Entry]], root: Path, labeller: Labeller, workers: int
) -> Iterator[Row]:
    """The rows of the entries of some shards, shard by shard."""
    settings = labeller.settings
    with nearby(root) as near:
        here = near.folder
        plans = (batch for entries in near.ahead(shards) for batch in plan(entries, here, settings))
        for batch in batches(plans, here, workers, settings.picture_seconds):
            yield from labeller(batch)
            near.done(sample.entry for sample in batch)


def _store_rows(job: Job, todo: list[int], rows: Iterator[Row]) -> None:
    """Write each shard when its last row has come."""
    total = job.images(todo)
    pace = _Pace(total, job.manifest.images, job.process)
    begun = defaultdict[int, dict[int, Row]](dict)  # by position: one that comes twice counts once
    for row in track(rows, "labelling", total=total):
        pace.step()
        shard = (row.image_id - 1) // job.manifest.shard_size
        begun[shard][row.image_id] = row
        if len(begun[shard]) == len(job.manifest.span(shard)):
            done = begun.pop(shard)
            write_shard(job.out, shard, [done[key] for key in sorted(done)], job.manifest.identity)


class _Pace:
    """A log line a minute, for runs that nobody watches."""

    def __init__(self, total: int, images: int, process: Process) -> None:
        self.total, self.done, self.said = total, 0, time.monotonic()
        self.start = self.said
        who = f"process {process.rank} of {process.world}: " if process.world > 1 else ""
        self.who = who
        if total < images and process.world == 1:
            logger.info("%d of %s stored already", images - total, counted(images, "image"))

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
