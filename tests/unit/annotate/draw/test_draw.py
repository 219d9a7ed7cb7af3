"""Overlays and contact sheets (X-07)."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage

from annotate.draw import Style, contact_sheet, layers_of, overlay, palette
from annotate.draw.sheet import Wish, choose, draw_sheet, make_sheet, save_png
from partlab.composite import Layer
from partlab.errors import DatasetError, NotFoundError, OutputExistsError, UnknownNameError
from partlab.masks import encode
from partlab.schema import Annotation, Category, Dataset, Image

NAMES = ("cat:head", "cat:body", "ram:head", "ram:horn")
SIZE = (60, 90)  # height, width
BARE = Style(side=90, outline=0)


def photo(value: int = 128) -> np.ndarray:
    return np.full((*SIZE, 3), value, np.uint8)


def layer(label: int, top: int, left: int, high: int, wide: int, score: float = 1.0) -> Layer:
    mask = np.zeros(SIZE, bool)
    mask[top : top + high, left : left + wide] = True
    return Layer(label, encode(mask), score)


def hue(pixels: np.ndarray) -> tuple[int, ...]:
    return tuple(int(v) for v in pixels)


def test_colours_are_stable_and_apart_within_an_object() -> None:
    many = [f"a:{i}" for i in range(20)] + [f"b:{i}" for i in range(3)]
    colours = palette(many)
    assert len({*colours[:20]}) == 20
    assert colours[20:] == colours[:3] == palette(["b:x", "b:y", "b:z"])
    near = min(
        np.linalg.norm(np.subtract(colours[i], colours[j])) for i in range(8) for j in range(i)
    )
    assert near > 60


def test_the_colours_of_two_dozen_parts_are_told_apart() -> None:
    """CIE76: about 2.3 is just seen; in masks over photographs it takes ten times that."""
    found = [_lab(colour) for colour in palette([f"car:{n}" for n in range(24)])]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(found) for b in found[:i]]
    assert min(apart) > 23


def _lab(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    """CIE L*a*b* of an sRGB colour under D65."""
    share = np.array(colour) / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ linear / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 80)), max_size=4))
def test_only_pixels_under_masks_change(places: list[tuple[int, int, int]]) -> None:
    layers = [layer(label, top, left, 9, 9) for label, top, left in places]
    drawn = np.asarray(overlay(photo(), layers, NAMES, style=BARE))
    covered = np.zeros(SIZE, bool)
    for _, top, left in places:
        covered[top : top + 9, left : left + 9] = True
    changed = (drawn != photo()).any(axis=2)
    assert (changed == covered).all()


def test_one_label_one_colour_in_every_picture() -> None:
    one = np.asarray(overlay(photo(), [layer(2, 0, 0, 20, 20)], NAMES, style=BARE))
    two = np.asarray(
        overlay(photo(), [layer(2, 30, 30, 9, 9), layer(0, 0, 0, 9, 9)], NAMES, style=BARE)
    )
    assert hue(one[5, 5]) == hue(two[34, 34])
    other = np.asarray(overlay(photo(), [layer(3, 0, 0, 20, 20)], NAMES, style=BARE))
    assert hue(other[5, 5]) != hue(one[5, 5])


def test_included_part_lies_on_top_in_any_order() -> None:
    horn, head = layer(3, 10, 10, 10, 10), layer(2, 0, 0, 40, 40)
    for layers in ([horn, head], [head, horn]):
        drawn = np.asarray(overlay(photo(), layers, NAMES, parents={3: 2}, style=BARE))
        assert hue(drawn[15, 15]) != hue(drawn[5, 5])


def test_outline_is_as_wide_as_asked() -> None:
    drawn = np.asarray(
        overlay(photo(), [layer(0, 10, 10, 30, 30)], NAMES, style=Style(side=90, outline=2))
    )
    row = [hue(drawn[25, x]) for x in range(10, 40)]
    assert row[0] == row[1] == row[-1] == row[-2]
    assert row[2] == row[15] != row[1]


def test_title_stands_in_the_top_right_corner_and_the_legend_below() -> None:
    layers = [layer(0, 30, 5, 20, 20)]
    plain = np.asarray(overlay(photo(), layers, NAMES, style=BARE))
    named = np.asarray(overlay(photo(), layers, NAMES, title="cat", style=BARE))
    rows, columns = np.nonzero((plain != named).any(axis=2))
    assert rows.max() < 30
    assert columns.min() > 45
    legend = overlay(photo(), layers, NAMES, style=Style(side=90, outline=0, legend=True))
    assert legend.height > 60
    assert (np.asarray(legend)[:60] == plain).all()
    assert (np.asarray(legend)[60:] == palette(NAMES)[0]).all(axis=2).any()
    assert not (np.asarray(legend)[60:] == palette(NAMES)[1]).all(axis=2).any()


def test_small_photos_are_enlarged_and_foreign_masks_left_out() -> None:
    strange = Layer(0, encode(np.ones((5, 5), bool)))
    drawn = overlay(photo(), [strange], NAMES, style=Style(side=300))
    assert drawn.size == (300, 200)
    assert (np.asarray(drawn) == 128).all()


def test_sheet_has_the_columns_asked_for_and_same_bytes() -> None:
    pictures = [PillowImage.new("RGB", (40, 30), (200, i, 0)) for i in range(5)]
    sheet = contact_sheet(pictures, [f"picture {i}" for i in range(5)], 2)
    assert sheet.width == 2 * 40 + 3 * 8
    found = {int(g) for r, g, b in np.asarray(sheet).reshape(-1, 3) if r == 200 and b == 0}
    assert found == set(range(5))
    again = contact_sheet(pictures, [f"picture {i}" for i in range(5)], 2)
    assert sheet.tobytes() == again.tobytes()
    assert contact_sheet([]).width > 0


def test_captions_stay_in_their_cell() -> None:
    """A narrow picture's long caption does not run into the next one."""
    pictures = [PillowImage.new("RGB", (20, 60), "red"), PillowImage.new("RGB", (80, 60), "red")]
    bare = np.asarray(contact_sheet(pictures, ["", ""], 2))
    long = np.asarray(contact_sheet(pictures, ["a very long caption " * 9, ""], 2))
    columns = np.nonzero((bare != long).any(axis=2))[1]
    assert columns.max() < 8 + 80


