"""Whose annotation counts, what is told of the others, and what an answer is made of."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_tasks import FakeTasks, drawn, refused
from farm import FARM, hand_out, start
from sqlalchemy import select

from annotate.studio.acts.pull import Pulled, pull, read_export
from annotate.studio.acts.reassign import reassign
from annotate.studio.acts.status import standings
from annotate.studio.api.raw import RawTask
from annotate.studio.spelling.codec import encode_brush
from annotate.work import Answer, Flag, Work, rebuild_work
from annotate.work.tables import Image
from partlab.errors import StateError, StudioError
from partlab.files import read_json
from partlab.masks import decode

RAM = FARM.object("ram")
HEAD, BODY = (5, 5, 20, 20), (30, 5, 20, 30)
PAYLOADS = Path(__file__).parents[5] / "shared" / "data" / "labelstudio-payloads"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with start(tmp_path / "work") as work:
        hand_out(work)
        yield work
        before = [e.after for e in work.events()]
        again = tmp_path / "again"
        work.folder.rename(again)  # every rule holds in a rebuild as well
        work.close()
        rebuild_work(again, read_export)
        with Work.open(again) as rebuilt:
            assert [e.after for e in rebuilt.events()] == before


def fetch(work: Work, server: FakeTasks, **how: Any) -> Pulled:
    with server.client() as studio:
        return pull(work, studio, **how)[-1]


def answer(work: Work, image_id: int = 1, round: int = 1) -> Answer | None:
    with work.read() as session:
        return session.get(Answer, ("ram", round, image_id))


def parts(work: Work, image_id: int = 1) -> list[str]:
    found = answer(work, image_id)
    assert found is not None
    return [mask["part"] for mask in found.masks]


def flags(work: Work) -> dict[str, str]:
    """Message by kind."""
    return {flag.kind: flag.message for flag in work.flags()}


def test_a_foreign_annotation_is_told_and_not_taken(work: Work, server: FakeTasks) -> None:
    """M-05: one annotator draws all images of a category."""
    made = server.annotate(1001, drawn(RAM, head=HEAD), by=3)
    assert fetch(work, server).flags == 1
    assert answer(work) is None
    (message,) = flags(work).values()
    assert message == (
        f"project 71 task 1001 annotation {made} (ram/0.jpg): ben@x.org drew it, but ram is "
        "ann@x.org's; not taken: delete it, or hand the whole category over with "
        "`partlab studio reassign`"
    )
    server.annotate(1001, drawn(RAM, body=BODY))
    fetch(work, server)
    assert parts(work) == ["body"]
    assert list(flags(work)) == ["foreign-annotation"]


def hand_over(work: Work, server: FakeTasks, to: str, **how: Any) -> int:
    with server.client() as studio:
        return reassign(work, studio, "ram", to, **how)[1]


def test_handed_over_to_who_drew_it_the_drawings_count(work: Work, server: FakeTasks) -> None:
    """M-05: what the flag advises; a category may come back, too."""
    for task in (1001, 1002):
        server.annotate(task, drawn(RAM, head=HEAD), by=3)
    assert fetch(work, server).flags == 2
    hand_over(work, server, "ben@x.org")
    told = fetch(work, server)
    assert (told.masks, told.open, standings(work)[0].flags) == (2, 10, ())


def test_handed_over_and_back_what_was_flagged_is_flagged_again(
    work: Work, server: FakeTasks
) -> None:
    server.annotate(1001, drawn(RAM, head=HEAD), by=3, was_cancelled=True)
    for to, flagged in (("ben@x.org", "skipped it"), ("ann@x.org", "ben@x.org drew it")):
        hand_over(work, server, to)
        fetch(work, server)
        assert any(flagged in flag for flag in standings(work)[0].flags)


def test_what_is_not_pulled_yet_is_not_overlooked_when_a_category_changes_hands(
    work: Work, server: FakeTasks
) -> None:
    server.annotate(1001, drawn(RAM, head=HEAD))
    assert hand_over(work, server, "ben@x.org", dry_run=True) == 0  # nothing is pulled for it
    with pytest.raises(StateError, match=r"already has 1 answer of ann@x\.org"):
        hand_over(work, server, "ben@x.org")
    assert parts(work) == ["head"]
    server.annotate(1002, drawn(RAM, body=BODY))
    assert hand_over(work, server, "ben@x.org", force=True) == 2
    assert parts(work, 2) == ["body"]  # and its export is kept
    assert [(b.state, b.assignee) for b in work.rounds("ram")] == [
        ("abandoned", "ann@x.org"),
        ("planned", "ben@x.org"),
    ]


def test_a_category_whose_project_is_gone_can_be_handed_over(work: Work, server: FakeTasks) -> None:
    server.projects.clear()
    with pytest.raises(StudioError, match="gone") as refused:
        hand_over(work, server, "ben@x.org")
    assert "or go on with --force" in str(refused.value.hint)
    assert work.batch("ram").assignee == "ann@x.org"
    hand_over(work, server, "ben@x.org", force=True)
    assert work.batch("ram").assignee == "ben@x.org"


def test_a_foreign_edit_leaves_what_was_pulled_before(work: Work, server: FakeTasks) -> None:
    made = server.annotate(1001, drawn(RAM, head=HEAD))
    fetch(work, server)
    server.change(made, by=3, result=drawn(RAM, body=BODY))
    fetch(work, server)
    assert parts(work) == ["head"]
    message = flags(work)["foreign-edit"]
    assert "last changed by ben@x.org in the name of ann@x.org" in message
    assert "what was pulled before stays" in message
    server.change(made, by=2)  # ann agrees
    fetch(work, server)
    assert parts(work) == ["body"]


def test_every_foreign_edit_is_told(work: Work, server: FakeTasks) -> None:
    """The words are the same each time."""
    made = server.annotate(1001, drawn(RAM, head=HEAD))
    fetch(work, server)
    for _ in range(2):
        server.change(made, by=3, result=drawn(RAM, body=BODY))
        assert fetch(work, server).flags == 1
        assert len(standings(work)[0].flags) == 1
        server.change(made, by=2, result=drawn(RAM, head=HEAD))
        fetch(work, server)
        assert standings(work)[0].flags == ()


def test_a_foreign_edit_before_the_first_pull_leaves_the_picture_open(
    work: Work, server: FakeTasks
) -> None:
    made = server.annotate(1001, drawn(RAM, head=HEAD))
    server.change(made, by=3, result=drawn(RAM, body=BODY))
    fetch(work, server)
    assert answer(work) is None
    assert "the picture stays open" in flags(work)["foreign-edit"]


def test_new_labels_on_the_same_masks_are_no_foreign_edit(work: Work, server: FakeTasks) -> None:
    """A migration of the vocabulary relabels annotations in the name of the administrator."""
    made = server.annotate(1001, drawn(RAM, head=HEAD, body=BODY))
    gone = server.annotate(1002, [refused()])
    empty = drawn(RAM, head=HEAD, body=BODY)
    empty[1]["value"]["rle"] = encode_brush(np.zeros((48, 64), bool))
    nothing_in_it = server.annotate(1003, empty)
    fetch(work, server)
    before = answer(work)
    for annotation in (made, gone, nothing_in_it):
        server.change(annotation, by=1)
    fetch(work, server)
    assert work.flags() == []
    after = answer(work)
    assert after is not None
    assert before is not None
    assert (after.masks, after.updated_at) == (before.masks, before.updated_at)


def test_the_newest_of_several_counts(work: Work, server: FakeTasks) -> None:
    first = server.annotate(1001, drawn(RAM, head=HEAD))
    server.annotate(1001, drawn(RAM, body=BODY))
    fetch(work, server)
    assert parts(work) == ["body"]
    assert f"annotation {first} " in flags(work)["second-annotation"]
    server.change(first, result=drawn(RAM, horn=HEAD))  # now this one is the newest
    fetch(work, server)
    assert parts(work) == ["horn"]


def test_a_skipped_task_is_not_done(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, drawn(RAM, head=HEAD), was_cancelled=True)
    told = fetch(work, server)
    assert (told.open, answer(work)) == (12, None)
    assert "ann@x.org skipped it, which says nothing" in flags(work)["cancelled"]


def test_a_deleted_annotation_is_told_and_its_answer_kept(work: Work, server: FakeTasks) -> None:
    older = server.annotate(1001, drawn(RAM, body=BODY))
    made = server.annotate(1001, drawn(RAM, head=HEAD))
    fetch(work, server)
    server.delete(made)
    fetch(work, server)
    assert parts(work) == ["head"]  # not the older one, which nobody looked at again
    assert f"annotation {made} (ram/0.jpg): it was deleted" in flags(work)["deleted"]
    server.change(older)
    fetch(work, server)
    assert parts(work) == ["body"]


def test_a_new_annotation_in_place_of_a_deleted_one_needs_no_word(
    work: Work, server: FakeTasks
) -> None:
    made = server.annotate(1001, drawn(RAM, head=HEAD))
    fetch(work, server)
    server.delete(made)
    server.annotate(1001, drawn(RAM, body=BODY))
    fetch(work, server)
    assert parts(work) == ["body"]
    assert work.flags() == []


@pytest.mark.parametrize(
    ("accepted", "advice"),
    [
        (None, "was sampled already; not taken: if it matters, tell the inspector"),
        (True, "was accepted already; not taken: nothing needs to be done"),
        (False, "was rejected already; not taken: draw it in the project of the next round"),
    ],
)
def test_what_comes_too_late_is_told_and_not_taken(
    accepted: bool | None, advice: str, work: Work, server: FakeTasks
) -> None:
    made = [server.annotate(1000 + n, drawn(RAM, head=HEAD)) for n in range(1, 13)]
    fetch(work, server)
    sample = {"seed": 1, "plan": "paper", "images": [1, 2, 3]}
    work.record("sampled", who="ina@x.org", object="ram", data=sample)
    if accepted is not None:
        work.record("decided", who="ina@x.org", object="ram", data={"accepted": accepted})
    before = work.batch("ram").state
    server.change(made[0], result=drawn(RAM, body=BODY))
    server.delete(made[1])
    told = fetch(work, server)
    assert (told.answers, told.flags, work.batch("ram").state) == (0, 2, before)
    assert (parts(work, 1), parts(work, 2)) == (["head"], ["head"])
    assert advice in flags(work)["late-edit"]
    assert "its answer" in flags(work)["deleted"] or "is kept" in flags(work)["deleted"]


def test_somebody_who_goes_on_in_the_rejected_project_is_told(
    work: Work, server: FakeTasks
) -> None:
    made = [server.annotate(1000 + n, drawn(RAM, head=HEAD)) for n in range(1, 13)]
    fetch(work, server)
    work.record("sampled", who="i", object="ram", data={"seed": 1, "plan": "p", "images": [1]})
    work.record("decided", who="i", object="ram", data={"accepted": False})
    hand_out(work, round=2)
    server.change(made[0], result=drawn(RAM, body=BODY))
    with server.client() as studio:
        first, second = pull(work, studio)
    assert (first.round, first.flags) == (1, 1)
    assert second.trouble is not None  # this server has no second project


def test_an_unknown_label_makes_the_answer_unusable(work: Work, server: FakeTasks) -> None:
    """Somebody renamed a label in the project: Label Studio protects nothing."""
    result = drawn(RAM, head=HEAD, body=BODY)
    result[1]["value"]["brushlabels"] = ["boddy"]
    server.annotate(1001, result)
    told = fetch(work, server)
    found = answer(work)
    assert found is not None
    assert (found.kind, found.masks, told.broken, told.open) == ("broken", [], 1, 12)
    message = flags(work)["unknown-label"]
    assert "ram has no part 'boddy'; did you mean body?" in message
    assert "`partlab vocabulary migrate`" in message


def test_a_region_of_another_picture_size(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, drawn(RAM, (128, 96), head=HEAD))
    assert fetch(work, server).broken == 1
    message = flags(work)["wrong-size"]
    assert "128x96" in message
    assert "the picture shown has 64x48" in message
    assert "draw it afresh" in message


def test_faults_of_one_kind_are_one_flag(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, drawn(RAM, (128, 96), head=HEAD, body=BODY))
    fetch(work, server)
    assert "(and 1 more)" in flags(work)["wrong-size"]
    found = answer(work)
    assert found is not None
    assert [p["kind"] for p in found.problems] == ["wrong-size"] * 2


def test_nothing_drawn_and_no_reason(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, [])
    assert fetch(work, server).broken == 1
    assert "nothing is drawn and no reason given" in flags(work)["nothing-drawn"]
    server.annotate(1001, drawn(RAM, head=HEAD))  # parts may be missing: they may be hidden
    fetch(work, server)
    assert parts(work) == ["head"]


def test_drawn_and_given_up_at_once(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, [*drawn(RAM, head=HEAD), refused()])
    assert fetch(work, server).broken == 1
    assert "both drawn and given up (low quality)" in flags(work)["discard-with-masks"]


def test_a_picture_given_up_with_untouched_suggestions_is_given_up(
    work: Work, server: FakeTasks
) -> None:
    suggested = [{**region, "origin": "prediction"} for region in drawn(RAM, head=HEAD)]
    server.annotate(1001, [*suggested, refused()])
    assert fetch(work, server).discards == 1
    assert work.flags() == []


def test_the_model_behind_a_mask_is_kept(work: Work, server: FakeTasks) -> None:
    """D-05: provenance of every mask; several models may have suggested something."""
    result = drawn(RAM, head=HEAD, horn=(6, 6, 6, 6), body=BODY)
    result[1]["origin"] = "prediction"
    result[2]["origin"] = "prediction-changed"
    server.suggest(1001, 31, "seg-1@aa")
    server.annotate(1001, result, parent_prediction=31)
    server.suggest(1002, 32, "seg-1@aa")
    server.suggest(1002, 33, "seg-2@bb")
    server.annotate(1002, result, parent_prediction=33)
    server.annotate(1003, result)
    server.suggest(1004, 34, "a")
    server.suggest(1004, 35, "b")
    del server.models[34]
    server.annotate(1004, result, parent_prediction=34)
    fetch(work, server)
    found = {}
    for image in range(1, 5):
        told = answer(work, image)
        assert told is not None
        found[image] = [(m["part"], m["origin"], m["model"]) for m in told.masks]
    for image, model in ((1, "seg-1@aa"), (2, "seg-2@bb"), (3, "unknown"), (4, "unknown")):
        assert found[image] == [
            ("head", "manual", None),
            ("horn", "prediction", model),
            ("body", "prediction-changed", model),
        ]


def test_suggestions_that_became_annotations_unseen_are_the_models(
    work: Work, server: FakeTasks
) -> None:
    """D-05: "Create Annotations From Predictions" leaves no origin in the regions."""
    server.suggest(1001, 31, "seg-1@aa")
    server.annotate(1001, unsaid(drawn(RAM, head=HEAD)), parent_prediction=31)
    fetch(work, server)
    found = answer(work)
    assert found is not None
    assert [(m["origin"], m["model"]) for m in found.masks] == [("prediction", "seg-1@aa")]


def unsaid(result: list[Any]) -> list[Any]:
    """Regions that do not say where they come from."""
    return [{key: item[key] for key in item if key != "origin"} for item in result]


def test_model_help_where_it_is_forbidden(tmp_path: Path) -> None:
    rows = [Image(id=1, object="ram", file_name="1.jpg", width=64, height=48, shown=[64, 48],
                  rank=0)]  # fmt: skip
    with Work.create(tmp_path / "work", "farm", FARM, rows, model_help=False) as work:
        hand_out(work)
        server = FakeTasks()
        server.add_round(work, "ram")
        result = drawn(RAM, head=HEAD, body=BODY)
        result[1]["origin"] = "prediction-changed"
        server.annotate(1001, result)
        assert fetch(work, server).broken == 1
        assert "body came from a model, which this work forbids" in flags(work)["model-help"]
        server.suggest(1001, 31, "by hand")
        server.annotate(1001, unsaid(drawn(RAM, horn=HEAD)), parent_prediction=31)
        assert fetch(work, server).broken == 1


def test_masks_of_the_round_before_are_no_model_help(tmp_path: Path) -> None:
    """A second round may start from the first one's masks; its people drew them."""
    rows = [Image(id=1, object="ram", file_name="1.jpg", width=64, height=48, shown=[64, 48],
                  rank=0)]  # fmt: skip
    with Work.create(tmp_path / "work", "farm", FARM, rows, model_help=False) as work:
        planned = {"images": [1], "assignee": "ann@x.org", "vocabulary_version": 1}
        planned["start_from"] = "r1:ann@x.org"
        work.record("planned", who="lead", object="ram", round=1, data=planned)
        opened = {"project_id": 71, "config_hash": "c"}
        work.record("opened", who="lead", object="ram", data=opened)
        tasks = {"project_id": 71, "tasks": {"1": 1001}}
        work.record("tasks", who="lead", object="ram", data=tasks)
        server = FakeTasks()
        server.add_round(work, "ram")
        server.suggest(1001, 31, "r1:ann@x.org")
        result = [{**region, "origin": "prediction"} for region in drawn(RAM, head=HEAD)]
        server.annotate(1001, result, parent_prediction=31)
        assert fetch(work, server).masks == 1
        found = answer(work)
        assert found is not None
        assert found.masks[0]["model"] == "r1:ann@x.org"


