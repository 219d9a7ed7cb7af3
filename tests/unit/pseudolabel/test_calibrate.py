"""B4.1, B4.3: the threshold sweep and thresholds picked on held-out truth."""

import json
import logging
import shutil
from dataclasses import replace

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from partlab.coco import read_coco, write_coco
from partlab.config import validate
from partlab.errors import ConfigError, DatasetError, NotFoundError
from partlab.files import write_lines
from pseudolabel.calibrate import calibrate, refuse_leak, shared_with_training, training_set
from pseudolabel.matching import match
from pseudolabel.settings import Thresholds
from pseudolabel.sweep import Counts, count, grid, lowest_score, sweep
from segmenter.ap import mask_ap
from segmenter.runs import write_run

BODY, HEAD, WHEEL = 0, 1, 3
RIGHT, WRONG = (0, 0, 20, 20), (35, 15, 20, 20)


def images(spec):
    """Per image: what people drew and what the network says; [(truth?, [(box, score)])]."""
    rows, truth = [], []
    for number, (real, said) in enumerate(spec):
        name = f"cat/{number:03d}.png"
        rows.append((name, "cat", [(HEAD, box, score) for box, score in said]))
        truth.append((name, "cat", [("cat:head", RIGHT)] if real else []))
    return rows, truth


def matched_of(make_store, make_dataset, spec, **options):
    rows, truth = images(spec)
    store = make_store(rows, pictures=False, **options)
    return match(store, make_dataset(truth, image_root=store.image_root))


def test_truth_instances_are_united_before_measuring(make_store, make_dataset):
    truth = make_dataset(
        [("car/a.png", "car", [("car:wheel", (0, 0, 9, 9)), ("car:wheel", (40, 0, 9, 9))])]
    )
    store = make_store(
        [("car/a.png", "car", [(WHEEL, (0, 0, 9, 9), 0.9), (WHEEL, (40, 0, 9, 9), 0.4)])]
    )
    matched = match(store, truth)
    [pair] = matched.pairs
    assert pair.truth
    assert pair.best == pytest.approx(0.9)
    assert pair.at(0.3).iou == 1.0
    assert pair.at(0.5).iou == 0.5  # a run with 0.5 would keep one wheel
    assert pair.at(0.95) is None
    assert pair.at(0.9) is not None  # although float32(0.9) < 0.9: as the engine decides
    assert len(matched.truth.annotations) == 1


def test_sweep_equals_ap_of_what_each_threshold_keeps(make_store, make_dataset):
    spec = [(True, [(RIGHT, 0.9)]), (True, [(WRONG, 0.7)]), (True, [(RIGHT, 0.4)]), (False, [])]
    matched = matched_of(make_store, make_dataset, spec)
    points = {point.tau: point for point in sweep(matched, (0.3, 0.5, 0.8))}
    assert sorted(points) == [0.1, 0.3, 0.5, 0.8]  # the store's own 0.1 comes first
    for tau, (right, kept) in {0.1: (2, 3), 0.5: (1, 2), 0.8: (1, 1)}.items():
        point = points[tau]
        assert count(matched, tau) == Counts(right, kept, 3)
        assert point.precision == right / kept
        assert point.recall == right / 3
        assert point.coverage == kept / 4
        assert point.masks_per_image == kept / 4
        assert point.ap50 == mask_ap(matched.truth, matched.results(tau)).ap50
    assert points[0.8].ap50 == pytest.approx(34 / 101)  # one of three found, 101 recall points


def test_images_are_matched_by_path_then_by_name_and_must_have_one_size(
    make_store, make_dataset, tmp_path
):
    store = make_store([("cat/a.png", "cat", [(HEAD, RIGHT, 0.9)])])
    far = make_dataset([("cat/a.png", "cat", [("cat:head", RIGHT)])])  # elsewhere, same name
    assert len(match(store, far).rows) == 1
    same = make_dataset(
        [("photos/cat/a.png", "cat", [("cat:head", RIGHT)])], image_root=tmp_path, folder="b"
    )
    assert len(match(store, same).rows) == 1  # another name, the same file
    small = make_dataset(
        [("cat/a.png", "cat", [("cat:head", (0, 0, 5, 5))])], size=(30, 30), folder="c"
    )
    with pytest.raises(NotFoundError, match="share no readable images"):
        match(store, small)


