"""What a change of the vocabulary does to a work's rounds; no server is asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from farm import answer, hand_out, pull, start, submit

from annotate.inspect.build import Wanted, build, category_ids
from annotate.inspect.overview import look_over
from annotate.inspect.service import Inspection
from annotate.studio.acts.begin import handing_out
from annotate.studio.acts.migrate import migrate
from annotate.studio.acts.rounds import preview
from annotate.studio.acts.status import standings
from annotate.vocabulary import Part, Vocabulary
from annotate.vocabulary.edit import (
    add_parts,
    merge_parts,
    remove_part,
    rename_part,
    split_part,
)
from annotate.work import Work
from app.cli.vocabulary_migrate import _notes, _text
from partlab.errors import BusyError, StateError
from partlab.files import exclusive

HAMMER = "schöner Hammer"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """Of 12 rams 4 are drawn, each a head; a fifth could not be read."""
    with start(tmp_path / "work") as work:
        hand_out(work)
        pull(work, [*(answer(work, i) for i in range(1, 5)), answer(work, 5, "broken")])
        yield work


def changed(work: Work, how: str) -> Vocabulary:
    """Another version of the work's vocabulary, by one change of the ram."""
    old = work.vocabulary
    return {
        "rename": lambda: rename_part(old, "ram", "head", "skull"),
        "merge": lambda: merge_parts(old, "ram", ["head", "horn"], "top"),
        "split": lambda: split_part(old, "ram", "head", ["skull", "jaw"]),
        "remove": lambda: remove_part(old, "ram", "horn"),
        "add": lambda: add_parts(old, "ram", ["ear"]),
        "order": lambda: old.replaced([_turned(old)]),
    }[how]()


def _turned(old: Vocabulary) -> Any:
    ram = old.object("ram")
    return ram.model_copy(update={"parts": ram.parts[::-1]})


def accept(work: Work) -> None:
    submit(work)
    Inspection(work).sample("ram", "ina@x.org")
    Inspection(work).pass_rest("ram", "ina@x.org")


def rounds(work: Work) -> list[tuple[int, str, int, str | None]]:
    return [(b.round, b.state, b.vocabulary_version, b.start_from) for b in work.rounds("ram")]


GOES_ON = [(1, "annotating", 1, None)]
RENEWED = [(1, "annotating", 2, None)]
NEXT = [(1, "abandoned", 1, None), (2, "planned", 2, "r1:ann@x.org")]


@pytest.mark.parametrize(
    ("how", "does", "expected"),
    [
        ("rename", "new interface", RENEWED),
        ("order", "new interface", RENEWED),
        ("merge", "goes on", GOES_ON),
        ("split", "next round", NEXT),
        ("remove", "next round", NEXT),
        ("add", "next round", NEXT),
    ],
)
def test_what_a_round_does_that_is_drawn(work: Work, how: str, does: str, expected: Any) -> None:
    new, before = changed(work, how), [a.masks for a in work.answers("ram", 1)]
    (told,) = migrate(work, None, new, dry_run=True)[1]
    assert told.does == does
    assert (work.vocabulary.version, rounds(work)) == (1, GOES_ON)
    assert migrate(work, None, new)[1] == [told]
    assert rounds(work) == expected
    state = [a.masks for a in Work.open(work.folder).answers("ram", 1)]
    assert [[m["rle"] for m in masks] for masks in state] == [
        [m["rle"] for m in masks] for masks in before
    ]
    assert [one.does for one in migrate(work, None, new)[1]] in (["nothing"], [does])
    assert rounds(work) == expected


@pytest.mark.parametrize("how", ["split", "remove", "add"])
def test_with_keep_answers_a_round_goes_on(work: Work, how: str) -> None:
    (told,) = migrate(work, None, changed(work, how), keep_answers=True)[1]
    assert (told.does, rounds(work)) == ("goes on", GOES_ON)
    assert work.parts(work.batch("ram")).names == ("head", "horn", "body")


def test_a_round_that_is_planned_takes_any_change(tmp_path: Path) -> None:
    with start(tmp_path / "work") as work:
        planned = {"images": [1, 2], "assignee": "ann@x.org", "vocabulary_version": 1}
        work.record("planned", who="lead", object="ram", round=1, data=planned)
        migrate(work, None, changed(work, "split"))
        assert rounds(work) == [(1, "planned", 2, None)]