def review(work: Work, image: int, uphold: bool) -> None:
    for who in ("ina@x.org", "ivo@x.org"):
        data = {"image_id": image, "uphold": uphold}
        work.record("discard-review", who=who, object="ram", data=data)


def test_a_restored_picture_waits_for_a_newer_drawing(work: Work, server: FakeTasks) -> None:
    """Q-04: two inspectors say that it can be drawn; the same discard does not come back."""
    made = server.annotate(1001, [refused()])
    fetch(work, server)
    review(work, 1, uphold=False)
    server.tasks[1001]["updated_at"] = server.now()  # something else about the task changed
    fetch(work, server)
    found = answer(work)
    assert found is not None
    assert found.kind == "restored"
    server.change(made, result=[refused("object missing")])
    assert fetch(work, server).flags == 1
    found = answer(work)
    assert found is not None
    assert found.kind == "restored"
    assert "gives it up again (object missing)" in flags(work)["discard-after-restore"]
    server.change(made, result=drawn(RAM, head=HEAD))
    fetch(work, server)
    assert parts(work) == ["head"]
    assert standings(work)[0].flags == ()
    server.change(made, result=[refused("object missing")])  # in the very words as before
    fetch(work, server)
    assert parts(work) == ["head"]
    assert "gives it up again" in standings(work)[0].flags[0]


