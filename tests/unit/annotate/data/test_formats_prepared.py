"""The authors' prepared layout and COCO folders: pixel-exact ways out and back (B3, B4, C2)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as PillowImage

from annotate.data.check import check_folder
from annotate.data.convert import export_folder, import_folder
from annotate.data.formats import Source, formats, get_format, guess_format
from annotate.data.formats.pictures import Pictures, is_safe_name, place
from annotate.data.formats.prepared import load_labels, save_labels, stem_of
from partlab.coco import read_dataset, write_coco
from partlab.composite import Layer, flatten
from partlab.errors import (
    DatasetError,
    MaskError,
    NotFoundError,
    PartlabError,
    SchemaError,
    UnknownNameError,
)
from partlab.inclusions import Inclusions, pairs_of, spelled
from partlab.masks import area, bbox, decode, encode
from partlab.schema import Annotation, Category, Dataset, Discard, Image

SIDE = 64


def disc(x: float, y: float, radius: float) -> np.ndarray:
    down, across = np.mgrid[:SIDE, :SIDE]
    return np.asarray((across - x) ** 2 + (down - y) ** 2 <= radius**2)


def drawn(number: int, image: int, category: int, mask: np.ndarray, **ours: object) -> Annotation:
    rle = encode(mask)
    return Annotation.new(number, image, category, rle, bbox=bbox(rle), area=area(rle), **ours)


def scene(folder: Path) -> Path:
    """Horn in head, two wheels, a pseudo picture, a blank one; classes not in wnid order."""
    categories = [
        Category.new(5, "cart", "wheel", wnid="n09999999"),
        Category.new(3, "ram", "head", wnid="n02412080"),
        Category.new(9, "ram", "horn", wnid="n02412080"),
    ]
    images = [
        Image.new(1, "n02412080/n02412080_1.JPEG", (SIDE, SIDE), object="ram"),
        Image.new(2, "n09999999/a b.c.png", (SIDE, SIDE), object="cart"),
        Image.new(3, "n09999999/blank.png", (SIDE, SIDE), object="cart"),
    ]
    wheels = disc(16, 40, 9), disc(48, 40, 9)
    annotations = [
        drawn(1, 1, 9, disc(30, 20, 6)),
        drawn(2, 1, 3, disc(32, 30, 20)),
        *(
            drawn(3 + i, 2, 5, wheel, provenance="pseudo:seg", score=0.9)
            for i, wheel in enumerate(wheels)
        ),
    ]
    for image in images:
        path = folder / "images" / image.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(image.id).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
        PillowImage.fromarray(noise).save(path)
    discards = [Discard({"file_name": "n02412080/bad.JPEG", "partlab": {"reason": "blurred"}})]
    inclusions = {"ram": {"horn": "head"}}
    write_coco(
        Dataset(images, annotations, categories, inclusions, discards),
        folder / "annotations" / "train.json",
    )
    return folder


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return scene(tmp_path / "scene")


@pytest.fixture
def prepared(world: Path, tmp_path: Path) -> Path:
    export_folder(world, tmp_path / "prepared", format="prepared")
    return tmp_path / "prepared"


def read(folder: Path, **more: Path) -> Dataset:
    return get_format("prepared").read(Source(folder, **more))["all"]


def test_the_label_map_follows_the_composite_rule(world: Path, prepared: Path) -> None:
    """B3: ids by class folder; B4: the included horn lies on the head."""
    labels = load_labels(prepared / "seg" / "n02412080" / "n02412080_1.png")
    head, horn = disc(32, 30, 20), disc(30, 20, 6)
    assert (labels == np.where(horn, 2, np.where(head, 1, 0))).all()
    wheels = load_labels(prepared / "seg" / "n09999999" / "a b.png")
    assert (wheels == np.where(disc(16, 40, 9) | disc(48, 40, 9), 3, 0)).all()
    names = json.loads((prepared / "parts.json").read_text())
    assert [(c["id"], c["part"]) for c in names["categories"]] == [
        (1, "head"),
        (2, "horn"),
        (3, "wheel"),
    ]


def test_the_png_is_16_bit_grey(prepared: Path) -> None:
    """An 8-bit map would be rescaled by the trainer's ToTensor (B3)."""
    with PillowImage.open(prepared / "seg" / "n09999999" / "a b.png") as opened:
        assert opened.mode == "I;16"


