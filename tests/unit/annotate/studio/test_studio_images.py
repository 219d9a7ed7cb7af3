"""Pictures as annotators see them, and who is to draw what."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from annotate.studio.acts.annotators import assign, read_annotators
from annotate.studio.acts.begin import Plan, begin_work, handing_out, plan_work
from annotate.studio.acts.reopen import reopen_work
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Work
from annotate.work.pictures import (
    find_picture,
    original_picture,
    prepare_picture,
    shown_picture,
    shown_size,
)
from partlab.errors import (
    BusyError,
    ConfigError,
    DatasetError,
    NotFoundError,
    OutputExistsError,
    PartlabError,
    SchemaError,
    StateError,
    UnknownNameError,
)
from partlab.images import load_image


def save(path: Path, size: tuple[int, int], seed: int = 0, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    PillowImage.fromarray(grid).resize(size).save(path, **how)  # type: ignore[arg-type]
    return path


def vocabulary(*objects: ObjectParts) -> Vocabulary:
    return Vocabulary(name="farm", objects=objects)


RAM = ObjectParts(name="ram", wnid="n02412080", parts=(Part(name="head"), Part(name="body")))
DOG = ObjectParts(name="dog", aliases=("Hund",), parts=(Part(name="dog", source="whole-object"),))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(4):
        save(tmp_path / "photos" / "n02412080" / f"{number}.jpg", (60, 40), number)
        save(tmp_path / "photos" / "Hund" / f"{number}.png", (50, 50), number)
    return tmp_path / "photos"


# -- one picture ------------------------------------------------------------------------------


def test_a_picture_that_is_fine_is_linked_as_it_is(tmp_path: Path) -> None:
    source = save(tmp_path / "a.JPEG", (300, 200))
    assert prepare_picture(source, tmp_path / "out", 7, 300) == (300, 200)
    assert (tmp_path / "out" / "000007.jpg").stat().st_ino == source.stat().st_ino


def test_without_links_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("cross-device link")

    source = save(tmp_path / "a.png", (30, 20))
    monkeypatch.setattr(os, "link", refuse)
    prepare_picture(source, tmp_path / "out", 1, 300)
    assert (tmp_path / "out" / "000001.png").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("size", "side", "shown"),
    [((3000, 2000), 1024, (1024, 683)), ((500, 4), 100, (100, 1)), ((64, 64), 64, (64, 64))],
)
def test_the_long_side_is_bounded(
    tmp_path: Path, size: tuple[int, int], side: int, shown: tuple[int, int]
) -> None:
    assert shown_size(size, side) == shown
    assert prepare_picture(save(tmp_path / "a.jpg", size), tmp_path, 1, side) == shown
    assert load_image(tmp_path / "000001.jpg").shape[:2] == shown[::-1]


def test_exif_turns_are_carried_out(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    source = save(tmp_path / "a.jpg", (80, 40), exif=exif)
    assert prepare_picture(source, tmp_path / "out", 1, 1000) == (40, 80)
    with PillowImage.open(tmp_path / "out" / "000001.jpg") as opened:
        assert opened.size == (40, 80)
        assert 0x0112 not in opened.getexif()
    distance = np.abs(load_image(tmp_path / "out" / "000001.jpg").astype(int) - load_image(source))
    assert distance.mean() < 3


@pytest.mark.parametrize(("name", "mode"), [("a.tif", "RGB"), ("a.jpg", "CMYK"), ("a.bmp", "RGB")])
def test_what_browsers_do_not_show_is_written_anew(tmp_path: Path, name: str, mode: str) -> None:
    PillowImage.new(mode, (20, 10)).save(tmp_path / name)
    assert prepare_picture(tmp_path / name, tmp_path / "out", 1, 1000) == (20, 10)
    (made,) = (tmp_path / "out").iterdir()
    with PillowImage.open(made) as opened:
        assert (opened.format, opened.mode) in {("PNG", "RGB"), ("JPEG", "RGB")}


def test_a_prepared_picture_is_left_alone(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg", (300, 200))
    prepare_picture(source, tmp_path / "out", 1, 100)
    made = find_picture(tmp_path / "out", 1)
    assert made is not None
    before = made.stat().st_mtime_ns
    source.unlink()
    assert prepare_picture(source, tmp_path / "out", 1, 100) == (100, 67)
    assert made.stat().st_mtime_ns == before


def test_a_damaged_picture_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(PartlabError, match=r"cannot read image .*a\.jpg"):
        prepare_picture(tmp_path / "a.jpg", tmp_path / "out", 1, 100)


# -- a work's pictures ------------------------------------------------------------------------


def test_folders_are_matched_by_wnid_and_alias(photos: Path, tmp_path: Path) -> None:
    plan = plan_work(vocabulary(RAM, DOG), photos)
    assert plan.objects == {"dog": 4, "ram": 4}
    with begin_work(tmp_path / "work", plan, name="farm", per_object=3, seed=5) as work:
        rams = work.images("ram")
        assert [image.rank for image in rams] == [0, 1, 2]
        assert rams[0].file_name.startswith("n02412080/")
        assert (rams[0].width, rams[0].height, rams[0].shown) == (60, 40, [60, 40])
        assert original_picture(work.folder, rams[0]) == photos / rams[0].file_name
        assert (
            shown_picture(work.folder, rams[0]).read_bytes()
            == (photos / rams[0].file_name).read_bytes()
        )
        assert len(work.images()) == 6
        assert len({image.id for image in work.images()}) == 6


def test_the_seed_chooses_the_pictures_and_their_order(photos: Path, tmp_path: Path) -> None:
    def chosen(folder: str, seed: int) -> list[str]:
        plan = plan_work(vocabulary(RAM, DOG), photos)
        with begin_work(tmp_path / folder, plan, name="x", per_object=3, seed=seed) as work:
            return [image.file_name for image in work.images()]

    assert chosen("a", 1) == chosen("b", 1)
    assert len({tuple(chosen(f"s{seed}", seed)) for seed in range(6)}) > 1


def cut_off(folder: Path, plan: Plan, **how: int) -> None:
    """A beginning that ends when all pictures are prepared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "create", lambda *_, **__: (_ for _ in ()).throw(SystemExit()))
        with pytest.raises(SystemExit):
            begin_work(folder, plan, name="x", **how)