def test_parts_the_store_cannot_find_are_left_out_and_named(make_store, make_dataset):
    store = make_store([("cat/a.png", "cat", [])], names=("cat:body",))
    truth = make_dataset([("cat/a.png", "cat", [("cat:body", RIGHT), ("cat:head", RIGHT)])])
    matched = match(store, truth)
    assert matched.unknown_parts == ("cat:head", "cat:ear", "car:wheel", "car:window")
    assert [category.name for category in matched.truth.categories] == ["cat:body"]
    with pytest.raises(NotFoundError, match="share no parts"):
        match(make_store([("cat/a.png", "cat", [])], names=("dog:paw",)), truth)


def test_f1_picks_the_threshold_between_wrong_and_right(make_store, make_dataset):
    spec = [(True, [(RIGHT, 0.38)])] * 30 + [(False, [(WRONG, 0.22)])] * 30
    found = calibrate(matched_of(make_store, make_dataset, spec))
    parts = {part.name: part for part in found.parts}
    head = parts["cat:head"]
    assert 0.22 < head.tau <= 0.38
    assert head.tau == 0.35  # of equally good ones the nearest to the default
    assert head.reason == "picked"
    assert (head.examples, head.found) == (30, 60)
    assert (head.f1, head.f1_default) == (1.0, 0.0)
    assert parts["cat:body"].reason == "few examples"
    assert found.held_out_picked.f1 == 1.0
    assert found.held_out_default.f1 == 0.0
    assert found.thresholds() == {"default": 0.5, "parts": {"cat:head": 0.35}}
    read = validate(Thresholds, json.loads(json.dumps(found.thresholds())), "test")
    assert read.parts == {"cat:head": 0.35}  # what the engine reads


def test_parts_with_few_examples_keep_the_default(make_store, make_dataset):
    spec = [(True, [(RIGHT, 0.38)])] * 19
    assert calibrate(matched_of(make_store, make_dataset, spec)).thresholds()["parts"] == {}
    found = calibrate(matched_of(make_store, make_dataset, spec), min_examples=19)
    assert found.thresholds()["parts"] == {"cat:head": 0.35}


def test_precision_goal_takes_the_most_recall_that_is_precise_enough(make_store, make_dataset):
    spec = (
        [(True, [(RIGHT, 0.92)])] * 20
        + [(True, [(RIGHT, 0.62)])] * 20
        + [(False, [(WRONG, 0.62)])] * 3
        + [(True, [(RIGHT, 0.32)])] * 20
        + [(False, [(WRONG, 0.32)])] * 30
    )
    matched = matched_of(make_store, make_dataset, spec)
    tau = {
        goal: next(p.tau for p in calibrate(matched, goal).parts if p.name == "cat:head")
        for goal in ("precision=0.6", "precision=0.9", "precision=1")
    }
    assert tau["precision=0.6"] <= 0.3  # 60 of 93 right
    assert tau["precision=0.9"] == 0.5  # 40 of 43
    assert tau["precision=1"] == 0.65


def test_an_unreachable_precision_is_said(make_store, make_dataset):
    spec = [(True, [(WRONG, 0.8)])] * 25 + [(True, [(RIGHT, 0.6)])] * 25
    found = calibrate(matched_of(make_store, make_dataset, spec), "precision=0.9")
    [head] = [part for part in found.parts if part.name == "cat:head"]
    assert head.reason == "goal missed"
    assert head.tau == 0.5  # one half right: as near as it gets
    assert "cat:head" in found.thresholds()["parts"]


