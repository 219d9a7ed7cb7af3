"""Where one run writes: claims the folder, refuses what does not fit, shares the work.

Several processes (`torchrun`) need no communication: each makes every n-th shard, and the
files say what is done. Process 0 alone claims the folder and writes the manifest.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from partlab.config import deciding
from partlab.errors import BusyError, ConfigError, NotFoundError, OutputExistsError, PartlabError
from partlab.files import exclusive, remove_leftovers, sha256_file, sha256_json
from partlab.folders import is_store, need_clearable, need_own
from partlab.places import is_remote, located, remove
from partlab.training.process import Process
from pseudolabel.inputs import Inputs, Survey, freeze
from pseudolabel.settings import Settings
from pseudolabel.store import Manifest, Store, read_manifest, shard_path, shards_in, write_manifest
from segmenter.origin import Origin

logger = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds without a sign of life before another process counts as gone
PATIENCE_AFAR = 1800.0  # the same where only its shards show that it lives: one takes minutes
_OURS = {".lock", ".processes", "inputs.parquet", "shards"}


def describe(run: Origin, settings: Settings, found: Survey, root: Path) -> Manifest:
    """The manifest of a store that this run would write.

    Raises:
        NotFoundError: the run, its checkpoint or a classifier file does not exist.
        UnknownNameError: a threshold names a part that the segmenter does not have.
    """
    description = run.description()
    names = tuple(description["names"])
    settings.thresholds.of(names)
    config = settings.model_dump(mode="json", exclude={"checkpoint"})
    config |= {"run_config_sha256": sha256_json(description["config"]), **_classifier(settings)}
    if tuning := description.get("tuning"):
        config["tuning_sha256"] = tuning["sha256"]
    content = {key: value for key, value in config.items() if key not in _speed()}
    return Manifest(
        partlab=version("partlab"),
        run=run.place,
        backend=description["backend"],
        model_sha256=run.weights_sha256(settings.checkpoint),
        config=config,
        config_sha256=sha256_json(content),
        names=names,
        inclusions=description.get("inclusions") or {},
        image_root=str(root.resolve()),
        inputs_sha256=found.sha256,
        images=found.images,
        shard_size=settings.shard_size,
    )


def _speed() -> set[str]:
    """Settings with which a run may go on otherwise."""
    return Settings.model_fields.keys() - deciding(Settings()).keys()


def _classifier(settings: Settings) -> dict[str, Any]:
    """Weights and names by content instead of by path."""
    if settings.classifier is None:
        return {}
    files = {"weights": settings.classifier.weights, "names": settings.classifier.names}
    hashes = {kind: _sha256(path, f"file of classifier {kind}") for kind, path in files.items()}
    return {"classifier": {"model": settings.classifier.model, **hashes}}


def _sha256(path: Path, what: str) -> str:
    try:
        return sha256_file(path)
    except FileNotFoundError:
        raise NotFoundError(f"no {what} {path}") from None


@dataclass(frozen=True)
class Job:
    """A claimed store and the share of one process in it."""

    out: Path
    manifest: Manifest
    process: Process

    def todo(self) -> list[int]:
        """Shards this process has still to make."""
        share = range(self.process.rank, self.manifest.shards, self.process.world)
        there = shards_in(self.out)
        return [shard for shard in share if shard not in there]

    def images(self, shards: list[int]) -> int:
        """How many images these shards hold."""
        return sum(len(self.manifest.span(shard)) for shard in shards)

    def missing(self) -> int:
        """How many shards nobody has made yet."""
        return len(set(range(self.manifest.shards)) - shards_in(self.out))

    def finish(self) -> Store:
        """Wait for the other processes, count, and mark the store as done (process 0 only).

        Raises:
            PartlabError: another process ended before its share was made.
            DatasetError: a shard is damaged.
        """
        self._wait()
        store = Store(self.out, self.manifest, located(self.manifest.image_root))
        done = self.manifest.model_copy(update={"state": "done", "counts": store.count()})
        write_manifest(self.out, done)
        return Store.open(self.out)

    def _wait(self) -> None:
        seen, missing = time.monotonic(), self.missing()
        remote = is_remote(self.out)  # then nobody sees the processes of other machines
        patience, pause = (PATIENCE_AFAR, 2.0) if remote else (PATIENCE, 0.2)
        while missing:
            if _others_alive(self.out):
                seen = time.monotonic()
            elif time.monotonic() - seen > patience:
                raise PartlabError(
                    f"another process of this run ended early; {missing} shards are missing",
                    hint="run the same command again: it makes only those",
                )
            time.sleep(pause)
            if (now := self.missing()) < missing:
                seen = time.monotonic()
            missing = now


def complete(out: Path, manifest: Manifest) -> bool:
    """Whether `out` holds every shard of just this store already."""
    return _same(out, manifest) and not Job(out, manifest, Process()).missing()


@contextmanager
def claimed(
    out: Path, manifest: Manifest, inputs: Inputs, process: Process, *, force: bool = False
) -> Iterator[Job]:
    """Hold the store's folder for this run: a new one, or one that the same run left.

    Raises:
        OutputExistsError: the folder holds something else, or labels made in another way.
        BusyError: another run writes to it now.
    """
    _check_folder(out, located(manifest.image_root), Path(manifest.run), process, force)
    with ExitStack() as held:
        held.enter_context(exclusive(out if process.leads else _seat(out, process.rank)))
        if process.leads:
            _begin(out, manifest, inputs, process, force)
        else:
            _until(lambda: _same(out, manifest), "process 0 did not start the run")
        _sweep(out, manifest, process)
        yield Job(out, manifest, process)


def _seat(out: Path, rank: int) -> Path:
    return out / ".processes" / str(rank)


def _others_alive(out: Path) -> bool:
    for seat in out.glob(".processes/*"):
        try:
            with exclusive(seat):
                pass
        except BusyError:
            return True
    return False


def _check_folder(out: Path, images: Path, run: Path, process: Process, force: bool) -> None:
    target = out.resolve()
    for where, what in ((images, "the images"), (run, "the segmenter run")):
        if target == where.resolve() or target in where.resolve().parents:
            raise ConfigError(f"--out {out} holds {what}", hint="choose another --out")
    if force and process.world > 1:
        raise ConfigError(
            "--force cannot be used by several processes", hint=f"delete {out} yourself first"
        )
    if force and out.is_dir():
        need_clearable(out)
    elif not is_store(out):
        hint = "choose another --out, or pass --force to replace what is there"
        need_own(out, "pseudo-label store", _OURS, hint=hint)


def _begin(out: Path, manifest: Manifest, inputs: Inputs, process: Process, force: bool) -> None:
    if process.world == 1 and _others_alive(out):
        raise BusyError(
            f"processes of an earlier run are still writing to {out}",
            hint="wait for them to end, or choose another --out",
        )
    if force:
        _clear(out)
    fresh = not any(out.glob("shards/*.parquet"))
    if is_store(out) and not fresh:
        _refuse_other(out, read_manifest(out), manifest)
    if fresh or not (out / "inputs.parquet").is_file():
        survey = Survey(manifest.images, manifest.inputs_sha256)
        freeze(inputs, out / "inputs.parquet", manifest.shard_size, survey)
    write_manifest(out, manifest)


def _clear(out: Path) -> None:
    """The manifest goes last: cut short, the rest still says what it belongs to."""
    for path in sorted(out.iterdir(), key=lambda path: path.name == "manifest.json"):
        if path.name == ".lock":
            continue
        if is_remote(path):
            remove(path)
        else:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _refuse_other(out: Path, old: Manifest, new: Manifest) -> None:
    elsewhere = old.image_root != new.image_root and located(old.image_root).is_dir()
    if old.identity == new.identity and not elsewhere:
        return
    changed = [
        f"{key} ({old.config.get(key)!r} there, {value!r} now)"
        for key, value in new.config.items()
        if old.config.get(key) != value and key not in _speed()
    ]
    if old.model_sha256 != new.model_sha256:
        changed.append(f"the segmenter's weights ({old.run} there, {new.run} now)")
    if old.inputs_sha256 != new.inputs_sha256:
        changed.append(_other_images(old, new))
    if elsewhere:  # else they were moved
        changed.append(f"the images' folder ({old.image_root} there, {new.image_root} now)")
    if not changed:  # identities are reckoned in another way now
        changed.append(f"another version of partlab ({old.partlab} there, {new.partlab} now)")
    raise OutputExistsError(
        f"{out} holds labels made in another way: {'; '.join(changed)}",
        hint="choose another --out, go on with the same settings, or pass --force to start again",
    )


def _other_images(old: Manifest, new: Manifest) -> str:
    if old.images != new.images:
        return f"the images ({old.images} there, {new.images} now)"
    return "the images (as many, but other names, object categories or file sizes)"


def _same(out: Path, manifest: Manifest) -> bool:
    return is_store(out) and read_manifest(out).identity == manifest.identity


def _until(condition: Callable[[], bool], complaint: str) -> None:
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > 5 * PATIENCE:
            raise PartlabError(complaint, hint="look at the messages of the other processes")
        time.sleep(0.2)


def _sweep(out: Path, manifest: Manifest, process: Process) -> None:
    """Remove what a killed process left half written in this process's share."""
    share = range(process.rank, manifest.shards, process.world)
    if is_remote(out):  # an object store shows nothing half written
        return
    paths = [shard_path(out, shard) for shard in share]
    if process.leads:
        paths += [out / "manifest.json", out / "inputs.parquet"]
    remove_leftovers(paths)
