"""What is imported, and from where: archives, Label Studio's JSON, other tools' files."""

import base64
import io
import json
import logging
import re
import stat
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.data.convert import export_folder, import_folder, propose_names
from annotate.data.fix import fix_folder
from annotate.data.formats import Source, archive, get_format, guess_format
from annotate.data.formats.pictures import Pictures
from annotate.data.split import write_splits
from annotate.studio.spelling.codec import encode_brush
from partlab.coco import read_dataset
from partlab.errors import (
    ConfigError,
    NotFoundError,
    OutputExistsError,
    SchemaError,
)
from partlab.folders import new_folder
from partlab.masks import decode

WIDTH, HEIGHT = 100, 80


def picture(seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    PillowImage.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def coco(*names: str) -> str:
    square = [[2, 2, 12, 2, 12, 12, 2, 12]]
    images = [
        {"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for n, name in enumerate(names, 1)
    ]
    masks = [
        {"id": n, "image_id": n, "category_id": 1, "segmentation": square, "area": 100}
        for n in range(1, len(names) + 1)
    ]
    parts = [{"id": 1, "name": "ram:head", "supercategory": "ram"}]
    return json.dumps({"images": images, "annotations": masks, "categories": parts})


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# --- what is refused leaves nothing behind


def test_a_refused_import_can_be_run_again(tmp_path: Path) -> None:
    file = put(tmp_path / "in" / "result.json", coco("../../a.png"))
    for _ in range(2):
        with pytest.raises(SchemaError, match="outside the data set"):
            import_folder(file, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    assert not leftovers(tmp_path)
    put(tmp_path / "in" / "pics" / "a.png", picture())
    import_folder(file, tmp_path / "out")
    assert (tmp_path / "out" / "images" / "pics" / "a.png").is_file()


def test_a_refused_export_and_fix_leave_nothing(tmp_path: Path) -> None:
    put(tmp_path / "in" / "annotations" / "a.json", coco("a.png"))
    put(tmp_path / "in" / "annotations" / "b.json", coco("../../x.png"))
    with pytest.raises(SchemaError):
        export_folder(tmp_path / "in", tmp_path / "out", format="coco")
    with pytest.raises(SchemaError):
        fix_folder(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_force_keeps_the_old_folder_until_the_new_one_is_whole(tmp_path: Path) -> None:
    good = put(tmp_path / "good" / "train.json", coco("a.png"))
    bad = put(tmp_path / "bad" / "train.json", coco("../../x.png"))
    import_folder(good, tmp_path / "out")
    before = (tmp_path / "out" / "annotations" / "train.json").read_bytes()
    with pytest.raises(OutputExistsError):
        import_folder(good, tmp_path / "out")
    with pytest.raises(SchemaError):
        import_folder(bad, tmp_path / "out", force=True)
    assert (tmp_path / "out" / "annotations" / "train.json").read_bytes() == before
    import_folder(good, tmp_path / "out", force=True, pictures=Pictures.none)


def test_a_folder_behind_a_link_is_filled(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with new_folder(tmp_path / "out") as folder:
        put(folder / "deep" / "a.txt", "a")
    assert (tmp_path / "disk" / "deep" / "a.txt").read_text() == "a"
    assert (tmp_path / "out").is_symlink()


def test_what_goes_wrong_inside_comes_out_as_it_is_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"), new_folder(tmp_path / "out"):
        raise OSError(5, "Input/output error", "a picture that was read")
    assert not list(tmp_path.iterdir())


def test_of_two_at_once_the_first_to_end_has_the_folder(tmp_path: Path) -> None:
    with ExitStack() as slow:
        late = slow.enter_context(new_folder(tmp_path / "out"))
        (late / "a.txt").write_text("late")
        with new_folder(tmp_path / "out") as early:
            (early / "a.txt").write_text("early")
        with pytest.raises(OutputExistsError):
            slow.close()
    assert (tmp_path / "out" / "a.txt").read_text() == "early"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["", " ", "animal:bird"])
def test_an_object_without_a_name_or_with_a_colon_is_refused(name: str, tmp_path: Path) -> None:
    file = put(tmp_path / "in" / "train.json", coco("a.png"))
    with pytest.raises(ConfigError, match="no name of an object"):
        import_folder(file, tmp_path / "out", object=name)
    table = put(tmp_path / "t.csv", "category,object,part\nram:head,animal:bird,head\n")
    with pytest.raises(SchemaError, match="'animal:bird'"):
        import_folder(file, tmp_path / "out", names=table)
    assert not (tmp_path / "out").exists()


# --- pictures of an import


def test_pictures_of_two_splits_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for seed, (folder, split) in enumerate([("train", "train"), ("valid", "val")]):
        put(tmp_path / "in" / folder / "_annotations.coco.json", coco("1.png"))
        put(tmp_path / "in" / folder / "1.png", picture(seed))
        assert split
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert list(told["splits"]) == ["train", "val"]
    for seed, split in enumerate(["train", "val"]):
        data = read_dataset(tmp_path / "out", split)
        assert data.image_path(data.images[0]).read_bytes() == picture(seed)
    assert {i.file_name for i in data.images} == {"val/1.png"}


def test_one_picture_for_two_splits_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split in ("train", "val"):
        put(tmp_path / "in" / "annotations" / f"{split}.json", coco("1.png"))
    put(tmp_path / "pics" / "1.png", picture())
    import_folder(tmp_path / "in", tmp_path / "out", images=tmp_path / "pics")
    assert "1 picture is taken for several splits" in caplog.text


def test_an_import_tells_where_the_pictures_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    names = ["a.png", "images\\b.png", "up/c.png", "d.png"]
    file = put(tmp_path / "in" / "result.json", coco(*names))
    for seed, name in enumerate(["a.png", "b.png", "x/c.png", "d.jpeg"]):
        put(tmp_path / "in" / "images" / name, picture(seed))
    told = import_folder(file, tmp_path / "out")
    assert told["pictures"] == {"result": {"beside": 1, "base name": 1, "missing": 1}}
    assert "1 by base name alone (up/c.png is" in caplog.text
    assert f"d.png: {tmp_path}/in/images/d.jpeg is there, of another kind" in caplog.text
    data = read_dataset(tmp_path / "out")
    assert [i.file_name for i in data.images] == ["a.png", "b.png", "x/c.png", "d.png"]


@pytest.mark.parametrize("format", ["pinpp", "prepared"])
def test_exports_find_the_pictures_too(format: str, tmp_path: Path) -> None:
    put(tmp_path / "in" / "result.json", coco("images\\b.png"))
    put(tmp_path / "in" / "images" / "b.png", picture())
    export_folder(tmp_path / "in", tmp_path / "out", format=format)
    assert [path.name for path in (tmp_path / "out").rglob("b.png") if path.is_symlink()]


def test_a_split_data_set_names_the_pictures_as_found(tmp_path: Path) -> None:
    put(tmp_path / "in" / "result.json", coco("pics\\b.png"))
    put(tmp_path / "in" / "pics" / "b.png", picture())
    write_splits({"train": read_dataset(tmp_path / "in")}, tmp_path / "out", {})
    data = read_dataset(tmp_path / "out")
    assert (
        data.image_root.resolve() / data.images[0].file_name == tmp_path / "in" / "pics" / "b.png"
    )
    assert data.image_path(data.images[0]).is_file()


# --- zip archives


@pytest.mark.parametrize("name", ["export.zip", "annotations.json"])
@pytest.mark.parametrize("top", ["", "project 1/", "a/b/"])
def test_a_zip_is_a_source(name: str, top: str, tmp_path: Path) -> None:
    files = {f"{top}result.json": coco("images/été.png"), f"{top}images/été.png": picture()}
    files |= {f"__MACOSX/{top}images/._été.png": b"x", f"{top}.DS_Store": b"x"}
    told = import_folder(zipped(tmp_path / name, files), tmp_path / "out")
    assert told["splits"]["result"]["annotations"] == 1
    assert not leftovers(tmp_path)
    data = read_dataset(tmp_path / "out")
    path = data.image_path(data.images[0])
    assert path.read_bytes() == picture()
    assert not path.is_symlink()


def test_names_in_a_zip_that_say_no_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("result.json", coco("images/鹅.png"))
        info = zipfile.ZipInfo("images\\鹅.png".encode().decode("cp437"))
        made.writestr(info, picture())
    data = bytearray(path.read_bytes())
    # as tools write it that do not set the flag: the bytes are UTF-8, the flag is off
    raw, said = "images\\鹅.png".encode(), "images\\鹅.png".encode().decode("cp437").encode()
    assert data.count(said) == 2
    whole = zipfile.ZipFile(path)
    whole.close()
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("result.json", coco("images/鹅.png"))
        info = zipfile.ZipInfo("x" * len(raw))
        made.writestr(info, picture())
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    import_folder(path, tmp_path / "out")
    read = read_dataset(tmp_path / "out")
    assert read.image_path(read.images[0]).read_bytes() == picture()


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "C:\\evil.txt"])
def test_a_zip_that_would_write_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"result.json": coco(), name: b"x"})
    with pytest.raises(SchemaError, match="outside its folder"):
        import_folder(path, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil*"))
    assert not (tmp_path / "deep" / "out").exists()


def test_links_passwords_doubles_and_damage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        info = zipfile.ZipInfo("images")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(info, "/etc")
    with pytest.raises(SchemaError, match="is a link"):
        import_folder(path, tmp_path / "out")
    zipped(path, {"a\\b.json": "1", "a/b.json": "2"})
    with pytest.raises(SchemaError, match="two files of one name"):
        import_folder(path, tmp_path / "out")
    zipped(path, {"result.json": coco("a.png") * 9})
    damaged = bytearray(path.read_bytes())
    damaged[60] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(SchemaError, match="damaged zip"):
        import_folder(path, tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["a.zip"]


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"result.json": coco()})
    locked = bytearray(path.read_bytes())
    locked[6] |= 1  # of the entry, and of the list of entries
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(locked)
    with pytest.raises(SchemaError, match="is protected by a password") as caught:
        import_folder(path, tmp_path / "out")
    assert "import the folder" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["result.json", "export.zip", "annotations.xml", "data.yaml"])
