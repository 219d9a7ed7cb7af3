"""A set of made pictures in a folder that is whole or not there (G-06, G-08).

    set.json            what was made of what, how, and what was left out and why
    pictures.parquet    each picture: its file, class, where it comes from, and its hash
    …                   the pictures

The same recipe gives the same bytes from any number of processes. Work that was stopped lies hidden
beside the folder and goes on with what is there.
"""

import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from torch.utils.data import DataLoader, Dataset

from partlab.errors import DatasetError, NotFoundError, PartlabError, SchemaError
from partlab.files import (
    exclusive,
    read_json,
    replacing,
    sha256_json,
    write_json,
)
from partlab.folders import need_free, put_in_place
from partlab.progress import track
from partlab.workers import end_with_parent

logger = logging.getLogger(__name__)
SET, PICTURES, PLAN = "set.json", "pictures.parquet", "plan.json"
Facts = dict[str, Any]
LIBRARIES = ("numpy", "pillow", "opencv-python-headless")


class Recipe(Protocol):
    """What is to be made: `items` by position, each of which gives one picture or more.

    `settings` and `items` are JSON; they decide every byte, with the sources and libraries.
    """

    @property
    def kind(self) -> str:
        """As `spurious`."""
        ...

    @property
    def settings(self) -> Facts:
        """How, of what, by which seed."""
        ...

    @property
    def items(self) -> Sequence[Facts]:
        """What is made; an item's `files` are its pictures, each with what is known of it."""
        ...

    @property
    def left_out(self) -> Mapping[str, int]:
        """Reason -> how many sources are left out for it."""
        ...

    def make(self, at: int) -> Sequence[bytes]:
        """The encoded pictures of an item, in the order of its `files`."""
        ...


def make_set(
    recipe: Recipe, out: str | Path, *, workers: int = 0, force: bool = False,
    inputs: Sequence[Path] = (),
) -> Facts:  # fmt: skip
    """Make all pictures of a recipe into a new folder; the content of its set.json.

    Args:
        workers: processes that make pictures; 0 is this one.
        inputs: what `force` must not replace.

    Raises:
        OutputExistsError: `out` holds something, and `force` is off.
        BusyError: another process makes it.
        DatasetError: nothing is to be made; a source is damaged.
        PartlabError: nothing can be written.
    """
    out = Path(out)
    if not recipe.items:
        told = ", ".join(f"{n} {why}" for why, n in recipe.left_out.items()) or "there is no source"
        raise DatasetError(f"no picture can be made: {told}", hint="see what each source needs")
    need_free(out, force=force, inputs=inputs)
    scratch = out.absolute().parent / f".{out.absolute().name}.making"
    with exclusive(scratch):
        _begin(recipe, scratch)
        hashes = _make(recipe, scratch, workers)
        facts = _described(recipe, hashes)
        _write_table(recipe, hashes, scratch / PICTURES)
        write_json(scratch / SET, facts)
        (scratch / PLAN).unlink()
    (scratch / ".lock").unlink(missing_ok=True)
    put_in_place(scratch, out, force=force, inputs=inputs)
    return facts


def _begin(recipe: Recipe, scratch: Path) -> None:
    """Go on with what was begun by the same recipe; of another one nothing is kept."""
    plan = {"recipe": _identity(recipe)}
    if (scratch / PLAN).is_file() and read_json(scratch / PLAN) == plan:
        logger.info("going on with what is in %s", scratch)
        ours = {scratch / each["file"] for item in recipe.items for each in item["files"]}
        ours |= {scratch / PLAN, scratch / ".lock"}
        for path in scratch.rglob("*"):
            if path.is_file() and path not in ours:  # half written, or a stranger
                path.unlink()
        return
    for path in scratch.iterdir():
        if path.name != ".lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(scratch / PLAN, plan)


def _identity(recipe: Recipe) -> str:
    return sha256_json([recipe.kind, recipe.settings, list(recipe.items), _versions()])


def _versions() -> Facts:
    return {name: version(name) for name in LIBRARIES}


class _Items(Dataset[Any]):
    """The hashes of an item's files, which are written if they are not there.

    Errors are given back, as a loader would put a traceback in place of their sentence.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder

    def __len__(self) -> int:
        return len(self.recipe.items)

    def __getitem__(self, at: int) -> list[str] | PartlabError:
        files = [self.folder / each["file"] for each in self.recipe.items[at]["files"]]
        try:
            if all(file.is_file() for file in files):
                return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
            return [_written(f, data) for f, data in zip(files, self.recipe.make(at), strict=True)]
        except PartlabError as error:
            return error


def _written(file: Path, data: bytes) -> str:
    with replacing(file, flush=False) as scratch:  # thousands: a power cut may cost them
        scratch.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _make(recipe: Recipe, folder: Path, workers: int) -> list[str]:
    loader = DataLoader(
        _Items(recipe, folder), batch_size=None, num_workers=workers, worker_init_fn=end_with_parent
    )
    hashes: list[str] = []
    for found in track(loader, "making pictures", total=len(recipe.items)):
        if isinstance(found, PartlabError):
            raise found
        hashes += found
    return hashes


def _described(recipe: Recipe, hashes: Sequence[str]) -> Facts:
    files = [each for item in recipe.items for each in item["files"]]
    lines = sorted(f"{each['file']} {sha}\n" for each, sha in zip(files, hashes, strict=True))
    labels = sorted({each["label"] for each in files})
    return {
        "format": 1,
        "kind": recipe.kind,
        "pictures": len(files),
        "per_class": {name: sum(each["label"] == name for each in files) for name in labels},
        "left_out": dict(recipe.left_out),
        "settings": recipe.settings,
        "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
        "versions": _versions(),
        "partlab": version("partlab"),
    }


def _write_table(recipe: Recipe, hashes: Sequence[str], file: Path) -> None:
    rows = [each for item in recipe.items for each in item["files"]]
    table = pa.Table.from_pylist(
        [{**row, "sha256": sha} for row, sha in zip(rows, hashes, strict=True)]
    )
    with replacing(file) as scratch:
        pq.write_table(table, scratch, compression="zstd")


def read_set(folder: str | Path) -> tuple[Facts, list[Facts]]:
    """set.json and the rows of pictures.parquet of a made set.

    Raises:
        NotFoundError: the folder is none.
        SchemaError: a file is damaged or of another version.
    """
    folder = Path(folder)
    if not (folder / SET).is_file():
        raise NotFoundError(f"{folder} is no made set (it has no {SET})",
                            hint="partlab evaluate make-set --help")  # fmt: skip
    facts = read_json(folder / SET)
    if not isinstance(facts, dict) or facts.get("format") != 1:
        raise SchemaError(f"{folder / SET} is no set of this version of partlab")
    try:
        rows: list[Facts] = pq.read_table(folder / PICTURES).to_pylist()
    except (pa.ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise SchemaError(f"{folder / PICTURES} is damaged: {said}", hint="make it again") from None
    if len(rows) != facts.get("pictures") or not all(
        {"file", "label"} <= row.keys() for row in rows
    ):
        raise SchemaError(
            f"{folder / PICTURES} is not that of {folder / SET}", hint="make it again"
        )
    return facts, rows