def test_merged_parts_are_one_wherever_answers_are_read(work: Work) -> None:
    accept(work)
    migrate(work, None, changed(work, "merge"))
    assert rounds(work) == [(1, "accepted", 1, None)]
    assert {m["part"] for a in work.answers("ram", 1) for m in a.masks} == {"top"}
    built = build(work)
    assert built.dataset.names == ("ram:top", "ram:body")
    category = built.dataset.category_by_id
    assert {category[a.category_id].part for a in built.dataset.annotations} == {"top"}
    assert (built.older, built.gone) == ({}, 0)
    card = Inspection(work).cards("ram").cards[0]
    assert (card.drawn, card.missing) == (("top",), ("body",))
    (standing,) = standings(work)
    assert standing.undrawn == ("body",)
    assert look_over(work).rows[0].waits_for == ""


def test_an_accepted_category_stays_as_it_was_drawn_until_its_new_parts_are(work: Work) -> None:
    before = category_ids(work)
    accept(work)
    migrate(work, None, changed(work, "split"))
    assert rounds(work) == [(1, "accepted", 1, None)]
    built = build(work)
    assert built.dataset.names == ("ram:horn", "ram:body", "ram:head")
    assert len(built.dataset.annotations) == 12
    assert {a.category_id for a in built.dataset.annotations} == {before["ram", "head"]}
    assert built.older == {"ram": "head is now skull and jaw"}
    assert built.rounds["ram"]["vocabulary_version"] == 1
    assert built.dataset.inclusions == {"ram": {"horn": "head"}}
    (row,) = look_over(work).rows
    said = "partlab studio create --new-parts (head is now skull and jaw)"
    assert (row.waits_for, row.why) == ("the lead", said)
    assert [one.round for one in preview(work, objects=["ram"])] == [1]
    (due,) = preview(work, objects=["ram"], new_parts=True)
    assert (due.round, due.images, due.assignee) == (2, 12, "ann@x.org")


def test_the_accepted_round_counts_until_the_next_one_is(work: Work) -> None:
    accept(work)
    migrate(work, None, changed(work, "add"))
    planned = {"images": list(range(1, 13)), "assignee": "ann@x.org", "vocabulary_version": 2}
    with pytest.raises(StateError, match="no new round is due"):
        work.record("planned", who="lead", object="ram", round=2, data=planned)
    planned |= {"because": "ear is a new part", "start_from": "r1:ann@x.org"}
    work.record("planned", who="lead", object="ram", round=2, data=planned)
    assert [state for _, state, *_ in rounds(work)] == ["accepted", "planned"]
    assert build(work).rounds["ram"]["round"] == 1
    assert build(work, Wanted(include_open=True)).rounds["ram"]["round"] == 2


def test_a_removed_part_is_left_out_and_counted(work: Work) -> None:
    accept(work)
    migrate(work, None, remove_part(work.vocabulary, "ram", "head"))
    built = build(work)
    assert (built.dataset.names, built.gone, built.older) == (("ram:horn", "ram:body"), 12, {})
    assert look_over(work).rows[0].waits_for == ""


@pytest.mark.parametrize("state", ["sampled", "accepted"])
def test_no_event_ends_a_round_that_is_inspected(work: Work, state: str) -> None:
    """Q-02: also one that another process writes between the check and the change."""
    submit(work)
    sampled = {"seed": 1, "plan": "paper", "images": [1]}
    work.record("sampled", who="ina@x.org", object="ram", data=sampled)
    if state == "accepted":
        work.record("decided", who="ina@x.org", object="ram", data={"accepted": True})
    migrate(work, None, changed(work, "split"))
    assert rounds(work) == [(1, state, 1, None)]
    data = {"vocabulary_version": 2, "parts": {"head": None}, "redraw": {"1": "draw it"}}
    with pytest.raises(StateError, match="'migrated' needs it planned or annotating or submitted"):
        work.record("migrated", who="lead", object="ram", data=data)
    planned = {"images": [1], "assignee": "ann@x.org", "vocabulary_version": 2, "because": "x"}
    if state == "sampled":
        with pytest.raises(StateError, match="no new round is due"):
            work.record("planned", who="lead", object="ram", round=2, data=planned)
    assert {answer.kind for answer in work.answers("ram", 1)} == {"masks"}


