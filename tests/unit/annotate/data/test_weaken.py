"""Weaker masks: filled boxes (H-02), and masks on a share of the images (N-05)."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from annotate.data.weaken import as_boxes, thinned
from app.cli.main import app
from partlab.coco import read_dataset, write_coco
from partlab.errors import ConfigError
from partlab.masks import decode, encode, from_segmentation
from partlab.schema import Annotation, Category, Dataset, Image

SIZE = (30, 40)


@pytest.fixture
def data() -> Dataset:
    """20 rams and 10 cats with ragged masks; one mask that cannot be read."""
    draw = np.random.default_rng(0)
    images, masks = [], []
    for number in range(1, 31):
        images.append(Image.new(number, f"{number}.png", SIZE[::-1]))
        for part in (1, 2):
            category = part if number <= 20 else 3
            pixels = np.zeros(SIZE, bool)
            top, left = draw.integers(0, 15, 2)
            pixels[top : top + 12, left : left + 9] = draw.random((12, 9)) > 0.5
            masks.append(Annotation.new(len(masks) + 1, number, category, encode(pixels)))
    masks.append(Annotation.new(len(masks) + 1, 1, 1, [[1, 2]]))
    kinds = [Category.new(1, "ram", "horn"), Category.new(2, "ram", "leg")]
    return Dataset(images, masks, [*kinds, Category.new(3, "cat", "tail")])


def test_a_box_is_filled_exactly(data: Dataset) -> None:
    found, unread = as_boxes(data)
    assert unread == 1
    for before, after in zip(data.annotations[:-1], found.annotations, strict=False):
        old = decode(before.segmentation)
        rows, columns = np.flatnonzero(old.any(1)), np.flatnonzero(old.any(0))
        new = decode(from_segmentation(after.segmentation, *SIZE))
        want = np.zeros(SIZE, bool)
        want[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert np.array_equal(new, want)
        assert after.area == want.sum()
    assert found.annotations[-1] is data.annotations[-1]


def test_masks_stay_on_a_share_of_each_object(data: Dataset) -> None:
    few, more = thinned(data, 0.3), thinned(data, 0.5)
    kept = [{a.image_id for a in one.annotations} for one in (few, more)]
    assert [sum(id <= 20 for id in ids) for ids in kept] == [6, 10]
    assert [sum(id > 20 for id in ids) for ids in kept] == [3, 5]
    assert kept[0] < kept[1]
    assert len(few.images) == 30
    assert {few.object_of(image) for image in few.images} == {"ram", "cat"}
    assert kept[0] != {a.image_id for a in thinned(data, 0.3, seed=1).annotations}
    with pytest.raises(ConfigError):
        thinned(data, 1.5)


def test_the_command_leaves_other_splits_alone(data: Dataset, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_coco(data, tmp_path / "in" / "annotations" / f"{split}.json")
    command = ["data", "weaken", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, command).exit_code == 2
    done = CliRunner().invoke(app, [*command, "--boxes", "--keep", "0.5", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["images_with_masks"], told["masks_before"]) == (15, 61)
    val = read_dataset(tmp_path / "out", "val")
    assert [a.raw for a in val.annotations] == [a.raw for a in data.annotations]
    assert isinstance(read_dataset(tmp_path / "out", "train").annotations[0].segmentation, list)
    assert CliRunner().invoke(app, [*command, "--boxes", "--split", "no"]).exit_code == 3
