"""What is open in a round, and why, on a real Label Studio: in the task, in the instructions."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotator import Person, choice
from fake_tasks import drawn
from farm import FARM
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

from annotate.inspect.service import Inspection
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.acts.ingest import read_export
from annotate.studio.acts.pull import pull
from annotate.studio.api.client import Studio
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running
from annotate.studio.spelling.reading import read_result
from annotate.work import Work, rebuild_work
from app.cli.main import app
from partlab.coco import read_dataset

ANN, INA, IVO = "ann.todo@x.org", "petra@x.org", "mikhail@x.org"
RAM = FARM.object("ram")
SIZE = (64, 48)
HEAD, BODY = (5, 5, 20, 20), (30, 5, 20, 30)
GOOD = drawn(RAM, head=HEAD, body=BODY)


@pytest.fixture(scope="module")
def ann(studio_server: Running) -> Iterator[Person]:
    with studio_server.studio() as studio:
        made = {one.email: one.password for one in create_users(studio, [ANN, INA, IVO])}
    with Person(studio_server.url, ANN, str(made[ANN])) as person:
        yield person


@pytest.fixture
def work(
    tmp_path: Path, studio_server: Running, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Work]:
    """Four rams, handed out to ann."""
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    for number in range(4):
        path = tmp_path / "photos" / "ram" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("RGB", SIZE, (60 * number, 90, 90)).save(path)
    plan = plan_work(FARM, tmp_path / "photos", objects=["ram"])
    with begin_work(tmp_path / "work", plan, name="work", per_object=4) as made:
        create(made, studio, annotators=[ANN])
        yield made


@pytest.fixture(autouse=True)
def quiet_after() -> Iterator[None]:
    yield
    logging.getLogger().handlers.clear()


def partlab(*words: object, code: int = 0) -> Result:
    told = CliRunner().invoke(app, [*map(str, words)])
    assert told.exit_code == code, told.output
    return told


def tasks(studio: Studio, work: Work) -> dict[int, Any]:
    """The tasks of the current round by image id, as the server has them."""
    project = work.batch("ram").project_id
    found = studio.pages("/api/tasks/", key="tasks", project=project, fields="all")
    return {task["data"]["image_id"]: task for task in found}


def todo(studio: Studio, work: Work) -> dict[int, str]:
    return {id: task["data"]["todo"] for id, task in tasks(studio, work).items()}


def draw_all(studio: Studio, work: Work, ann: Person, result: list[Any] = GOOD) -> None:
    for task in tasks(studio, work).values():
        ann.submit(task["id"], result)
    pull(work, studio)


def inspect(work: Work, failed: dict[int, str]) -> None:
    """Decide the category: the images that fail, each with a note."""
    inspection = Inspection(work)
    desk = inspection.sample("ram", INA)
    for card in desk.cards:
        note = failed.get(card.image_id)
        words = {"reason": "outline", "note": note} if note else {}
        if inspection.cards("ram").state == "sampled":
            inspection.decide("ram", card.image_id, not note, INA, **words)


def test_what_is_open_although_it_looks_completed_says_why(
    work: Work, studio: Studio, ann: Person
) -> None:
    """M-07: nothing drawn, and a refusal that two inspectors turned down."""
    at = tasks(studio, work)
    assert set(todo(studio, work).values()) == {""}
    assert "$todo" in studio.get(f"/api/projects/{work.batch('ram').project_id}/")["label_config"]
    good, empty, refused, _ = at
    ann.submit(at[good]["id"], GOOD)
    ann.submit(at[empty]["id"], [])
    ann.submit(at[refused]["id"], [choice("discard", "low quality")])
    pull(work, studio)
    said = todo(studio, work)
    assert said[empty].startswith("Nothing is drawn and no reason given: draw it")
    assert [said[id] for id in (good, refused)] == ["", ""]
    review = ("inspect", "discards", work.folder, "ram", "--image", refused, "--restore", "--by")
    partlab(*review, INA, "--note", "the legs can be seen")
    partlab(*review, IVO)
    words = todo(studio, work)[refused]
    assert words.startswith("Inspectors find that it can be drawn (the legs can be seen)")
    for id in (empty, refused):
        ann.update(tasks(studio, work)[id]["annotations"][0]["id"], GOOD)
    pull(work, studio)
    assert set(todo(studio, work).values()) == {""}


def test_the_reasons_of_a_rejection_reach_the_next_round(
    work: Work, studio: Studio, ann: Person
) -> None:
    draw_all(studio, work, ann)
    bad, worse, *others = tasks(studio, work)
    inspect(work, {bad: "all masks too low", worse: "horn <b>forgotten</b>"})
    create(work, studio)
    said = todo(studio, work)
    assert said[bad] == "Draw it better than in round 1: outline: all masks too low"
    assert [said[id] for id in others] == ["", ""]
    project = studio.get(f"/api/projects/{work.batch('ram').project_id}/")
    html = project["expert_instruction"]
    assert "Why it is drawn again" in html
    assert "outline: all masks too low" in html
    assert "<b>forgotten</b>" not in html  # a note is no markup
    ann.submit(tasks(studio, work)[bad]["id"], GOOD)
    pull(work, studio)
    assert todo(studio, work)[bad] == ""


def test_one_image_of_an_accepted_category_goes_back_alone(
    work: Work, studio: Studio, ann: Person, tmp_path: Path
) -> None:
    """It is drawn in the same task, looked at again, and in no export until it passes."""
    draw_all(studio, work, ann)
    bad, other, *_ = tasks(studio, work)
    inspect(work, {bad: "body too low"})
    assert work.batch("ram").state == "accepted"
    partlab("inspect", "send-back", work.folder, "ram", "--image", bad, "--by", INA)
    said = todo(studio, work)
    assert said[bad].startswith("An inspector sent it back (outline: body too low)")
    assert said[other] == ""
    out = tmp_path / "out"
    told = partlab("inspect", "export", work.folder, "--out", out).stdout
    assert "1 image that was sent back and has not passed since" in told
    assert bad not in {image.id for image in read_dataset(out).images}

    better = drawn(RAM, head=HEAD, body=(30, 10, 20, 30))
    for id in (bad, other):  # nobody asked for the other one
        ann.update(tasks(studio, work)[id]["annotations"][0]["id"], better)
    (one,) = pull(work, studio)
    assert (one.answers, one.corrected, one.state) == (1, 1, "accepted")
    assert set(todo(studio, work).values()) == {""}
    words = partlab("inspect", "sample", work.folder, "--by", INA).stdout
    assert f"image {bad} was sent back (outline) and drawn again" in words
    assert (
        "nobody inspects their own work"
        in partlab(
            *("inspect", "decide", work.folder, "ram", "--image", bad, "--pass", "--by", ANN),
            code=1,
        ).stderr
    )
    again = ("inspect", "decide", work.folder, "ram", "--image", bad, "--by", INA)
    partlab(*again, "--fail", "--reason", "part missing", "--note", "where is the horn")
    assert "part missing: where is the horn" in todo(studio, work)[bad]
    ann.update(tasks(studio, work)[bad]["annotations"][0]["id"], better)
    pull(work, studio)
    partlab(*again, "--pass")
    partlab("inspect", "export", work.folder, "--out", out, "--force")
    found = {image.id: image for image in read_dataset(out).images}
    assert len(found) == 4
    assert found[bad].raw["partlab"]["verdict"] == {"passed": True, "inspector": INA}
    before = [repr(answer) for answer in work.answers("ram", 1)]
    work.close()
    rebuild_work(work.folder, read_export)
    with Work.open(work.folder) as made:
        assert [repr(answer) for answer in made.answers("ram", 1)] == before


def test_polygons_of_the_round_before_stay_polygons(
    work: Work, studio: Studio, ann: Person
) -> None:
    corners = [[10.0, 10.0], [60.0, 10.0], [60.0, 80.0], [10.0, 80.0]]
    head = {"id": "p1", "type": "polygonlabels", "from_name": "polygon", "to_name": "image"}
    head |= {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    value = {"points": corners, "closed": True, "polygonlabels": ["body"]}
    number = {**head, "type": "number", "from_name": "object", "value": {"number": 2}}
    horn = drawn(RAM, horn=(1, 1, 6, 6))
    draw_all(studio, work, ann, [{**head, "value": value}, number, *horn])
    first, second, *_ = tasks(studio, work)
    inspect(work, {first: "a", second: "b"})
    create(work, studio, start_from="previous")
    before = {answer.image_id: answer for answer in work.answers("ram", 1)}
    for id, task in tasks(studio, work).items():
        (made,) = task["predictions"]
        kinds = sorted(item["type"] for item in made["result"])
        assert kinds == ["brush", "labels", "labels", "number", "polygon"]
        polygon = next(item for item in made["result"] if item["type"] == "polygon")
        assert polygon["value"]["points"] == corners
        reading = read_result(made["result"], RAM, SIZE, SIZE)
        assert not reading.problems
        masks = {(mask.part, mask.object): mask.rle for mask in reading.masks}
        assert masks == {(m["part"], m["object"]): m["rle"] for m in before[id].masks}
    ann.submit(tasks(studio, work)[first]["id"], made["result"], parent_prediction=made["id"])
    pull(work, studio)
    words = json.loads(partlab("status", work.folder, "--json").stdout)["rounds"][0]
    assert (words["kept"], words["untouched"], words["changed"]) == (2, 0, 0)