def test_a_web_page_in_place_of_a_download(name: str, tmp_path: Path) -> None:
    file = put(tmp_path / name, "\n<!DOCTYPE html><html><title>Sign in</title></html>")
    with pytest.raises(SchemaError, match="is a web page") as caught:
        import_folder(file, tmp_path / "out")
    assert "download it again" in str(caught.value.hint)


@pytest.mark.parametrize("end", [10, 200, -1])
def test_half_a_download_says_so(end: int, tmp_path: Path) -> None:
    file = put(tmp_path / "result.json", coco("a.png")[:end])
    with pytest.raises(SchemaError, match="not valid JSON") as caught:
        import_folder(file, tmp_path / "out")
    assert "get it again" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["a.png", "ram/a.png"])
def test_pictures_alone_are_no_part_data(name: str, tmp_path: Path) -> None:
    put(tmp_path / "in" / name, picture())
    with pytest.raises(NotFoundError, match="holds pictures, and no file") as caught:
        import_folder(tmp_path / "in", tmp_path / "out")
    assert "partlab pseudolabel" in str(caught.value.hint)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "a.zip", {"result.json": coco(), "zeros": bytes(1 << 22)})
    monkeypatch.setattr(archive, "_SMALL", 1 << 20)
    with pytest.raises(SchemaError, match="times its size"):
        import_folder(path, tmp_path / "out")
    monkeypatch.setattr(archive, "_RATIO", 1 << 20)
    monkeypatch.setattr(archive, "_MOST_FILES", 1)
    with pytest.raises(SchemaError, match="more than 1 files"):
        import_folder(path, tmp_path / "out")


