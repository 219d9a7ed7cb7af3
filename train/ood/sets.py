"""Published sets of other pictures and made ones: layouts, and how a model answers (G-03).

None of them comes with partlab. Of a set that is not there is said what to fetch, and where to.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from partlab.errors import ConfigError, DatasetError, NotFoundError, UnknownNameError
from partlab.files import read_json
from partlab.images import is_image_name
from train.evaluate.outcomes import PictureSet
from train.evaluate.shown import sha256_of
from train.ood.making import read_set
from train.ood.wnids import classes_by_wnid
from train.people.categories import CATEGORIES, NAMES
from train.people.trials import EXCLUDED, PLAIN, normal

FOUR = ("imagenet-a-plus", "imagenet-sketch", "stylized-imagenet", "din")
"""Sets of the published mean (G-03)."""
PUBLISHED = {"imagenet-a": 7_500, "imagenet-a-plus": 3_286, "imagenet-r": 30_000,
             "imagenet-sketch": 50_889, "stylized-imagenet": 50_000, "din": 18_080}  # fmt: skip
"""Pictures of the whole sets (G-03): figures of fewer are of another, perhaps easier, problem.

Of ImageNet-Sketch the paper says 50,000, and its authors' files are 50,889. ImageNet-9 is not here:
its variants are whole at other numbers, since some photographs have no usable foreground.
"""
NINE = ("dog", "bird", "wheeled vehicle", "reptile", "carnivore", "insect", "musical instrument",
        "primate", "fish")  # fmt: skip
VARIANTS = ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b",
            "only_bg_t")  # fmt: skip
NONE_OF_NINE = "none of the nine"


@dataclass(frozen=True)
class OodSet:
    """Pictures of one list with labels, and the answers that count.

    Args:
        names, paths, labels: of each picture; names are unique.
        answers: label -> the model's classes that mean it; the highest logit decides, or with
            `by_mean` the highest mean probability (DIN). Classes in none are not asked about.
        squashed: scaled to a square without regard to its shape, as ImageNet-A-Plus is.
        uncut: shown whole, at the model's size: ImageNet-9's pictures are cut already.
        extra: of each picture, what figures besides accuracy need: its texture, or whether its
            condition is kept.
        left_out: why -> how many.
    """

    name: str
    names: tuple[str, ...] = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    answers: Mapping[str, Sequence[str]] = field(repr=False)
    by_mean: bool = False
    squashed: bool = False
    uncut: bool = False
    extra: tuple[str, ...] = field(default=(), repr=False)
    hashes: tuple[str, ...] = field(default=(), repr=False)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def described(self) -> PictureSet:
        """Its own identity: figures of another one do not compare."""
        rest = self.hashes or ("",) * len(self.names)
        rows = zip(self.names, self.labels, rest, strict=True)
        lines = sorted(f"{name} {label} {sha}" for name, label, sha in rows)
        per_class = dict(sorted(Counter(self.labels).items()))
        return PictureSet(name=self.name, sha256=sha256_of([*lines, str(sorted(self.answers))]),
                          images=len(self.names), per_class=per_class)  # fmt: skip


Found = list[tuple[str, Path, str]]
"""Name, path and folder of each picture."""


def open_set(name: str, folder: str | Path, classes: Sequence[str]) -> list[OodSet]:
    """The lists of a set: one, or one for each of its variants that are there.

    Args:
        name: one of `SETS`.
        classes: names of the model's outputs.

    Raises:
        UnknownNameError: there is no such set.
        NotFoundError: the folder is not there or not that set; the hint says what to fetch.
        DatasetError: the model has none of its classes, or not what the set asks for.
    """
    if name not in SETS:
        raise UnknownNameError("set", name, SETS)
    kind, folder = SETS[name], Path(folder)
    if not folder.is_dir():
        raise NotFoundError(f"{name}: no folder {folder}", hint=kind.fetch)
    found = kind.read(name, folder, tuple(classes))
    if not found or not any(each.names for each in found):
        raise NotFoundError(f"{name}: {folder} holds no picture where it should", hint=kind.fetch)
    return [each for each in found if each.names]


@dataclass(frozen=True, slots=True)
class Kind:
    """A set that can be read, and what to do where it is not there."""

    read: Callable[[str, Path, tuple[str, ...]], list[OodSet]]
    fetch: str


def _by_folder(folder: Path) -> Found:
    """Pictures in folders, by name; hidden files are passed over."""
    return [
        (path.relative_to(folder).as_posix(), path, path.relative_to(folder).parts[0])
        for path in sorted(folder.glob("*/**/*"))
        if is_image_name(path) and path.is_file()
    ]


def _loose(folder: Path) -> dict[str, int]:
    return {"in no folder of a class": sum(map(is_image_name, folder.iterdir()))}


def _by_wnid(name: str, folder: Path, classes: tuple[str, ...], *, own: bool) -> list[OodSet]:
    """Folders called by wnid; with `own` a model chooses among the set's classes alone."""
    found, known = _by_folder(folder), classes_by_wnid(classes)
    good = [each for each in found if each[2] in known]
    if found and not good:
        raise DatasetError(
            f"{name}: the model has none of the classes of {folder}, first {found[0][2]}",
            hint="its classes must be called by wnid, as n01443537, or by ImageNet's names",
        )
    here = {known[wnid] for _, _, wnid in good}
    asked = [one for one in classes if one in here] if own else classes
    labels = [known[wnid] for _, _, wnid in good]
    others = {"of classes that the model has not": len(found) - len(good), **_loose(folder)}
    return [_set(name, good, labels, {one: (one,) for one in asked}, others,
                 squashed=name == "imagenet-a-plus")]  # fmt: skip