def test_a_beginning_that_was_cut_off_is_begun_again(photos: Path, tmp_path: Path) -> None:
    plan = plan_work(vocabulary(RAM, DOG), photos)
    cut_off(tmp_path / "work", plan, per_object=3)
    assert len(list((tmp_path / "work" / "images" / "dog").iterdir())) == 3
    (tmp_path / "work" / "exports").mkdir()
    mine = tmp_path / "work" / "images" / "dog" / "000099.png"
    mine.write_bytes(b"not made by partlab")
    with begin_work(tmp_path / "work", plan, name="x", per_object=2) as work:
        assert len(work.images()) == 4
        made = {shown_picture(work.folder, image) for image in work.images("dog")}
        assert {*made, mine} == set(mine.parent.iterdir())


def test_lost_pictures_are_made_again(photos: Path, tmp_path: Path) -> None:
    plan = plan_work(vocabulary(RAM, DOG), photos)
    with begin_work(tmp_path / "work", plan, name="x", per_object=2) as work:
        image = work.images("ram")[0]
        shown_picture(work.folder, image).unlink()
        with pytest.raises(NotFoundError, match="is not in"):
            shown_picture(work.folder, image)
        photos.rename(tmp_path / "moved")
        with pytest.raises(NotFoundError, match="none of the work's sources"):
            original_picture(work.folder, image)
    with reopen_work(tmp_path / "work", images=tmp_path / "moved") as work:
        assert shown_picture(work.folder, image).is_file()
        assert original_picture(work.folder, image).is_file()


@pytest.mark.parametrize("text", ["", "[]", '{"roots": 5}', '{"pool": "here"}'])
def test_damaged_notes_of_the_sources_are_said_and_made_anew(
    photos: Path, tmp_path: Path, text: str
) -> None:
    plan = plan_work(vocabulary(RAM, DOG), photos)
    begin_work(tmp_path / "work", plan, name="x", per_object=2).close()
    noted = tmp_path / "work" / "images" / "sources.json"
    noted.write_text(text)
    with pytest.raises(SchemaError, match=r"sources\.json is damaged") as caught:
        reopen_work(tmp_path / "work", images=photos)
    assert "--images" in str(caught.value.hint)
    noted.unlink()
    with reopen_work(tmp_path / "work", images=photos) as work:
        assert original_picture(work.folder, work.images("ram")[0]).is_file()


