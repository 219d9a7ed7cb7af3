"""Sets made of a part data set: what they show, what is left out, same bytes, kill -9 (G-06)."""

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import evaluate_command
import numpy as np
import pytest
from evaluate_command import told
from PIL import Image as Pillow
from planted_parts import GREEN, RED, planted

from annotate.world import WorldConfig, make_world
from partlab.coco import read_dataset
from partlab.errors import ConfigError, DatasetError, NotFoundError, OutputExistsError, SchemaError
from partlab.images import load_image
from train.corruptions import CORRUPTIONS, read_tree
from train.evaluate.shown import chosen_of, open_data
from train.ood.corrupted import Corrupted
from train.ood.making import make_set, read_set
from train.ood.sources import Sources, named, open_sources
from train.ood.spurious import SIDE, Spurious, strip_beside, without_object
from train.ood.texture import GREY, Texture, filled, seen_texture


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ood") / "world"
    objects = ("cat", "ram", "mug")
    make_world(out, WorldConfig(images=6, pool=0, heldout=9, size=160, objects=objects))
    return out


@pytest.fixture(scope="module")
def sources(world: Path) -> Sources:
    return open_sources(world, "heldout", smallest=30)


def call(*words: Any) -> Any:
    return evaluate_command.call("make-set", *words)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["spurious", "texture"])
def test_no_picture_has_one_class_twice_and_all_say_where_they_are_from(
    kind: str, world: Path, sources: Sources, tmp_path: Path
) -> None:  # G-07, G-08
    recipe = Spurious(sources) if kind == "spurious" else Texture(sources, least=12)
    facts = make_set(recipe, tmp_path / "set")
    read, rows = read_set(tmp_path / "set")
    assert read == json.loads(json.dumps(facts))
    assert len(rows) == facts["pictures"] == len(sources.found) > 5
    second, (first_file, second_file) = {
        "spurious": ("background", ("foreground_file", "background_file")),
        "texture": ("texture", ("shape_file", "texture_file")),
    }[kind]
    data = read_dataset(world, "heldout")
    owner = {image.file_name: data.object_of(image) for image in data.images}
    training = {image.file_name for image in read_dataset(world, "train").images}
    for row in rows:
        assert row["label"] != row[second]
        assert row["label"] == owner[row[first_file]]
        assert row[second] == owner[row[second_file]]
        assert not {row[first_file], row[second_file]} & training
        assert load_image(tmp_path / "set" / row["file"]).shape == (SIDE, SIDE, 3)
    assert len({row[second] for row in rows}) > 1
    if kind == "spurious":
        assert {row["half"] for row in rows} == {"val", "test"}


