"""A farm whose parts have colours, so that a colour segmenter can learn them from its answers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from colour_segmenter import write_colour_run
from farm import FARM, hand_out, pull
from farm_drawn import drawn, masks_of
from PIL import Image as PillowImage

from annotate.work import Image, Work, safe_name
from partlab.files import sha256_file
from partlab.masks import decode
from segmenter.loop.versions import add_given, folder_of, record

COLOURS = {
    "head": (180, 60, 60),
    "horn": (250, 250, 60),
    "body": (60, 180, 60),
    "handle": (9, 9, 200),
}
RAMS, HAMMERS = 40, 5
INA = "ina@x.org"
TINY = [
    "model.backbone=test_efficientnet", "model.weights=none", "model.first_stride=8",
    "model.channels=16", "model.image_size=64", "model.box_features=16", "model.mask_channels=8",
    "model.mask_layers=1", "model.rois=8", "model.proposals=20", "train.batch_size=4",
    "train.workers=0", "train.epochs=1",
]  # fmt: skip
"""Settings of a Mask R-CNN that learns in seconds."""


def begin(folder: Path, **settings: Any) -> Work:
    """A work whose pictures show what `masks_of` tells; nothing is handed out."""
    rows = [("ram", n) for n in range(RAMS)] + [("schöner Hammer", n) for n in range(HAMMERS)]
    images = [
        Image(id=i, object=o, file_name=f"{o}/{n}.png", width=64, height=48, shown=[64, 48], rank=n)
        for i, (o, n) in enumerate(rows, 1)
    ]
    work = Work.create(folder, "farm", FARM, images, **settings)
    for image in images:
        path = folder / "images" / safe_name(image.object) / f"{image.id:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(picture(image.object, image.id)).save(path)
    return work


def picture(object: str, image_id: int) -> Any:
    """(48, 64, 3): grey, with each part in its colour."""
    pixels = np.random.default_rng(image_id).integers(110, 140, (48, 64, 1)).repeat(3, 2)
    for mask in masks_of(object, image_id):
        pixels[decode(mask["rle"])] = COLOURS[mask["part"]]
    return pixels.astype(np.uint8)


def accept(
    work: Work,
    object: str = "ram",
    *,
    failed: Iterable[int] = (),
    hand: bool = True,
    **changes: Any,
) -> None:
    """Draw a round well, and have it accepted; `failed` images do not pass."""
    if hand:
        hand_out(work, object)
    tasks = work.tasks(object, work.batch(object).round)
    pull(work, [drawn(work, task.image_id, object, **changes) for task in tasks], object)
    work.record("submitted", who="partlab", object=object, data={"manifest_hash": "m"})
    shown = [task.image_id for task in tasks][:10]
    sampled = {"seed": 1, "plan": "paper", "images": [*{*shown, *failed}]}
    work.record("sampled", who=INA, object=object, data=sampled)
    for image in sampled["images"]:
        passed = image not in set(failed)
        data = {"image_id": image, "passed": passed, "reason": None if passed else "outline"}
        work.record("verdict", who=INA, object=object, data=data)
    decided = {"accepted": True, "seen": len(shown), "bad": len([*failed])}
    work.record("decided", who=INA, object=object, data=decided)


def run_of(folder: Path, *, wrong: bool = False, names: tuple[str, ...] = ()) -> Path:
    """A colour segmenter of rams, trained elsewhere; one that is `wrong` finds the head alone."""
    names = names or ("ram:head", "ram:horn", "ram:body")
    colours = [COLOURS.get(name.split(":")[1], (1, 2, 3)) for name in names]
    if wrong:
        colours = [colour if i == 0 else (0, 0, 0) for i, colour in enumerate(colours)]
    return write_colour_run(folder, names, np.array(colours, np.float32), {})


def two_versions(work: Work, folder: Path) -> None:
    """The work has a given version, and a second that was better and is served."""
    first = add_given(work, run_of(folder / "poor", wrong=True), "lead@x.org")
    run = run_of(folder_of(work.folder, 2))
    data = {"train": {"images": 28, "masks": 84, "sha256": "d"}}
    exam = {"all": {"images": 12, "old": 0.29, "new": 0.667, "p": 0.00049}}
    facts = {"parts": dict(first.parts), "vocabulary": 1, "data": data, "exam": exam}
    weights = sha256_file(run / "best.safetensors")
    why = "it is better"
    record(work, "lead@x.org", 2, parent=1, served=True, why=why, weights_sha256=weights, **facts)
