"""What a change of the vocabulary does to a work's answers; no server is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import answer, hand_out, pull, start, submit

from annotate.inspect.export import category_ids
from annotate.studio.acts.begin import handing_out
from annotate.studio.acts.migrate import migrate
from annotate.vocabulary import Vocabulary
from annotate.vocabulary.edit import add_parts, merge_parts, rename_part, split_part
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


def problems(work: Work) -> list[list[str]]:
    return [[one["message"] for one in answer.problems] for answer in work.answers("ram", 1)]


def test_what_waits_to_be_drawn_again_is_asked_for_further_parts(work: Work) -> None:
    """V-08: a new part is not forgotten where an older change waits."""
    new = split_part(work.vocabulary, "ram", "head", ["skull", "jaw"])
    assert migrate(work, None, new)[1][0].redraw == 4
    new = add_parts(rename_part(new, "ram", "horn", "antler"), "ram", ["ear"])
    told = migrate(work, None, new, dry_run=True)[1][0]
    assert (told.redraw, told.images) == (4, (1, 2, 3, 4))
    migrate(work, None, new)
    both = [
        "head is now skull and jaw: draw them",
        "ear is a new part: draw what can be seen, and update",
    ]
    assert problems(work) == [both] * 4 + [[]]
    assert {answer.kind for answer in work.answers("ram", 1)} == {"broken"}


@pytest.mark.parametrize("other", [".pull", ".push", "hand-out"])
def test_it_does_not_run_beside_a_pull_a_push_or_a_hand_out(work: Work, other: str) -> None:
    new = rename_part(work.vocabulary, "ram", "horn", "antler")
    lock = handing_out(work.folder) if other == "hand-out" else exclusive(work.folder / other)
    with lock, pytest.raises(BusyError):
        migrate(work, None, new)
    assert (work.vocabulary.version, work.batch("ram").vocabulary_version) == (1, 1)
    migrate(work, None, new)
    assert work.batch("ram").vocabulary_version == 2


def test_a_submitted_round_that_is_opened_again_is_no_longer_the_one_submitted(
    work: Work,
) -> None:
    """M-08: the hash was of other answers."""
    submit(work)
    assert work.batch("ram").manifest_hash == "m"
    migrate(work, None, split_part(work.vocabulary, "ram", "head", ["skull", "jaw"]))
    assert (work.batch("ram").state, work.batch("ram").manifest_hash) == ("annotating", None)


@pytest.mark.parametrize("state", ["sampled", "accepted"])
def test_no_event_opens_a_round_that_is_inspected(work: Work, state: str) -> None:
    """Q-02: also one that another process writes between the check and the change."""
    submit(work)
    sampled = {"seed": 1, "plan": "paper", "images": [1]}
    work.record("sampled", who="ina@x.org", object="ram", data=sampled)
    if state == "accepted":
        work.record("decided", who="ina@x.org", object="ram", data={"accepted": True})
    with pytest.raises(StateError, match=f"ram round 1 is {state}"):
        migrate(work, None, split_part(work.vocabulary, "ram", "head", ["skull", "jaw"]))
    data = {"vocabulary_version": 2, "parts": {"head": None}, "redraw": {"1": "draw it"}}
    with pytest.raises(StateError, match="'migrated' needs it planned or annotating or submitted"):
        work.record("migrated", who="lead", object="ram", data=data)
    assert (work.batch("ram").state, work.batch("ram").vocabulary_version) == (state, 1)
    assert {answer.kind for answer in work.answers("ram", 1)} == {"masks"}


def test_the_number_of_a_part_that_is_gone_is_never_given_again(work: Work) -> None:
    """In files exported before it means the old part."""
    hammer = "schöner Hammer"
    before = category_ids(work)
    assert before[hammer, "handle"] == max(before.values()) == 4
    migrate(work, None, split_part(work.vocabulary, hammer, "handle", ["grip", "shaft"]))
    after = category_ids(work)
    assert (after[hammer, "grip"], after[hammer, "shaft"]) == (5, 6)
    assert after[hammer, "handle"] == 4


def words(work: Work, new: Vocabulary) -> list[str]:
    """What the dry run says."""
    target, told = migrate(work, None, new, dry_run=True)
    notes = _notes(work.vocabulary, target, told)
    return _text(target, told, notes, dry_run=True).splitlines()


def test_a_dry_run_says_whose_keys_and_inclusions_change(work: Work) -> None:
    new = split_part(work.vocabulary, "ram", "head", ["skull", "jaw"])
    said = words(work, rename_part(new, "ram", "body", "trunk"))
    assert "ram: keys and colours change: horn 2 -> 3, trunk 3 -> 4: tell the annotators" in said
    assert "ram: horn lay in head, and no inclusion says so now" in said
    assert not any("export" in line for line in said)
    merged = merge_parts(work.vocabulary, "ram", ["head", "horn"], "head")
    (told,) = migrate(work, None, merged, dry_run=True)[1]
    assert told.keys == (("body", "3", "2"),)
    assert not any("declared" in line for line in words(work, merged))


def test_a_dry_run_says_when_rounds_get_their_new_names(work: Work) -> None:
    submit(work)
    sampled = {"seed": 1, "plan": "paper", "images": [1]}
    work.record("sampled", who="ina@x.org", object="ram", data=sampled)
    work.record("decided", who="ina@x.org", object="ram", data={"accepted": True})
    new = rename_part(work.vocabulary, "ram", "horn", "antler")
    hammer = rename_part(work.vocabulary, HAMMER, "handle", "grip")
    assert words(work, new) == [
        "ram is accepted: its next export has the new names",
        "nothing changed (--dry-run)",
    ]
    assert words(work, hammer) == [
        "1 object category: nothing to change",
        "schöner Hammer has no round at work: its next one has the new parts",
        "nothing changed (--dry-run)",
    ]
    ids = [image.id for image in work.images(HAMMER)]
    planned = {"images": ids, "assignee": "ann@x.org", "vocabulary_version": 1}
    work.record("planned", who="lead", object=HAMMER, round=1, data=planned)
    assert words(work, new)[1] == "1 other object category: nothing to change"
    assert words(work, hammer)[:2] == [
        "schöner Hammer is not handed out yet: it will be with the new names",
        "1 other object category: nothing to change",
    ]