# --- choosing what to show -----------------------------------------------------------------


@pytest.fixture
def shown(tmp_path: Path) -> Dataset:
    categories = [Category.new(i, *name.split(":")) for i, name in enumerate(NAMES, 1)]
    images, annotations = [], []
    for i in range(6):
        owner = "cat" if i < 3 else "ram"
        images.append(Image.new(i, f"{owner}/{i}.png", (90, 60), object=owner))
        (tmp_path / owner).mkdir(exist_ok=True)
        PillowImage.fromarray(photo(40 * i)).save(tmp_path / images[-1].file_name)
        label = 1 if owner == "cat" else 3
        annotations.append(Annotation.new(i, i, label, layer(0, 5, 5, 9, 9).rle))
    annotations.append(Annotation.new(9, 5, 4, layer(0, 7, 7, 3, 3).rle))
    return Dataset(images, annotations, categories, image_root=tmp_path)


def files(chosen: list[tuple[Dataset, Image]]) -> list[str]:
    return [image.file_name for _, image in chosen]


def test_choice_by_object_part_and_name(shown: Dataset) -> None:
    assert set(files(choose([shown], Wish(object="ram")))) == {
        "ram/3.png",
        "ram/4.png",
        "ram/5.png",
    }
    assert files(choose([shown], Wish(part="horn"))) == ["ram/5.png"]
    assert files(choose([shown], Wish(part="ram:horn"))) == ["ram/5.png"]
    assert files(choose([shown], Wish(image="2.png"))) == ["cat/2.png"]
    turns = files(choose([shown], Wish(count=2)))
    assert {name.split("/")[0] for name in turns} == {"cat", "ram"}
    assert files(choose([shown], Wish(seed=1))) == files(choose([shown], Wish(seed=1)))
    assert {tuple(files(choose([shown], Wish(seed=s)))) for s in range(6)} != {tuple(turns)}