@pytest.mark.parametrize("other", [".pull", ".push", "hand-out"])
def test_it_does_not_run_beside_a_pull_a_push_or_a_hand_out(work: Work, other: str) -> None:
    new = rename_part(work.vocabulary, "ram", "horn", "antler")
    lock = handing_out(work.folder) if other == "hand-out" else exclusive(work.folder / other)
    with lock, pytest.raises(BusyError):
        migrate(work, None, new)
    assert (work.vocabulary.version, work.batch("ram").vocabulary_version) == (1, 1)
    migrate(work, None, new)
    assert work.batch("ram").vocabulary_version == 2


def test_the_number_of_a_part_that_is_gone_is_never_given_again(work: Work) -> None:
    """In files exported before it means the old part."""
    before = category_ids(work)
    assert before[HAMMER, "handle"] == max(before.values()) == 4
    migrate(work, None, split_part(work.vocabulary, HAMMER, "handle", ["grip", "shaft"]))
    after = category_ids(work)
    assert (after[HAMMER, "grip"], after[HAMMER, "shaft"]) == (5, 6)
    assert after[HAMMER, "handle"] == 4


def test_cut_off_once_the_vocabulary_is_replaced_the_rounds_follow_later(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    ram = work.vocabulary.object("ram")
    parts = (*ram.parts, Part(name="ear"))  # by hand: the record of it is made by the first try
    new = work.vocabulary.replaced([ram.model_copy(update={"parts": parts})])
    record = Work.record

    def cut(self: Work, what: str, **more: Any) -> Any:
        done = record(self, what, **more)
        if what == "vocabulary":
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Work, "record", cut)
    with pytest.raises(KeyboardInterrupt):
        migrate(work, None, new)
    monkeypatch.undo()
    with Work.open(work.folder) as other:
        assert (other.vocabulary.version, other.vocabulary.hash) == (2, new.hash)
        assert rounds(other) == GOES_ON
        migrate(other, None, new)
        assert rounds(other) == NEXT
        assert len(other.vocabulary.changes) == 1


def test_a_change_that_an_earlier_version_left_half_done_is_told(work: Work) -> None:
    (work.folder / "migrating.yaml").write_text("x", encoding="utf-8")
    with pytest.raises(StateError, match="cut off in an earlier version") as told:
        Work.open(work.folder)
    assert "finish it with that version" in str(told.value.hint)


def words(work: Work, new: Vocabulary) -> list[str]:
    """What the dry run says."""
    target, told = migrate(work, None, new, dry_run=True)
    notes = _notes(work.vocabulary, target, told)
    return _text(target, told, notes, dry_run=True).splitlines()


def test_a_dry_run_says_whose_keys_and_inclusions_change(work: Work) -> None:
    new = split_part(work.vocabulary, "ram", "head", ["skull", "jaw"])
    assert words(work, rename_part(new, "ram", "body", "trunk")) == [
        "ram round 1 (annotating): ends, and round 2 begins with the masks of 4 images: "
        "head is now skull and jaw",
        "ram: keys and colours change: horn 2 -> 3, trunk 3 -> 4: tell the annotators",
        "ram: horn lay in head, and no inclusion says so now",
        "nothing changed (--dry-run)",
    ]
    assert words(work, changed(work, "merge")) == [
        "ram round 1 (annotating): goes on as it is; its next round has the new parts",
        "nothing changed (--dry-run)",
    ]


def test_a_dry_run_says_what_becomes_of_the_others(work: Work) -> None:
    accept(work)
    hammer = rename_part(work.vocabulary, HAMMER, "handle", "grip")
    assert words(work, changed(work, "rename")) == [
        "ram round 1 (accepted): exports have the new names",
        "nothing changed (--dry-run)",
    ]
    assert words(work, hammer) == [
        "1 object category: nothing to change",
        "schöner Hammer has no round at work: its next one has the new parts",
        "nothing changed (--dry-run)",
    ]
