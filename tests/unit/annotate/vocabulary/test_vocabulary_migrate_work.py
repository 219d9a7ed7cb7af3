"""What a change of the vocabulary does to a work's answers; no server is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import answer, hand_out, pull, start

from annotate.studio.migrate import migrate
from annotate.vocabulary.edit import add_parts, rename_part, split_part
from annotate.work import Work


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
