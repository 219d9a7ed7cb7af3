"""Audit: wrong annotations are ranked first (moonshot 6 of D5; D3, Cleanlab)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from counted import calls

from annotate.inspect.audit import audit, auroc
from annotate.inspect.plan import RANKED
from annotate.inspect.plant import KINDS, measure, plant_errors
from partlab.errors import ConfigError, DatasetError, UnknownNameError
from partlab.masks import area, decode, encode, iou, union
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.ap import mask_ap

Change = Callable[..., Dataset]


def test_the_predictions_are_as_bad_as_a_small_networks(
    truth: Dataset, predictions: Dataset
) -> None:
    """The quickstart's segmenter reaches AP 0.55 with the category filter."""
    results = [{**a.raw, "score": a.score} for a in predictions.annotations]
    assert 0.4 < (mask_ap(truth, results).ap or 0) < 0.62


def test_planted_errors_are_found(truth: Dataset, predictions: Dataset) -> None:
    """AUROC >= 0.9 over all kinds, every kind well above chance."""
    trials = [measure(truth, predictions, share=0.2, seed=seed) for seed in range(3)]
    assert np.mean([trial.auroc for trial in trials]) >= 0.9
    for kind in KINDS:
        assert np.mean([trial.by_kind[kind] for trial in trials]) > 0.8, kind
    assert all(trial.planted == round(0.2 * trial.images) for trial in trials)


def test_united_predictions_serve_too(truth: Dataset, predictions: Dataset) -> None:
    """Pseudo labels come with the instances of a part united unless asked otherwise (B4.3)."""
    best: dict[tuple[int, int], Annotation] = {}
    for one in predictions.annotations:
        key = one.image_id, one.category_id
        if key not in best or one.score > best[key].score:
            best[key] = one
    assert measure(truth, replace(predictions, annotations=list(best.values()))).auroc > 0.75


def test_united_predictions_do_not_make_several_instances_suspicious(truth: Dataset) -> None:
    """The truth with the instances of each part united, beside the truth: nothing is wrong."""
    groups: dict[tuple[int, int], list[Annotation]] = {}
    for one in truth.annotations:
        groups.setdefault((one.image_id, one.category_id), []).append(one)
    assert any(len(group) > 1 for group in groups.values())
    united = [
        group[0].changed(segmentation=union([one.segmentation for one in group]))
        for group in groups.values()
    ]
    told = audit(truth, replace(truth, annotations=united))
    assert max(one.suspicion for one in told.suspects) < 0.2


def test_sizes_alone_find_some(truth: Dataset) -> None:
    """Without a segmenter an audit is better than chance, and much worse than with one."""
    assert 0.6 < measure(truth, None).auroc < 0.9


def test_a_predictor_that_knows_nothing_ranks_nothing(truth: Dataset, predictions: Dataset) -> None:
    """Predictions of other pictures: what is left is what sizes alone tell."""
    ids = [image.id for image in truth.images]
    other = dict(zip(ids, ids[1:] + ids[:1], strict=True))
    wrong = [a.changed(image_id=other[a.image_id]) for a in predictions.annotations]
    found = measure(truth, replace(predictions, annotations=wrong)).auroc
    assert found < measure(truth, None).auroc + 0.05


def first(dataset: Dataset, masks: int) -> Image:
    """An image of one object with at least so many masks."""
    return next(
        i
        for i in dataset.images
        if len(own := dataset.annotations_of(i)) >= masks and len({a.object_id for a in own}) == 1
    )


def reasons(truth: Dataset, wrong: Dataset, image: Image) -> dict[str, str]:
    """Kind -> part of what the audit says of one image; the predictions are the truth."""
    told = audit(wrong, truth)
    assert told.suspects[0].image_id == image.id
    return {why.kind: why.part for why in told.suspects[0].reasons}


def test_a_missing_part_is_named(truth: Dataset, change: Change) -> None:
    image = first(truth, 3)
    lost = truth.annotations_of(image)[1]
    wrong = change(truth, image, lambda a: None if a.id == lost.id else a)
    assert reasons(truth, wrong, image)["missing"] == truth.category_by_id[lost.category_id].name


