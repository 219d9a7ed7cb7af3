"""Other pictures in place of final discards, and rounds without them (D-02, D-03, M-07, Q-04)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farm import FARM, answer, hand_out, pull, submit
from PIL import Image as PillowImage

from annotate.data.sample import choose_images, open_images
from annotate.inspect.build import build
from annotate.inspect.discards import find_cases
from annotate.studio.acts import refill as module
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.refill import find_lacks, refill
from annotate.studio.acts.reopen import refresh_pictures
from annotate.studio.acts.rounds import plan_rounds, preview
from annotate.work import Work, rebuild_work
from annotate.work.pictures import original_picture, shown_picture
from partlab.errors import NotFoundError

INA, BEN = "ina@x.org", "ben@x.org"
PHOTOS, WANTED, SEED = 9, 4, 5


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for owner in ("ram", "schöner Hammer"):
        (folder / owner).mkdir(parents=True)
        for number in range(PHOTOS):
            noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
            PillowImage.fromarray(noise).save(folder / owner / f"{number}.png")
    return folder


@pytest.fixture
def begin(photos: Path, tmp_path: Path) -> Iterator[Callable[..., Work]]:
    made = []

    def begin(**settings: Any) -> Work:
        plan = plan_work(FARM, photos, objects=["ram"])
        settings = {"per_object": WANTED, "seed": SEED, **settings}
        made.append(begin_work(tmp_path / f"work{len(made)}", plan, name="farm", **settings))
        hand_out(made[-1])
        return made[-1]

    yield begin
    for work in made:
        work.close()


@pytest.fixture
def work(begin: Callable[..., Work]) -> Work:
    return begin()


def review(work: Work, image_id: int, *uphold: bool) -> None:
    for who, word in zip((INA, BEN, "ida@x.org"), uphold, strict=False):
        data = {"image_id": image_id, "uphold": word}
        work.record("discard-review", who=who, object="ram", data=data)


def refuse(work: Work, *image_ids: int) -> None:
    """The annotator gives images up, and two inspectors agree."""
    pull(work, [answer(work, id, "discard") for id in image_ids])
    for id in image_ids:
        review(work, id, True, True)


def names(work: Work) -> list[str]:
    return [image.file_name for image in work.images("ram")]


def handed_out(work: Work) -> list[int]:
    return [task.image_id for task in work.tasks("ram", work.batch("ram").round)]


def seeded_order(photos: Path, count: int) -> list[str]:
    chosen, _ = choose_images(open_images(photos), count, seed=SEED)
    return [one.file_name for one in chosen if one.object == "ram"]


def test_the_next_picture_of_the_seeded_order_comes(work: Work, photos: Path) -> None:
    assert names(work) == seeded_order(photos, WANTED)
    assert refill(work, "lead") == {}
    assert len(work.events("ram")) == 3  # nothing was missing, nothing happened
    refuse(work, 2)
    assert refill(work, "lead") == {}
    assert names(work) == seeded_order(photos, WANTED + 1)  # D-02
    new = work.images("ram")[-1]
    assert (new.id, new.rank, new.shown) == (WANTED + 1, WANTED, [64, 48])
    assert handed_out(work) == [1, 2, 3, 4, 5]
    assert work.batch("ram").state == "annotating"
    assert shown_picture(work.folder, new).read_bytes() == (photos / new.file_name).read_bytes()
    before = len(work.events())
    assert refill(work, "lead") == {}
    assert len(work.events()) == before  # D-03: there are as many as wanted again


def test_what_inspectors_have_not_settled_is_not_replaced(work: Work) -> None:
    pull(work, [answer(work, id, "discard") for id in (1, 2)])
    review(work, 1, True)
    review(work, 2, True, False, False)
    assert find_lacks(work) == []
    refill(work, "lead")
    assert handed_out(work) == [1, 2, 3, 4]


def test_a_submitted_round_is_drawn_again_and_a_sampled_one_is_not(work: Work) -> None:
    submit(work, discards=(3,))
    review(work, 3, True, True)
    assert refill(work, "lead") == {}
    batch = work.batch("ram")
    assert (batch.state, batch.manifest_hash) == ("annotating", None)
    pull(work, [answer(work, 5, "discard")])
    review(work, 5, True, True)
    work.record("submitted", who="partlab", object="ram", data={"manifest_hash": "n"})
    data = {"seed": 0, "plan": "paper", "images": [2]}
    work.record("sampled", who=INA, object="ram", data=data)
    told = refill(work, "lead")
    assert told == {"ram": "1 short; pictures only come to a round that is being drawn"}
    assert handed_out(work) == [1, 2, 3, 4, 5]


def test_a_source_without_more_pictures_is_said(work: Work, photos: Path) -> None:
    order = seeded_order(photos, PHOTOS)
    (photos / order[WANTED]).write_bytes(b"no picture")
    (photos / order[WANTED + 1]).write_bytes((photos / order[0]).read_bytes())  # known already
    for owner in order[WANTED + 3 :]:
        (photos / owner).unlink()
    refuse(work, 1, 2, 3)
    assert refill(work, "lead") == {"ram": "2 short: its source has no more pictures"}
    assert names(work)[WANTED:] == [order[WANTED + 2]]
    assert refill(work, "lead") == {"ram": "2 short: its source has no more pictures"}
    assert len(handed_out(work)) == WANTED + 1


@pytest.mark.parametrize("moment", ["choose", "images", "prepare", "extended"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_it_goes_on(
    begin: Callable[..., Work], moment: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, work = begin(), begin()
    for each in (whole, work):
        refuse(each, 1, 4)
    refill(whole, "lead")

    def killing(function: Callable[..., Any], only: str = "") -> Callable[..., Any]:
        def killed(*args: Any, **more: Any) -> Any:
            if only and only not in args:
                return function(*args, **more)
            if after:
                function(*args, **more)
            raise SystemExit("killed")

        return killed

    with monkeypatch.context() as patch:
        if moment in ("images", "extended"):
            patch.setattr(Work, "record", killing(Work.record, moment))
        else:
            name = {"choose": "_next", "prepare": "prepare_images"}[moment]
            patch.setattr(module, name, killing(getattr(module, name)))
        with pytest.raises(SystemExit):
            refill(work, "lead")
    assert refill(work, "lead") == {}
    assert names(work) == names(whole)
    assert handed_out(work) == handed_out(whole) == [1, 2, 3, 4, 5, 6]
    for image in work.images("ram"):
        original = original_picture(work.folder, image).read_bytes()
        assert shown_picture(work.folder, image).read_bytes() == original
    assert refill(work, "lead") == {}


def test_a_dry_run_counts_and_changes_nothing(work: Work) -> None:
    refuse(work, 1, 2)
    before = len(work.events())
    (one,) = preview(work, refill=True)
    assert (one.images, one.added, one.note) == (WANTED + 2, 2, "")
    (one,) = preview(work)
    assert (one.images, one.added) == (WANTED, 0)
    assert len(work.events()) == before


def test_only_the_categories_that_are_named_are_refilled(photos: Path, tmp_path: Path) -> None:
    plan = plan_work(FARM, photos, objects=["ram", "schöner Hammer"])
    with begin_work(tmp_path / "two", plan, name="two", per_object=WANTED, seed=SEED) as work:
        hand_out(work)
        refuse(work, next(image.id for image in work.images("ram")))
        (other,) = preview(work, ["ann@x.org"], objects=["schöner Hammer"], refill=True)
        assert (other.object, other.added) == ("schöner Hammer", WANTED)
        assert refill(work, "lead", objects=["schöner Hammer"]) == {}
        assert len(work.images("ram")) == WANTED
        assert preview(work, objects=["ram"], refill=True)[0].added == 1
        assert refill(work, "lead", objects=["ram"]) == {}
        assert len(work.images("ram")) == WANTED + 1


def test_a_source_that_moved_is_told(work: Work, photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "moved")
    assert refill(work, "lead") == {}  # nothing is missing, so nothing is looked for
    refuse(work, 1)
    with pytest.raises(NotFoundError, match=r"no longer in .*photos") as caught:
        refill(work, "lead")
    assert "--images" in str(caught.value.hint)
    refresh_pictures(work, tmp_path / "moved")
    assert refill(work, "lead") == {}
    assert handed_out(work) == [1, 2, 3, 4, 5]


def test_it_can_be_rebuilt(work: Work) -> None:
    refuse(work, 2)
    refill(work, "lead")
    before = [repr(row) for row in (*work.images(), *work.tasks("ram", 1), work.batch("ram"))]

    def ingest(made: Work, event: Any) -> Any:
        return [answer(made, 2, "discard")], []

    rebuild_work(work.folder, ingest)
    with Work.open(work.folder) as again:
        rows = (*again.images(), *again.tasks("ram", 1), again.batch("ram"))
        assert [repr(row) for row in rows] == before


def decide(work: Work, passed: bool) -> None:
    """A sample of two images, and the same verdict on both."""
    data = {"seed": 0, "plan": "paper", "images": [1, 3]}
    work.record("sampled", who=INA, object="ram", data=data)
    for image_id in (1, 3):
        verdict = {"image_id": image_id, "passed": passed}
        work.record("verdict", who=INA, object="ram", data=verdict)
    said = {"accepted": passed, "seen": 2, "bad": 0 if passed else 2}
    work.record("decided", who=INA, object="ram", data=said)


def test_the_next_round_leaves_out_what_was_discarded_for_good(work: Work, tmp_path: Path) -> None:
    submit(work, discards=(2, 3))
    review(work, 2, True, True)
    review(work, 3, False, False)
    pull(work, [answer(work, 3)])
    work.record("submitted", who="partlab", object="ram", data={"manifest_hash": "m"})
    decide(work, False)
    ((key, data),) = plan_rounds(work)
    assert key == ("ram", 2)
    assert data["images"] == [1, 3, 4]  # M-07: the restored one stays
    work.record("planned", who="lead", object="ram", round=2, data=data)
    (one,) = preview(work, refill=True)
    assert (one.images, one.added) == (WANTED, WANTED)
    assert refill(work, "lead") == {}
    assert handed_out(work) == [1, 3, 4, 5]
    for what, more in (
        ("opened", {"project_id": 72, "config_hash": "c"}),
        ("tasks", {"project_id": 72, "tasks": {str(i): 2000 + i for i in (1, 3, 4, 5)}}),
    ):
        work.record(what, who="lead", object="ram", data=more)
    submit(work)
    decide(work, True)
    built = build(work)
    assert [image.id for image in built.dataset.images] == [1, 3, 4, 5]
    assert [discard.raw["id"] for discard in built.dataset.discards] == [2]
    assert built.undone == 0
    assert {case.round for case in find_cases(work)} == {1}


def test_a_round_begun_afresh_leaves_them_out_too(work: Work) -> None:
    refuse(work, 1)
    pull(work, [answer(work, 4, "discard")])
    work.record("abandoned", who="lead", object="ram", data={"reason": "ann left"})
    ((_, data),) = plan_rounds(work)
    assert data["images"] == [2, 3, 4]
    (one,) = preview(work, refill=True)
    assert (one.round, one.images, one.added) == (2, WANTED, WANTED)


def test_pictures_prepared_for_another_choice_are_not_taken(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_work(FARM, photos, objects=["ram"])
    with monkeypatch.context() as patch:
        patch.setattr(Work, "create", lambda *_, **__: (_ for _ in ()).throw(SystemExit()))
        with pytest.raises(SystemExit):
            begin_work(tmp_path / "work", plan, name="farm", per_object=WANTED, seed=1)
    with begin_work(tmp_path / "work", plan, name="farm", per_object=WANTED, seed=2) as work:
        for image in work.images():
            original = (photos / image.file_name).read_bytes()
            assert shown_picture(work.folder, image).read_bytes() == original
