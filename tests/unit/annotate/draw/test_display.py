"""`show`: what is drawn, how images and parts are named, and what is refused or said."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate import Style, show
from partlab import Parts, read_dataset, write_coco
from partlab.composite import Layer
from partlab.errors import ConfigError, DatasetError, NotFoundError, UnknownNameError
from partlab.masks import Rle, encode
from partlab.schema import Annotation, Category, Dataset, Image

SMALL = Style(side=40, legend=False)
PARTS = Parts.of(["ram:head", "ram:horn", "dog:head"], {"ram": {"horn": "head"}})


def box(left: int, size: tuple[int, int] = (40, 40)) -> Rle:
    mask = np.zeros(size, bool)
    mask[10:30, left : left + 10] = True
    return encode(mask)


def pixels(picture: Any) -> Any:
    return np.asarray(picture).astype(int)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """A ram with a head on the left and a horn on the right, and a picture that is not there."""
    (tmp_path / "images").mkdir()
    PillowImage.fromarray(np.full((40, 40, 3), 100, np.uint8)).save(tmp_path / "images/a.png")
    images = [Image.new(7, "a.png", (40, 40), object="ram"), Image.new(8, "b.png", (40, 40))]
    masks: list[Any] = [box(5), box(25)]
    records = [Annotation.new(i, 7, i, rle) for i, rle in enumerate(masks, 1)]
    parts = [Category.new(1, "ram", "head"), Category.new(2, "ram", "horn")]
    made = Dataset(images, records, parts, {"ram": {"horn": "head"}})
    write_coco(made, tmp_path / "annotations" / "train.json")
    return read_dataset(tmp_path)


def test_an_image_is_named_by_record_file_name_or_id(data: Dataset) -> None:
    first = pixels(show(data, data.images[0], style=SMALL))
    assert (first == pixels(show(data, "a.png", style=SMALL))).all()
    assert (first == pixels(show(data, 7, style=SMALL))).all()
    with pytest.raises(NotFoundError, match=r"no image c\.png in .*train\.json"):
        show(data, "c.png")
    with pytest.raises(NotFoundError, match="no image with id 9"):
        show(data, 9)


def test_one_part_is_shown_alone_and_another_name_is_refused(data: Dataset) -> None:
    whole, horn = (
        pixels(show(data, 7, style=SMALL)),
        pixels(show(data, 7, part="horn", style=SMALL)),
    )
    assert (whole[15:25, 7:13] != 100).any(axis=-1).all()
    assert (horn[25:29, 7:13] == 100).all()
    assert (horn[20:25, 27:33] != 100).any(axis=-1).all()
    with pytest.raises(UnknownNameError, match="unknown part category 'hron'"):
        show(data, 7, part="hron")


def test_a_picture_that_is_not_there_is_an_error_alone_and_a_warning_on_a_sheet(
    data: Dataset,
) -> None:
    with pytest.raises(DatasetError, match=r"no image can be read: .*b\.png"):
        show(data, "b.png")
    with pytest.warns(UserWarning, match="1 picture cannot be read"):
        show(data)


def test_masks_that_are_not_drawn_are_told(data: Dataset) -> None:
    broken = Annotation.new(3, 7, 1, [[1, 2]])
    more = Dataset(data.images, [*data.annotations, broken], data.categories, data.inclusions,
                   path=data.path, image_root=data.image_root)  # fmt: skip
    with pytest.warns(UserWarning, match="1 mask was not drawn, first annotation 3"):
        show(more, 7, style=SMALL)


def test_what_was_found_is_drawn_on_a_file_or_on_pixels(data: Dataset) -> None:
    found = SimpleNamespace(labels=np.array([1, 0]), scores=np.array([0.9, 0.8]))
    found.masks = [box(25), box(5)]
    path = data.image_path(data.images[0])
    drawn = pixels(show(str(path), found, parts=PARTS, style=SMALL))
    assert (drawn == pixels(show(path, found, parts=PARTS.names, style=SMALL))).all()
    image: Any = np.full((40, 40, 3), 100, np.uint8)
    assert (drawn == pixels(show(image, found, parts=PARTS, style=SMALL))).all()
    layers = [Layer(1, box(25), 0.9), Layer(0, box(5), 0.8)]
    assert (drawn == pixels(show(path, layers, parts=PARTS, style=SMALL))).all()
    assert (pixels(show(path, layers, parts=PARTS, part="horn", style=SMALL)) != drawn).any()


def test_masks_that_cannot_belong_to_the_picture_are_refused(data: Dataset) -> None:
    image: Any = np.full((40, 40, 3), 100, np.uint8)
    with pytest.raises(ConfigError, match="a mask of 40 x 80 pixels does not belong"):
        show(image, [Layer(0, box(5, (80, 40)))], parts=PARTS)
    with pytest.raises(ConfigError, match="a mask has the label 3, and there are 3 parts"):
        show(image, [Layer(3, box(5))], parts=PARTS)
    with pytest.raises(ConfigError, match="the names of their parts") as caught:
        show(image, [Layer(0, box(5))])  # type: ignore[call-overload]
    assert caught.value.hint == "show(picture, found, parts=segmenter.parts)"
