"""What the app was given on the command line, recognised by what lies there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from partlab.errors import ConfigError, NotFoundError, PartlabError
from partlab.folders import is_store, is_work
from partlab.images import is_image_name
from partlab.layouts import find_layout
from partlab.training.runs import read_config

_DEPTH = 2  # a folder of runs, or a quickstart with its models/
_MOST = 1000  # entries of a folder that are looked at
_CARD, _EVALUATION = "card.json", "evaluation.json"
KINDS = ("segmenters", "recognition", "data", "stores", "works", "evaluations", "pictures")


@dataclass
class Given:
    """Folders and files by kind, each by the name that pages show; several never share one."""

    segmenters: dict[str, Path] = field(default_factory=dict)
    recognition: dict[str, Path] = field(default_factory=dict)
    data: dict[str, Path] = field(default_factory=dict)
    stores: dict[str, Path] = field(default_factory=dict)
    works: dict[str, Path] = field(default_factory=dict)
    evaluations: dict[str, Path] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Sequence[str | Path]) -> "Given":
        """All that is recognised in these places.

        Raises:
            NotFoundError: one is not there.
            ConfigError: in one nothing is recognised.
        """
        given = cls()
        for path in map(Path, paths):
            given.add(path)
        return given

    def add(self, path: Path) -> None:
        """Add one place; errors are those of `of`."""
        if not path.exists():
            raise NotFoundError(f"no file or folder {path}")
        found = list(_kinds(path, _DEPTH))
        if not found:
            raise ConfigError(
                f"{path} is nothing that the app shows",
                hint="give a run, an exported model, a data set, a store of pseudo labels, a work, "
                "an evaluation, a folder of pictures, or a folder that holds some of these",
            )
        for kind, place in found:
            self._put(getattr(self, kind), place)

    def _put(self, named: dict[str, Path], place: Path) -> None:
        whole = place.resolve()
        if any(other.resolve() == whole for other in named.values()):
            return
        name = whole.name
        if name in named:
            name = f"{whole.parent.name}/{name}"
        number = 2
        while name in named:
            name, number = f"{whole.name} ({number})", number + 1
        named[name] = place

    def told(self) -> str:
        """What was recognised, in one line."""
        words = {
            "segmenters": ("segmenter", "segmenters"),
            "recognition": ("recognition model", "recognition models"),
            "data": ("data set", "data sets"),
            "stores": ("store", "stores"),
            "works": ("work", "works"),
            "evaluations": ("evaluation", "evaluations"),
            "pictures": ("folder of pictures", "folders of pictures"),
        }
        parts = [
            f"{words[kind][len(names) > 1]} {', '.join(names)}"
            for kind in KINDS
            if (names := getattr(self, kind))
        ]
        return "; ".join(parts) or "nothing"


def _kinds(path: Path, depth: int) -> Iterator[tuple[str, Path]]:
    """What a place is, else what the folders in it are."""
    kind = _kind(path)
    if kind is not None:
        yield kind, path
    if path.is_dir() and kind in (None, "recognition", "segmenters") and depth:
        inner = [found for child in _folders(path) for found in _kinds(child, depth - 1)]
        yield from inner if kind is None else [one for one in inner if one[0] == "evaluations"]


def _folders(path: Path) -> list[Path]:
    with_dots = sorted(path.iterdir())[:_MOST]
    return [each for each in with_dots if each.is_dir() and not each.name.startswith(".")]


def _kind(path: Path) -> str | None:
    if path.is_file():
        return "data" if path.suffix == ".json" and find_layout(path).splits else None
    if is_work(path):
        return "works"
    if is_store(path):
        return "stores"
    if (path / _EVALUATION).is_file():
        return "evaluations"
    if (path / "config.json").is_file():
        return _run_kind(path)
    if (path / _CARD).is_file():
        return "recognition"
    if find_layout(path).splits:
        return "data"
    return "pictures" if _has_pictures(path) else None


def _run_kind(path: Path) -> str | None:
    try:
        described = read_config(path) or {}
    except PartlabError:
        return None
    return {"segmenter": "segmenters", "recognition": "recognition"}.get(
        str(described.get("kind", "segmenter"))
    )


def _has_pictures(path: Path) -> bool:
    """Directly, or in folders of object categories."""
    near = [path, *_folders(path)[:20]]
    return any(
        is_image_name(each) and each.is_file()
        for folder in near
        for each in sorted(folder.iterdir())[:50]
    )
