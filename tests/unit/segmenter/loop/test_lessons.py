"""What is learnt from: only what was accepted, never the exam, and the exam never moves."""

from dataclasses import asdict
from pathlib import Path

import pytest
from farm import hand_out
from farm_drawn import masks_of, submit_drawn
from learning_farm import INA, RAMS, accept

from annotate.work import Image, Work
from partlab.errors import StateError
from partlab.schema import Dataset
from segmenter.loop.lessons import SHARE, Lessons, collect, is_held_out, read_lessons


def lessons(work: Work, name: str = "data") -> Lessons:
    collect(work, work.folder / "loop" / name)
    return read_lessons(work.folder / "loop" / name)


def names(data: Dataset | None) -> set[str]:
    return {image.file_name for image in data.images} if data else set()


def test_what_is_accepted_is_learnt_or_held_out(work: Work) -> None:
    accept(work)
    found = lessons(work)
    assert len(names(found.train)) + len(names(found.exam)) == RAMS
    assert not names(found.train) & names(found.exam)
    assert found.parts == {"ram:head": "head", "ram:horn": "horn", "ram:body": "body"}
    assert found.train is not None
    assert all(found.train.image_path(image).is_file() for image in found.train.images)
    assert found.facts["train"]["masks"] == 3 * len(names(found.train))


def test_about_one_in_five_is_held_out() -> None:
    share = sum(is_held_out(3, f"{n}.jpg") for n in range(2000)) / 2000
    assert share == pytest.approx(SHARE, abs=0.03)
    assert {is_held_out(seed, "a.jpg") for seed in range(50)} == {True, False}


def test_the_exam_never_moves_into_training(work: Work) -> None:
    """More is accepted, a picture is sent back and passes: those that were held out still are."""
    accept(work)
    first = lessons(work, "first")
    held_out = work.image(min(image.id for image in first.exam.images)) if first.exam else None
    assert held_out is not None
    back = {"image_id": held_out.id, "reason": "outline"}
    work.record("sent-back", who=INA, object="ram", data=back)
    accept(work, "schöner Hammer")
    second = lessons(work, "second")
    assert names(first.exam) - names(second.exam) == {held_out.file_name}
    work.record("corrected", who=INA, object="ram", data={"image_id": held_out.id})
    third = lessons(work, "third")
    assert names(first.exam) <= names(third.exam)
    assert names(first.train) <= names(third.train)


def test_one_picture_under_two_names_is_on_one_side() -> None:
    """By its bytes, so that no copy of an exam picture is learnt."""
    assert len({is_held_out(0, "sha-of-the-picture") for _ in ("a.jpg", "copy of a.jpg")}) == 1


def test_failed_sent_back_and_open_pictures_are_not_learnt(work: Work) -> None:
    hand_out(work, "schöner Hammer")
    submit_drawn(work, "schöner Hammer")
    accept(work, failed=[11, 12])
    work.record("sent-back", who=INA, object="ram", data={"image_id": 13, "reason": "outline"})
    found = lessons(work)
    both = names(found.train) | names(found.exam)
    assert both == {f"ram/{n}.png" for n in range(RAMS)} - {
        f"ram/{n - 1}.png" for n in (11, 12, 13)
    }
    assert found.left_out == {
        "failed": 2,
        "sent back": 1,
        "parts that are gone": 0,
        "no picture": 0,
    }


def test_honeypots_are_not_learnt(work: Work) -> None:
    """They are drawn like the others, and known: whoever learnt them would do well on them."""
    pot = Image(
        id=99,
        object="ram",
        file_name="ram/pot.png",
        width=64,
        height=48,
        shown=[64, 48],
        rank=99,
        truth={"version": 1, "parts": ["head"], "masks": masks_of("ram", 1)},
    )
    work.record("images", who="lead", data={"images": [asdict(pot)]})
    hand_out(work)
    work.record("extended", who="lead", object="ram", data={"images": [99]})
    tasks = {"project_id": 71, "tasks": {"99": 1099}}
    work.record("tasks", who="lead", object="ram", data=tasks)
    work.record("opened", who="lead", object="ram", data={"project_id": 71, "config_hash": "c"})
    accept(work, hand=False)
    answers = [*work.answers("ram", 1, with_honeypots=True)]
    assert 99 in {answer.image_id for answer in answers}, "it was drawn"
    found = lessons(work)
    assert "ram/pot.png" not in names(found.train) | names(found.exam)


def test_a_missing_picture_is_left_out_and_counted(work: Work) -> None:
    accept(work)
    gone = next(work.folder.rglob("000002.png"))
    gone.unlink()
    found = lessons(work)
    assert "ram/1.png" not in names(found.train) | names(found.exam)
    assert found.left_out["no picture"] == 1


def test_nothing_accepted_is_said(work: Work, tmp_path: Path) -> None:
    hand_out(work)
    with pytest.raises(StateError, match=r"no picture is accepted yet in .* \(1 annotating\)"):
        collect(work, tmp_path / "data")
    assert not (tmp_path / "data").exists()