def test_swapped_labels_are_named(truth: Dataset, change: Change) -> None:
    image = first(truth, 3)
    a, b = truth.annotations_of(image)[:2]
    other = {a.id: b.category_id, b.id: a.category_id}
    wrong = change(truth, image, lambda m: m.changed(category_id=other.get(m.id, m.category_id)))
    told = audit(wrong, truth).suspects[0]
    swapped = [why for why in told.reasons if why.kind == "swapped"]
    assert {why.annotation_id for why in swapped} == {a.id, b.id}
    assert truth.category_by_id[a.category_id].name in swapped[0].message + swapped[1].message


def test_a_mask_in_the_wrong_place_is_named(truth: Dataset, change: Change) -> None:
    image = first(truth, 2)
    moved = truth.annotations_of(image)[0]
    mask = encode(np.roll(decode(moved.segmentation), 30, 0))
    wrong = change(truth, image, lambda a: a.changed(segmentation=mask) if a.id == moved.id else a)
    found = reasons(truth, wrong, image)
    assert found["placed"] == truth.category_by_id[moved.category_id].name


def test_a_mask_that_is_too_large_is_named(truth: Dataset) -> None:
    planted = plant_errors(truth, 0.05, kinds=["sloppy"])
    told = audit(planted.dataset, truth)
    top = told.suspects[: len(planted.kinds)]
    assert {one.image_id for one in top} == set(planted.kinds)
    assert all(
        "times as" in one.reasons[0].message for one in top if one.reasons[0].kind != "missing"
    )


def test_a_broken_mask_is_told_and_comes_first(truth: Dataset, change: Change) -> None:
    image = first(truth, 2)
    bad = truth.annotations_of(image)[0]
    broken = {"size": [96, 96], "counts": "not run lengths"}
    wrong = change(truth, image, lambda a: a.changed(segmentation=broken) if a.id == bad.id else a)
    told = audit(wrong, truth).suspects[0]
    assert told.image_id == image.id
    assert told.reasons[0].annotation_id == bad.id
    assert "broken" in {why.kind for why in told.reasons}


def test_right_annotations_are_not_suspected(truth: Dataset) -> None:
    """Beside themselves as predictions nothing is placed wrongly, missing or swapped."""
    for suspect in audit(truth, truth).suspects:
        assert suspect.suspicion < 0.2
        assert {why.kind for why in suspect.reasons} <= {"unusual"}


def test_images_and_parts_that_the_segmenter_does_not_know(
    truth: Dataset, predictions: Dataset
) -> None:
    some = [i.id for i in predictions.images[:100]]
    fewer = predictions.subset(some)
    lost = fewer.categories[0]
    fewer = replace(
        fewer,
        categories=fewer.categories[1:],
        annotations=[a for a in fewer.annotations if a.category_id != lost.id],
    )
    told = audit(truth, fewer)
    assert len(told.unseen) == len(truth.images) - 100
    assert list(told.unknown_parts) == [lost.name]
    assert len(told.suspects) == len(truth.images)
    for one in told.suspects:
        if one.file_name in told.unseen:
            assert {why.kind for why in one.reasons} <= {"unusual"}
        assert all(why.part != lost.name for why in one.reasons if why.kind == "placed")


def test_nothing_in_common_is_said(truth: Dataset, predictions: Dataset) -> None:
    renamed = [i.changed(file_name=f"elsewhere/{i.file_name}") for i in predictions.images]
    with pytest.raises(DatasetError, match="no image"):
        audit(truth, replace(predictions, images=renamed))
    other = [Category.new(c.id, "tree", f"leaf {c.id}") for c in predictions.categories]
    with pytest.raises(DatasetError, match="none of the parts"):
        audit(truth, replace(predictions, categories=other))
    assert audit(replace(truth, images=[], annotations=[])).suspects == []


def test_the_ranked_plan_takes_the_audit(truth: Dataset, predictions: Dataset) -> None:
    told = audit(truth, predictions)
    ids = [image.id for image in truth.images]
    assert RANKED.next_images(ids, {}, told.suspicion) == [told.suspects[0].image_id]


def test_as_json_holds_every_image(truth: Dataset, predictions: Dataset) -> None:
    told = audit(truth, predictions).as_json()
    assert len(told["images"]) == len(truth.images)
    assert told["images"][0]["reasons"][0].keys() >= {"kind", "part", "message", "weight"}


