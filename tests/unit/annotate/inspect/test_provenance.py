"""Whether a model had a hand in what people drew (D-05)."""

from farm import hand_out, pull
from farm_drawn import drawn, mask, submit_drawn

from annotate.inspect.build import Wanted, build
from annotate.inspect.service import Inspection
from annotate.work import Work

ANN, INA = "ann@x.org", "ina@x.org"


def decide(work: Work, passed: bool = True) -> None:
    inspection = Inspection(work)
    reason = None if passed else "outline"
    for card in inspection.sample("ram", INA).cards:
        inspection.decide("ram", card.image_id, passed, INA, reason=reason)


def test_a_model_behind_the_masks_a_round_began_with_still_counts(work: Work) -> None:
    """D-05: in round 2 all is drawn afresh by hand, but over masks that a model had a hand in.

    Image 1's came from it, 2's were drawn with its suggestion in view, 3's by hand; of 4 none.
    """
    hand_out(work)
    pushed = {"model": "seg@1", "tasks": {"2": "abc"}}
    work.record("pushed", who="lead", object="ram", data=pushed)
    answers = [drawn(work, task.image_id) for task in work.tasks("ram", 1)]
    answers[0].masks = [mask("head", (6, 10, 14, 14), origin="prediction", model="seg@1")]
    answers[3].masks, answers[3].kind = [], "discard"
    pull(work, answers)
    for who in ("ina@x.org", "ben@x.org"):
        data = {
            "image_id": 4,
            "uphold": True,
            "note": None,
            "reason": None,
            "annotator": ANN,
        }
        work.record("discard-review", who=who, object="ram", data=data)
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})
    decide(work, passed=False)
    for round, begins_with in ((2, "r1:ann@x.org"), (3, "r2:ann@x.org")):
        hand_out(work, round=round, start_from=begins_with)
        submit_drawn(work)
        decide(work, passed=round == 3)
    images = build(work).dataset.image_by_id
    said = [images[i].raw["partlab"].get("suggested_by") for i in (1, 2, 3, 4)]
    assert said == ["seg@1", "seg@1", None, None]
    assert build(work, Wanted(human_only=True)).touched == 2


def test_a_model_called_like_a_round_is_a_model(work: Work) -> None:
    name = "r50:coco"
    hand_out(work)
    work.record("pushed", who="lead", object="ram", data={"model": name, "tasks": {"2": "abc"}})
    answers = [drawn(work, task.image_id) for task in work.tasks("ram", 1)]
    answers[0].masks = [mask("head", (6, 10, 14, 14), origin="prediction", model=name)]
    pull(work, answers)
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})
    decide(work)
    found = build(work).dataset
    assert found.annotations_of(found.image_by_id[1])[0].provenance == f"model-assisted:{name}"
    assert build(work, Wanted(human_only=True)).touched == 2