@pytest.mark.parametrize("make", [Spurious, partial(Texture, least=12)])
def test_same_bytes_from_any_number_of_workers_and_other_ones_by_another_seed(
    make: Callable[..., Any], sources: Sources, tmp_path: Path
) -> None:
    one = make_set(make(sources), tmp_path / "one")
    make_set(make(sources), tmp_path / "two", workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    other = make_set(make(sources, seed=1), tmp_path / "other")
    assert other["sha256"] != one["sha256"]
    assert not list(tmp_path.glob(".*"))  # nothing hidden stays


def _slow(recipe: Any, out: Path) -> None:
    kind = type(recipe)
    original = kind.make

    def make(self: Any, at: int) -> Sequence[bytes]:
        time.sleep(0.05)
        return original(self, at)

    kind.make = make
    make_set(recipe, out)


def test_killed_it_goes_on_and_ends_alike(sources: Sources, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "set"
    make_set(Spurious(sources), whole)
    process = multiprocessing.get_context("fork").Process(
        target=_slow, args=(Spurious(sources), out)
    )
    process.start()
    begun = tmp_path / ".set.making"
    until = time.monotonic() + 60
    while len(list(begun.rglob("*.jpg"))) < 3:
        assert time.monotonic() < until, "nothing was ever saved"
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -9
    assert not out.exists()
    kept = {path.relative_to(begun): path.stat().st_ino for path in begun.rglob("*.jpg")}
    (begun / "images" / "stray.jpg").write_bytes(b"")  # of no recipe; it must not stay
    make_set(Spurious(sources), out)
    assert {path: (out / path).stat().st_ino for path in kept} == kept
    assert files(out) == files(whole)


def test_what_another_recipe_began_is_thrown_away(sources: Sources, tmp_path: Path) -> None:
    begun = tmp_path / ".set.making"
    (begun / "images").mkdir(parents=True)
    (begun / "images" / "old.jpg").write_bytes(b"")
    (begun / "plan.json").write_text('{"recipe": "another"}')
    make_set(Spurious(sources), tmp_path / "set")
    assert not (tmp_path / "set" / "images" / "old.jpg").exists()
    with pytest.raises(OutputExistsError):
        make_set(Spurious(sources), tmp_path / "set")
    make_set(Texture(sources, least=12), tmp_path / "set", force=True)
    assert read_set(tmp_path / "set")[0]["kind"] == "texture"


SIDES = {
    "above": (40, 60, 60, 60), "below": (20, 0, 70, 70), "left": (70, 30, 50, 70),
    "right": (0, 20, 60, 90),
}  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
def test_of_a_background_nothing_of_its_object_is_left(side: str, tmp_path: Path) -> None:
    planted(tmp_path, [("a.png", "cat", [SIDES[side]])])
    (source,) = open_sources(tmp_path, "heldout").found
    assert strip_beside(source) == side
    ground = without_object(source)
    assert np.abs(ground.astype(int) - GREEN).max() <= 1


def test_the_fill_mirrors_what_lies_beside(tmp_path: Path) -> None:
    planted(tmp_path, [("a.png", "cat", [(0, 40, 120, 80)])])
    rows = np.arange(120, dtype=np.uint8)[:, None, None].repeat(120, 1).repeat(3, 2)
    Pillow.fromarray(rows).save(tmp_path / "images" / "a.png")
    (source,) = open_sources(tmp_path, "heldout").found
    shown = without_object(source)[:, 0, 0].reshape(-1)[:: SIDE // 120].astype(int)
    edge = 40 - round(0.03 * 120)  # the margin
    assert shown.max() <= edge  # nothing from below the edge
    assert np.abs(np.diff(shown)).max() <= 3  # no seam: up, down, up again


def test_an_outline_has_the_others_texture_inside_and_grey_outside(tmp_path: Path) -> None:
    planted(tmp_path, [("a.png", "cat", [(30, 20, 60, 80)]), ("b.png", "car", [(0, 0, 50, 50)])])
    shape, other = sorted(open_sources(tmp_path, "heldout").found, key=lambda s: s.object)[::-1]
    assert (shape.object, other.object) == ("cat", "car")
    recipe = Texture(open_sources(tmp_path, "heldout"))
    ((_, square),) = recipe.squares["car"]
    patch = seen_texture(other, square)
    assert np.abs(patch.astype(int) - RED).max() <= 2  # nothing of the green about it
    made = filled(shape, patch).astype(int)
    inside = np.abs(made - RED).max(2) <= 2
    outside = (made == GREY).all(2)
    assert 0.25 < inside.mean() < 0.4  # 0.7 high, three quarters of that wide
    assert (inside | outside).mean() > 0.97  # the rest is the edge
    texture = {each["files"][0]["label"]: each["files"][0]["texture"] for each in recipe.items}
    assert texture == {"cat": "car", "car": "cat"}


def test_what_cannot_be_taken_apart_is_left_out_and_counted(tmp_path: Path) -> None:
    good = (30, 30, 40, 60)
    planted(tmp_path, [
        ("a/x.png", "cat", [good]), ("b/x.png", "cat", [good]), ("völva 猫.png", "car", [good]),
        ("none.png", "cat", []), ("small.png", "car", [(5, 5, 6, 6)]), ("two.png", "cat", [good]),
        ("full.png", "car", [(0, 0, 120, 120)]), ("gone.png", "car", [good]),
        ("seen.png", "car", [(50, 20, 50, 50)]), ("odd.png", "cat", [good]),
    ])  # fmt: skip
    file = tmp_path / "annotations" / "heldout.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    ids = {image["file_name"]: image["id"] for image in raw["images"]}
    mine = {each["image_id"]: each for each in raw["annotations"]}
    again = {**mine[ids["two.png"]], "id": 99, "partlab": {"object_id": 2}}
    mine[ids["two.png"]]["partlab"] = {"object_id": 1}
    mine[ids["odd.png"]]["segmentation"] = {"size": [120, 120], "counts": "0"}
    raw["annotations"].append(again)
    file.write_text(json.dumps(raw), encoding="utf-8")
    (tmp_path / "images" / "gone.png").unlink()
    shutil.copy(tmp_path / "images" / "seen.png", tmp_path / "images" / "learnt.png")
    train = {**raw, "images": [{**raw["images"][0], "file_name": "learnt.png"}], "annotations": []}
    (tmp_path / "annotations" / "train.json").write_text(json.dumps(train), encoding="utf-8")
    found = open_sources(tmp_path, "heldout")
    assert [each.name for each in found.found] == ["a/x.png", "b/x.png", "full.png", "völva 猫.png"]
    assert dict(found.left_out) == {
        "without a mask": 1, "with too small a mask": 1, "that show several objects": 1,
        "without a file": 1, "that are in training too": 1, "with a broken mask": 1,
    }  # fmt: skip
    assert named(found.found) == ["cat/x", "cat/x-2", "car/full", "car/völva 猫"]
    facts = make_set(Spurious(found), tmp_path / "set")
    assert facts["left_out"]["as backgrounds, since their object leaves too little of it"] == 1
    assert facts["pictures"] == 4
    assert open_sources(tmp_path, "heldout", training=None).left_out.keys() == {
        *found.left_out} - {"that are in training too"}  # fmt: skip


def test_what_cannot_be_made_gets_one_sentence(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pictures of heldout were to be made"):
        open_sources(world, "heldout", training="heldout")
    with pytest.raises(NotFoundError):
        open_sources(tmp_path / "nowhere", "heldout")
    planted(tmp_path, [("a.png", "cat", [(30, 30, 40, 60)]), ("b.png", "cat", [(30, 30, 40, 60)])])
    one = open_sources(tmp_path, "heldout")
    with pytest.raises(DatasetError, match="1 of the 1 classes have a background"):
        make_set(Spurious(one), tmp_path / "set")
    with pytest.raises(DatasetError, match="and two are needed"):
        make_set(Texture(one), tmp_path / "set")
    nothing = open_sources(tmp_path, "heldout", smallest=100)
    with pytest.raises(DatasetError):
        make_set(Spurious(nothing), tmp_path / "set")
    planted(tmp_path, [("a.png", "cat", [(30, 30, 40, 60)]), ("b.png", "car", [(30, 30, 40, 60)])])
    two = open_sources(tmp_path, "heldout")
    (tmp_path / "images" / "b.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"cannot read image .*b\.png"):
        make_set(Spurious(two), tmp_path / "set", workers=1)
    assert not (tmp_path / "set").exists()


def test_a_made_set_that_is_damaged_is_said(sources: Sources, tmp_path: Path) -> None:
    make_set(Spurious(sources), tmp_path / "set")
    table = tmp_path / "set" / "pictures.parquet"
    table.write_bytes(table.read_bytes()[:100])
    with pytest.raises(SchemaError, match="damaged"):
        read_set(tmp_path / "set")
    with pytest.raises(NotFoundError, match="no made set"):
        read_set(tmp_path)


def _corrupted(data: Path, tmp: Path, **given: Any) -> Corrupted:
    pictures = open_data(data, "heldout", tmp / "cache")
    return Corrupted(pictures, chosen_of(pictures, None)[:1], 32, **given)


def test_corruptions_as_files_are_whole_and_as_published(world: Path, tmp_path: Path) -> None:
    facts = make_set(_corrupted(world, tmp_path), tmp_path / "c")
    tree = read_tree(tmp_path / "c")
    assert (tree.missing, tree.left_out, tree.uneven) == ((), 0, False)
    assert facts["pictures"] == 75
    with Pillow.open(next((tmp_path / "c" / "fog" / "3").rglob("*.jpg"))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (32, 32))
    _, rows = read_set(tmp_path / "c")
    assert {row["corruption"] for row in rows} == set(CORRUPTIONS)
    few = ("fog", "snow", "frost", "elastic_transform")
    one = make_set(_corrupted(world, tmp_path, corruptions=few), tmp_path / "d", workers=2)
    assert one["pictures"] == 20
    for name, content in files(tmp_path / "d").items():
        if name.endswith(".jpg"):
            assert (tmp_path / "c" / name).read_bytes() == content


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    for ending in ("png", "jpg"):
        file = tmp_path / "twins" / "cat" / f"a.{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("L", (60, 50), 90).save(file)
    return tmp_path / "twins"


def test_the_commands(world: Path, twins: Path, tmp_path: Path) -> None:
    given = ("--split", "heldout", "--smallest", 30)
    made = call("spurious", world, *given, "--out", tmp_path / "s")
    assert made.exit_code == 0, told(made)
    assert "pictures of 3 classes" in made.stdout
    assert (tmp_path / "s" / "set.json").is_file()
    assert call("spurious", world, *given, "--out", tmp_path / "s").exit_code == 1
    shape = call("texture", world, *given, "--out", tmp_path / "t", "--json", "--not-in", "none",
                 "--square", 12)  # fmt: skip
    facts = json.loads(shape.stdout)
    assert (facts["kind"], facts["settings"]["not_in"]) == ("texture", None)
    few = ("--types", "fog", "--severities", "1", "--size", "32")
    fog = call("corrupt", world, "--split", "heldout", *few, "--out", tmp_path / "c")
    assert fog.exit_code == 0, told(fog)
    assert next((tmp_path / "c").glob("*/*")).name == "1"
    for words, code, said in (
        ((twins, *few), 5, "endings of their names"),
        ((world, "--split", "heldout", "--severities", "6"), 2, "no severity 6"),
        ((world, "--split", "heldout", "--types", "fogg"), 3, "unknown corruption 'fogg'"),
        ((tmp_path / "nowhere",), 3, "no data"),
        ((world, "--split", "heldout", "--size", "16"), 2, "32 is the least"),
    ):
        result = call("corrupt", *words, "--out", tmp_path / "x")
        assert (result.exit_code, said in told(result)) == (code, True), told(result)
        assert not (tmp_path / "x").exists()
