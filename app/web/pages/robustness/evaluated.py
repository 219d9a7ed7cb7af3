"""What evaluations say: accuracy against ε, and pictures that one model loses, another keeps.

The figures, their intervals and the tests are those of `partlab evaluate report`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.web.pictures import thumbnail
from app.web.shelf import Kept
from partlab.errors import UnknownNameError
from partlab.files import read_json
from partlab.pages import render

if TYPE_CHECKING:
    from app.web.site import Site
    from train.evaluate_report.reading import Measured

MOST = 24
"""Pictures of a side that are shown; all are in the file that is offered."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture by the name that evaluations give it; `known` is the app's, "" if it has none."""

    image: str
    known: str
    address: str | None


@dataclass
class Evaluated:
    """The evaluations that the app was given, read when first asked for."""

    site: "Site"
    _kept: Kept = field(default_factory=Kept)

    def read(self, names: Sequence[str]) -> tuple[list["Measured"], dict[str, Any]]:
        """The evaluations of these names, and the facts of a report about them.

        Raises:
            UnknownNameError: one was not given.
            PartlabError: one is damaged, or they do not compare.
        """
        from train.evaluate_report.facts import report
        from train.evaluate_report.reading import read_measured

        folders = [_one(self.site.given.evaluations, name) for name in names]
        stamps = [(folder / "evaluation.json").stat().st_mtime_ns for folder in folders]

        def load() -> Any:
            found = read_measured(folders)
            return found, report(found, ())

        found: tuple[list[Measured], dict[str, Any]] = self._kept.get(f"{names} {stamps}", load)
        return found

    def conditions(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """(words, key) of the conditions under which two of them compare; the hardest last."""
        from train.evaluate_report.words import title

        _, facts = self.read(names)
        found = dict.fromkeys((p["threat"], p["attack"]) for p in _pairs(facts))
        return [(title({"threat": t, "attack": a}), f"{t}|{a}") for t, a in found]

    def html(self, names: Sequence[str], condition: str) -> str:
        """The whole section; `condition` is a key of `conditions`, "" for the last."""
        from train.evaluate_report import words
        from train.evaluate_report.drawings import drawings
        from train.report.curves import colours

        found, facts = self.read(names)
        keys = [key for _, key in self.conditions(names)]
        chosen = condition if condition in keys else next(reversed(keys), "")
        return render(
            "app.web.pages.robustness",
            "evaluated.html",
            filters={"share": words.share, "interval": words.interval, "gain": words.gain},
            models=facts["models"],
            colours=colours(len(found)),
            panels=drawings(facts)["curve"],
            table=_table(facts),
            apart=facts["apart"],
            notes=facts["notes"],
            pairs=[self._pair(found, pair) for pair in _pairs(facts) if _key(pair) == chosen],
            chosen=words.title(dict(zip(("threat", "attack"), chosen.split("|"), strict=True)))
            if chosen
            else "",
            most=MOST,
        )

    def _pair(self, found: Sequence["Measured"], pair: Mapping[str, Any]) -> dict[str, Any]:
        first, second = found[pair["first"]], found[pair["second"]]
        names = "\n".join(
            [
                *(f"{first.name} only\t{image}" for image in pair["only_first"]),
                *(f"{second.name} only\t{image}" for image in pair["only_second"]),
            ]
        )
        return {
            **pair,
            "names": (first.name, second.name),
            "sides": (
                (first.name, second.name, len(pair["only_first"]),
                 self._tiles(pair["only_first"], (first, second))),
                (second.name, first.name, len(pair["only_second"]),
                 self._tiles(pair["only_second"], (second, first))),
            ),
            "file": self.site.shown.put(names.encode(), "kept-and-lost.txt"),
        }  # fmt: skip

    def _tiles(self, images: Sequence[str], models: Sequence["Measured"]) -> list[Tile]:
        """The pictures as they lie here, else as an evaluation kept them; else the name alone."""
        some = images[:MOST]
        here = self.site.library.keyed(some)
        return [
            Tile(
                image,
                here[image].name if image in here else "",
                thumbnail(self.site, here[image])
                if image in here
                else self._kept_in(models, image),
            )
            for image in some
        ]

    def _kept_in(self, models: Sequence["Measured"], image: str) -> str | None:
        for each in models:
            file = album(each).get(image)
            if file is not None:
                return self.site.shown.put(file.read_bytes(), "clean.png")
        return None


def album(each: "Measured") -> dict[str, Path]:
    """Image -> its clean picture, of those that an evaluation kept."""
    from train.evaluate.album import FOLDER, INDEX

    home = each.folder / FOLDER
    if not (home / INDEX).is_file():
        return {}
    files = {str(one["image"]): home / Path(str(one["key"])).name / "clean.png"
             for one in read_json(home / INDEX)}  # fmt: skip
    return {image: file for image, file in files.items() if file.is_file()}


def _pairs(facts: Mapping[str, Any]) -> list[Any]:
    return [pair for group in facts["groups"] for pair in group["pairs"]]


def _key(pair: Mapping[str, Any]) -> str:
    return f"{pair['threat']}|{pair['attack']}"


def _table(facts: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    """Rows of figures: clean, then each attack by norm and ε; a cell for each model."""
    from train.evaluate_report.words import title

    models = facts["models"]
    points = {
        (p["norm"], p["attack"], p["eps"]): p["threat"] for each in models for p in each["curve"]
    }
    rows = [("clean", [_clean(facts, at) for at in range(len(models))])]
    for (norm, attack, eps), threat in sorted(points.items()):
        cells = [_point(each, norm, attack, eps) for each in models]
        rows.append((title({"threat": threat, "attack": attack}), cells))
    return rows


def _clean(facts: Mapping[str, Any], at: int) -> Any:
    for group in facts["groups"]:
        clean = [n for n, one in enumerate(group["columns"]) if one["threat"] == "clean"]
        for row in group["rows"]:
            if row["model"] == at and clean:
                return row["figures"][clean[0]]
    return None


def _point(model: Mapping[str, Any], norm: str, attack: str, eps: float) -> Any:
    return next(
        (
            p["figure"]
            for p in model["curve"]
            if (p["norm"], p["attack"], p["eps"]) == (norm, attack, eps)
        ),
        None,
    )


def _one(there: Mapping[str, Path], name: str) -> Path:
    if name not in there:
        raise UnknownNameError("evaluation", name, there)
    return there[name]
