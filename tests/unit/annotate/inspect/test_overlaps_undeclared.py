"""Parts that lie over each other undeclared come to no inspection (M-02); what is accepted by name
passes `data check` afterwards.
"""

import json
from pathlib import Path

import pytest
from farm import hand_out, pull
from farm_drawn import drawn, mask, masks_of, submit_drawn
from typer.testing import CliRunner

from annotate.data.check import check_folder
from annotate.data.formats.pictures import Pictures
from annotate.inspect.export import export
from annotate.inspect.overview import look_over
from annotate.inspect.service import Inspection
from annotate.studio.acts.status import standings
from annotate.studio.acts.submit import submit_finished
from annotate.studio.acts.todo import todos
from annotate.work import Work
from app.cli.main import app
from partlab.errors import ConfigError, StateError, UnknownNameError

INA = "ina@x.org"
OVER_HEAD = mask("body", (8, 12, 42, 24))


def overlapping(work: Work, *images: int) -> None:
    """A complete round; in these images the body is drawn over the head."""
    hand_out(work)
    submit_drawn(work)
    bad = [[m for m in masks_of("ram", id) if m["part"] != "body"] + [OVER_HEAD] for id in images]
    pull(work, [drawn(work, id, masks=masks) for id, masks in zip(images, bad, strict=True)])
    assert submit_finished(work, work.batch("ram"), "lead")


def test_the_refusal_names_parts_images_and_what_to_do(work: Work) -> None:
    overlapping(work, 3, 7)
    with pytest.raises(StateError) as refused:
        Inspection(work).sample("ram", INA)
    assert "head over body in 2 images (3, 7)" in refused.value.message
    assert "horn over body" in refused.value.message
    assert "horn over head" not in refused.value.message  # declared
    assert "--accept-overlap head=body" in str(refused.value.hint)
    assert work.batch("ram").state == "submitted"


def test_status_says_what_stops_the_inspection_and_what_to_do(work: Work) -> None:
    overlapping(work, 3, 7)
    with pytest.raises(StateError) as refused:
        Inspection(work).sample("ram", INA)
    (row,) = look_over(work, ["ram"]).rows
    assert (row.waits_for, row.why) == ("the lead", "parts lie over each other")
    assert row.stopped == (
        f"`partlab inspect sample` stops: {refused.value.message}. {refused.value.hint}"
    )
    shown = CliRunner().invoke(app, ["status", str(work.folder), "ram"])
    assert "waits for the lead: ram (parts lie over each other)" in shown.output
    assert "head over body in 2 images (3, 7)" in shown.output
    assert "an inspector" not in shown.output
    told = CliRunner().invoke(app, ["status", str(work.folder), "ram", "--json"])
    assert json.loads(told.stdout)["rounds"][0]["stopped"] == row.stopped
    pull(work, [drawn(work, 3), drawn(work, 7)])
    submit_finished(work, work.batch("ram"), "lead")
    (row,) = look_over(work, ["ram"]).rows
    assert (row.waits_for, row.stopped) == ("an inspector", "")


def test_the_annotator_reads_it_until_it_is_mended(work: Work) -> None:
    overlapping(work, 3)
    (words,) = todos(work, work.batch("ram")).values()
    assert "lies over body: parts do not overlap; erase one of them there" in words
    pull(work, [drawn(work, 3)])
    assert todos(work, work.batch("ram")) == {}
    submit_finished(work, work.batch("ram"), "lead")
    assert Inspection(work).sample("ram", INA).state == "sampled"


def test_what_is_accepted_by_name_is_no_error_of_the_data_set(work: Work, tmp_path: Path) -> None:
    overlapping(work, 3)
    inspection = Inspection(work)
    with pytest.raises(StateError, match="horn over body in image 3"):
        inspection.sample("ram", INA, overlaps=["head=body"])
    with pytest.raises(UnknownNameError, match="heda"):
        inspection.sample("ram", INA, overlaps=["heda=body"])
    with pytest.raises(ConfigError, match="names no two parts"):
        inspection.sample("ram", INA, overlaps=["head"])
    desk = inspection.sample("ram", INA, overlaps=["body=head", "horn=body"])
    for card in desk.cards:
        inspection.decide("ram", card.image_id, True, INA)
    export(work, tmp_path / "out", pictures=Pictures.none)
    report = check_folder(tmp_path / "out", pictures=False)
    assert report.errors == 0
    kinds = {finding.kind for finding in report.findings}
    assert "accepted_overlap" in kinds


def test_status_is_silent_on_what_was_accepted(work: Work) -> None:
    overlapping(work, 3)
    lies = {"kind": "overlap", "severity": "warning", "message": "90% of head lies in body"}
    again = drawn(work, 3, masks=[*masks_of("ram", 3)[:2], OVER_HEAD])
    again.problems = [{**lies, "parts": ["head", "body"]}]
    pull(work, [again])
    submit_finished(work, work.batch("ram"), "lead")
    assert standings(work)[0].problems == ("image 3: 90% of head lies in body",)
    Inspection(work).sample("ram", INA, overlaps=["body=head", "horn=body"])
    assert standings(work)[0].problems == ()


def test_several_categories_take_what_is_accepted_of_their_parts(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    overlapping(work, 3)
    hand_out(work, "schöner Hammer", "ben@x.org")
    submit_drawn(work, "schöner Hammer")
    inspection = Inspection(work)
    with pytest.raises(UnknownNameError, match="heda"):
        inspection.sample_all(INA, overlaps=["heda=body"])
    (hammer,) = inspection.sample_all(INA, overlaps=["head=body"])
    assert hammer.object == "schöner Hammer"
    assert "horn over body in image 3" in caplog.text
    assert "--accept-overlap horn=body" in caplog.text  # what to do stands with it
    with pytest.raises(UnknownNameError, match="head"):
        inspection.sample_all(INA, ["schöner Hammer"], overlaps=["head=body"])
    both = inspection.sample_all(INA, overlaps=["head=body", "horn=body"])
    assert [(desk.object, desk.state) for desk in both] == [
        ("ram", "sampled"),
        ("schöner Hammer", "sampled"),
    ]