def test_one_review_does_not_restore_a_picture(work: Work, server: FakeTasks) -> None:
    """Q-04: it takes two; until then the refusal is the annotator's, and so is its reason."""
    made = server.annotate(1001, [refused()])
    fetch(work, server)
    data = {"image_id": 1, "uphold": True}
    work.record("discard-review", who="ina@x.org", object="ram", data=data)
    server.change(made, result=[refused("object missing")])
    assert fetch(work, server).flags == 0
    found = answer(work)
    assert found is not None
    assert (found.kind, found.reason) == ("discard", "object missing")


def test_a_task_that_is_not_ours_is_told(work: Work, server: FakeTasks) -> None:
    """A second task of one picture, or one that somebody added by hand."""
    data = {"partlab": "farm", "image_id": 1}
    server.add_task(71, 9001, data)
    server.annotate(9001, drawn(RAM, head=HEAD))
    told = fetch(work, server)
    assert (told.flags, told.answers) == (1, 0)
    assert "not one of this round's" in flags(work)["unknown-task"]
    events = len(work.events())
    fetch(work, server)
    assert len(work.events()) == events


def test_a_task_whose_picture_was_changed_by_hand_is_not_ours(
    work: Work, server: FakeTasks
) -> None:
    server.tasks[1001]["data"]["image_id"] = 2
    server.annotate(1001, drawn(RAM, head=HEAD))
    fetch(work, server)
    assert answer(work) is None
    assert answer(work, 2) is None
    assert list(flags(work)) == ["unknown-task"]