def _set(
    name: str, found: Found, labels: Sequence[str], answers: Mapping[str, Sequence[str]],
    left_out: Mapping[str, int] | None = None, **more: object,
) -> OodSet:  # fmt: skip
    names, paths = tuple(n for n, _, _ in found), tuple(p for _, p, _ in found)
    left = {why: n for why, n in (left_out or {}).items() if n}
    return OodSet(name, names, paths, tuple(labels), answers, left_out=left, **more)  # type: ignore[arg-type]


def _all_wnids(name: str, folder: Path, classes: tuple[str, ...]) -> list[OodSet]:
    return _by_wnid(name, folder, classes, own=False)


def _own_wnids(name: str, folder: Path, classes: tuple[str, ...]) -> list[OodSet]:
    return _by_wnid(name, folder, classes, own=True)


def _thousand(name: str, classes: Sequence[str]) -> list[str]:
    """The model's classes in ImageNet's order.

    Raises:
        DatasetError: it has not all of them.
    """
    from timm.data import ImageNetInfo

    known, wnids = classes_by_wnid(classes), ImageNetInfo("imagenet-1k").label_names()
    if lacks := [wnid for wnid in wnids if wnid not in known]:
        raise DatasetError(
            f"{name} asks for the 1,000 classes of ImageNet, and the model lacks {len(lacks):,}",
            hint="use a model with the 1,000-class head, its classes called by wnid",
        )
    return [known[wnid] for wnid in wnids]


def _nine(name: str, folder: Path, classes: tuple[str, ...]) -> list[OodSet]:
    """Variants of ImageNet-9; the map to its classes stands beside them."""
    file = folder / "in_to_in9.json"
    if not file.is_file():
        raise NotFoundError(f"{name}: no file {file}", hint=SETS[name].fetch)
    answers = _answers_of_nine(file, _thousand(name, classes))
    sets = []
    for variant in VARIANTS:
        below = folder / variant / "val"
        found = _by_folder(below if below.is_dir() else folder / variant)
        good = [each for each in found if each[2][:2].isdigit() and int(each[2][:2]) < len(NINE)]
        labels = [NINE[int(owner[:2])] for _, _, owner in good]
        others = {"in folders of no class": len(found) - len(good)}
        sets.append(_set(f"{name}/{variant}", good, labels, answers, others, uncut=True))
    return sets


def _answers_of_nine(file: Path, ordered: Sequence[str]) -> dict[str, list[str]]:
    """IN-9 class -> the model's; what is in none of them is an answer too, a wrong one."""
    raw = read_json(file)
    wanted = {str(number) for number in range(len(ordered))}
    good = (
        isinstance(raw, dict)
        and raw.keys() == wanted
        and all(isinstance(to, int) and -1 <= to < len(NINE) for to in raw.values())
    )
    if not good:
        raise DatasetError(
            f'{file} does not map each of ImageNet\'s indices, "0" to "999", to 0…8 or -1',
            hint=SETS["imagenet-9"].fetch,
        )
    answers: dict[str, list[str]] = {one: [] for one in (*NINE, NONE_OF_NINE)}
    for number, own in enumerate(ordered):
        to = int(raw[str(number)])
        answers[NINE[to] if to >= 0 else NONE_OF_NINE].append(own)
    return {one: own for one, own in answers.items() if own}