def test_what_is_wrong_in_a_zip_is_said_of_the_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"annotations/train.json": coco()[:50]})
    with pytest.raises(SchemaError, match=r"a\.zip/annotations/train\.json is not valid JSON"):
        import_folder(path, tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["a.zip"]


def test_what_is_logged_of_a_zip_names_the_zip(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = json.loads(coco("a.png"))
    data["annotations"].append(1)
    (tmp_path / "new").mkdir()
    path = zipped(tmp_path / "a.zip", {"my set/result.json": json.dumps(data)})
    import_folder(path, tmp_path / "new" / "out")
    assert f"{path}/my set/result.json: records that cannot be read" in caplog.text
    assert str(tmp_path / "new" / ".out") not in caplog.text
    data["categories"] = [{"id": 1, "name": "head"}]
    zipped(path, {"my set/result.json": json.dumps(data)})
    with pytest.raises(SchemaError) as caught:
        import_folder(path, tmp_path / "new" / "two")
    assert f"partlab data import {path} --object NAME" in str(caught.value.hint)


def test_other_commands_say_that_it_is_a_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "annotations.json", {"result.json": coco()})
    with pytest.raises(SchemaError, match="is a zip archive") as caught:
        read_dataset(path)
    assert "partlab data import" in str(caught.value.hint)


# --- Label Studio's JSON


def region(kind: str, label: str | None, id: str, **value: Any) -> dict[str, Any]:
    labels = {f"{kind}labels": [label]} if label else {}
    return {
        "id": id,
        "type": f"{kind}labels",
        "from_name": "parts",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "origin": "manual",
        "value": value | labels,
    }


def head() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 10:40] = True
    mask[15:20, 15:20] = False
    return mask


