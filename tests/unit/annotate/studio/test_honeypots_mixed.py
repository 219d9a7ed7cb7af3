"""Honeypots in a work: like all others to annotators, no image of the work to anybody else."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farm import hand_out, pull
from PIL import Image as PillowImage
from sqlalchemy import event
from typer.testing import CliRunner

from annotate.inspect.build import Wanted, build
from annotate.inspect.checked import check_annotators
from annotate.inspect.discards import find_cases
from annotate.inspect.effort import measure_effort
from annotate.inspect.refusals import refusals
from annotate.inspect.service import Inspection
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import _Builder
from annotate.studio.acts.honeypots import plan_known
from annotate.studio.acts.refill import refill
from annotate.studio.acts.reopen import reopen_work
from annotate.studio.acts.rounds import plan_rounds, preview, preview_new
from annotate.studio.acts.status import hours_by_annotator, standings
from annotate.studio.acts.submit import make_manifest, submit_finished
from annotate.studio.api.access import Access
from annotate.studio.api.client import Studio
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.vocabulary.edit import Editor, merge_parts
from annotate.work import Answer, Work, rebuild_work
from annotate.work.pictures import find_picture, shown_picture
from annotate.world import WorldConfig, make_world
from app.cli.main import app
from app.prelabel import from_dataset
from partlab import schema
from partlab.coco import read_dataset, write_coco
from partlab.errors import NotFoundError, StateError
from partlab.files import sha256_file
from partlab.masks import decode, encode
from partlab.schema import Dataset

OBJECTS = ("ram", "mug")
IMAGES, KNOWN = 10, 3
INA = "ina@x.org"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures to annotate (train), and others whose masks are known (heldout)."""
    folder = tmp_path_factory.mktemp("honeypots") / "world"
    counts = {"images": 2 * IMAGES + 8, "pool": 0, "heldout": 2 * KNOWN + 4, "val_share": 0}
    make_world(folder, WorldConfig(**counts, objects=OBJECTS, size=64))
    return folder


@pytest.fixture(scope="module")
def truth(world: Path) -> dict[str, Dataset]:
    return {split: read_dataset(world, split) for split in ("train", "heldout")}


@pytest.fixture(scope="module")
def vocabulary(truth: dict[str, Dataset]) -> Vocabulary:
    """Parts have ids of their own, so that nothing goes by chance."""
    objects = []
    for name in OBJECTS:
        names = [c.part for c in truth["train"].categories if c.object == name]
        parts = tuple(Part(id=f"{name[0]}{n}", name=part) for n, part in enumerate(names))
        objects.append(ObjectParts(name=name, parts=parts))
    return Vocabulary(name="world", objects=tuple(objects))


def begin(folder: Path, world: Path, vocabulary: Vocabulary, known: Path, **more: Any) -> Work:
    plan = plan_work(vocabulary, world, split="train")
    chosen = plan_known(vocabulary, OBJECTS, known, per_object=KNOWN, **more)
    return begin_work(folder, plan, name="w", per_object=IMAGES, seed=4, known=chosen)


@pytest.fixture
def work(world: Path, vocabulary: Vocabulary, tmp_path: Path) -> Iterator[Work]:
    with begin(tmp_path / "work", world, vocabulary, world, split="heldout") as made:
        for number, owner in enumerate(OBJECTS):
            give(made, owner, f"{'ab'[number]}@x.org")
        yield made


def give(work: Work, owner: str, who: str, round: int = 1) -> None:
    """`hand_out` with honeypots, as `studio create` does."""
    ids = [image.id for image in work.images(owner, with_honeypots=True)]
    version = work.vocabulary.version
    planned = {"images": ids, "assignee": who, "vocabulary_version": version}
    work.record("planned", who="lead", object=owner, round=round, data=planned)
    opened = {"project_id": 70 + round, "config_hash": "c"}
    work.record("opened", who="lead", object=owner, data=opened)
    tasks = {"project_id": 70 + round, "tasks": {str(i): 1000 + i for i in ids}}
    work.record("tasks", who="lead", object=owner, data=tasks)