def test_two_beginnings_at_once(photos: Path, tmp_path: Path) -> None:
    plan = plan_work(vocabulary(RAM, DOG), photos)
    with handing_out(tmp_path / "work"), pytest.raises(BusyError, match="is handing out"):
        begin_work(tmp_path / "work", plan, name="x", per_object=2)
    begin_work(tmp_path / "work", plan, name="x", per_object=2).close()


def test_a_work_goes_by_its_own_vocabulary(photos: Path, tmp_path: Path) -> None:
    begin_work(tmp_path / "work", plan_work(vocabulary(RAM, DOG), photos), name="x", per_object=1)
    with pytest.raises(StateError, match="its own vocabulary"):
        reopen_work(tmp_path / "work", vocabulary(RAM))
    with reopen_work(tmp_path / "work", vocabulary(RAM, DOG)) as work:
        assert work.vocabulary.names == ("ram", "dog")


def test_what_does_not_fit_is_said_before_anything_is_made(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnknownNameError, match="pictures of 'Hund'") as caught:
        plan_work(vocabulary(RAM), photos)
    assert "name the categories" in str(caught.value.hint)
    assert plan_work(vocabulary(RAM), photos, objects=["ram"]).objects == {"ram": 4}
    assert "no picture" not in caplog.text
    (photos / "Hund" / "a.HEIC").write_bytes(b"x")
    assert plan_work(vocabulary(RAM, DOG), photos).objects == {"ram": 4, "dog": 4}
    assert "1 file is no picture that partlab reads" in caplog.text
    assert "first Hund/a.HEIC: convert it" in caplog.text
    with pytest.raises(UnknownNameError, match="'rat'") as caught:
        plan_work(vocabulary(RAM, DOG), photos, objects=["rat"])
    assert "ram" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="'ram' has no parts"):
        plan_work(vocabulary(RAM.model_copy(update={"parts": ()}), DOG), photos)
    cat = RAM.model_copy(update={"name": "cat", "wnid": None})
    with pytest.raises(NotFoundError, match="no pictures of cat"):
        plan_work(vocabulary(RAM, DOG, cat), photos, objects=["cat"])
    with pytest.raises(NotFoundError, match="no folder or data set"):
        plan_work(vocabulary(RAM), tmp_path / "nothing")
    plan = plan_work(vocabulary(RAM, DOG), photos)
    with pytest.raises(DatasetError, match="fewer than 9"):
        begin_work(tmp_path / "w", plan, name="x", per_object=9)
    assert not (tmp_path / "w" / "work.json").exists()


def test_all_categories_that_the_vocabulary_lacks_are_named(photos: Path) -> None:
    for name in ("Katze", "Maus"):
        save(photos / name / "1.png", (60, 40), 1)
    with pytest.raises(UnknownNameError) as caught:
        plan_work(vocabulary(DOG), photos)
    told = (
        "there are pictures of 'Katze', 'Maus', 'n02412080', but the vocabulary does not have them"
    )
    assert (caught.value.message, caught.value.hint) == (
        told,
        "it has dog; or name the categories to annotate",
    )


def test_a_folder_with_other_things_is_not_taken(photos: Path) -> None:
    with pytest.raises(OutputExistsError, match="holds no work"):
        begin_work(photos, plan_work(vocabulary(RAM, DOG), photos), name="x", per_object=1)


def test_pictures_of_ones_own_are_neither_taken_nor_deleted(tmp_path: Path) -> None:
    """They are named as partlab names its own, and lie where it would put them."""
    work = tmp_path / "farm"
    mine = [save(work / "images" / "ram" / f"{n:06d}.png", (60, 40), n) for n in range(1, 5)]
    before = [path.read_bytes() for path in mine]
    other = tmp_path / "other"
    for path in mine:
        save(other / "ram" / path.name, (60, 40), 9)
    for images in (work / "images", other):
        plan = plan_work(vocabulary(RAM), images, objects=["ram"])
        for seed in (0, 1):
            with pytest.raises(OutputExistsError, match=r"holds no pictures of a work \(ram\)"):
                begin_work(work, plan, name="farm", per_object=3, seed=seed)
    assert [path.read_bytes() for path in mine] == before
    assert sorted(path.name for path in (work / "images").iterdir()) == ["ram"]