def open_flags(work: Work) -> tuple[str, ...]:
    return standings(work)[0].flags


def test_an_annotation_deleted_as_asked_is_no_open_flag(work: Work, server: FakeTasks) -> None:
    """Whether or not the assignee drew the picture, and whoever the task is of."""
    server.add_task(71, 9001, {"partlab": "farm", "image_id": 1})
    made = [server.annotate(task, drawn(RAM, head=HEAD), by=3) for task in (1001, 1002, 9001)]
    server.annotate(1002, drawn(RAM, head=HEAD))
    fetch(work, server)
    assert len(open_flags(work)) == 3
    for annotation in made:
        server.delete(annotation)
    fetch(work, server)
    assert open_flags(work) == ()


def test_a_task_deleted_as_asked_is_no_open_flag(work: Work, server: FakeTasks) -> None:
    server.add_task(71, 9001, {"partlab": "farm", "image_id": 1})
    server.annotate(9001, drawn(RAM, head=HEAD))
    fetch(work, server)
    assert len(open_flags(work)) == 1
    del server.tasks[9001]
    assert fetch(work, server).flags == 0
    assert open_flags(work) == ()
    events = len(work.events())
    fetch(work, server)
    assert len(work.events()) == events


def test_what_was_said_of_a_task_that_is_gone_is_over(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, drawn(RAM, head=HEAD))
    server.annotate(1001, drawn(RAM, head=HEAD))
    server.annotate(1002, drawn(RAM, head=HEAD), by=3)
    server.annotate(1003, [])
    fetch(work, server)
    assert len(open_flags(work)) == 3
    for task in (1001, 1002, 1003):
        del server.tasks[task]
    assert fetch(work, server).flags == 3
    assert ["deleted the task" in flag for flag in open_flags(work)] == [True] * 3
    data = {"project_id": 71, "tasks": {"2": 2002, "3": 2003}}
    work.record("tasks", who="lead", object="ram", data=data)  # as `studio create` does
    (left,) = open_flags(work)
    assert "task 1001" in left
    assert "its answer is kept" in left