def draw(work: Work, truth: dict[str, Dataset], owner: str, shift: Any = lambda n: 0) -> None:
    """The assignee draws what is there, the n-th picture `shift(n)` pixels beside it."""
    batch, parts = work.batch(owner), work.vocabulary.object(owner)
    by_bytes = {i.sha256: (data, i) for data in truth.values() for i in data.images}
    found = []
    for number, image in enumerate(work.images(owner, with_honeypots=True)):
        data, true = by_bytes[image.sha256]
        masks = []
        for a in data.annotations_of(true):
            moved = np.roll(decode(a.segmentation), (shift(number),) * 2, (0, 1))
            part = parts.named(data.category_by_id[a.category_id].part)
            mask = {"part": part.id, "object": a.object_id or 1, "rle": encode(moved)}
            masks.append({**mask, "origin": "manual", "model": None})
        found.append(given(batch.round, owner, batch.assignee, image.id, number, masks))
    pull(work, found, owner)


def given(
    round: int, owner: str, who: str, image: int, number: int, masks: list[Any], **more: Any
) -> Answer:
    fields = {"task_id": 1000 + image, "annotation_id": image, "minutes": 2.0, "kind": "masks"}
    at = f"2026-01-0{round}T00:{number:02}:00Z"
    about = {"object": owner, "round": round, "annotator": who, "image_id": image}
    return Answer(**{**fields, **about, "updated_at": at, "masks": masks, **more})


# -- what annotators see ------------------------------------------------------------------------