def test_each_kind_of_error_is_what_it_says(truth: Dataset) -> None:
    """Planted errors are large, of one kind, and leave the other images alone."""
    for kind in KINDS:
        planted = plant_errors(truth, 0.1, kinds=[kind], seed=2)
        assert set(planted.kinds.values()) == {kind}
        for image in truth.images:
            before, after = truth.annotations_of(image), planted.dataset.annotations_of(image)
            if image.id not in planted.kinds:
                assert before == after
            elif kind == "missing":
                assert len(after) == len(before) - 1
            elif kind == "extra":
                assert after[: len(before)] == before
                assert len(after) == len(before) + 1
                same = [a for a in before if a.category_id == after[-1].category_id]
                overlap = iou([after[-1].segmentation], [a.segmentation for a in same])
                assert same
                assert overlap.max() == 0
            elif kind == "swapped":
                assert sorted(a.category_id for a in before) == sorted(a.category_id for a in after)
                assert [a.category_id for a in before] != [a.category_id for a in after]
                assert [a.segmentation for a in before] == [a.segmentation for a in after]
            else:
                assert len(after) == len(before)
                overlaps = [
                    iou([a.segmentation], [b.segmentation])[0, 0]
                    for a, b in zip(before, after, strict=True)
                ]
                assert min(overlaps) < 0.8
                if kind != "careless":
                    assert sum(overlap < 1 for overlap in overlaps) == 1
            for one in after:
                assert one.area == area(one.segmentation) > 0


def test_planting_is_seeded_and_careful(truth: Dataset) -> None:
    one, again, other = (plant_errors(truth, 0.2, seed=seed) for seed in (4, 4, 5))
    assert one.kinds == again.kinds != other.kinds
    assert list(one.dataset.annotations) == list(again.dataset.annotations)
    assert plant_errors(truth, 0).kinds == {}
    with pytest.raises(UnknownNameError, match="slopy"):
        plant_errors(truth, kinds=["slopy"])
    with pytest.raises(ConfigError, match="between 0 and 1"):
        plant_errors(truth, 1.5)


def test_auroc() -> None:
    """The textbook pair count, with ties."""
    rng = np.random.default_rng(0)
    scores, wrong = rng.integers(0, 8, 60), rng.random(60) < 0.3
    high, low = scores[wrong], scores[~wrong]
    pairs = np.mean([(h > g) + 0.5 * (h == g) for h in high for g in low])
    assert auroc(scores.tolist(), wrong.tolist()) == pytest.approx(pairs)
    assert auroc([1, 2], [False, True]) == 1
    assert np.isnan(auroc([1, 2], [True, True]))


def test_twice_the_masks_are_twice_the_work(truth: Dataset, predictions: Dataset) -> None:
    """100,000 masks take minutes, not hours (D5); how many, `benchmarks/bench_audit.py` says."""
    one = calls(lambda: audit(truth, predictions))
    both = twice(truth), twice(predictions)
    assert calls(lambda: audit(*both)) < 2.1 * one


def twice(dataset: Dataset) -> Dataset:
    """Every image once more, under another name."""
    far = 1_000_000
    images = [i.changed(id=i.id + far, file_name=f"2/{i.file_name}") for i in dataset.images]
    more = [a.changed(id=a.id + far, image_id=a.image_id + far) for a in dataset.annotations]
    kept = {"images": [*dataset.images, *images]}
    return replace(dataset, **kept, annotations=[*dataset.annotations, *more])


@pytest.mark.slow
def test_with_a_trained_segmenter(tmp_path: Path) -> None:
    """A small network trained on other pictures of the same world finds the errors."""
    from annotate.data.formats.pictures import Pictures
    from annotate.world import WorldConfig, make_world
    from partlab.coco import read_coco
    from pseudolabel.engine import label_images
    from pseudolabel.export import export_coco
    from pseudolabel.settings import Settings, Thresholds
    from pseudolabel.store import Store
    from segmenter.train import train_segmenter

    world = tmp_path / "world"
    make_world(world, WorldConfig(images=420, pool=0, heldout=210, size=128, seed=23))
    train_segmenter(world, tmp_path / "seg", recipe="small", overrides=["train.epochs=6"])
    settings = Settings(thresholds=Thresholds(default=0.05), unite=False)
    label_images(world, tmp_path / "seg", tmp_path / "store", settings, split="heldout", workers=0)
    export_coco(Store.open(tmp_path / "store"), tmp_path / "found", pictures=Pictures.none)
    truth = read_coco(world / "annotations" / "heldout.json")
    found = read_coco(tmp_path / "found" / "annotations" / "pseudo.json")
    assert np.mean([measure(truth, found, seed=seed).auroc for seed in range(5)]) >= 0.9