def test_what_was_said_of_a_project_made_anew_is_over(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, drawn(RAM, head=HEAD), by=3)
    server.annotate(1002, [])
    fetch(work, server)
    server.projects.clear()
    assert fetch(work, server).trouble is not None
    assert len(open_flags(work)) == 2
    opened = {"project_id": 72, "config_hash": "c"}
    work.record("opened", who="lead", object="ram", data=opened)
    assert open_flags(work) == ()


def make_anew(work: Work, server: FakeTasks, images: range) -> None:
    """Another project for these images, as `studio create` makes it."""
    about: dict[str, Any] = {"who": "lead", "object": "ram"}
    work.record("opened", data={"project_id": 72, "config_hash": "c"}, **about)
    tasks = {str(i): 2000 + i for i in images}
    work.record("tasks", data={"project_id": 72, "tasks": tasks}, **about)
    facts = {"work": work.settings.id, "kind": "annotate", "object": "ram", "round": 1}
    server.projects[72] = json.dumps({"partlab": facts})
    for image, task in tasks.items():
        server.add_task(72, task, {"partlab": "farm", "image_id": int(image)})


def test_drawings_to_be_mended_whose_project_was_deleted(work: Work, server: FakeTasks) -> None:
    """Their answers are counted as kept; nobody is asked to update what is no longer there."""
    for task in range(1001, 1005):
        server.annotate(task, drawn(RAM, head=HEAD))
    fetch(work, server)
    again = {str(image): "neck is a new part: draw it, and update" for image in range(1, 5)}
    changed = {"vocabulary_version": 1, "parts": {}, "redraw": again}  # by an earlier version
    work.record("migrated", who="lead", object="ram", data=changed)
    assert "and update" in standings(work)[0].problems[3]
    server.projects.clear()
    server.tasks.clear()
    trouble = fetch(work, server).trouble
    assert trouble is not None
    assert "4 answers are kept" in trouble
    make_anew(work, server, range(1, 13))
    assert fetch(work, server).flags == 0
    assert open_flags(work) == ()
    (ram,) = standings(work)
    assert [words.partition(": ")[0] for words in ram.problems] == [
        f"image {n}" for n in (1, 2, 3, 4)
    ]
    assert not any("and update" in words for words in ram.problems)
    assert all("draw it in the new one" in words for words in ram.problems)
    server.annotate(2001, drawn(RAM, head=HEAD), by=3)
    assert fetch(work, server).flags == 1  # that it is ben's, and not that ann's was deleted
    made = server.annotate(2002, drawn(RAM, head=HEAD))
    fetch(work, server)
    assert len(standings(work)[0].problems) == 3
    server.delete(made)
    assert fetch(work, server).flags == 1  # of the new task it is told
    assert "it was deleted" in flags(work)["deleted"]