def _din(name: str, folder: Path, classes: tuple[str, ...]) -> list[OodSet]:
    """The 17 sets of model-vs-human, sixteen-way; `extra` is "kept" or "excluded"."""
    ordered = _thousand(name, classes)
    answers = {one: [ordered[at] for at in own] for one, own in CATEGORIES.items()}
    sets = []
    for one, left in EXCLUDED.items():
        told = [_condition(path, one) for path in _pictures(folder / one)]
        good = [each for each in told if each is not None]
        found = [(path.relative_to(folder).as_posix(), path, owner) for path, owner, _ in good]
        away = {normal(each) for each in left.split()}
        extra = tuple("excluded" if condition in away else "kept" for _, _, condition in good)
        sets.append(_set(f"{name}/{one}", found, [owner for _, owner, _ in good], answers,
                         {"whose name tells no category of the 16, or no condition":
                              len(told) - len(good)},
                         by_mean=True, extra=extra))  # fmt: skip
    return sets


def _pictures(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.rglob("*")) if is_image_name(path) and path.is_file())


def _condition(path: Path, of: str) -> tuple[Path, str, str] | None:
    """Path, category and condition, by its name's fields 3 and 4.

    In sets without conditions a folder may tell the category. In the others it does not do, since
    pictures of conditions that are left out would count as kept.
    """
    fields = path.stem.split("_")
    if of in PLAIN and path.parent.name in NAMES:
        return path, path.parent.name, ""
    if len(fields) < 5 or fields[4] not in NAMES:
        return None
    return path, fields[4], "" if of in PLAIN else normal(fields[3])


def _made(name: str, folder: Path, classes: tuple[str, ...]) -> list[OodSet]:
    """A set of `partlab evaluate make-set`; `extra` is each picture's texture or background.

    Pictures that were drawn for val and for test are two lists (G-08).
    """
    facts, rows = read_set(folder)
    if facts["kind"] != name:
        hint = ("partlab evaluate corruptions --tree reads it" if facts["kind"] == "corrupt"
                else f"--set {facts['kind']}={folder}")  # fmt: skip
        raise ConfigError(f"{folder} is a set of the kind {facts['kind']}, not {name}", hint=hint)
    second = "texture" if name == "texture" else "background"
    good = [row for row in rows if row["label"] in classes]
    if not good:
        raise DatasetError(
            f"{name}: the model has none of the classes of {folder}, first {rows[0]['label']}",
            hint="make the set of data with the classes that the model was trained on",
        )
    halves = sorted({row.get("half", "") for row in good})
    return [
        _half(f"{name}/{half}" if half else name, folder, classes, second,
              [row for row in rows if row.get("half", "") == half])
        for half in halves
    ]  # fmt: skip


def _half(
    name: str, folder: Path, classes: tuple[str, ...], second: str, rows: list[dict[str, str]]
) -> OodSet:
    """One list of a made set: all of it, or the half of this name."""
    good = [row for row in rows if row["label"] in classes]
    found = [(row["file"], folder / row["file"], row["label"]) for row in good]
    return _set(name, found, [row["label"] for row in good], {one: (one,) for one in classes},
                {"of classes that the model has not": len(rows) - len(good)},
                extra=tuple(row[second] for row in good),
                hashes=tuple(row["sha256"] for row in good))  # fmt: skip


_FOLDERS = "fetch it from its authors and name the folder with one sub-folder a wnid, as n01443537"
SETS: dict[str, Kind] = {
    "imagenet-a": Kind(_own_wnids, f"ImageNet-A (7,500 pictures, 200 classes): {_FOLDERS}"),
    "imagenet-a-plus": Kind(
        _own_wnids, f"ImageNet-A-Plus of PartImageNet++ (3,286 pictures, 200 classes): {_FOLDERS}"
    ),
    "imagenet-r": Kind(_own_wnids, f"ImageNet-R (30,000 pictures, 200 classes): {_FOLDERS}"),
    "imagenet-sketch": Kind(
        _all_wnids, f"ImageNet-Sketch (50,889 pictures, 1,000 classes): {_FOLDERS}"
    ),
    "stylized-imagenet": Kind(
        _all_wnids,
        "Stylized-ImageNet is made from ImageNet's val by its authors' code: name the folder with "
        "one sub-folder a wnid",
    ),
    "imagenet-9": Kind(
        _nine,
        "the eight variants of ImageNet-9 from the release of the backgrounds challenge "
        f"({', '.join(VARIANTS)}) and in_to_in9.json from its repository: name the folder that "
        "holds all, as FOLDER/mixed_rand/val/00_dog and FOLDER/in_to_in9.json",
    ),
    "din": Kind(
        _din,
        "the 17 sets of model-vs-human (its release v0.1): name the folder that holds them, as "
        "FOLDER/edge and FOLDER/contrast/dnn/session-1",
    ),
    "spurious": Kind(_made, "make it: partlab evaluate make-set spurious DATA --out FOLDER"),
    "texture": Kind(_made, "make it: partlab evaluate make-set texture DATA --out FOLDER"),
}
"""Name -> how it is read."""
