"""A work whose inspectors spoke in Label Studio: nothing that they said is lost unsaid."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import hand_out, start
from farm_drawn import paint, submit_drawn
from typer.testing import CliRunner, Result

from annotate.inspect.discards import review_discard
from annotate.inspect.elsewhere import said_elsewhere
from annotate.inspect.overview import look_over
from annotate.inspect.service import Inspection
from annotate.work import Work
from app.cli.main import app

INA, IVO = "ina@x.org", "ivo@x.org"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with start(tmp_path / "work") as made:
        paint(made)
        hand_out(made)
        yield made


def showed(work: Work, kind: str, project: int) -> None:
    """What an earlier version noted when it made a project for inspectors."""
    note = {"kind": f"{kind}-project", "project_id": project}
    work.record("logged", who="partlab", object="ram", round=1, data=note)


def run(*words: object) -> Result:
    told = CliRunner().invoke(app, [str(word) for word in words])
    logging.getLogger().handlers.clear()
    assert told.exit_code == 0, told.output
    return told


def test_whoever_inspects_is_told_of_words_in_label_studio_until_it_is_decided(work: Work) -> None:
    submit_drawn(work)
    inspection = Inspection(work)
    desk = inspection.sample("ram", INA)
    assert said_elsewhere(work) == {}
    inspection.decide("ram", desk.cards[0].image_id, True, INA)
    showed(work, "inspect", 17)
    (words,) = said_elsewhere(work).values()
    assert "ram: an earlier version had it inspected in Label Studio (project 17)" in words
    assert said_elsewhere(work, ["schöner Hammer"]) == {}
    (row,) = look_over(work, ["ram"]).rows
    assert row.elsewhere == words
    assert words in run("status", work.folder).stdout
    assert inspection.cards("ram").seen == 1  # what was read from there before stands
    for command in (["sample"], ["decide", "ram", "--pass-rest", "--yes"]):
        told = run("inspect", command[0], work.folder, *command[1:], "--by", INA)
        assert "in Label Studio (project 17)" in told.stderr
    assert inspection.cards("ram").state == "accepted"
    assert said_elsewhere(work) == {}


def test_the_same_of_images_that_were_given_up(work: Work) -> None:
    submit_drawn(work, discards=(2,))
    showed(work, "discards", 18)
    showed(work, "third", 19)
    assert "(project 18 and 19)" in said_elsewhere(work)["ram"]
    assert "(project 18 and 19)" in run("inspect", "discards", work.folder).stderr
    for who in (INA, IVO):
        review_discard(work, "ram", 2, True, who)
    assert said_elsewhere(work) == {}