def test_held_out_figures_do_not_flatter_luck(make_store, make_dataset):
    """Scores that say nothing: the picked threshold cannot win on the other half."""
    spec = [(n % 3 == 0, [(RIGHT, 0.15 + 0.8 * (n * 7919 % 101) / 101)]) for n in range(60)]
    found = calibrate(matched_of(make_store, make_dataset, spec), min_examples=10)
    [head] = [part for part in found.parts if part.name == "cat:head"]
    assert head.f1 >= head.f1_default
    assert found.held_out_picked.f1 <= head.f1
    assert found.held_out_picked.true == found.held_out_default.true == 20


@pytest.mark.parametrize("goal", ["f2", "precision", "precision=0", "precision=2", "f1=1", ""])
def test_unknown_goals_are_refused(make_store, make_dataset, goal):
    matched = matched_of(make_store, make_dataset, [(True, [(RIGHT, 0.9)])])
    with pytest.raises(ConfigError, match="unknown goal"):
        calibrate(matched, goal)


def test_a_default_the_store_knows_nothing_about_is_refused(make_store, make_dataset):
    matched = matched_of(make_store, make_dataset, [(True, [(RIGHT, 0.9)])], threshold=0.6)
    with pytest.raises(ConfigError, match=r"below the store's threshold 0\.6"):
        calibrate(matched)


def test_the_grid_starts_at_the_stores_threshold_and_united_stores_warn(make_store, caplog):
    store = make_store([], threshold=0.42)
    assert lowest_score(store) == 0.42
    with caplog.at_level(logging.WARNING):
        assert grid(store)[:3] == [0.42, 0.45, 0.5]
    assert "unite=false" in caplog.text
    caplog.clear()
    apart = make_store([], folder="apart", config={"unite": False})
    with caplog.at_level(logging.WARNING):
        grid(apart)
    assert not caplog.text


def test_truth_the_segmenter_was_trained_on_is_refused(make_store, make_dataset, tmp_path, caplog):
    rows, truth = images([(True, [(RIGHT, 0.9)])] * 3)
    run = tmp_path / "seg"
    store = make_store(rows, run=str(run))
    matched = match(store, make_dataset(truth, image_root=tmp_path / "photos"))
    with caplog.at_level(logging.WARNING):
        refuse_leak(matched)  # nothing is known: a warning
    assert "not known whether" in caplog.text
    trained = make_dataset(truth[:2], folder="trained", image_root=tmp_path / "photos")
    about = {"backend": "x", "config": {}, "names": []}
    write_run(run, {**about, "data": {"path": str(trained.path)}})
    assert training_set(store).names == trained.names
    assert shared_with_training(matched) == (0, True)  # its pictures lie elsewhere
    (tmp_path / "trained" / "images").symlink_to(tmp_path / "photos")
    trained_here = [row[0] for row in truth[:2]]
    write_lines(run / "train_images.txt", trained_here)
    write_run(run, {**about, "data": {"path": "gone.json"}})
    assert shared_with_training(matched) == (2, True)
    with pytest.raises(DatasetError, match="2 of 3 truth images"):
        refuse_leak(matched)


def test_a_leak_is_seen_by_path_and_by_hash(make_store, make_dataset, tmp_path):
    rows, truth = images([(True, [(RIGHT, 0.9)])] * 3)
    run = tmp_path / "seg"
    store = make_store(rows, run=str(run))
    human = make_dataset(truth, folder="set", image_root=tmp_path / "set" / "images")
    folder = tmp_path / "set" / "images"
    folder.parent.mkdir(exist_ok=True)
    folder.symlink_to(tmp_path / "photos")
    write_run(
        run,
        {"backend": "x", "config": {}, "names": [], "data": {"path": str(human.path)}},
    )
    assert shared_with_training(match(store, human)) == (3, True)
    other = make_dataset(truth, folder="other", image_root=tmp_path / "photos")
    assert shared_with_training(match(store, other)) == (3, True)  # copies, seen by their bytes
    folder.unlink()
    shutil.copytree(tmp_path / "photos", folder)
    (folder / "cat/002.png").write_bytes(b"another picture")
    assert shared_with_training(match(store, other)) == (2, True)
    write_lines(run / "train_images.txt", ["cat/001.png"])  # the file holds more than was learnt
    assert shared_with_training(match(store, other)) == (1, True)
    (run / "train_images.txt").unlink()
    for dataset in (human, other):
        dataset.images[:] = [image.changed(sha256=image.file_name) for image in dataset.images]
    write_coco(human, human.path)
    assert read_coco(human.path).images[0].sha256
    assert shared_with_training(match(store, other)) == (3, True)


