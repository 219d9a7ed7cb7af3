"""What parts leave out of their object (M-01, V-05)."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from annotate.data.coverage import measure_coverage
from app.cli.main import app
from partlab.coco import write_coco
from partlab.masks import Rle, encode
from partlab.schema import Annotation, Category, Dataset, Image


def box(left: int, right: int) -> Rle:
    mask = np.zeros((10, 20), bool)
    mask[:, left:right] = True
    return encode(mask)


def planted() -> Dataset:
    """A cat covered whole, one to 3/4, one whose object nobody knows; a mug with an outline."""
    categories = [
        Category.new(1, "cat", "head"),
        Category.new(2, "cat", "body"),
        Category.new(3, "mug", "handle"),
        Category.new(4, "mug", "object", whole_object=True),
    ]
    images = [
        Image.new(1, "whole.png", (20, 10), object="cat", object_mask=box(0, 8)),
        Image.new(2, "part.png", (20, 10), object="cat", object_mask=box(0, 16)),
        Image.new(3, "unknown.png", (20, 10), object="cat"),
        Image.new(4, "mug.png", (20, 10), object="mug"),
    ]
    drawn = [(1, 1, box(0, 4)), (1, 2, box(4, 8)), (2, 1, box(0, 4)), (2, 2, box(4, 12))]
    drawn += [(3, 1, box(0, 4)), (4, 3, box(0, 5)), (4, 4, box(0, 10))]
    masks = [Annotation.new(n, *of) for n, of in enumerate(drawn, 1)]
    return Dataset(images, masks, categories)


def test_only_images_that_say_where_the_object_is_are_measured() -> None:
    found = measure_coverage([planted()])
    assert (found.images, found.measured) == (4, 3)
    assert [(one.file_name, one.share) for one in found.worst] == [
        ("mug.png", 0.5),
        ("part.png", 0.75),
        ("whole.png", 1.0),
    ]
    assert found.mean == 0.75
    assert [(o.object, o.measured, o.mean, o.least) for o in found.objects] == [
        ("mug", 1, 0.5, 0.5),
        ("cat", 2, 0.875, 0.75),
    ]


def test_nothing_is_made_up_where_no_object_is_known() -> None:
    found = measure_coverage([planted().subset([3])])
    assert (found.measured, found.mean, found.worst) == (0, None, [])


def test_the_command_tells_the_worst(tmp_path: Path) -> None:
    write_coco(planted(), tmp_path / "annotations.json")
    told = CliRunner().invoke(app, ["data", "stats", str(tmp_path), "--coverage"])
    assert "3 of 4" in told.stdout
    assert told.stdout.index("mug.png") < told.stdout.index("part.png")
    told = CliRunner().invoke(app, ["data", "stats", str(tmp_path), "--coverage", "--json"])
    (found,) = json.loads(told.stdout)["coverage"].values()
    assert found["worst"][0] == {"object": "mug", "file_name": "mug.png", "share": 0.5}