def test_a_deleted_project_that_is_not_needed_holds_nothing_up(
    work: Work, server: FakeTasks
) -> None:
    """M-08: every image is done, and what was said of annotations too many is over."""
    for task in range(1001, 1013):
        server.annotate(task, drawn(RAM, head=HEAD))
    server.annotate(1001, drawn(RAM, head=HEAD), by=3)
    fetch(work, server, submit=False)
    assert len(open_flags(work)) == 1
    server.projects.clear()
    told = fetch(work, server)
    assert (told.trouble, told.submitted, told.state) == (None, True, "submitted")
    assert open_flags(work) == ()


def test_overlapping_parts_are_a_warning_that_blocks_nothing(work: Work, server: FakeTasks) -> None:
    """M-02; the checks of the exported data set look again."""
    server.annotate(1001, drawn(RAM, head=(5, 5, 20, 20), body=(15, 5, 30, 30)))
    fetch(work, server)
    found = answer(work)
    assert found is not None
    (problem,) = found.problems
    assert (found.kind, problem["kind"], problem["severity"]) == ("masks", "overlap", "warning")
    assert problem["message"] == "50% of head lies in body, and no inclusion is declared"
    assert work.flags() == []


def test_parts_that_only_touch_are_no_overlap(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, drawn(RAM, head=(5, 5, 25, 20), body=(29, 5, 30, 30)))  # one column
    fetch(work, server)
    found = answer(work)
    assert found is not None
    assert found.problems == []