def test_pictures_and_flags(prepared: Path) -> None:
    assert (prepared / "img" / "n09999999" / "a b.c.png").is_file()
    flags = (prepared / "whether_pseudo" / "n09999999.txt").read_text()
    assert flags == "n09999999/a b.c.png 1\nn09999999/blank.png 0\n"
    assert (prepared / "whether_pseudo" / "n02412080.txt").read_text().endswith(" 0\n")


def test_reading_makes_one_layer_of_each_id(prepared: Path) -> None:
    dataset = read(prepared)
    assert [i.file_name for i in dataset.images] == [
        "n02412080/n02412080_1.JPEG",
        "n09999999/a b.c.png",
        "n09999999/blank.png",
    ]
    assert [dataset.object_of(i) for i in dataset.images] == ["ram", "cart", "cart"]
    assert [len(dataset.annotations_of(i)) for i in dataset.images] == [2, 1, 0]
    (wheel,) = dataset.annotations_of(dataset.images[1])
    assert decode(wheel.segmentation).sum() == wheel.area
    assert wheel.provenance.startswith("pseudo:")
    assert dataset.annotations_of(dataset.images[0])[0].provenance == "human"
    assert dataset.inclusions == {"ram": {"horn": "head"}}
    assert dataset.discards[0].reason == "blurred"
    assert dataset.categories[0].wnid == "n02412080"
    assert not dataset.broken