def regions() -> list[dict[str, Any]]:
    turned = {"x": 60, "y": 10, "width": 20, "height": 10, "rotation": 30}
    return [
        region("brush", "head", "a", format="rle", rle=encode_brush(head())),
        region("polygon", "body", "b", points=[[50, 50], [90, 50], [90, 90]], closed=True),
        region("rectangle", "tail", "c", **turned),
        region("ellipse", "leg", "d", x=20, y=70, radiusX=10, radiusY=10, rotation=0),
    ]


def task(number: int, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    data = {"image": f"/data/upload/1/e97d473{number}-a.png"}
    return {"id": number, "data": data, "annotations": list(annotations), **more}


def drawn(result: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": 7, "completed_by": 3, "result": result, "was_cancelled": False, **more}


def exported(folder: Path, tasks: Any, name: str = "project-1.json") -> Path:
    return put(folder / name, json.dumps(tasks))


def test_masks_of_a_label_studio_export(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    put(tmp_path / "in" / "media" / "e97d4731-a.png", picture())
    exported(tmp_path / "in", [task(1, drawn(regions()))])
    assert guess_format(tmp_path / "in") == "labelstudio"
    told = import_folder(tmp_path / "in", tmp_path / "out", object="ram")
    assert told["splits"]["project-1"]["annotations"] == 3
    data = read_dataset(tmp_path / "out")
    masks = {data.category_by_id[a.category_id].name: a for a in data.annotations}
    assert {name: mask.area for name, mask in masks.items()} == {
        "ram:head": 575,
        "ram:body": 640,
        "ram:tail": 161,
    }
    np.testing.assert_array_equal(decode(masks["ram:head"].segmentation), head())
    assert masks["ram:head"].provenance == "human:3"
    (image,) = data.images
    assert (image.id, image.object, image.width, image.height) == (1, "ram", WIDTH, HEIGHT)
    assert data.image_path(image).read_bytes() == picture()
    assert "not read: 1 ellipse region" in caplog.text
    assert "(leg)" in caplog.text


def test_whose_parts_they_are(tmp_path: Path) -> None:
    whole = [region("polygon", "ram:head", "a", points=[[0, 0], [50, 0], [50, 50]])]
    bare = [region("polygon", "head", "a", points=[[0, 0], [50, 0], [50, 50]])]
    file = exported(tmp_path / "a", [task(1, drawn(whole))])
    import_folder(file, tmp_path / "out")
    assert read_dataset(tmp_path / "out").names == ("ram:head",)
    file = exported(tmp_path / "b", [task(1, drawn(bare))])
    with pytest.raises(
        SchemaError, match="do not say which object they are a part of: head"
    ) as caught:
        import_folder(file, tmp_path / "out2")
    assert "--object" in str(caught.value.hint)
    said = task(1, drawn(bare))
    said["data"]["object"] = "cat"
    import_folder(exported(tmp_path / "c", [said]), tmp_path / "out3")
    assert read_dataset(tmp_path / "out3").names == ("cat:head",)


def test_one_annotation_a_task_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def square(side: int) -> list[dict[str, Any]]:
        value = {"x": 0, "y": 0, "width": side, "height": side * WIDTH / HEIGHT}
        return [region("rectangle", "head", "a", **value)]

    old, new = "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"
    tasks = [
        task(1, drawn(square(10), updated_at=new), drawn(square(20), updated_at=old)),
        task(2, drawn(square(30), updated_at=old, ground_truth=True), drawn(square(20))),
        task(3, drawn(square(10), was_cancelled=True)),
        task(4, predictions=[{"result": square(5)}]),
        task(5, drawn([])),
    ]
    import_folder(exported(tmp_path / "in", tasks), tmp_path / "out", object="ram")
    data = read_dataset(tmp_path / "out")
    assert {a.image_id: a.area for a in data.annotations} == {1: 100, 2: 900}
    for words in (
        "2 earlier annotations of the same task",
        "1 cancelled annotation,",
        "1 prediction,",
        "2 tasks without an annotation",
        "1 task without a region whose picture is not there either",
    ):
        assert words in caplog.text
    assert not [i for i in data.images if i.id in (3, 4, 5)]


def test_the_short_form_and_numbers_of_objects(tmp_path: Path) -> None:
    rows = [
        {key: value for key, value in {**item, **item["value"]}.items() if key != "value"}
        for item in regions()[:3]
    ]
    short: list[dict[str, Any]] = [
        {"id": 1, "image": "s3://b/a.png", "parts": rows, "annotator": 2, "annotation_id": 5}
    ]
    import_folder(exported(tmp_path / "a", short), tmp_path / "out", object="ram")
    assert sorted(a.area or 0 for a in read_dataset(tmp_path / "out").annotations) == [
        161,
        575,
        640,
    ]
    twice = [*short, {**short[0], "image": "s3://b/c.png"}]  # ids that cannot be those of images
    import_folder(exported(tmp_path / "c", twice), tmp_path / "twice", object="ram")
    assert [image.id for image in read_dataset(tmp_path / "twice").images] == [1, 2]
    two = [
        region("polygon", "wheel", "a", points=[[0, 0], [20, 0], [20, 20]]),
        region("polygon", "wheel", "b", points=[[50, 50], [70, 50], [70, 70]]),
    ]
    number = {"id": "b", "type": "number", "from_name": "object", "to_name": "image"}
    sizes = {"original_width": WIDTH, "original_height": HEIGHT}
    two.append({**number, **sizes, "value": {"number": 2}})
    import_folder(exported(tmp_path / "b", [task(1, drawn(two))]), tmp_path / "o", object="cart")
    assert [a.object_id for a in read_dataset(tmp_path / "o").annotations] == [None, 2]


@pytest.mark.parametrize(
    "tasks", [[1], [[]], [{"id": 1, "data": {"text": "x"}, "annotations": []}]]
)
def test_a_strange_export_is_no_traceback(tasks: Any, tmp_path: Path) -> None:
    file = exported(tmp_path / "in", tasks)
    if isinstance(tasks[0], dict):
        told = import_folder(file, tmp_path / "out", format="labelstudio")
        assert told["splits"]["project-1"]["images"] == 0
    else:
        with pytest.raises(SchemaError, match="no list of tasks"):
            import_folder(file, tmp_path / "out", format="labelstudio")


def test_every_file_of_a_label_studio_folder_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = [region("polygon", "ram:head", "a", points=[[0, 0], [50, 0], [50, 50]])]
    for number in range(23):
        exported(tmp_path / "in", [task(1, drawn(bare))], f"day-{number:02}.json")
    put(tmp_path / "in" / "notes.json", "{}")
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert len(told["splits"]) == 23
    assert "passed over: notes.json" in caplog.text
    put(tmp_path / "other" / "notes.json", "{}")
    with pytest.raises(NotFoundError, match="no export of Label Studio"):
        import_folder(tmp_path / "other", tmp_path / "o", format="labelstudio")


# --- labelme and CVAT


def test_labelme(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawing = np.zeros((3, 4), bool)
    drawing[1, 1:3] = True
    out = io.BytesIO()
    PillowImage.fromarray(drawing).save(out, "PNG")
    shapes = [
        {"label": "ram:head", "points": [[5, 5], [25, 5], [25, 15], [5, 15]], "group_id": 2},
        {"label": "ram:leg", "points": [[5, 5], [15, 10]], "shape_type": "rectangle"},
        {
            "label": "ram:eye",
            "points": [[10, 20], [13, 22]],
            "shape_type": "mask",
            "mask": shapes_mask(out),
        },
        {"label": "ram:x", "points": [[5, 5], [9, 9]], "shape_type": "circle"},
        {"label": "ram:x", "points": [["?", 5]], "shape_type": "polygon"},
        {"label": "ram:x", "points": [[98, 5]], "shape_type": "mask", "mask": shapes_mask(out)},
    ]
    record = {"shapes": shapes, "imageWidth": WIDTH, "imageHeight": HEIGHT}
    put(tmp_path / "in" / "b" / "a.json", json.dumps({**record, "imagePath": "..\\b\\a.png"}))
    put(tmp_path / "in" / "b" / "a.png", picture())
    told = import_folder(tmp_path / "in", tmp_path / "out")
    assert told["format"] == "labelme"
    data = read_dataset(tmp_path / "out")
    masks = {data.category_by_id[a.category_id].name: a for a in data.annotations}
    assert {name: a.area for name, a in masks.items()} == {
        "ram:head": 200,
        "ram:leg": 50,
        "ram:eye": 2,
    }
    assert masks["ram:head"].object_id == 2
    assert np.argwhere(decode(masks["ram:eye"].segmentation)).tolist() == [[21, 11], [21, 12]]
    assert data.image_path(data.images[0]).read_bytes() == picture()
    assert "1 shape of the kind circle, 2 shapes that cannot be drawn" in caplog.text
    one = import_folder(tmp_path / "in" / "b" / "a.json", tmp_path / "one")
    assert list(one["splits"]) == ["a"]


FORMATS = ["labelme", "cvat", "labelstudio"]
POINTS = [[0, 0], [50, 0], [50, 50]]


def labelled(folder: Path, format: str, *labels: str) -> Path:
    """One picture with a triangle of each label, as the format has it."""
    if format == "labelme":
        shapes = [{"label": label, "points": POINTS} for label in labels]
        record = {"shapes": shapes, "imageWidth": WIDTH, "imageHeight": HEIGHT}
        put(folder / "a.json", json.dumps({**record, "imagePath": "a.png"}))
    elif format == "cvat":
        drawn_as = "".join(f"<polygon label='{x}' points='0,0;50,0;50,50'/>" for x in labels)
        size = f"width='{WIDTH}' height='{HEIGHT}'"
        xml = f"<annotations><image name='a.png' {size}>{drawn_as}</image></annotations>"
        put(folder / "annotations.xml", xml)
    else:
        items = [region("polygon", x, x, points=POINTS) for x in labels]
        exported(folder, [task(1, drawn(items))])
    return folder


@pytest.mark.parametrize("format", FORMATS)
def test_labels_are_categories_like_any_other(
    format: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = labelled(tmp_path / "in", format, "head", "_background_")
    rows = propose_names(Source(source), format)
    assert [row["category"] for row in rows] == ["head"]
    table = put(tmp_path / "t.csv", "category,object,part\nhead,ram,muzzle\n")
    import_folder(source, tmp_path / "named", format=format, names=table)
    assert read_dataset(tmp_path / "named").names == ("ram:muzzle",)
    import_folder(source, tmp_path / "out", format=format, object="ram")
    data = read_dataset(tmp_path / "out")
    assert (data.names, len(data.annotations), data.images[0].object) == (("ram:head",), 1, "ram")
    assert "1 mask of the background is left out" in caplog.text
    with pytest.raises(SchemaError, match="do not say which object"):
        import_folder(source, tmp_path / "refused", format=format)


@pytest.mark.parametrize("format", FORMATS)
def test_a_label_of_the_whole_object_and_labels_of_several(format: str, tmp_path: Path) -> None:
    source = labelled(tmp_path / "whole", format, "bird", "bird:head")
    import_folder(source, tmp_path / "a", format=format)
    assert read_dataset(tmp_path / "a").names == ("bird:bird", "bird:head")
    source = labelled(tmp_path / "several", format, "cat:ear", "head")
    import_folder(source, tmp_path / "b", format=format, object="ram")
    data = read_dataset(tmp_path / "b")
    assert (data.names, data.images[0].object) == (("cat:ear", "ram:head"), None)


@pytest.mark.parametrize("format", FORMATS)
def test_an_image_with_something_that_is_not_read_is_incomplete(
    format: str, tmp_path: Path
) -> None:
    source = labelled(tmp_path / "in", format, "ram:head", "ram:leg")
    (file,) = source.iterdir()
    bad = {
        "labelme": ('"label": "ram:leg"', '"shape_type": "circle", "label": "ram:leg"'),
        "cvat": ("<polygon label='ram:leg' points='", "<polygon label='ram:leg' points='x"),
        "labelstudio": ('["ram:leg"]', '["ram:leg", "ram:tail"]'),
    }
    assert bad[format][0] in file.read_text()
    file.write_text(file.read_text().replace(*bad[format]))
    told = import_folder(source, tmp_path / "out", format=format)
    name = next(iter(told["splits"]))
    assert told["splits"][name]["broken"] == 1
    data = read_dataset(tmp_path / "out")
    assert len(data.annotations) == 1
    assert list(data.incomplete) == [data.images[0].id]
    assert "ram:leg" in data.broken[0]["record"]["label"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_shape_without_a_label_is_set_aside(format: str, tmp_path: Path) -> None:
    source = labelled(tmp_path / "in", format, "head", "")
    import_folder(source, tmp_path / "out", format=format, object="ram")
    data = read_dataset(tmp_path / "out")
    assert data.names == ("ram:head",)
    assert list(data.incomplete) == [data.images[0].id]


@pytest.mark.parametrize("key", ["annotations", "predictions"])
def test_a_number_in_place_of_a_list_is_no_traceback(key: str, tmp_path: Path) -> None:
    strange = {**task(1, drawn(regions()[:1])), key: -1}
    put(tmp_path / "in" / "e97d4731-a.png", picture())
    told = import_folder(exported(tmp_path / "in", [strange]), tmp_path / "out", object="ram")
    assert told["splits"]["project-1"]["annotations"] == (key == "predictions")


def test_a_label_that_is_no_text_is_set_aside(tmp_path: Path) -> None:
    for format in ("labelme", "labelstudio"):
        source = labelled(tmp_path / format, format, "ram:head", "ram:\ud800")
        import_folder(source, tmp_path / f"{format}-out", format=format)
    data = read_dataset(tmp_path / "labelstudio-out")
    assert (data.names, list(data.incomplete)) == (("ram:head",), [1])


def test_odd_records_of_labelme_are_no_traceback(tmp_path: Path) -> None:
    source = labelled(tmp_path / "in", "labelme", "ram:head")
    record = json.loads((source / "a.json").read_text())
    mask = {"label": "ram:leg", "shape_type": "mask", "points": {}, "mask": ""}
    record["shapes"] += [mask, 1, {**mask, "points": 1}]
    put(source / "a.json", json.dumps(record))
    put(source / "b.json", json.dumps({**record, "imageHeight": 10**30}))
    told = import_folder(source, tmp_path / "out")
    assert told["splits"]["in"]["images"] == 1
    assert told["splits"]["in"]["broken"] == 3


def test_images_follow_an_object_that_is_renamed(tmp_path: Path) -> None:
    source = labelled(tmp_path / "in", "labelstudio", "head")
    (file,) = source.iterdir()
    tasks = json.loads(file.read_text())
    tasks[0]["data"]["object"] = "cat"
    file.write_text(json.dumps(tasks))
    import_folder(source, tmp_path / "out", object="ram")
    data = read_dataset(tmp_path / "out")
    assert (data.names, data.images[0].object) == (("ram:head",), "ram")


def test_images_of_a_coco_file_follow_too(tmp_path: Path) -> None:
    data = json.loads(coco("a.png"))
    data["images"][0]["partlab"] = {"object": "ram"}
    file = put(tmp_path / "in" / "train.json", json.dumps(data))
    import_folder(file, tmp_path / "out", object="sheep")
    assert read_dataset(tmp_path / "out").images[0].object == "sheep"


def shapes_mask(out: io.BytesIO) -> str:
    return base64.b64encode(out.getvalue()).decode()


def test_cvat(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = "left='5' top='5' width='5' height='2'"
    xml = f"""<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta/>
    <image id="0" name="a.png" subset="Train" width="{WIDTH}" height="{HEIGHT}">
    <mask label="head" source="manual" rle="3, 4, 3" {where}></mask>
    <mask label="head" rle="0, 11" {where}/><mask label="head" rle="0, x" {where}/>
    <polygon label="leg" points="5,5;25,5;25,15;5,15" group_id="4" source="auto"/>
    <box label="leg" xtl="1" ytl="1" xbr="9" ybr="9"/><tag label="good"/></image>
    <image id="1" name="a.png" subset="Val" width="{WIDTH}" height="{HEIGHT}"></image>
    <image id="2" name="b.png" subset="Val"></image></annotations>"""
    put(tmp_path / "in" / "annotations.xml", xml)
    for seed, split in enumerate(("Train", "Val")):
        put(tmp_path / "in" / "images" / split / "a.png", picture(seed))
    told = import_folder(tmp_path / "in", tmp_path / "out", object="ram")
    assert told["format"] == "cvat"
    data = read_dataset(tmp_path / "out", "Train")
    mask, leg = data.annotations
    inside = np.argwhere(decode(mask.segmentation))[:, ::-1].tolist()
    assert sorted(inside) == [[5, 6], [6, 6], [8, 5], [9, 5]]
    assert (leg.area, leg.object_id, leg.provenance) == (200, 4, "model-assisted:cvat")
    assert data.image_path(data.images[0]).read_bytes() == picture(0)
    val = read_dataset(tmp_path / "out", "Val")
    assert val.image_path(val.images[0]).read_bytes() == picture(1)
    assert "2 elements that cannot be drawn, 1 element of the kind box" in caplog.text
    assert "1 image without a size" in caplog.text
    put(tmp_path / "in" / "annotations.xml", xml[:300])
    with pytest.raises(SchemaError, match="not valid XML"):
        import_folder(tmp_path / "in", tmp_path / "two", object="ram")


# --- formats of other tools

OTHERS = {
    "Pascal VOC boxes": {"Annotations/a.xml": "<annotation><filename>a.jpg</filename>"},
    "Cityscapes": {"a_polygons.json": '{"imgHeight": 1, "imgWidth": 1, "objects": []}'},
    "Label Studio CSV": {"a.csv": "annotation_id,image,lead_time\n"},
    "Labelbox": {"a.ndjson": '{"data_row": {"id": "x"}}\n'},
    "JSON lines": {"a.jsonl": "{}\n{}\n"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_known_by_name(name: str, tmp_path: Path) -> None:
    for file, text in OTHERS[name].items():
        put(tmp_path / "in" / file, text)
    first = tmp_path / "in" / next(iter(OTHERS[name]))
    for path in (tmp_path / "in", first):
        with pytest.raises(SchemaError, match=f"looks like {name}, which") as caught:
            import_folder(path, tmp_path / "out")
        assert caught.value.hint
        assert "{" not in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "beside", "words"),
    [
        (
            "gtFine/train/aachen/a_gtFine_labelIds.png",
            "leftImg8bit/train/aachen/a_leftImg8bit.png",
            "Cityscapes without parts, .* gtFinePanopticParts",
        ),
        (
            "annotations/training/ADE_train_1.png",
            "images/training/ADE_train_1.jpg",
            "ADE20K's challenge set .* full release",
        ),
    ],
)
def test_the_release_without_parts_is_known(
    file: str, beside: str, words: str, tmp_path: Path
) -> None:
    """What people have most often in place of the release with parts."""
    for name in (file, beside):
        put(tmp_path / "in" / name, picture())
    with pytest.raises(SchemaError) as caught:
        import_folder(tmp_path / "in", tmp_path / "out")
    assert re.search(words, f"{caught.value.message} {caught.value.hint}")


def test_nothing_known_is_still_said(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.txt", "x")
    with pytest.raises(NotFoundError, match="none of the formats") as caught:
        guess_format(tmp_path / "in")
    assert "huggingface" not in caught.value.message  # is written only
    put(tmp_path / "in" / "info.json", '{"name": 1}')
    with pytest.raises(NotFoundError, match=r"info.json \(no list 'images'\)"):
        guess_format(tmp_path / "in")
    assert get_format("coco").fits(put(tmp_path / "x.json", coco()))


@pytest.mark.parametrize("beside", ["", "info.json"])
def test_the_folder_above_names_what_is_in_it(beside: str, tmp_path: Path) -> None:
    put(tmp_path / "in" / "deep" / "annotations" / "train.json", coco())
    zipped(tmp_path / "in" / "export.zip", {"a.txt": "x"})
    if beside:
        put(tmp_path / "in" / beside, '{"name": 1}')
    with pytest.raises(NotFoundError) as caught:
        guess_format(tmp_path / "in")
    hint = str(caught.value.hint)
    assert f"{tmp_path / 'in' / 'deep'} (coco)" in hint
    assert f"{tmp_path / 'in' / 'export.zip'} (zip archive)" in hint
