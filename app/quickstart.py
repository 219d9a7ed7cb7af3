"""The whole loop on a generated part world: from masks to models that are attacked.

Each step leaves files and is skipped when they are complete, so the same command goes on
after an interruption.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from annotate.world import WorldConfig, make_world
from app.robust import attack_both, train_both
from partlab.coco import read_coco
from partlab.errors import OutputExistsError, PartlabError
from partlab.files import read_json, write_json
from partlab.folders import need_own
from partlab.progress import event
from pseudolabel.engine import label_images
from pseudolabel.report import make_report, write_page
from pseudolabel.store import Store
from segmenter.evaluation_file import evaluate_run
from segmenter.train import train_segmenter, training_config

log = logging.getLogger(__name__)

WORLD = WorldConfig(images=560, pool=140, heldout=280, size=128)
RECIPE = "small"
SETTINGS = ("train.epochs=4",)  # all of it in ten minutes, on slow cores too
MARK = "quickstart.json"  # says that the folder is ours to go on with


@dataclass(frozen=True)
class Loop:
    """Where the loop's files are, under one folder."""

    folder: Path

    @property
    def world(self) -> Path:
        """The part data set, its pool and its held-out split."""
        return self.folder / "world"

    @property
    def run(self) -> Path:
        """The trained segmenter."""
        return self.folder / "seg"

    @property
    def pseudo(self) -> Path:
        """The pseudo labels of the pool."""
        return self.folder / "pseudo"

    @property
    def models(self) -> Path:
        """The recognition models."""
        return self.folder / "models"


def quickstart(
    folder: str | Path,
    *,
    world: WorldConfig = WORLD,
    overrides: list[str] | None = None,
    recognition: Sequence[str] = (),
) -> dict[str, Any]:
    """Run the loop in `folder`; returns files, seconds of each step, and the scores.

    `overrides` are settings of the segmenter's training over SETTINGS, `recognition` of the
    models'.

    The evaluation is on the held-out split, which training never sees; scores are in 0…1.

    Raises:
        ConfigError: `overrides` name an unknown setting; nothing was written.
        OutputExistsError: `folder` holds something else.
    """
    loop = Loop(Path(folder))
    overrides = [*SETTINGS, *(overrides or [])]
    training_config("torchvision", RECIPE, None, overrides)  # a typing error costs nothing
    _claim(loop.folder, world, overrides)
    seconds: dict[str, float] = {}
    for number, (name, step) in enumerate(_steps(loop, world, overrides, recognition), 1):
        log.info("%d/7 %s", number, name)
        event("step", words=f"{number}/7 {name}")
        started = monotonic()
        step()
        seconds[name] = round(monotonic() - started, 1)
    return {
        "world": str(loop.world),
        "run": str(loop.run),
        "pseudo": str(loop.pseudo),
        "report": str(loop.pseudo / "report.html"),
        "seconds": seconds,
        "evaluation": _scores(loop),
        "images": len(Store.open(loop.pseudo)),
        "models": str(loop.models),
        "robustness": attack_both(loop.world, loop.models),
    }


def world_of(folder: str | Path) -> Path:
    """Only the drawn world of a quickstart, which `quickstart` goes on with.

    Raises:
        OutputExistsError: `folder` holds something else.
    """
    loop = Loop(Path(folder))
    _claim(loop.folder, WORLD, list(SETTINGS))
    _draw(loop, WORLD)
    return loop.world


def _claim(folder: Path, world: WorldConfig, overrides: list[str]) -> None:
    wanted = {"world": world.model_dump(mode="json"), "settings": overrides}
    mark = folder / MARK
    if mark.is_file():
        if read_json(mark) != wanted:
            raise OutputExistsError(
                f"{folder} holds a quickstart with other settings",
                hint="choose another --out, or pass --force to replace it",
            )
        return
    need_own(folder, "quickstart", hint="choose another --out")
    write_json(mark, wanted)


def _steps(
    loop: Loop, world: WorldConfig, overrides: list[str], recognition: Sequence[str]
) -> list[Any]:
    return [
        ("draw a part world", lambda: _draw(loop, world)),
        ("train a part segmenter", lambda: _train(loop, overrides)),
        ("evaluate it on held-out images", lambda: _evaluate(loop)),
        ("pseudo-label the pool", lambda: _label(loop)),
        ("write the report", lambda: _report(loop)),
        (
            "train a vanilla model and an MPM under attack",
            lambda: train_both(loop.world, loop.pseudo, loop.models, recognition),
        ),
        ("attack both on held-out images", lambda: attack_both(loop.world, loop.models)),
    ]


def _draw(loop: Loop, world: WorldConfig) -> None:
    if not (loop.world / "world.json").is_file():
        make_world(loop.world, world, force=True)


def _train(loop: Loop, overrides: list[str]) -> None:
    train_segmenter(loop.world, loop.run, recipe=RECIPE, overrides=overrides)


def _evaluate(loop: Loop) -> None:
    if not _evaluation(loop).is_file():
        evaluate_run(loop.run, loop.world, split="heldout")


def _label(loop: Loop) -> None:
    label_images(loop.world / "pool", loop.run, loop.pseudo)


def _report(loop: Loop) -> None:
    found = make_report(
        Store.open(loop.pseudo),
        truth=read_coco(loop.world / "pool-truth.json"),
        human=read_coco(loop.world / "annotations" / "train.json"),
    )
    write_page(found, loop.pseudo / "report.html")


def _evaluation(loop: Loop) -> Path:
    return loop.run / "evaluation-world-heldout.json"


def _scores(loop: Loop) -> dict[str, Any]:
    found = read_json(_evaluation(loop))
    if not {"without_cf", "with_cf"} <= found.keys():
        raise PartlabError(f"{_evaluation(loop)} is not an evaluation", hint="remove it, run again")
    return {way: found[way] for way in ("without_cf", "with_cf", "difference")}