def test_unknown_names_get_near_ones(shown: Dataset) -> None:
    with pytest.raises(UnknownNameError, match="'rom'") as wrong:
        choose([shown], Wish(object="rom"))
    assert "ram" in (wrong.value.hint or "")
    with pytest.raises(UnknownNameError, match="part category"):
        choose([shown], Wish(part="hron"))
    with pytest.raises(NotFoundError, match="no image fits"):
        choose([shown], Wish(image="9.png"))


def test_only_the_part_asked_for_is_drawn(shown: Dataset) -> None:
    chosen = choose([shown], Wish(part="horn"))
    both = np.asarray(draw_sheet(chosen, style=BARE))
    horn = np.asarray(draw_sheet(chosen, part="horn", style=BARE))
    assert hue(both[12, 12]) != hue(horn[12, 12]) == hue(photo(200)[0, 0])
    assert hue(horn[8, 8]) != hue(photo(200)[0, 0])


def test_damaged_picture_becomes_an_empty_cell(shown: Dataset) -> None:
    (shown.image_root / "cat" / "0.png").write_bytes(b"nonsense")
    assert draw_sheet(choose([shown], Wish()), style=BARE).width > 90
    with pytest.raises(DatasetError, match=r"no image can be read: .*0\.png"):
        draw_sheet(choose([shown], Wish(image="0.png")))


def test_broken_masks_are_left_out(shown: Dataset) -> None:
    broken = [Annotation.new(1, 0, 1, [[1, 2]]), Annotation.new(2, 0, 77, [[0, 0, 9, 0, 9, 9]])]
    assert layers_of(shown, [*broken, shown.annotations[0]]) == layers_of(
        shown, [shown.annotations[0]]
    )


def test_what_is_not_drawn_is_counted_and_named(shown: Dataset) -> None:
    """A box, a mask of another part, a picture of another size, and one that is no picture."""
    first, second = shown.images[:2]
    box = Annotation.new(88, first.id, shown.categories[0].id, [])
    data = replace(shown, annotations=[*shown.annotations, box])
    sheet = make_sheet([(data, first)], style=BARE)
    assert sheet.not_drawn == [f"annotation 88 of {first.file_name}: the segmentation is empty"]
    assert sheet.notes() == [f"1 mask was not drawn, first {sheet.not_drawn[0]}"]
    other = next(c.part for c in shown.categories if c.part != shown.categories[0].part)
    assert make_sheet([(data, first)], part=other, style=BARE).not_drawn == []
    stated = replace(data, images=[first.changed(width=9, height=9)])
    masks = [a for a in data.annotations if a.image_id == first.id]
    drawn = make_sheet([(stated, stated.images[0])], style=BARE)
    assert len(drawn.not_drawn) == len(masks)
    assert "its record says 9 x 9" in drawn.not_drawn[0]
    shown.image_path(second).write_bytes(b"nonsense")
    both = make_sheet([(shown, first), (shown, second)], style=BARE)
    assert both.unreadable == [second.file_name]
    assert "1 picture cannot be read" in both.notes()


def test_existing_picture_is_not_replaced(tmp_path: Path) -> None:
    picture = PillowImage.new("RGB", (9, 9), "red")
    save_png(picture, tmp_path / "a.png")
    with pytest.raises(OutputExistsError):
        save_png(picture, tmp_path / "a.png")
    save_png(PillowImage.new("RGB", (9, 9), "blue"), tmp_path / "a.png", force=True)
    with PillowImage.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as written:
        assert written.getpixel((0, 0)) == (0, 0, 255)
