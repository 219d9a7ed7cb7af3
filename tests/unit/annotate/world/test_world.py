"""The procedural part world: exact masks, look-alikes, same seed same bytes."""

import colorsys
import hashlib
from pathlib import Path

import numpy as np
import pytest

from annotate.world import KINDS, WorldConfig, inclusions, make_world, twins
from annotate.world.catalogue import Kind
from annotate.world.scene import (
    FINE,
    Hints,
    Scene,
    _arrange,
    _masks,
    _rasterise,
    _shade_ground,
    draw_scene,
)
from partlab.coco import find_splits, read_dataset
from partlab.errors import ConfigError, OutputExistsError, UnknownNameError
from partlab.files import sha256_file
from partlab.images import load_image
from partlab.masks import decode, encode

SIZE = 80
PLAIN = Hints()


def scene(kind: Kind, number: int, size: int = SIZE, hints: Hints = PLAIN) -> Scene:
    return draw_scene(np.random.default_rng([7, KINDS.index(kind), number]), kind, size, hints)


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def small(tmp_path: Path, name: str, **changes: object) -> Path:
    values = {"images": 28, "pool": 14, "heldout": 14, "size": 64, "objects": ()} | changes
    make_world(tmp_path / name, WorldConfig.model_validate(values))
    return tmp_path / name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("made"), "world")


def test_same_seed_same_bytes_and_another_seed_other_pictures(world: Path, tmp_path: Path) -> None:
    again = hashes(small(tmp_path, "again"))
    assert again == hashes(world)
    assert len(again) == 28 + 14 + 14 + 5
    other = hashes(small(tmp_path, "other", seed=1))
    pictures = [name for name in again if name.endswith(".jpg")]
    assert not any(again[name] == other[name] for name in pictures)


def test_larger_world_begins_with_the_smaller_one(world: Path, tmp_path: Path) -> None:
    larger = hashes(small(tmp_path, "larger", images=56, pool=28, objects=()))
    part = hashes(small(tmp_path, "part", images=4, pool=0, heldout=2, objects=("ram", "mug")))
    for name, digest in hashes(world).items():
        if name.endswith(".jpg"):
            assert larger[name] == digest
    assert part["images/ram/train-0001.jpg"] == larger["images/ram/train-0001.jpg"]


def test_size_of_the_catalogue() -> None:
    parts = [part for kind in KINDS for part in kind.parts]
    assert len(KINDS) >= 12
    assert len(parts) >= 40
    assert any(kind.whole_object and len(kind.parts) == 1 for kind in KINDS)  # V-04
    assert inclusions()["ram"] == {"horn": "head"}  # M-03
    for kind in KINDS:
        names = {part.name for part in kind.parts}
        assert {part.inside for part in kind.parts if part.inside} <= names


def test_half_of_the_parts_have_a_twin_in_another_category() -> None:
    groups = twins().values()
    assert sum(map(len, groups)) * 2 >= sum(len(kind.parts) for kind in KINDS)
    for group in groups:
        owners = [name.split(":")[0] for name in group]
        assert len(set(owners)) == len(owners)