def with_crowd(truth, *crowd):
    """These (image id, annotation) pairs of the truth as crowd regions."""
    return replace(
        truth, annotations=[a.changed(iscrowd=int(a.id in crowd)) for a in truth.annotations]
    )


def pycocotools_ap(matched, tau):
    truth = COCO()
    lists = {"images": matched.truth.images, "categories": matched.truth.categories}
    lists["annotations"] = matched.truth.annotations
    truth.dataset = {name: [record.raw for record in each] for name, each in lists.items()}
    truth.createIndex()
    measured = COCOeval(truth, truth.loadRes(list(matched.results(tau))), "segm")
    measured.evaluate()
    measured.accumulate()
    precision = measured.eval["precision"][..., 0, 0]
    return float(precision[precision > -1].mean())


def test_crowd_regions_are_ignored_in_every_figure(make_store, make_dataset):
    """The second head is a crowd region; what lies in it is neither right nor wrong."""
    spec = [(True, [(RIGHT, 0.9)]), (True, [((2, 2, 6, 6), 0.8)]), (False, [(WRONG, 0.95)])]
    rows, drawn = images(spec)
    store = make_store(rows, pictures=False)
    truth = make_dataset(drawn, image_root=store.image_root)
    matched = match(store, with_crowd(truth, 2))
    assert count(matched, 0.1) == Counts(1, 2, 1)
    assert [pair.truth for pair in matched.pairs] == [True, False, False]
    assert set(matched.quality()) == {"cat/000.png", "cat/002.png"}
    (point,) = sweep(matched, ())
    assert point.ap == pytest.approx(pycocotools_ap(matched, 0.1), abs=1e-6)
    assert point.ap == pytest.approx(0.5, abs=1e-6)
    assert (point.precision, point.recall) == (0.5, 1.0)
    plain = match(store, truth)
    assert count(plain, 0.1) == Counts(1, 3, 2)


def test_crowd_and_single_masks_of_one_part_are_united_apart(make_store, make_dataset):
    boxes = [("cat:head", RIGHT), ("cat:head", (30, 0, 20, 20)), ("cat:head", (0, 25, 10, 10))]
    store = make_store([("cat/a.png", "cat", [(HEAD, RIGHT, 0.9)])])
    matched = match(store, with_crowd(make_dataset([("cat/a.png", "cat", boxes)]), 2, 3))
    assert [a.iscrowd for a in matched.truth.annotations] == [0, 1]
    assert [a.area for a in matched.truth.annotations] == [400, 500]
    assert matched.pairs[0].steps[0].iou == 1.0


def test_truth_without_pixels_stops_nothing(make_store, make_dataset, caplog):
    rows, drawn = images([(True, [(RIGHT, 0.9)]), (True, [(RIGHT, 0.8)])])
    store = make_store(rows, pictures=False)
    truth = make_dataset(drawn, image_root=store.image_root)
    odd = [truth.annotations[0], truth.annotations[1].changed(segmentation=[])]
    matched = match(store, replace(truth, annotations=odd))
    assert "1 of 2 masks has no usable pixels" in caplog.text
    assert len(matched.masks.left_out) == 1
    assert calibrate(matched).images == 2
    with pytest.raises(DatasetError, match=r"all 2 usable masks .* crowd regions"):
        match(store, with_crowd(truth, 1, 2))