def test_a_work_and_its_originals_do_not_lie_one_in_the_other(photos: Path, tmp_path: Path) -> None:
    plan = plan_work(vocabulary(RAM, DOG), photos)
    with pytest.raises(ConfigError, match="one in the other"):
        begin_work(photos / "work", plan, name="x", per_object=1)
    assert not (photos / "work").exists()
    begin_work(tmp_path / "work", plan, name="x", per_object=1).close()
    with pytest.raises(ConfigError, match="one in the other"):
        reopen_work(tmp_path / "work", images=tmp_path / "work" / "images")


# -- who draws what ---------------------------------------------------------------------------


def test_round_robin_over_whole_categories() -> None:
    people = read_annotators(" Ann@x.org, ben@x.org ,")
    assert assign(["a", "b", "c"], people) == {"a": "ann@x.org", "b": "ben@x.org", "c": "ann@x.org"}


def test_a_table_says_who(tmp_path: Path) -> None:
    path = tmp_path / "who.csv"
    path.write_text("\ufeffobject,email\nDörrobst,Ann@x.org\nb, ben@x.org\n", encoding="utf-8")
    people = read_annotators(str(path))
    assert assign(["Dörrobst", "b"], people) == {"Dörrobst": "ann@x.org", "b": "ben@x.org"}
    with pytest.raises(DatasetError, match="nobody is named for c"):
        assign(["Dörrobst", "b", "c"], people)
    with pytest.raises(UnknownNameError, match="Dörrobst"):
        assign(["b"], people)


def test_a_table_of_a_european_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "who.csv"
    path.write_bytes("\ufeffobject;email\r\nDörrobst, süß;Ann@x.org\r\nb;ben@x.org\r\n".encode())
    assert read_annotators(str(path)) == {"Dörrobst, süß": "ann@x.org", "b": "ben@x.org"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\nram,x@x.org\n", "line 2 has no object"),
        ("object,email\nram,\n", "line 2 has no object or no email"),
        ("object,email\nram,a@x.org\nram,b@x.org\n", "line 3: ram is there twice"),
    ],
)
def test_a_bad_table_is_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "who.csv").write_text(text)
    with pytest.raises(SchemaError, match=words):
        read_annotators(str(tmp_path / "who.csv"))


def test_nobody_is_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nobody is named"):
        read_annotators(" , ")
    with pytest.raises(NotFoundError):
        read_annotators(str(tmp_path / "none.csv"))


def test_what_a_data_set_says_of_its_pictures_goes_along(photos: Path, tmp_path: Path) -> None:
    """Source and licence, as COCO states them and as partlab does (D-04, D-06)."""
    folder = next(path for path in photos.iterdir() if path.is_dir())
    names = sorted(path.name for path in folder.iterdir())[:3]
    images = [
        {"id": n, "file_name": f"{folder.name}/{name}", "width": 60, "height": 40}
        | {"partlab": {"object": "ram"}}
        for n, name in enumerate(names, 1)
    ]
    images[0] |= {"license": 4, "source": "zoo"}
    images[1] |= {"license": 9, "source": 7, "partlab": {"object": "ram", "source": "farm"}}
    images[2] |= {"license": "CC0", "partlab": {"object": "ram", "license": "CC BY"}}
    data = {"images": images, "annotations": [], "licenses": [{"id": 4, "name": "CC BY-SA"}]}
    data["categories"] = [{"id": 1, "name": "ram:head", "supercategory": "ram"}]
    file = tmp_path / "set" / "annotations" / "all.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(data))
    (tmp_path / "set" / "images").symlink_to(photos)
    plan = plan_work(vocabulary(RAM), tmp_path / "set")
    with begin_work(tmp_path / "work", plan, name="farm", per_object=3) as work:
        said = {image.file_name: image.ours for image in work.images("ram")}
    assert [said[image["file_name"]] for image in images] == [
        {"source": "zoo", "license": "CC BY-SA"},
        {"source": "farm"},
        {"license": "CC BY"},
    ]