@pytest.mark.parametrize(("one", "other"), [("cat", "dog"), ("cat", "ram"), ("duck", "stork")])
def test_twins_are_drawn_alike(one: str, other: str) -> None:
    kinds = {kind.name: kind for kind in KINDS}
    looks = {part.look for part in kinds[one].parts} & {part.look for part in kinds[other].parts}
    assert len(looks) >= 3
    proportions = {}
    for name in (one, other):
        own = {part.name for part in kinds[name].parts if part.look in looks}
        spans = []
        for seed in range(60):
            pieces = kinds[name].build(np.random.default_rng([seed, name == one]))
            corners = {
                part: np.concatenate([p.outline for p in pieces if p.part == part])
                for part in sorted(own)
            }
            spans.append(np.concatenate([np.ptp(c, axis=0) for c in corners.values()]))
        proportions[name] = np.array(spans)
    a, b = proportions.values()
    gap = np.abs(a.mean(axis=0) - b.mean(axis=0))
    assert (gap < 0.05 * a.mean(axis=0)).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_masks_overlap_only_where_declared_and_cover_the_object(kind: Kind) -> None:
    for number in range(4):
        rng = np.random.default_rng([3, number])
        drawn = _arrange(rng, kind, 2, SIZE)
        cells = _rasterise(drawn, SIZE)
        masks = _masks(cells, drawn, kind)
        owner = np.array([0, *(item.individual for item in drawn)])[cells]
        centres = owner[FINE // 2 :: FINE, FINE // 2 :: FINE]
        inside = {part.name: part.inside for part in kind.parts}
        for individual in (1, 2):
            own = {m.part: m.mask for m in masks if m.individual == individual}
            union = np.logical_or.reduce(list(own.values()))
            assert (union == (centres == individual)).all()  # M-01, no pixel more or less
            for a in own:
                for b in own:
                    overlap = (own[a] & own[b]).any()
                    if inside[a] == b:
                        assert not (own[a] & ~own[b]).any()  # the parent holds the child
                    elif a != b and inside[b] != a:
                        assert not overlap  # M-02


def test_visible_masks_are_no_slivers() -> None:
    for kind in KINDS:
        for number in range(3):
            for part in scene(kind, number).masks:
                assert part.mask.sum() >= 0.0008 * SIZE * SIZE
                assert (decode(encode(part.mask)) == part.mask).all()


def test_masks_follow_the_pixels() -> None:
    """Under the mask of an eye there is the eye: white, with a dark pupil."""
    fish = next(kind for kind in KINDS if kind.name == "fish")
    for number in range(5):
        drawn = scene(fish, number, 128)
        eye = next(part.mask for part in drawn.masks if part.part == "eye")
        grey = drawn.pixels[eye].mean(axis=1)
        assert grey.max() > 140
        assert grey.min() < 70


def test_shadows_stay_beside_their_object() -> None:
    """An object cut by the right edge casts no shadow on the left one."""
    owner = np.array([0, 1], np.uint8)
    cells = np.zeros((64 * FINE, 64 * FINE), np.uint8)
    cells[:, 50 * FINE :] = 1
    canvas = np.full((64, 64, 3), 100, np.float32)
    _shade_ground(canvas, owner[cells] > 0)
    assert (canvas[:, :20] == 100).all()
    assert (canvas[10:50, 52:] < 90).all()


def test_several_objects_occlusion_and_holes() -> None:
    counts, holes = set(), 0
    for kind in KINDS:
        for number in range(6):
            drawn = scene(kind, number)
            counts.add(max(part.individual for part in drawn.masks))
            for part in drawn.masks:
                outside = _flood(part.mask)
                holes += bool((~part.mask & ~outside).any())
    assert counts == {1, 2, 3}  # M-06
    assert holes > 5


def _flood(mask: np.ndarray) -> np.ndarray:
    """The pixels outside, reached from the border."""
    reached = np.zeros(np.array(mask.shape) + 2, bool)
    reached[0] = True
    free = np.pad(~mask, 1, constant_values=True)
    while True:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= free
        if (grown == reached).all():
            return reached[1:-1, 1:-1]
        reached = grown


def test_layout_and_records(world: Path) -> None:
    assert sorted(find_splits(world)) == ["heldout", "train", "val"]  # no pool truth in there
    truth = read_dataset(world / "pool-truth.json")
    for dataset in (*(read_dataset(world, split) for split in find_splits(world)), truth):
        assert len(dataset.images) == 14
        assert {image.object for image in dataset.images} == {kind.name for kind in KINDS}
        for image in dataset.images:
            path = dataset.image_path(image)
            assert load_image(path).shape == (image.height, image.width, 3)
            assert (image.license, image.sha256) == ("CC0-1.0", sha256_file(path))
            assert image.origin_split in ("train", "val", "heldout", "pool")
            for annotation in dataset.annotations_of(image):
                category = dataset.category_by_id[annotation.category_id]
                assert category.object == image.object  # D-03
                assert annotation.object_id in (1, 2, 3)
                assert annotation.area == decode(annotation.segmentation).sum()
    assert {c.name for c in truth.categories if c.whole_object} == {"flatworm:body"}
    assert truth.image_root == world / "pool"


def test_split_is_nine_to_one_in_each_category(tmp_path: Path) -> None:
    folder = small(tmp_path, "w", images=40, pool=0, heldout=0, objects=("mug", "lamp"))
    counts = {
        split: sorted(image.object or "" for image in read_dataset(folder, split).images)
        for split in find_splits(folder)
    }
    assert counts == {"train": ["lamp"] * 18 + ["mug"] * 18, "val": ["lamp"] * 2 + ["mug"] * 2}


def _guessable(hint: str | None, where: str) -> float:
    """How often the nearest mean hue, of the `background` or the `texture`, tells the category."""
    colours, owners = [], []
    for position, kind in enumerate(KINDS):
        tone = position / len(KINDS)
        for number in range(8):
            drawn = scene(kind, number, 48, Hints(**{hint: tone} if hint else {}))
            covered = np.logical_or.reduce([part.mask for part in drawn.masks])
            chosen = covered if where == "texture" else ~covered
            r, g, b = drawn.pixels[chosen].mean(axis=0) / 255
            hue = colorsys.rgb_to_hsv(r, g, b)[0] * 2 * np.pi
            colours.append((np.cos(hue), np.sin(hue)))
            owners.append(position)
    points, names = np.array(colours), np.array(owners)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return float((names[distance.argmin(axis=1)] == names).mean())


def test_colour_tells_nothing_unless_asked_for() -> None:
    for where in ("background", "texture"):
        assert _guessable(None, where) < 0.15  # chance is 0.07
        assert _guessable(where, where) > 0.6


def test_heldout_has_no_hint(world: Path, tmp_path: Path) -> None:
    hinted = hashes(small(tmp_path, "hinted", hint="background"))
    plain = hashes(world)
    name = "images/cat/{}-0001.jpg"
    assert hinted[name.format("heldout")] == plain[name.format("heldout")]
    assert hinted[name.format("train")] != plain[name.format("train")]
    assert hinted["annotations/heldout.json"] == plain["annotations/heldout.json"]


def test_refusals(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="teapott") as wrong:
        small(tmp_path, "a", objects=("teapott",))
    assert "teapot" in (wrong.value.hint or "")
    with pytest.raises(OutputExistsError):
        make_world(world, WorldConfig())
    with pytest.raises(ConfigError, match="nothing to draw"):
        small(tmp_path, "b", images=0, pool=0, heldout=0)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