def test_they_stand_among_the_others_and_look_alike(work: Work, truth: dict[str, Dataset]) -> None:
    rows = work.images(with_honeypots=True)
    assert sorted(row.id for row in rows) == list(range(1, 2 * (IMAGES + KNOWN) + 1))
    for owner in OBJECTS:
        own = work.images(owner, with_honeypots=True)
        assert [row.rank for row in own] == list(range(IMAGES + KNOWN))
        assert [row.id for row in own] == sorted(row.id for row in own)  # the order of tasks
        places = [place for place, row in enumerate(own) if row.truth]
        third = (IMAGES + KNOWN) / KNOWN
        assert [int((place + 0.5) // third) for place in places] == [0, 1, 2]
    known = {image.sha256 for image in truth["heldout"].images}
    assert {row.id for row in rows if row.sha256 in known} == work.honeypots()
    assert len(work.images()) == 2 * IMAGES


def test_no_field_of_a_task_gives_one_away(work: Work) -> None:
    builder = _Builder(work, Studio("http://x", "0" * 40), "lead", {})
    access = Access("/data/local-files/?d=")
    said = [builder._data(image, access) for image in work.images(with_honeypots=True)]
    for data in said:
        owner, id = data["object"], data["image_id"]
        assert data["file_name"] == f"{owner}/{id:06d}{Path(data['file_name']).suffix}"
    assert len({tuple(data) for data in said}) == 1
    assert len({Path(data["file_name"]).suffix for data in said}) == 1


def test_masks_of_the_round_before_are_read_a_few_at_a_time(
    work: Work, truth: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of a whole round, which may be a hundred thousand pictures."""
    draw(work, truth, "ram")
    work.record("abandoned", who="lead", object="ram", data={"reason": "again"})
    ((_, data),) = plan_rounds(work, start_from="previous")
    work.record("planned", who="lead", object="ram", round=2, data=data)
    builder = _Builder(work, Studio("http://x", "0" * 40), "lead", {})
    monkeypatch.setattr("annotate.studio.acts.create.BATCH", 4)
    payloads = builder._payloads(work.batch("ram"), data["images"], Access("/"))
    loaded: list[int] = []

    def note(answer: Answer, _: object) -> None:
        loaded.append(answer.image_id)

    event.listen(Answer, "load", note)
    first = next(payloads)
    assert sorted(loaded) == sorted(data["images"])[:4]
    later = list(payloads)
    event.remove(Answer, "load", note)
    assert sorted(loaded) == sorted(data["images"])
    assert all(one["predictions"][0]["result"] for one in (first, *later))


def predictions(folder: Path, *sources: Dataset, name: Any = str, bytes: str = "") -> Path:
    """A data set with the masks of others, for `studio push --predictions`."""
    images, masks = [], []
    for data in sources:
        for image in data.images:
            size, sha256 = (image.width, image.height), bytes or image.sha256
            file = name(image.file_name) if data is sources[-1] else image.file_name
            new = schema.Image.new(len(images) + 1, file, size, sha256=sha256, object=image.object)
            images.append(new)
            for a in data.annotations_of(image):
                masks.append(schema.Annotation({**a.raw, "id": len(masks) + 1, "image_id": new.id}))
    write_coco(Dataset(images, masks, sources[0].categories), folder / "annotations" / "a.json")
    return folder


def test_predictions_do_not_leave_them_out(
    work: Work, truth: dict[str, Dataset], tmp_path: Path
) -> None:
    """They would be the only pictures without a suggestion, or have one of another picture."""
    train, known = truth["train"], truth["heldout"]
    for path in (
        predictions(tmp_path / "without", train),
        predictions(tmp_path / "bare", train, known, name=lambda name: Path(name).name),
        predictions(tmp_path / "namesakes", train, known, bytes="0"),
    ):
        with pytest.raises(
            StateError, match=r"no suggestion for \d of the honeypots of "
        ) as caught:
            from_dataset(work, path)
        assert "--segmenter" in str(caught.value.hint)
    source = from_dataset(work, predictions(tmp_path / "all", train, known))
    rows = work.images(with_honeypots=True)
    found = {one.image_id: one for one in source.suggest(rows)}
    assert set(found) == {row.id for row in rows}
    for row in rows:
        if row.truth is not None:
            wanted = sorted(mask["rle"]["counts"] for mask in row.truth["masks"])
            assert sorted(mask.rle["counts"] for mask in found[row.id].masks) == wanted


def test_another_file_format_is_written_anew(
    world: Path, vocabulary: Vocabulary, truth: dict[str, Dataset], tmp_path: Path
) -> None:
    """The same masks with their pictures as BMP and JPEG; those of the work are PNG."""
    known, images = truth["heldout"], []
    for number, image in enumerate(known.images):
        name = f"{number}.{('bmp', 'jpg')[number % 2]}"
        (tmp_path / "known" / "images").mkdir(parents=True, exist_ok=True)
        with PillowImage.open(known.image_path(image)) as opened:
            opened.convert("RGB").save(tmp_path / "known" / "images" / name)
        images.append(image.changed(file_name=name))
    write_coco(replace(known, images=images), tmp_path / "known" / "annotations" / "a.json")
    with begin(tmp_path / "work", world, vocabulary, tmp_path / "known") as work:
        rows = work.images(with_honeypots=True)
        suffixes = {shown_picture(work.folder, row).suffix for row in rows}
        assert len(suffixes) == 1
        assert len(work.honeypots()) == 2 * KNOWN
        secret = next(row for row in rows if row.truth)
        shown_picture(work.folder, secret).unlink()
        reopen_work(work.folder, images=world, split="train", honeypots=tmp_path / "known")
        assert shown_picture(work.folder, secret).suffix in suffixes


# -- what nobody else counts ----------------------------------------------------------------------


def test_they_are_drawn_but_never_counted_sampled_or_exported(
    work: Work, truth: dict[str, Dataset]
) -> None:
    draw(work, truth, "ram")
    ids = {image.id for image in work.images("ram")}
    (ram,) = standings(work, ["ram"])
    assert (ram.images, ram.done, ram.drawn) == (IMAGES, IMAGES, IMAGES)
    assert (ram.checks, ram.checked) == (KNOWN, KNOWN)
    (ann,) = hours_by_annotator(work)
    assert (ann.images, ann.hours) == (IMAGES, pytest.approx((IMAGES + KNOWN) * 2 / 60))
    (one,) = [told for told in preview(work) if told.object == "ram"]
    assert (one.images, one.checks) == (IMAGES, KNOWN)
    assert set(make_manifest(work, work.batch("ram"))["images"]) == set(map(str, ids))
    assert submit_finished(work, work.batch("ram"), "lead")
    desk = Inspection(work).sample("ram", INA, overlaps=["horn=head"])
    assert {card.image_id for card in desk.cards} == ids  # 10 of 10, of 13 drawn
    built = build(work, Wanted(include_open=True))
    assert {image.id for image in built.dataset.images if image.object == "ram"} == ids
    assert built.undone == IMAGES  # the mugs
    assert measure_effort(work).people[0].images == IMAGES


def test_every_one_is_to_be_drawn_before_a_round_is_done(
    work: Work, truth: dict[str, Dataset]
) -> None:
    draw(work, truth, "ram")
    secret = min(work.honeypots("ram"))
    pull(work, [given(1, "ram", "a@x.org", secret, 30, [], kind="broken")], "ram")
    assert not submit_finished(work, work.batch("ram"), "lead")


def test_one_given_up_is_no_discard(work: Work, truth: dict[str, Dataset]) -> None:
    draw(work, truth, "ram")
    secret = min(work.honeypots("ram"))
    refused = {"kind": "discard", "reason": "low quality"}
    pull(work, [given(1, "ram", "a@x.org", secret, 30, [], **refused)], "ram")
    assert find_cases(work) == []
    assert [(row.looked_at, row.refused) for row in refusals(work)] == [(IMAGES, 0)]
    assert submit_finished(work, work.batch("ram"), "lead")
    assert (
        len(Inspection(work).sample("ram", INA, overlaps=["horn=head"]).cards) == IMAGES
    )  # no review is waited for
    whole = check_annotators(work)[0]
    assert (whole.refused, whole.failed) == (1, 1)
    assert min(answer.overlap for answer in whole.record.answers) == 0


def test_the_next_round_holds_the_same_ones(work: Work, truth: dict[str, Dataset]) -> None:
    draw(work, truth, "ram")
    work.record("abandoned", who="lead", object="ram", data={"reason": "r"})
    give(work, "ram", "c@x.org", round=2)
    draw(work, truth, "ram", lambda _: 9)
    found = {one.record.annotator: one for one in check_annotators(work, ["ram"])}
    assert {who: one.failed for who, one in found.items()} == {"a@x.org": 0, "c@x.org": KNOWN}


def test_more_pictures_are_none_of_them(work: Work, world: Path) -> None:
    """A picture whose masks are known lies among those to annotate, too."""
    secret = next(i for i in work.images("ram", with_honeypots=True) if i.truth)
    unused = sorted({i.file_name for i in read_dataset(world, "train").images if i.object == "ram"}
                    - {i.file_name for i in work.images("ram")})  # fmt: skip
    own = work.images("ram")
    pull(work, [given(1, "ram", "a@x.org", i.id, 0, [], kind="discard") for i in own], "ram")
    for image in own:
        for who in (INA, "ben@x.org"):
            data = {"image_id": image.id, "uphold": True}
            work.record("discard-review", who=who, object="ram", data=data)
    picture = read_dataset(world, "train").image_root / unused[0]
    kept = picture.read_bytes()
    try:
        path = read_dataset(world, "heldout").image_root / secret.file_name
        picture.write_bytes(path.read_bytes())
        told = refill(work, "lead")
    finally:
        picture.write_bytes(kept)
    new = work.images("ram")[IMAGES:]
    assert sorted(i.file_name for i in new) == unused[1:]
    assert told == {"ram": f"{IMAGES - len(new)} short: its source has no more pictures"}


# -- how they are judged --------------------------------------------------------------------------


def test_careful_and_careless_annotators_are_told_apart(
    work: Work, truth: dict[str, Dataset]
) -> None:
    draw(work, truth, "ram")
    draw(work, truth, "mug", lambda number: 0 if number < 6 else 12)
    ann, ram, ben, mug = check_annotators(work)
    assert [(one.record.annotator, one.object) for one in (ann, ram, ben, mug)] == [
        ("a@x.org", None),
        ("a@x.org", "ram"),
        ("b@x.org", None),
        ("b@x.org", "mug"),
    ]
    assert ann.record.overlap == 1
    assert ann.failed == 0
    assert set(ann.record.per_part.values()) == {1.0}
    assert {name.split(":")[0] for name in ann.record.per_part} == {"ram"}
    places = [n for n, i in enumerate(work.images("mug", with_honeypots=True)) if i.truth]
    assert ben.failed == sum(place >= 6 for place in places) == 2
    overlaps = [answer.overlap for answer in ben.record.answers]  # in the order of time
    assert overlaps[0] == 1
    assert max(overlaps[1:]) < 0.7
    assert ben.record.drift.slope < 0
    assert check_annotators(work, ["mug"], bar=0)[0].failed == 0


def test_parts_the_data_set_does_not_know_are_not_judged(
    world: Path, vocabulary: Vocabulary, truth: dict[str, Dataset], tmp_path: Path
) -> None:
    known = truth["heldout"]
    gone = {c.id for c in known.categories if c.part in ("horn", "handle")}
    assert gone
    less = replace(
        known,
        categories=[c for c in known.categories if c.id not in gone],
        annotations=[a for a in known.annotations if a.category_id not in gone],
    )
    (tmp_path / "known" / "annotations").mkdir(parents=True)
    (tmp_path / "known" / "images").symlink_to(known.image_root)
    write_coco(less, tmp_path / "known" / "annotations" / "a.json")
    with begin(tmp_path / "work", world, vocabulary, tmp_path / "known") as work:
        give(work, "ram", "a@x.org")
        draw(work, truth, "ram")
        assert check_annotators(work)[0].record.overlap == 1


@pytest.mark.parametrize("moved", [True, False])
def test_merged_parts_are_judged_as_what_they_are_now(
    work: Work, truth: dict[str, Dataset], moved: bool
) -> None:
    """Earlier versions moved the answers themselves."""
    draw(work, truth, "ram")
    ids = work.vocabulary.object("ram").ids
    new = merge_parts(work.vocabulary, "ram", [ids[0], ids[1]], "front", Editor(who="lead"))
    made = new.object("ram").named("front").id
    moves: dict[str, Any] = {"parts": {ids[0]: made, ids[1]: made}}
    work.replace_vocabulary(new, "lead")
    data = {"vocabulary_version": new.version, **moves}
    if moved:
        work.record("migrated", who="lead", object="ram", data=data)
    whole = check_annotators(work)[0]
    assert whole.record.overlap == 1
    assert "ram:front" in whole.record.per_part


def test_they_survive_a_rebuild(work: Work, truth: dict[str, Dataset]) -> None:
    before = [repr(row) for row in work.images(with_honeypots=True)]
    assert any("'masks'" in row for row in before)
    rebuild_work(work.folder, lambda *_: ((), ()))
    with Work.open(work.folder) as again:
        assert [repr(row) for row in again.images(with_honeypots=True)] == before
        assert again.honeypots() == work.honeypots()


# -- the commands and what can go wrong -----------------------------------------------------------


def run(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_the_command(work: Work, truth: dict[str, Dataset]) -> None:
    code, _, said = run("inspect", "honeypots", work.folder)
    assert code == 1
    assert "no honeypot was drawn yet" in said
    draw(work, truth, "ram")
    draw(work, truth, "mug", lambda _: 12)
    code, out, _ = run("inspect", "honeypots", work.folder, "--bar", 0.75, "--json")
    told = json.loads(out)
    assert (code, told["bar"]) == (0, 0.75)
    shares = [(o["annotator"], o["object"], o["failed_share"]) for o in told["annotators"]]
    assert shares == [
        ("a@x.org", None, 0),
        ("a@x.org", "ram", 0),
        ("b@x.org", None, 1),
        ("b@x.org", "mug", 1),
    ]
    code, out, _ = run("inspect", "honeypots", work.folder, "mug")
    assert code == 0
    assert "b@x.org" in out
    assert "a@x.org" not in out
    assert "mug:handle" in out
    assert run("inspect", "honeypots", work.folder, "rat")[0] == 3
    assert run("inspect", "honeypots", work.folder / "none")[0] == 3
    code, out, _ = run("status", work.folder)
    assert code == 0
    assert f"ram r1: besides, {KNOWN} of {KNOWN} honeypots are done" in out
    assert f"{IMAGES}/{IMAGES}" in out


def test_a_dry_run_counts_them(world: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    plan = plan_work(vocabulary, world, split="train")
    known = plan_known(vocabulary, OBJECTS, world, per_object=2, split="heldout")
    told = preview_new(plan, IMAGES, ["a@x.org"], known)
    assert [(one.images, one.checks, one.added) for one in told] == [(IMAGES, 2, IMAGES + 2)] * 2


def test_what_cannot_be_used(
    world: Path, vocabulary: Vocabulary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotFoundError, match="no masks of the parts of rat"):
        plan_known(vocabulary, ["rat"], world, per_object=1, split="heldout")
    with pytest.raises(NotFoundError):
        plan_known(vocabulary, OBJECTS, tmp_path, per_object=1)
    with pytest.raises(NotFoundError, match="several splits") as caught:
        plan_known(vocabulary, OBJECTS, world, per_object=1)
    assert ".json" in str(caught.value.hint)
    plan = plan_work(vocabulary, world, split="train")
    same = plan_known(vocabulary, OBJECTS, world, per_object=1, split="train")
    every = len(read_dataset(world, "train").images) // 2
    with pytest.raises(NotFoundError, match="can be a honeypot"):
        begin_work(tmp_path / "w", plan, name="w", per_object=every, known=same)
    only = read_dataset(world, "heldout")
    rams = only.subset(i.id for i in only.images if i.object == "ram")
    write_coco(rams, tmp_path / "rams" / "annotations" / "a.json")
    (tmp_path / "rams" / "images").symlink_to(only.image_root)
    assert plan_known(vocabulary, OBJECTS, tmp_path / "rams", per_object=1).counts == {"ram": 1}
    assert "no pictures with known masks of mug" in caplog.text


def test_a_broken_picture_is_replaced_by_another(
    world: Path, vocabulary: Vocabulary, truth: dict[str, Dataset], tmp_path: Path
) -> None:
    known = truth["heldout"]
    folder = tmp_path / "known" / "images"
    for number, image in enumerate(known.images):
        (folder / image.file_name).parent.mkdir(parents=True, exist_ok=True)
        good = known.image_path(image).read_bytes()
        (folder / image.file_name).write_bytes(good[:40] if number % 3 == 0 else good)
    write_coco(known, tmp_path / "known" / "annotations" / "a.json")
    with begin(tmp_path / "work", world, vocabulary, tmp_path / "known") as work:
        secret = [i for i in work.images(with_honeypots=True) if i.truth]
        whole = {sha256_file(known.image_path(image)) for image in known.images}
        assert 2 <= len(secret) <= 2 * KNOWN
        assert {i.sha256 for i in secret} <= whole
        assert all(find_picture(work.folder / "images" / i.object, i.id) for i in secret)


def test_a_work_without_them_says_so(world: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    plan = plan_work(vocabulary, world, split="train")
    with begin_work(tmp_path / "w", plan, name="w", per_object=2) as work:
        hand_out(work)
        with pytest.raises(StateError, match="has no honeypots"):
            check_annotators(work)
        with pytest.raises(StateError, match="begun without honeypots"):
            reopen_work(work.folder, honeypots=world)
