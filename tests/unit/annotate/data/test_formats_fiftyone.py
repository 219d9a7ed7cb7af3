"""FiftyOne's own data set format. The labels, and what they cover, are of fiftyone 1.22.1.

They were made by its `Sample.to_dict` and drawn by its `to_segmentation`; a whole export needs a
MongoDB server, which the tests do not have.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.convert import import_folder
from annotate.data.formats import guess_format
from partlab.coco import read_dataset
from partlab.errors import NotFoundError, SchemaError
from partlab.masks import decode

MASK = (
    "eJyb7BfqGxDJyFDGUK2eklqcXKRupaBek2SorqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RqGBjoKhkaaOg"
    "q1CmQCLkYGnIARDChnYwUAgqMb6Q=="
)
OID = {"$oid": "6b0df2bcbd93792b2af5e58e"}
INSIDE = {"$binary": {"base64": MASK, "subType": "00"}}
LEG = [
    [[0.5, 0.5], [0.75, 0.5], [0.75, 0.75], [0.5, 0.75]],
    [[0.6, 0.6], [0.65, 0.6], [0.65, 0.65], [0.6, 0.65]],
]
DRAWN = {
    "ram:head": "d71i35YM000000000Rh1",
    "ram:horn": "Rh02Y68eJ000000000000000[Q1",
    "ram:leg": "TV1;m0000000000000JTO0l00TO0l06000000000000l`0",
}


def detection(label: str, box: list[float], **more: Any) -> dict[str, Any]:
    about = {"_id": OID, "_cls": "Detection", "attributes": {}, "tags": [], "label": label}
    return {**about, "bounding_box": box, **more}


def sample(name: str, *tags: str, **fields: Any) -> dict[str, Any]:
    metadata = {"_cls": "ImageMetadata", "width": 60, "height": 40, "num_channels": 3}
    return {"filepath": f"data/{name}", "tags": [*tags], "metadata": metadata, **fields}


def exported(folder: Path, *samples: Any) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "metadata.json").write_text('{"name": "farm", "media_type": "image"}')
    (folder / "samples.json").write_text(json.dumps({"samples": [*samples]}))
    for name in ("a.png", "b.png"):
        PillowImage.new("RGB", (60, 40)).save(folder / "data" / name)
    return folder


def parts(*detections: Any) -> dict[str, Any]:
    return {"_cls": "Detections", "detections": [*detections]}


def test_masks_and_outlines_are_drawn_as_fiftyone_does(tmp_path: Path) -> None:
    head = detection("head", [0.1, 0.1, 0.2, 0.25], mask=INSIDE, index=3)
    horn = detection("horn", [0.33, 0.27, 0.31, 0.4], mask=INSIDE)  # between whole pixels
    outline = {"_cls": "Polyline", "label": "leg", "points": LEG, "closed": True, "filled": True}
    both = sample(
        "a.png", "train", parts=parts(head, horn),
        outlines={"_cls": "Polylines", "polylines": [outline]},
    )  # fmt: skip
    folder = exported(tmp_path / "in", both, sample("b.png", "test", "sunny", one=head))
    assert guess_format(folder) == guess_format(folder / "samples.json") == "fiftyone"
    told = import_folder(folder, tmp_path / "out", object="ram")
    assert {name: n["annotations"] for name, n in told["splits"].items()} == {"train": 3, "test": 1}
    data = read_dataset(tmp_path / "out", "train")
    names = {c.id: c.name for c in data.categories}
    found = {names[a.category_id]: a for a in data.annotations}
    assert {name: a.segmentation["counts"] for name, a in found.items()} == DRAWN
    assert found["ram:head"].object_id == 3
    assert data.image_path(data.images[0]).is_file()


def test_a_mask_that_is_a_file(tmp_path: Path) -> None:
    head = detection("head", [0.1, 0.1, 0.2, 0.25], mask_path="fields/parts/head.png")
    away = detection("head", [0.1, 0.1, 0.2, 0.25], mask_path="../../head.png")
    folder = exported(tmp_path / "in", sample("a.png", parts=parts(head, away)))
    pixels = np.zeros((10, 12), np.uint8)
    pixels[2:8, 3:9] = 255
    for place in (folder / "fields" / "parts", tmp_path.parent):
        place.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(pixels).save(place / "head.png")
    import_folder(folder, tmp_path / "out", object="ram")
    data = read_dataset(tmp_path / "out")
    (mask,) = (decode(a.segmentation) for a in data.annotations)
    assert mask[6:12, 9:15].all()
    assert mask.sum() == 36
    assert "outside the data set" in data.broken[0]["reason"]


def test_what_has_no_inside_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = {"_cls": "Polyline", "label": "leg", "points": LEG, "closed": False, "filled": False}
    torn = {"$binary": {"base64": MASK[:60], "subType": "00"}}
    folder = exported(
        tmp_path / "in",
        sample(
            "a.png",
            parts=parts(
                detection("head", [0.1, 0.1, 0.2, 0.25]),
                detection("head", [0.1, 0.1, 0.2, 0.25], mask=torn),
                detection("head", [0.9, 0.1, 0.2, 0.25], mask=INSIDE),
                detection("head", [0.1, 0.1, 0.2, 0.25], mask=INSIDE),
            ),
            line=line,
            map={"_cls": "Segmentation", "mask": INSIDE},
        ),
        sample("gone.png", metadata=None),
        {"tags": []},
    )
    import_folder(folder, tmp_path / "out", object="ram")
    data = read_dataset(tmp_path / "out")
    assert len(data.annotations) == 1
    assert len(data.broken) == 4
    for words in (
        "2 labels without an inside", "2 labels that cannot be drawn", "1 sample without a file",
        "1 label map of a whole picture", "1 picture not there",
    ):  # fmt: skip
        assert words in caplog.text


def test_a_file_that_is_none(tmp_path: Path) -> None:
    folder = exported(tmp_path / "in")
    (folder / "samples.json").write_text('{"frames": []}')
    with pytest.raises(SchemaError, match="no list 'samples'"):
        import_folder(folder, tmp_path / "out")
    (folder / "metadata.json").unlink()
    with pytest.raises(NotFoundError):
        import_folder(folder, tmp_path / "out", format="fiftyone")
