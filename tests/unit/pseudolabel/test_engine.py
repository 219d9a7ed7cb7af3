"""What the engine says about images: P-01, P-02, B4.1 to B4.4, B4.7."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from colour_segmenter import COLOURS, NAMES, ColourSegmenter, draw, write_colour_run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from partlab.errors import ConfigError, DatasetError, NotFoundError, SchemaError, UnknownNameError
from partlab.files import sha256_file
from partlab.images import load_image
from partlab.masks import area, bbox, decode, encode
from pseudolabel.engine import label_images, predict_batch
from pseudolabel.inputs import Entry
from pseudolabel.loading import Decoder, Sample, batches, plan
from pseudolabel.settings import ClassifierSettings, Settings, Thresholds
from pseudolabel.store import read_manifest
from segmenter import predictor
from segmenter.protocol import Detections
from segmenter.tuning.file import Line, Tuning, write_tuning

unite = partial(predictor.unite, names=NAMES)
keep_apart = partial(predictor.keep_apart, names=NAMES)
WHEEL, BODY, HEAD, EAR, BIKE_WHEEL = range(5)


def detections(*found: tuple[int, float, tuple[slice, slice]], size=(20, 30)) -> Detections:
    masks = []
    for _, _, place in found:
        mask = np.zeros(size, bool)
        mask[place] = True
        masks.append(encode(mask))
    labels = np.array([label for label, _, _ in found], np.int64)
    scores = np.array([score for _, score, _ in found], np.float32)
    vectors = np.zeros((len(found), len(NAMES)), np.float32)
    vectors[np.arange(len(found)), labels] = scores
    return Detections(np.zeros((len(found), 4), np.float32), labels, scores, vectors, masks)


def box(left, top, right, bottom):
    return slice(top, bottom), slice(left, right)


def floor(default=0.5, **parts):
    named = {name.replace("_", ":"): value for name, value in parts.items()}
    return Thresholds(default=default, parts=named).of(NAMES)


def test_instances_of_a_part_are_united_with_the_best_score():
    found = detections(
        (WHEEL, 0.6, box(0, 0, 4, 4)), (BODY, 0.7, box(0, 0, 9, 9)), (WHEEL, 0.9, box(2, 2, 8, 8))
    )
    wheel, body = unite(found, floor())
    assert (wheel.label, body.label) == (WHEEL, BODY)
    assert wheel.score == pytest.approx(0.9)
    assert np.array_equal(decode(wheel.rle), decode(found.masks[0]) | decode(found.masks[2]))
    assert wheel.area == 16 + 36 - 4
    assert wheel.bbox == (0, 0, 8, 8)


def test_threshold_counts_before_uniting_and_holds_for_each_part():
    found = detections(
        (WHEEL, 0.5, box(0, 0, 4, 4)), (WHEEL, 0.49, box(5, 5, 9, 9)), (BODY, 0.4, box(0, 0, 2, 2))
    )
    (wheel,) = unite(found, floor())
    assert wheel.area == 16
    assert [m.label for m in unite(found, floor(car_body=0.4))] == [WHEEL, BODY]
    assert [m.label for m in unite(found, floor(0.1, car_wheel=0.9))] == [BODY]
    assert unite(found, floor(0.95)) == ()


def test_empty_masks_are_no_parts():
    found = detections((WHEEL, 0.9, box(3, 3, 3, 3)), (BODY, 0.9, box(0, 0, 1, 1)))
    assert [mask.label for mask in unite(found, floor())] == [BODY]
    assert [mask.label for mask in keep_apart(found, floor())] == [BODY]


boxes = st.tuples(st.integers(0, 29), st.integers(0, 19), st.integers(1, 30), st.integers(1, 20))


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1, width=32), boxes), max_size=6))
def test_uniting_loses_and_invents_no_pixel(found):
    """B4.3 for any detections: one mask per part, just the pixels of the kept instances."""
    each = detections(*((label, score, box(*place)) for label, score, place in found))
    masks = {mask.label: mask for mask in unite(each, floor())}
    for label in range(5):
        kept = [
            decode(each.masks[i])
            for i in range(len(each))
            if each.labels[i] == label and each.scores[i] >= np.float32(0.5)
        ]
        pixels = np.logical_or.reduce(kept) if kept else np.zeros((20, 30), bool)
        assert (label in masks) == bool(pixels.any())
        if label in masks:
            assert np.array_equal(decode(masks[label].rle), pixels)
            assert masks[label].area == area(masks[label].rle) == pixels.sum()
            assert list(masks[label].bbox) == bbox(masks[label].rle)
    assert list(masks) == sorted(masks)


def sample(object, pixels, number=1):
    return Sample(Entry(number, f"{number}.png", object, "folder" if object else None), pixels)


@pytest.fixture
def bike(tmp_path):
    pixels = np.full((40, 60, 3), 120, np.uint8)
    pixels[5:15, 5:15] = pixels[5:15, 30:40] = COLOURS[BIKE_WHEEL]
    return pixels


def test_category_filter_gives_the_part_of_the_known_class(bike):
    """P-02: the same red disc is a car's wheel or a bike's; only the class can tell."""
    segmenter = ColourSegmenter(NAMES, COLOURS)
    filtered, free = Settings(), Settings(category_filter=False)
    (row,) = predict_batch(segmenter, [sample("bike", bike)], free)
    assert [mask.label for mask in row.masks] == [WHEEL]
    (row,) = predict_batch(
        segmenter, [sample("bike", bike)], Settings(thresholds=Thresholds(default=0.1))
    )
    assert [mask.label for mask in row.masks] == [BIKE_WHEEL]
    assert row.masks[0].area == 200
    (row,) = predict_batch(segmenter, [sample("cat", bike)], filtered)
    assert (row.status, row.masks, row.reason) == ("blank", (), None)


def test_rows_answer_samples_one_by_one(bike):
    """Unreadable, unknown and blank images have their rows too, in order."""
    segmenter = ColourSegmenter(NAMES, COLOURS)
    batch = [
        sample("car", bike, 4),
        replace(sample("car", None, 2), reason="torn"),
        sample("boat", bike, 3),
        sample("car", np.zeros((3, 5, 3), np.uint8), 1),
    ]
    rows = predict_batch(segmenter, batch, Settings())
    assert [row.image_id for row in rows] == [4, 2, 3, 1]
    assert [row.status for row in rows] == ["labelled", "unreadable", "blank", "blank"]
    assert [row.reason for row in rows] == [
        None,
        "torn",
        "the segmenter has no parts of 'boat'",
        None,
    ]
    assert [(row.height, row.width) for row in rows] == [(40, 60), (0, 0), (40, 60), (3, 5)]
    assert predict_batch(segmenter, [batch[1]], Settings())[0].status == "unreadable"


def test_class_of_a_classifier_is_marked(bike):
    seen = []

    def classify(images):
        seen.append(len(images))
        return ["car"] * len(images)

    batch = [sample("bike", bike, 1), replace(sample("bike", None, 2), reason="torn")]
    rows = predict_batch(ColourSegmenter(NAMES, COLOURS), batch, Settings(), classify)
    assert seen == [1]
    assert [(row.object, row.object_source) for row in rows] == [
        ("car", "classifier"),
        (None, None),
    ]
    assert [mask.label for mask in rows[0].masks] == [WHEEL]


def draw_sizes(folder, sizes):
    entries = []
    for number, (width, height) in enumerate(sizes, 1):
        PillowImage.new("RGB", (width, height)).save(folder / f"{number}.png")
        entries.append(Entry(number, f"{number}.png"))
    return entries


def test_batches_hold_like_shapes_and_bounded_pixels(tmp_path):
    sizes = [(60, 40), (40, 60), (62, 40), (40, 58), (60, 40), (500, 400), (300, 10), (60, 41)]
    entries = draw_sizes(tmp_path, sizes)
    limits = Settings(batch_size=3, batch_pixels=20_000)
    planned = plan(entries, tmp_path, limits)
    assert sorted(e.image_id for batch in planned for e in batch) == list(range(1, 9))
    assert max(map(len, planned)) == 3
    for batch in planned:
        shapes = [sizes[e.image_id - 1] for e in batch]
        aspects = [w / h for w, h in shapes]
        assert max(aspects) / min(aspects) < 1.3
        assert len(batch) == 1 or sum(w * h for w, h in shapes) <= 20_000
    assert planned == plan(entries, tmp_path, limits)


@pytest.mark.parametrize("workers", [0, 2])
def test_decoding_keeps_order_applies_exif_and_gives_reasons(tmp_path, workers):
    turned = PillowImage.fromarray(np.arange(600, dtype=np.uint8).reshape(10, 20, 3) % 251)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    PillowImage.fromarray(noise).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    names = ["turned.png", "cut.jpg", "text.jpg", "gone.jpg", "whole.jpg"]
    entries = [Entry(n, name) for n, name in enumerate(names, 1)]
    (samples,) = batches([entries], tmp_path, workers, 60.0)
    assert [s.entry for s in samples] == entries
    assert samples[0].pixels.shape == (20, 10, 3)
    assert np.array_equal(samples[4].pixels, load_image(tmp_path / "whole.jpg"))
    assert [s.pixels is None for s in samples] == [False, True, True, True, False]
    assert samples[1].reason.startswith("cannot read image: ")
    assert "truncated" in samples[1].reason
    assert samples[2].reason == "cannot read image: not a picture"
    assert samples[3].reason == "no image"
    assert str(tmp_path) not in "".join(s.reason or "" for s in samples)


def test_an_unforeseen_error_in_one_picture_is_only_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("pseudolabel.loading.load_image", lambda path: 1 / 0)
    sample = Decoder(tmp_path, 60.0)[Entry(1, "a.jpg")]
    assert sample.reason == "cannot read image: ZeroDivisionError: division by zero"


def test_whole_run(photos, colour_run, tmp_path):
    outcome = label_images(photos, colour_run, tmp_path / "out", Settings(), workers=0)
    store, counts = outcome.store, outcome.store.manifest.counts
    rows = list(store.rows())
    assert store.finished
    assert store.names == NAMES
    assert store.parts.parents == {EAR: (HEAD,), WHEEL: (BODY,)}
    assert len(rows) == 41
    assert {"images": 41, "images_this_run": 41, **counts}.items() <= outcome.result().items()
    assert Counter(row.status for row in rows) == {k: v for k, v in counts.items() if k != "masks"}
    assert counts["unreadable"] == 1
    assert min(counts["labelled"], counts["blank"]) > 3
    assert all(row.object == row.file_name.split("/")[0] for row in rows)
    for row in rows:
        assert all(NAMES[mask.label].startswith(f"{row.object}:") for mask in row.masks)
        assert all(decode(mask.rle).shape == (row.height, row.width) for mask in row.masks)
        if row.status != "unreadable":
            assert load_image(store.image_path(row)).shape[:2] == (row.height, row.width)


def test_sizes_from_one_pixel_to_huge(colour_run, tmp_path):
    """Too many pixels for Pillow's own limit is an unreadable image with that reason."""
    sizes = {"1": (1, 1), "wide": (4000, 1), "large": (2500, 1400), "small": (64, 48)}
    for name, size in sizes.items():
        draw(tmp_path / "in" / "car" / f"{name}.png", "car", 1, size)
    PillowImage.new("1", (20_000, 10_000)).save(tmp_path / "in" / "car" / "bomb.png")
    limits = Settings(batch_pixels=1_000_000)
    out = label_images(tmp_path / "in", colour_run, tmp_path / "out", limits, workers=1)
    rows = {row.file_name: row for row in out.store.rows()}
    for name, size in sizes.items():
        row = rows[f"car/{name}.png"]
        assert (row.width, row.height) == size
    assert rows["car/bomb.png"].status == "unreadable"
    assert "200000000 pixels" in rows["car/bomb.png"].reason