def test_read_write_read_is_pixel_exact(prepared: Path, tmp_path: Path) -> None:
    import_folder(prepared, tmp_path / "ours")
    export_folder(tmp_path / "ours", tmp_path / "again", format="prepared")
    assert guess_format(tmp_path / "again") == "prepared"
    for path in sorted((prepared / "seg").rglob("*.png")):
        twin = tmp_path / "again" / path.relative_to(prepared)
        assert (load_labels(path) == load_labels(twin)).all()
    for name in ("whether_pseudo/n09999999.txt", "parts.json"):
        assert (prepared / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    first, second = read(prepared), read(tmp_path / "again")
    assert [a.raw for a in first.annotations] == [a.raw for a in second.annotations]


@given(arrays(np.int32, (5, 7), elements=st.integers(0, 70_000)), st.sampled_from([70_000, 65_536]))
def test_label_maps_of_any_depth(
    tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray, parts: int
) -> None:
    labels = labels.clip(0, parts)
    path = tmp_path_factory.getbasetemp() / "deep.png"
    save_labels(path, labels, parts)
    assert (load_labels(path) == labels).all()


@pytest.mark.parametrize(
    ("parts", "mode"),
    [(1, "I;16"), (255, "I;16"), (256, "I;16"), (65_535, "I;16"), (65_536, "RGB")],
)
def test_png_depth_fits_the_number_of_parts(parts: int, mode: str, tmp_path: Path) -> None:
    labels = np.array([[0, 1], [parts // 2, parts]], np.int32)
    save_labels(tmp_path / "x.png", labels, parts)
    with PillowImage.open(tmp_path / "x.png") as opened:
        assert opened.mode == mode
    assert (load_labels(tmp_path / "x.png") == labels).all()


def test_too_many_parts_for_any_png(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="more than a PNG"):
        save_labels(tmp_path / "x.png", np.zeros((2, 2), np.int32), 1 << 24)


@pytest.mark.parametrize("count", [300, 66_000])
def test_round_trip_with_many_parts(count: int, tmp_path: Path) -> None:
    """K > 255 overflows 8 bits, K > 65,535 overflows 16."""
    categories = [Category.new(i, "thing", f"p{i}") for i in range(1, count + 1)]
    used = [1, 255, 256, count // 2, count]
    masks = [disc(6 + 12 * n, 30, 4) for n in range(len(used))]
    images = [Image.new(1, "thing.png", (SIDE, SIDE), object="thing")]
    annotations = [drawn(n, 1, c, m) for n, (c, m) in enumerate(zip(used, masks, strict=True), 1)]
    write_coco(Dataset(images, annotations, categories), tmp_path / "a.json")
    export_folder(tmp_path / "a.json", tmp_path / "out", format="prepared")
    again = read(tmp_path / "out")
    found = {a.category_id: decode(a.segmentation) for a in again.annotations}
    assert sorted(found) == sorted(used)
    assert all((found[c] == m).all() for c, m in zip(used, masks, strict=True))
    assert again.categories[count - 1].part == f"p{count}"


MASKS = st.lists(
    st.tuples(
        st.integers(0, 4), arrays(bool, (6, 6)).filter(np.any), st.sampled_from([0.5, 0.7, 1.0])
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(MASKS)
def test_any_layers_flatten_as_the_kernel_says(
    tmp_path_factory: pytest.TempPathFactory, layers: list[tuple[int, np.ndarray, float]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    categories = [Category.new(i + 1, "thing", f"p{i}") for i in range(5)]
    annotations = [
        Annotation.new(n, 1, label + 1, encode(mask), score=score)
        for n, (label, mask, score) in enumerate(layers, 1)
    ]
    inclusions: Inclusions = {"thing": {"p0": ["p1", "p3"], "p1": "p2"}}
    dataset = Dataset([Image.new(1, "x.png", (6, 6))], annotations, categories, inclusions)
    get_format("prepared").write(dataset, folder, "all", Pictures.none)
    expected = flatten(
        [Layer(label, encode(mask), score) for label, mask, score in layers],
        (6, 6),
        dataset.parts.parents,
    )
    assert (load_labels(folder / "seg" / "thing" / "x.png") == expected).all()
    again = read(folder)
    found = flatten(
        [Layer(a.category_id - 1, a.segmentation) for a in again.annotations], (6, 6), {}
    )
    assert (found == expected).all()


def test_names_may_come_from_elsewhere(prepared: Path, tmp_path: Path) -> None:
    (prepared / "parts.json").unlink()
    with pytest.raises(NotFoundError, match="numbers only") as caught:
        read(prepared)
    assert "--names" in str(caught.value.hint)
    lines = tmp_path / "names.txt"
    lines.write_text("n02412080:head\nn02412080:horn\nn09999999:wheel\n")
    dataset = read(prepared, names=lines)
    assert dataset.names == ("n02412080:head", "n02412080:horn", "n09999999:wheel")
    assert dataset.categories[2].wnid == "n09999999"
    coco = tmp_path / "names.json"
    coco.write_text(json.dumps({"categories": [c.raw for c in dataset.categories]}))
    assert read(prepared, names=coco).names == dataset.names
    coco.write_text('{"categories": [{"id": 1}]}')
    with pytest.raises(SchemaError, match=r"categories\[0\] has no 'name'"):
        read(prepared, names=coco)


def test_labels_without_pictures(prepared: Path) -> None:
    """Annotations alone: the size is the label map's."""
    for path in (prepared / "img").rglob("*.*"):
        path.unlink()
    dataset = read(prepared)
    assert dataset.images[1].file_name == "n09999999/a b.JPEG"
    assert (dataset.images[1].width, dataset.images[1].height) == (SIDE, SIDE)


def test_each_picture_needs_a_mask(prepared: Path, tmp_path: Path) -> None:
    seg = prepared / "seg" / "n09999999"
    (seg / "a b.png").unlink()
    (seg / "blank.png").write_bytes(b"not a picture")
    dataset = read(prepared)
    assert len(dataset.images) == 3
    assert [(b["record"], b["list"]) for b in dataset.broken] == [
        ("n09999999/a b.c.png", "seg/n09999999"),
        ("n09999999/blank.png", "seg/n09999999"),
    ]
    import_folder(prepared, tmp_path / "ours")
    found = [f.message for f in check_folder(tmp_path / "ours").by_kind["unreadable_record"]]
    assert any("a b.c.png" in message and "no mask file" in message for message in found)


def test_ids_beyond_the_names_are_kept_and_reported(prepared: Path, tmp_path: Path) -> None:
    save_labels(prepared / "seg" / "n09999999" / "blank.png", np.full((SIDE, SIDE), 77), 100)
    import_folder(prepared, tmp_path / "ours")
    (finding,) = check_folder(tmp_path / "ours").by_kind["unknown_category"]
    assert "77" in finding.message


def test_a_bad_flag_is_reported(prepared: Path) -> None:
    (prepared / "whether_pseudo" / "n02412080.txt").write_text("x.JPEG maybe\n")
    (broken,) = read(prepared).broken
    assert broken["record"] == "x.JPEG maybe"


@pytest.mark.parametrize(
    "ours",
    [
        -1,
        {"folders": [1]},
        {"discards": [{"file_name": {}}]},
        {"discards": 1},
        {"background": {}},
        {"inclusions": {"a": 1}},
        {"ignore": {}},
    ],
)
def test_a_strange_list_of_parts_is_one_sentence(ours: object, prepared: Path) -> None:
    table = json.loads((prepared / "parts.json").read_text())
    (prepared / "parts.json").write_text(json.dumps({**table, "partlab": ours}))
    with pytest.raises(SchemaError, match=r"parts\.json: .* is not a"):
        read(prepared)


def test_null_in_the_list_of_parts_says_nothing(prepared: Path) -> None:
    table = json.loads((prepared / "parts.json").read_text())
    keys = ("folders", "discards", "background", "inclusions", "ignore")
    (prepared / "parts.json").write_text(
        json.dumps({**table, "partlab": dict.fromkeys(keys)}),
    )
    assert len(read(prepared).images) == 3


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_8_bit_label_maps_are_read(mode: str, tmp_path: Path) -> None:
    picture = PillowImage.fromarray(
        np.array([[0, 1], [1, 0]], np.uint8) * (255 if mode == "1" else 1)
    )
    picture = picture.convert("1") if mode == "1" else picture
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(tmp_path / "x.png")
    assert load_labels(tmp_path / "x.png").tolist() == [[0, 1], [1, 0]]


def test_pictures_with_transparency_are_no_label_maps(tmp_path: Path) -> None:
    PillowImage.new("RGBA", (3, 3)).save(tmp_path / "x.png")
    with pytest.raises(DatasetError, match="RGBA"):
        load_labels(tmp_path / "x.png")


def test_stem_is_the_text_before_the_first_dot() -> None:
    assert [stem_of(name) for name in ("a.b.JPEG", "n01_5.JPEG", "plain")] == [
        "a",
        "n01_5",
        "plain",
    ]


def change(folder: Path, **values: object) -> None:
    path = folder / "annotations" / "train.json"
    data = json.loads(path.read_text())
    data["images"][1].update(values)
    path.write_text(json.dumps(data))


def test_what_the_layout_cannot_hold_is_refused(world: Path, tmp_path: Path) -> None:
    change(world, file_name="n09999999/blank.b.png")
    with pytest.raises(SchemaError, match="share one mask"):
        export_folder(world, tmp_path / "out", format="prepared")
    change(world, file_name="n09999999/a.png", width=10)
    with pytest.raises(MaskError, match=r"annotation 3 of image 2 \(n09999999/a.png\)"):
        export_folder(world, tmp_path / "out", format="prepared", force=True)
    path = world / "annotations" / "train.json"
    data = json.loads(path.read_text())
    del data["images"][2]["partlab"]
    path.write_text(json.dumps(data))
    with pytest.raises(SchemaError, match="no single object category"):
        export_folder(world, tmp_path / "out", format="prepared", force=True)


def test_several_splits_get_a_folder_each(world: Path, tmp_path: Path) -> None:
    text = (world / "annotations" / "train.json").read_text()
    (world / "annotations" / "val.json").write_text(text)
    export_folder(world, tmp_path / "out", format="prepared")
    assert (tmp_path / "out" / "val" / "seg" / "n09999999" / "blank.png").is_file()
    assert (tmp_path / "out" / "train" / "parts.json").is_file()
    with pytest.raises(NotFoundError, match="tset") as caught:
        export_folder(world, tmp_path / "x", format="prepared", split="tset")
    assert "train, val" in str(caught.value.hint)


def test_coco_to_coco_is_the_same_bytes(world: Path, tmp_path: Path) -> None:
    text = (world / "annotations" / "train.json").read_text()
    (world / "annotations" / "val.json").write_text(text)
    import_folder(world, tmp_path / "ours", pictures=Pictures.copy)
    for split in ("train", "val"):
        name = f"annotations/{split}.json"
        assert (tmp_path / "ours" / name).read_bytes() == (world / name).read_bytes()
    assert check_folder(tmp_path / "ours", "train", pictures=True).by_kind.keys() <= {
        "no_parts",
        "unequal_counts",
    }
    dataset = read_dataset(tmp_path / "ours", "train")
    assert not dataset.image_path(dataset.images[0]).is_symlink()


def test_links_point_to_the_pictures(world: Path, tmp_path: Path) -> None:
    import_folder(world, tmp_path / "ours")
    link = tmp_path / "ours" / "images" / "n09999999" / "blank.png"
    assert link.is_symlink()
    assert link.resolve() == (world / "images" / "n09999999" / "blank.png").resolve()


def test_file_names_cannot_leave_the_folder(world: Path, tmp_path: Path) -> None:
    change(world, file_name="../../evil.png")
    with pytest.raises(SchemaError, match="outside"):
        import_folder(world, tmp_path / "ours")
    assert not is_safe_name("/etc/x.png")
    assert not is_safe_name("a\\..\\x.png")
    assert is_safe_name("a/b..c.png")


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    target = tmp_path / "out" / "x.png"
    assert place([(tmp_path / "a", target), (tmp_path / "a", target)], Pictures.copy) == 0
    assert place([(tmp_path / "missing", target)], Pictures.link) == 1
    with pytest.raises(SchemaError, match="two different pictures"):
        place([(tmp_path / "b", target)], Pictures.link)


def test_a_target_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PartlabError, match="cannot write"):
        place([(tmp_path / "file", tmp_path / "file" / "x.png")], Pictures.copy)


def test_formats_by_name() -> None:
    assert {"coco", "pinpp", "prepared"} <= set(formats.names())
    with pytest.raises(UnknownNameError) as caught:
        get_format("prepard")
    assert "prepared" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["coco", "pinpp", "prepared"])
def test_a_part_in_several_others_goes_through_every_format(
    name: str, world: Path, tmp_path: Path
) -> None:
    original = read_dataset(world)
    given = spelled([*pairs_of(original.inclusions["ram"]), ("horn", "body")])
    assert given["horn"] == ["head", "body"]
    write_coco(replace(original, inclusions={"ram": given}), tmp_path / "a" / "annotations.json")
    export_folder(tmp_path / "a", tmp_path / "out", format=name, pictures=Pictures.none)
    (again,) = get_format(name).read(Source(tmp_path / "out")).values()
    assert again.inclusions == {"ram": given}


@pytest.mark.parametrize("name", ["coco", "pinpp", "prepared"])
def test_every_format_reads_what_it_wrote(name: str, world: Path, tmp_path: Path) -> None:
    export_folder(world, tmp_path / "out", format=name)
    assert guess_format(tmp_path / "out") == name
    (again,) = get_format(name).read(Source(tmp_path / "out")).values()
    original = read_dataset(world)
    assert sorted(again.names) == sorted(original.names)
    assert sorted(i.file_name for i in again.images) == sorted(i.file_name for i in original.images)
    assert again.inclusions == original.inclusions
    assert {d.file_name for d in again.discards} == {d.file_name for d in original.discards}


def test_the_layout_says_what_it_cannot_keep() -> None:
    note = get_format("prepared").note
    assert "instances: become one mask" in note
    assert "layers: the topmost has the pixels" in note


def crowded(width: int = 9) -> Dataset:
    """One mask, and a crowd region that covers half of it."""
    masks = [np.zeros((6, width), bool) for _ in range(2)]
    masks[0][:, :4], masks[1][:3, 2:6] = True, True
    annotations = [Annotation.new(n, 1, 1, encode(mask)) for n, mask in enumerate(masks, 1)]
    annotations[1] = annotations[1].changed(iscrowd=1)
    return Dataset([Image.new(1, "x.png", (width, 6))], annotations, [Category.new(1, "cat", "a")])


def test_crowd_regions_are_ignored_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    get_format("prepared").write(crowded(), tmp_path, "all", Pictures.none)
    labels = load_labels(tmp_path / "seg" / "cat" / "x.png")
    assert (labels[:3, 2:6] == 2).all()
    assert (labels[3:, :4] == 1).all()
    assert (labels[:, 6:] == 0).all()
    assert json.loads((tmp_path / "parts.json").read_text())["partlab"]["ignore"] == 2
    assert "neither background nor a part" in caplog.text
    again = read(tmp_path)
    assert [a.category_id for a in again.annotations] == [1]
    assert "1 picture holds pixels to ignore" in caplog.text


def lacking(how: str) -> Dataset:
    """One mask of 24 pixels, and another that is empty or was taken away before."""
    data = crowded()
    empty = Annotation.new(2, 1, 1, encode(np.zeros((6, 9), bool)))
    if how == "empty":
        return replace(data, annotations=[data.annotations[0], empty])
    dropped = {"list": "annotations", "position": 1, "reason": "no pixels", "record": empty.raw}
    top = {**data.top, "partlab": {how: [dropped]}}
    return replace(data, annotations=data.annotations[:1], top=top)


@pytest.mark.parametrize("how", ["empty", "dropped", "broken"])
def test_where_a_mask_is_missing_the_rest_is_no_background(tmp_path: Path, how: str) -> None:
    get_format("prepared").write(lacking(how), tmp_path, "all", Pictures.none)
    labels = load_labels(tmp_path / "seg" / "cat" / "x.png")
    assert (labels[:, :4] == 1).all()
    assert (labels[:, 4:] == 2).all()
    assert json.loads((tmp_path / "parts.json").read_text())["partlab"]["ignore"] == 2


def test_a_mask_that_would_not_fit_its_picture_is_refused(tmp_path: Path) -> None:
    """Nothing is written: neither for a phone's picture stated before its rotation."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.new("RGB", (9, 6)).save(tmp_path / "x.png", exif=exif)
    data = replace(crowded(), image_root=tmp_path)
    with pytest.raises(SchemaError, match=r"is 6 x 9 pixels as shown, its record says 9 x 6"):
        get_format("prepared").write(data, tmp_path / "out", "all", Pictures.none)
    assert not (tmp_path / "out").exists()


def test_a_box_without_a_mask_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    data = crowded()
    boxes = [data.annotations[0], data.annotations[1].changed(segmentation=[])]
    with pytest.raises(MaskError, match=r"annotation 2 of image 1 \(x\.png\)") as refused:
        get_format("prepared").write(
            replace(data, annotations=boxes), tmp_path / "out", "all", Pictures.none
        )
    assert "--drop-unusable" in str(refused.value.hint)
