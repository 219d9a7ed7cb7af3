"""A work as a part data set (D-01, D-05, M-03, M-07, Q-02)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farm import FARM, answer, hand_out, pull, start
from farm_drawn import drawn, mask, masks_of, paint, submit_drawn
from PIL import Image as PillowImage

from annotate.data.check import check_folder
from annotate.data.checks.settings import CheckSettings
from annotate.data.formats.pictures import Pictures
from annotate.data.statistics import measure
from annotate.inspect import showing
from annotate.inspect.build import Wanted, build, category_ids
from annotate.inspect.dataset import read_all
from annotate.inspect.discards import review_discard
from annotate.inspect.export import export, left_out
from annotate.inspect.service import Inspection
from annotate.vocabulary import ObjectParts, Part
from annotate.work import Image, Work
from annotate.work.pictures import remember_source
from partlab.coco import read_dataset
from partlab.errors import OutputExistsError, SchemaError, StateError, UnknownNameError
from partlab.files import sha256_file
from partlab.masks import area, decode, union

INA, BEN = "ina@x.org", "ben@x.org"
HAMMER = "schöner Hammer"


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("render", "render_sheet"):
        monkeypatch.setattr(showing, name, lambda *_: None)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with start(tmp_path / "work") as made:
        paint(made)
        yield made


def decide(work: Work, object: str = "ram", passed: bool = True) -> None:
    inspection = Inspection(work)
    reason = None if passed else "outline"
    for card in inspection.sample(object, INA).cards:
        inspection.decide(object, card.image_id, passed, INA, reason=reason)


def looked_at(state: str) -> set[str]:
    """What is said of the images of a round in which all that were drawn passed."""
    return {f"{state}, passed by {INA}", f"{state}, not looked at"}


def accepted(work: Work, object: str = "ram", **changes: Any) -> None:
    """One round, drawn and accepted."""
    hand_out(work, object)
    submit_drawn(work, object, **changes)
    decide(work, object)


def test_the_newest_accepted_round_is_exported(work: Work, tmp_path: Path) -> None:
    """Q-02: a rejected round leaves nothing in the data set."""
    hand_out(work)
    ids = [task.image_id for task in work.tasks("ram", 1)]
    pull(work, [drawn(work, i, masks=[mask("body", (0, 0, 64, 48))]) for i in ids])
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m1"})
    decide(work, passed=False)
    hand_out(work, round=2)
    submit_drawn(work)
    decide(work)
    told = export(work, tmp_path / "out")
    assert (told["images"], told["masks"], told["categories"], told["objects"]) == (12, 36, 3, 1)
    found = read_dataset(tmp_path / "out")
    assert {a.review for a in found.annotations} == looked_at("accepted r2")
    assert {a.provenance for a in found.annotations} == {"human:ann@x.org"}
    assert found.inclusions == {"ram": {"horn": "head"}}
    for a in found.annotations:
        part = found.category_by_id[a.category_id].part
        want = next(m for m in masks_of("ram", a.image_id) if m["part"] == part)
        assert a.segmentation == want["rle"]  # bit for bit: no mask is flattened (M-03)
        assert (a.area, a.object_id) == (area(want["rle"]), 1)
    report = check_folder(tmp_path / "out")
    assert [f.message for f in report.findings] == []


def test_nothing_accepted_is_said(work: Work, tmp_path: Path) -> None:
    hand_out(work)
    with pytest.raises(StateError, match="no object category is accepted yet: 1 annotating"):
        export(work, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_that_failed_says_so_and_can_be_left_out(work: Work, tmp_path: Path) -> None:
    """One bad image of ten does not reject a category (Q-02), and is bad all the same."""
    hand_out(work)
    submit_drawn(work)
    inspection = Inspection(work)
    bad, *others = [card.image_id for card in inspection.sample("ram", INA).cards]
    inspection.decide("ram", bad, False, INA, reason="outline", note="too low")
    for image_id in others:
        inspection.decide("ram", image_id, True, INA)
    told = export(work, tmp_path / "all")
    assert (told["images"], told["failed_but_in_it"], told["left_out_failed"]) == (12, 1, 0)
    found = read_dataset(tmp_path / "all")
    said = {image.id: image.raw["partlab"].get("verdict") for image in found.images}
    why = {"passed": False, "inspector": INA, "reason": "outline", "note": "too low"}
    assert said[bad] == why
    assert sum(verdict is None for verdict in said.values()) == 2  # never looked at
    reviews = {a.review for a in found.annotations if a.image_id == bad}
    assert reviews == {f"accepted r1, failed by {INA}: outline"}
    told = export(work, tmp_path / "good", Wanted(exclude_failed=True))
    assert (told["images"], told["failed_but_in_it"], told["left_out_failed"]) == (11, 0, 1)
    assert bad not in {image.id for image in read_dataset(tmp_path / "good").images}
    assert told["left_out_not_drawn"] == 0  # counted once, for what it is


def test_open_categories_only_when_asked(work: Work, tmp_path: Path) -> None:
    accepted(work)
    hand_out(work, HAMMER)
    pull(work, [drawn(work, 13, HAMMER)], HAMMER)
    told = export(work, tmp_path / "accepted")
    assert (told["objects"], told["waiting"]) == (1, {HAMMER: "annotating"})
    told = export(work, tmp_path / "open", Wanted(include_open=True))
    assert (told["objects"], told["images"], told["left_out_not_drawn"]) == (2, 13, 2)
    found = read_dataset(tmp_path / "open")
    reviews = {a.review for a in found.annotations}
    assert reviews == {*looked_at("accepted r1"), "annotating r1, not looked at"}


def test_one_category_alone_and_the_rest_is_counted(work: Work, tmp_path: Path) -> None:
    for name in ("ram", HAMMER):
        hand_out(work, name)
        submit_drawn(work, name)
        decide(work, name)
    told = export(work, tmp_path / "one", Wanted(objects=("ram",)))
    assert (told["objects"], told["left_out_not_named"], told["waiting"]) == (1, 1, {})
    assert "1 object category that was not named" in left_out(told)
    dataset = read_dataset(tmp_path / "one")
    assert {category.object for category in dataset.categories} == {"ram"}
    assert export(work, tmp_path / "all")["left_out_not_named"] == 0
    with pytest.raises(UnknownNameError, match="horse"):
        export(work, tmp_path / "none", Wanted(objects=("horse",)))


def test_one_category_that_is_not_accepted_is_named(work: Work, tmp_path: Path) -> None:
    hand_out(work)
    submit_drawn(work)
    with pytest.raises(StateError, match="none of ram is accepted yet: 1 submitted"):
        export(work, tmp_path / "out", Wanted(objects=("ram",)))


def test_numbers_of_categories_stay_when_the_vocabulary_changes(work: Work, tmp_path: Path) -> None:
    """A part that goes keeps its number, one that comes gets a new one, wherever it stands."""
    accepted(work)
    export(work, tmp_path / "one")
    before = category_ids(work)
    assert before == {("ram", "head"): 1, ("ram", "horn"): 2, ("ram", "body"): 3,
                      (HAMMER, "handle"): 4}  # fmt: skip
    parts = (Part(name="tail"), Part(name="head"), Part(name="body"))
    ram = ObjectParts(name="ram", parts=parts, wnid="n02412080")
    work.replace_vocabulary(FARM.replaced([ram]), "lead")
    after = category_ids(work)
    assert after == {**before, ("ram", "tail"): 5}
    found = build(work).dataset
    assert [(c.id, c.name, c.wnid) for c in found.categories] == [
        (5, "ram:tail", "n02412080"),
        (1, "ram:head", "n02412080"),
        (3, "ram:body", "n02412080"),
    ]


def test_looking_gives_no_numbers(work: Work) -> None:
    accepted(work)
    events = len(work.events())
    build(work, keep_ids=False)
    read_all(work.folder)
    assert len(work.events()) == events


def test_images_say_where_they_come_from(work: Work, tmp_path: Path) -> None:
    """D-01, D-04, D-06: origin, source and licence travel along."""
    facts = {"origin_split": "train", "license": "CC0-1.0", "source": "us"}
    row = {"id": 50, "object": "ram", "file_name": "ram/50.png", "width": 64, "height": 48}
    row |= {"shown": [64, 48], "rank": 12, "sha256": "0" * 64, "ours": facts}
    work.record("images", who="lead", data={"images": [row]})
    paint(work)
    accepted(work)
    image = build(work).dataset.image_by_id[50]
    assert (image.origin_split, image.license, image.source) == ("train", "CC0-1.0", "us")
    assert (image.sha256, image.object) == ("0" * 64, "ram")


def test_final_discards_carry_both_verdicts(work: Work, tmp_path: Path) -> None:
    """M-07, Q-04: kept for ever, with who refused and who looked; waiting ones are not final."""
    hand_out(work)
    pull(work, [answer(work, 2, "discard"), answer(work, 3, "discard")])
    inspection = Inspection(work)
    for who in (INA, BEN):
        review_discard(inspection.work, "ram", 2, True, who, note="blur")
    work.record("abandoned", who="lead", object="ram", data={"reason": "left"})
    hand_out(work, round=2)
    ids = [task.image_id for task in work.tasks("ram", 2) if task.image_id != 2]
    pull(work, [drawn(work, i) for i in ids] + [answer(work, 2, "discard")])
    for who in (INA, BEN):
        review_discard(inspection.work, "ram", 2, True, who)
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})
    decide(work)
    told = export(work, tmp_path / "out", pictures=Pictures.copy)
    assert (told["images"], told["discards"]) == (11, 1)
    (one,) = read_dataset(tmp_path / "out").discards
    assert (one.file_name, one.object, one.reason) == ("ram/1.jpg", "ram", "low quality")
    assert one.annotator == "ann@x.org"
    assert [(v["inspector"], v["uphold"]) for v in one.verdicts or []] == [(INA, True), (BEN, True)]
    assert (tmp_path / "out" / "images" / "ram" / "1.jpg").is_file()  # never deleted
    assert check_folder(tmp_path / "out").errors == 0


def test_a_discard_that_waits_is_not_final(work: Work, tmp_path: Path) -> None:
    hand_out(work)
    pull(work, [drawn(work, 1), answer(work, 2, "discard")])
    told = export(work, tmp_path / "out", Wanted(include_open=True))
    assert (told["images"], told["discards"], told["left_out_not_drawn"]) == (1, 0, 11)


def test_an_image_drawn_after_all_is_no_discard(work: Work, tmp_path: Path) -> None:
    """Refused in round 1, upheld by two, and yet drawn in round 2."""
    hand_out(work)
    submit_drawn(work, discards=(2,))
    inspection = Inspection(work)
    for who in (INA, BEN):
        review_discard(inspection.work, "ram", 2, True, who)
    decide(work, passed=False)
    hand_out(work, round=2)
    submit_drawn(work)
    decide(work)
    found = build(work)
    assert (len(found.dataset.images), found.dataset.discards) == (12, [])


def test_masks_of_a_part_that_is_gone_are_counted(work: Work, tmp_path: Path) -> None:
    """Nothing leaves silently: a vocabulary changed by hand beside an accepted category."""
    accepted(work)
    ram = ObjectParts(name="ram", parts=(Part(name="head"), Part(name="body")))
    work.replace_vocabulary(FARM.replaced([ram]), "lead")
    told = export(work, tmp_path / "out")
    assert (told["masks"], told["left_out_unknown_part"]) == (24, 12)


def test_what_a_model_touched_is_said_and_can_be_left_out(work: Work, tmp_path: Path) -> None:
    """D-05: a mask taken, a mask changed, or only a suggestion seen."""
    hand_out(work)
    pushed = {"model": "seg@1", "tasks": {"3": "abc", "4": "abc-blank"}}
    work.record("pushed", who="lead", object="ram", data=pushed)
    ids = [task.image_id for task in work.tasks("ram", 1)]
    answers = {i: drawn(work, i) for i in ids}
    head = (6, 10, 14, 14)
    answers[1].masks = [mask("head", head, origin="prediction", model="seg@1")]
    answers[2].masks = [mask("head", head, origin="prediction-changed", model="seg@2")]
    pull(work, list(answers.values()))
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})
    decide(work)
    found = build(work).dataset
    said = {a.image_id: a.provenance for a in found.annotations}
    assert (said[1], said[2]) == ("model-assisted:seg@1", "model-assisted:seg@2")
    assert said[3] == said[4] == "human:ann@x.org"  # drawn by hand, after looking
    assert found.image_by_id[3].raw["partlab"]["suggested_by"] == "seg@1"
    assert "suggested_by" not in found.image_by_id[4].raw["partlab"]  # nothing was shown
    export(work, tmp_path / "all")
    gate = CheckSettings(human_only=True)
    assert {f.image_id for f in check_folder(tmp_path / "all", settings=gate).findings} == {1, 2, 3}
    told = export(work, tmp_path / "people", Wanted(human_only=True))
    assert (told["images"], told["left_out_model_helped"]) == (9, 3)
    assert check_folder(tmp_path / "people", settings=gate).errors == 0


def test_a_model_of_an_earlier_round_still_counts(work: Work, tmp_path: Path) -> None:
    """D-05 through rounds: round 2 began with round 1's masks, of which one was a model's."""
    hand_out(work)
    ids = [task.image_id for task in work.tasks("ram", 1)]
    first = {i: drawn(work, i) for i in ids}
    first[1].masks = [mask("head", (6, 10, 14, 14), origin="prediction", model="seg@1")]
    pull(work, list(first.values()))
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})
    decide(work, passed=False)
    hand_out(work, round=2, start_from="r1:ann@x.org")
    again = {i: drawn(work, i) for i in ids}
    for i in (1, 2):
        taken = {"origin": "prediction", "model": "r1:ann@x.org"}
        again[i].masks = [{**m, **taken} for m in first[i].masks]
    pull(work, list(again.values()))
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})
    decide(work)
    said = {a.image_id: a.provenance for a in build(work).dataset.annotations}
    assert (said[1], said[2]) == ("model-assisted:seg@1", "human:ann@x.org")
    assert build(work, Wanted(human_only=True)).touched == 1


def test_nothing_of_people_alone(work: Work, tmp_path: Path) -> None:
    masks = [mask("head", (6, 10, 14, 14), origin="prediction", model="seg")]
    accepted(work, masks=masks)
    with pytest.raises(StateError, match="a model helped with all 12 images"):
        export(work, tmp_path / "out", Wanted(human_only=True))


def test_masks_of_one_part_of_one_object_are_united(work: Work) -> None:
    """A merge of two parts leaves two layers under one name (V-07); instances stay apart."""
    two = [mask("head", (0, 0, 5, 5)), mask("head", (10, 0, 5, 5)), mask("head", (20, 0, 5, 5), 2)]
    accepted(work, masks=two)
    masks = build(work).dataset.annotations_of(1)
    assert [(a.object_id, a.area) for a in masks] == [(1, 50), (2, 25)]
    expected = decode(union([two[0]["rle"], two[1]["rle"]]))
    assert (decode(masks[0].segmentation) == expected).all()


def test_rounds_side_by_side(work: Work, tmp_path: Path) -> None:
    hand_out(work)
    submit_drawn(work)
    decide(work, passed=False)
    hand_out(work, round=2)
    submit_drawn(work)
    told = export(work, tmp_path / "out", by_round=True)
    assert {name: n["images"] for name, n in told["rounds"].items()} == {"r1": 12, "r2": 12}
    first, second = (read_dataset(tmp_path / "out" / name) for name in ("r1", "r2"))
    assert {a.review for a in first.annotations} == {
        "rejected r1, not looked at",
        f"rejected r1, failed by {INA}: outline",
    }
    assert {a.review for a in second.annotations} == {"submitted r2, not looked at"}
    assert check_folder(tmp_path / "out" / "r1").errors == 0


def test_the_manifest_names_rounds_and_hashes(work: Work, tmp_path: Path) -> None:
    accepted(work)
    export(work, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    file = tmp_path / "out" / "annotations" / "all.json"
    assert manifest["sha256"] == {"annotations/all.json": sha256_file(file)}
    about = manifest["rounds"]["ram"]
    assert (about["round"], about["state"], about["annotator"]) == (1, "accepted", "ann@x.org")
    assert (about["manifest_hash"], about["plan"]) == ("m", "paper")
    assert manifest["work"]["vocabulary"]["sha256"] == work.vocabulary.hash


def test_effort_stays_with_the_exported_data_set(work: Work, tmp_path: Path) -> None:
    """Q-03: `partlab data stats` tells the same of the work and of its export."""
    accepted(work)
    export(work, tmp_path / "out")
    (one, two) = (measure(read_all(path), "x").effort for path in (work.folder, tmp_path / "out"))
    assert one is not None
    assert one == two
    assert (one.annotators, one.inspectors, one.verdicts) == (1, 1, 10)


def test_pictures_are_those_of_the_masks_size(work: Work, tmp_path: Path) -> None:
    """A picture shown smaller is exported from the original; without it, it is missing."""
    row = {"id": 50, "object": "ram", "file_name": "ram/big.png", "width": 128, "height": 96}
    row |= {"shown": [64, 48], "rank": 12}
    work.record("images", who="lead", data={"images": [row]})
    hand_out(work)
    big = mask("head", (0, 0, 5, 5))
    big["rle"] = {"size": [96, 128], "counts": _full(96, 128)}
    pull(work, [drawn(work, i) for i in range(1, 13)] + [drawn(work, 50, masks=[big])])
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})
    decide(work)
    paint_at(work, 50, (64, 48))
    assert export(work, tmp_path / "without")["missing_pictures"] == 1
    originals = tmp_path / "originals"
    (originals / "ram").mkdir(parents=True)
    PillowImage.fromarray(np.full((96, 128, 3), 90, np.uint8)).save(originals / "ram" / "big.png")
    remember_source(work.folder, originals)
    assert export(work, tmp_path / "with")["missing_pictures"] == 0
    assert check_folder(tmp_path / "with").errors == 0


def _full(height: int, width: int) -> str:
    from partlab.masks import encode

    return encode(np.ones((height, width), bool))["counts"]


def paint_at(work: Work, id: int, size: tuple[int, int]) -> None:
    path = work.folder / "images" / "ram" / f"{id:06d}.png"
    PillowImage.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path)


def test_a_name_outside_the_data_set_is_refused(work: Work, tmp_path: Path) -> None:
    row = Image(id=60, object="ram", file_name="../evil.png", width=64, height=48,
                shown=[64, 48], rank=13)  # fmt: skip
    facts = {name: getattr(row, name) for name in ("id", "object", "file_name", "width", "height")}
    facts |= {"shown": row.shown, "rank": row.rank}
    work.record("images", who="lead", data={"images": [facts]})
    paint(work)
    accepted(work)
    with pytest.raises(SchemaError, match="outside the data set"):
        export(work, tmp_path / "out")


def test_an_existing_folder_is_not_overwritten(work: Work, tmp_path: Path) -> None:
    accepted(work)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        export(work, tmp_path / "out")
    with pytest.raises(OutputExistsError, match="is or holds the input"):
        export(work, work.folder, force=True)
    export(work, tmp_path / "out", force=True)
    assert not (tmp_path / "out" / "mine.txt").exists()


def test_a_category_accepted_in_another_round_does_not_wait(work: Work) -> None:
    accepted(work)
    assert build(work, round=2).waiting == {}
    hand_out(work, HAMMER)
    assert build(work, round=2).waiting == {HAMMER: "annotating"}