def test_thresholds_of_unknown_parts_are_refused(photos, colour_run, tmp_path):
    settings = Settings(thresholds=Thresholds(parts={"car:weel": 0.3}))
    with pytest.raises(UnknownNameError, match="car:weel") as caught:
        label_images(photos, colour_run, tmp_path / "out", settings)
    assert "car:wheel" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_wrong_checkpoint(photos, tmp_path):
    run = write_colour_run(tmp_path / "seg")
    weights = (run / "best.safetensors").read_bytes()
    (run / "best.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(DatasetError, match="is damaged"):
        label_images(photos, run, tmp_path / "out", Settings(), workers=0)
    assert not (tmp_path / "out").exists()
    with pytest.raises(NotFoundError, match=r"no checkpoint .*last\.safetensors"):
        label_images(photos, run, tmp_path / "out", Settings(checkpoint="last"))
    with pytest.raises(NotFoundError, match="is not a segmenter run"):
        label_images(photos, photos, tmp_path / "out", Settings())


@pytest.mark.parametrize("error", [KeyError("colours"), RuntimeError("size mismatch")])
def test_a_backend_that_fails_to_load_is_a_clear_error(
    photos, colour_run, tmp_path, monkeypatch, error
):
    def load(*args, **kwargs):
        raise error

    monkeypatch.setattr("colour_segmenter.backend.load", load)
    with pytest.raises(SchemaError, match=r"checkpoint 'best' of .* cannot be loaded"):
        label_images(photos, colour_run, tmp_path / "out", Settings(), workers=0)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A timm model whose weights make it answer the second name whatever it sees."""
    import timm
    import torch

    place = tmp_path_factory.mktemp("classifier")
    model = timm.create_model("test_resnet", num_classes=3)
    torch.nn.init.zeros_(model.get_classifier().weight)
    model.get_classifier().bias.data[:] = torch.tensor([0.0, 9.0, 1.0])
    torch.save(model.state_dict(), place / "weights.pth")
    (place / "names.txt").write_text("cat\ncar\nboat\n", encoding="utf-8")
    return ClassifierSettings(
        model="test_resnet", weights=place / "weights.pth", names=place / "names.txt"
    )


def test_semi_open_the_class_comes_from_a_classifier(colour_run, tmp_path, classifier):
    for number in range(4):
        draw(tmp_path / "in" / f"{number}.png", "bike", number)
    settings = Settings(classifier=classifier)
    rows = list(label_images(tmp_path / "in", colour_run, tmp_path / "out", settings).store.rows())
    assert {(row.object, row.object_source) for row in rows} == {("car", "classifier")}
    assert {mask.label for row in rows for mask in row.masks} == {WHEEL}
    config = json.loads((tmp_path / "out" / "manifest.json").read_text())["config"]
    assert config["classifier"]["model"] == "test_resnet"
    assert len(config["classifier"]["weights"]) == 64


def test_classifier_problems(photos, colour_run, tmp_path, classifier):
    def attempt(**change):
        label_images(
            photos,
            colour_run,
            tmp_path / "out",
            Settings(classifier=classifier.model_copy(update=change)),
        )

    (tmp_path / "two.txt").write_text("cat\ncar\n")
    (tmp_path / "others.txt").write_text("x\ny\nz\n")
    with pytest.raises(SchemaError, match="does not fit test_resnet with 2 classes"):
        attempt(names=tmp_path / "two.txt")
    with pytest.raises(ConfigError, match="names none of the segmenter's"):
        attempt(names=tmp_path / "others.txt")
    with pytest.raises(UnknownNameError, match="test_resnt"):
        attempt(model="test_resnt")
    with pytest.raises(NotFoundError, match=r"nothing\.pth"):
        attempt(weights=tmp_path / "nothing.pth")
    with pytest.raises(SchemaError, match="does not fit"):
        attempt(weights=tmp_path / "two.txt")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_tuned_says_so_unless_a_threshold_is_named(
    photos, colour_run, tmp_path, caplog
):
    words = "seg-colour is not tuned: masks that score 0.5 or more are kept"
    label_images(photos, colour_run, tmp_path / "plain", Settings())
    assert caplog.text.count(words) == 1
    caplog.clear()
    label_images(
        photos, colour_run, tmp_path / "named", Settings(thresholds=Thresholds(default=0.5))
    )
    tuned = shutil.copytree(colour_run, tmp_path / "tuned")
    write_tuning(
        tuned,
        Tuning(
            checkpoint_sha256=sha256_file(tuned / "best.safetensors"),
            data={},
            images=1,
            common=Line(),
            parts={},
            thresholds=Thresholds(default=0.3),
            held_out={},
        ),
    )
    label_images(photos, tuned, tmp_path / "own", Settings())
    assert "is not tuned" not in caplog.text
    assert read_manifest(tmp_path / "own").config["thresholds"]["default"] == 0.3