def test_specks_are_dropped_and_noted(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, drawn(RAM, head=HEAD, body=(50, 40, 2, 2)))
    fetch(work, server)
    found = answer(work)
    assert found is not None
    assert [m["part"] for m in found.masks] == ["head"]
    assert [p["severity"] for p in found.problems] == ["note"]


def test_masks_come_back_in_the_size_of_the_data_set(tmp_path: Path) -> None:
    rows = [Image(id=1, object="ram", file_name="1.jpg", width=128, height=96, shown=[64, 48],
                  rank=0)]  # fmt: skip
    with Work.create(tmp_path / "work", "farm", FARM, rows) as work:
        hand_out(work)
        server = FakeTasks()
        server.add_round(work, "ram")
        server.annotate(1001, drawn(RAM, head=HEAD))
        fetch(work, server)
        found = answer(work)
        assert found is not None
        mask = decode(found.masks[0]["rle"])
        assert mask.shape == (96, 128)
        assert mask.sum() == 40 * 40


def test_a_flag_is_kept_once(work: Work, server: FakeTasks) -> None:
    server.annotate(1001, drawn(RAM, head=HEAD), by=3)
    fetch(work, server)
    server.annotate(1001, drawn(RAM, head=HEAD), by=3)
    assert fetch(work, server).flags == 1  # the second one only
    with work.read() as session:
        assert len(list(session.scalars(select(Flag)))) == 2


def test_captured_tasks_are_understood() -> None:
    """What a real server sent."""
    if not PAYLOADS.is_dir():
        pytest.skip(f"no {PAYLOADS}")
    listed = read_json(PAYLOADS / "tasks_list_fields_all.json")["tasks"]
    exported = read_json(PAYLOADS / "export_json_1_task.json")
    tasks = [RawTask.model_validate(task) for task in (*listed, *exported)]
    first, _, third = tasks
    assert [a.completed_by for a in first.annotations] == [3, 4]
    assert [a.updated_by for a in first.annotations] == [5, 4]
    assert first.annotations[0].updated_at == "2026-11-21T21:49:15.919447+00:00"
    assert (third.annotations[0].parent_prediction, third.annotations[0].lead_time) == (22, 13.785)


@pytest.mark.parametrize("user", [7, {"id": 7, "email": "x@x.org"}])
def test_users_come_by_id_or_as_objects(user: Any) -> None:
    found = RawTask.model_validate(
        {
            "id": 1,
            "updated_at": "2026-03-01T10:00:00Z",
            "data": {},
            "annotations": [
                {"id": 2, "updated_at": "2026-03-01T10:00:00Z", "completed_by": user, "result": []}
            ],
        }
    )
    assert found.annotations[0].completed_by == 7
    assert found.updated_at < "2026-03-01T10:00:00.250000+00:00"  # times sort as text
