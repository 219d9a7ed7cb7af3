"""Which pictures a model is evaluated on: a split, a folder, or a list of either (E-02, E-03)."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from partlab.counts import counted
from partlab.errors import ConfigError, DatasetError, NotFoundError
from partlab.files import write_text
from train.evaluate.outcomes import PictureSet
from train.evaluate.victim import Victim
from train.lists import read_list
from train.pictures import Pictures, open_pictures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """Pictures by position, their names and their classes as the victim calls them."""

    pictures: Pictures
    name: str
    positions: tuple[int, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    sha256: str = ""
    extra_data: str | None = None

    def drawn(self, count: int, seed: int) -> list[int]:
        """`count` of its places, drawn without regard to class: the same for every model."""
        order = np.random.default_rng(seed).permutation(len(self.names))
        return sorted(order[:count].tolist())

    @property
    def described(self) -> PictureSet:
        """The record's part about the list."""
        per_class = {name: self.labels.count(name) for name in sorted(set(self.labels))}
        return PictureSet(
            name=self.name,
            sha256=self.sha256,
            images=len(self.names),
            per_class=per_class,
            extra_data=self.extra_data,
        )


def open_data(
    data: str | Path, split: str | None, cache: Path, classes: Sequence[str] | None = None
) -> Pictures:
    """A part data set's split, a label-map file, or a folder with one sub-folder a class.

    Raises:
        NotFoundError, DatasetError: as `open_pictures`.
    """
    data = Path(data)
    if not data.exists():
        raise NotFoundError(f"no data {data}", hint="name a part data set or a picture folder")
    parts = data.is_file() or (data / "annotations").is_dir() or any(data.glob("*.json"))
    given = {"split": split, "cache": cache, "classes": classes}
    if parts:
        return open_pictures([data], **given)  # type: ignore[arg-type]
    return open_pictures([], plain=[data], **given)  # type: ignore[arg-type]


def shown_to(
    victim: Victim,
    data: str | Path,
    *,
    split: str | None,
    cache: Path,
    file: str | Path | None = None,
    limit: int | None = None,
) -> Shown:
    """The pictures that a list names, or all, without those of classes not asked about.

    Raises:
        NotFoundError: no such data or list.
        DatasetError: the list names pictures that are not there, classes that the model has
            not, or nothing is left.
    """
    pictures = open_data(data, split, cache, victim.all_classes)
    keys = [key_of(pictures, n) for n in range(len(pictures))]
    chosen = chosen_of(pictures, file)
    labels = [victim.own(pictures.classes[int(pictures.class_of[n])]) for n in chosen]
    asked = [(n, label) for n, label in zip(chosen, labels, strict=True) if label is not None]
    if left := len(chosen) - len(asked):
        are = counted(left, "picture is of a class", "pictures are of classes")
        logger.info("%s not asked about: left out", are)
    if limit is not None:
        asked = asked[:limit]
    if not asked:
        raise DatasetError("no picture is left to evaluate on", hint="see what was left out, above")
    places = tuple(n for n, _ in asked)
    lines = [f"{keys[n]} {int(pictures.class_of[n])}" for n in places]
    name = Path(file).name if file else f"{Path(data).resolve().name}" + (f":{split}" * bool(split))
    names = tuple(keys[n] for n in places)
    own = tuple(label for _, label in asked)
    return Shown(pictures, name, places, names, own, sha256_of(lines))


def chosen_of(pictures: Pictures, file: str | Path | None) -> list[int]:
    """Positions of the pictures that a list names, in its order; of all without a list.

    Raises:
        NotFoundError, SchemaError: as `read_list`.
        DatasetError: it names a picture twice, or one that is not there.
    """
    keys = [key_of(pictures, n) for n in range(len(pictures))]
    return list(range(len(keys))) if file is None else _listed(Path(file), keys)


def key_of(pictures: Pictures, position: int) -> str:
    """`class/file`, as lists name a picture; the file is what its source calls it."""
    name, owner = pictures.name(position), pictures.classes[int(pictures.class_of[position])]
    return name if name.startswith(f"{owner}/") else f"{owner}/{name}"


def sha256_of(lines: Sequence[str]) -> str:
    """Hash of a list file with these lines."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _listed(file: Path, keys: Sequence[str]) -> list[int]:
    """Positions of the pictures that a list names, in its order."""
    place = {key: n for n, key in enumerate(keys)}
    names = read_list(file).names
    if len(set(names)) < len(names):
        raise DatasetError(f"{file} names a picture twice", hint="each picture counts once")
    if absent := [name for name in names if name not in place]:
        raise DatasetError(
            f"{len(absent)} of {counted(len(names), 'picture')} of {file} not in the data: "
            f"{', '.join(absent[:3])}",
            hint="name the data that the list was made of, and its split",
        )
    return [place[name] for name in names]


def write_balanced(
    data: str | Path, out: str | Path, *, per_class: int, seed: int, split: str | None, cache: Path
) -> PictureSet:
    """A list with `per_class` pictures of every class, drawn by `seed` (E-03).

    Which are drawn from a class depends on seed and its pictures' names alone.

    Raises:
        ConfigError: fewer than one a class.
        DatasetError: a class has fewer pictures.
    """
    if per_class < 1:
        raise ConfigError(f"{per_class} pictures a class", hint="--per-class 10")
    pictures = open_data(data, split, cache)
    lines: list[str] = []
    for number, owner in enumerate(pictures.classes):
        own = sorted(key_of(pictures, int(n)) for n in np.flatnonzero(pictures.class_of == number))
        if len(own) < per_class:
            raise DatasetError(
                f"class {owner} has {counted(len(own), 'picture')}, fewer than {per_class}",
                hint=f"--per-class {len(own)} or fewer",
            )
        draw = np.random.default_rng([seed, *owner.encode()]).permutation(len(own))[:per_class]
        lines += [f"{own[n]} {number}" for n in sorted(draw.tolist())]
    write_text(out, "".join(f"{line}\n" for line in lines))
    return PictureSet(
        name=Path(out).name,
        sha256=sha256_of(lines),
        images=len(lines),
        per_class=dict.fromkeys(pictures.classes, per_class),
    )
