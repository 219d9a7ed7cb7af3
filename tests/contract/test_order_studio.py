"""The order of `partlab loop next` on a real Label Studio: what its annotator gets next."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotator import Person
from colour_segmenter import COLOURS, write_colour_run
from fake_tasks import drawn
from farm import FARM
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.acts.order import put_first
from annotate.studio.acts.pull import pull
from annotate.studio.api.client import Studio
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running
from annotate.work import Work
from app.cli.main import app
from segmenter.loop.versions import add_given

ANN = "ann.order@x.org"
RAM = FARM.object("ram")


@pytest.fixture(scope="module")
def ann(studio_server: Running) -> Iterator[Person]:
    with studio_server.studio() as studio:
        made = {one.email: one.password for one in create_users(studio, [ANN])}
    with Person(studio_server.url, ANN, str(made[ANN])) as person:
        yield person


@pytest.fixture
def work(
    tmp_path: Path,
    studio_server: Running,
    studio: Studio,
    ann: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Work]:
    """Twelve rams, handed out to ann; a given run is the loop's first version."""
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    for number in range(12):
        path = tmp_path / "photos" / "ram" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("RGB", (64, 48), (20 * number, 90, 90)).save(path)
    plan = plan_work(FARM, tmp_path / "photos", objects=["ram"])
    run = write_colour_run(tmp_path / "run", ("ram:head", "ram:body"), COLOURS[:2], {})
    with begin_work(tmp_path / "work", plan, name="work", per_object=12) as made:
        create(made, studio, annotators=[ANN])
        add_given(made, run, "lead@x.org")
        yield made


def tab(studio: Studio, project: int) -> dict[str, Any]:
    (found,) = [
        view
        for view in studio.pages("/api/dm/views", project=project)
        if view["data"]["title"] == "Draw first"
    ]
    return found


def handed_out(ann: Person, studio: Studio, project: int) -> Any:
    """What "Label Tasks As Displayed" gives in that tab, as the page asks for it."""
    data = tab(studio, project)["data"]
    body = {"filters": data["filters"], "ordering": data["ordering"], "project": str(project)}
    body["selectedItems"] = {"all": True, "excluded": []}
    view = tab(studio, project)["id"]
    path = f"/api/dm/actions?id=next_task&tabID={view}&project={project}"
    return ann._send("POST", path, body)


def test_pictures_come_in_the_order_that_was_chosen(
    work: Work, studio: Studio, ann: Person
) -> None:
    batch = work.batch("ram")
    project = int(batch.project_id or 0)
    ids = [image.id for image in work.images("ram")]
    good = drawn(RAM, head=(5, 5, 20, 20), body=(30, 5, 20, 30))
    first_task = ann.next(project)
    ann.submit(first_task["id"], good)
    pull(work, studio)
    before = [(a.image_id, a.masks) for a in work.answers("ram", batch.round)]
    wanted = [id for id in reversed(ids) if id != first_task["data"]["image_id"]][:3]
    assert put_first(work, studio, batch, wanted, who="lead@x.org") == 3
    for id in wanted:
        task = handed_out(ann, studio, project)
        assert task["data"]["image_id"] == id
        ann.submit(task["id"], good)
    pull(work, studio)
    after = {a.image_id: a.masks for a in work.answers("ram", batch.round)}
    assert after.keys() == {*wanted, first_task["data"]["image_id"]}
    assert [(id, after[id]) for id, _ in before] == before, "answers stay as they are"
    assert put_first(work, studio, batch, wanted, who="lead@x.org") == 0, "nothing is sent twice"
    assert put_first(work, studio, batch, wanted[::-1], who="lead@x.org") == 2
    assert len([tab(studio, project)]) == 1


def test_the_command_says_what_each_was_chosen_for(work: Work, studio: Studio) -> None:
    told = CliRunner().invoke(app, ["loop", "next", str(work.folder), "--n", "4"])
    assert told.exit_code == 0, told.output
    assert told.output.count("unsure") + told.output.count("sure,") >= 4
    assert "chosen by version 1" in told.output
    assert 'annotators press "Label Tasks As Displayed"' in told.output
    project = int(work.batch("ram").project_id or 0)
    found = studio.pages("/api/tasks/", key="tasks", project=project, fields="all")
    places = sorted(filter(None, (task["data"].get("first") for task in found)))
    assert places == ["0001", "0002", "0003", "0004"]
    again = CliRunner().invoke(app, ["loop", "next", str(work.folder), "--n", "2"])
    assert again.exit_code == 0, again.output
    found = studio.pages("/api/tasks/", key="tasks", project=project, fields="all")
    assert sorted(filter(None, (task["data"].get("first") for task in found))) == ["0001", "0002"]
