"""`partlab studio create`: what it is given is looked at before anything is made (Q-01, Q-02)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farm import FARM, hand_out
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.inspect.service import Inspection
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.vocabulary import write_vocabulary
from app.cli.main import app

OURS = {"name": "ours", "reject_at": 1, "limits": [{"accept": [4]}]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(2):
        path = tmp_path / "photos" / "ram" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.new("RGB", (64, 48), (number, 90, 90)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def create(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`create(plan, code)`: what a dry run of the command says, where no server is named."""
    for name in ("PARTLAB_STUDIO_URL", "PARTLAB_STUDIO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    write_vocabulary(tmp_path / "farm.yaml", FARM)
    (tmp_path / "ours.json").write_text(json.dumps(OURS))
    begin = ["--vocabulary", tmp_path / "farm.yaml", "--images", photos]
    begin += ["--annotators", "ann@x.org", "--per-object", 2, "--dry-run"]

    def typed(plan: object, *more: object, code: int = 0) -> str:
        given = [tmp_path / "work", "ram", *begin, "--plan", plan, *more]
        words = map(str, ["studio", "create", *given])
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == code, done.output
        return done.output

    return typed


def test_a_plan_is_looked_at_before_anything_is_made(
    create: Callable[..., Any], tmp_path: Path
) -> None:
    told = create("sequential")
    assert "ram r1" in told
    assert "no server is named, so accounts were not looked up" in told
    assert "ram r1" in create(tmp_path / "ours.json")
    assert "did you mean sequential" in create("sequental", code=3)
    assert "no settings file" in create(tmp_path / "none.json", code=3)
    (tmp_path / "ours.json").write_text("{}")
    assert "ours.json" in create(tmp_path / "ours.json", code=2)
    assert not (tmp_path / "work").exists()


def test_a_work_keeps_the_plan_it_was_begun_with(
    create: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    """Its numbers, not the file's name; one round may have another, by `inspect sample`."""
    source = plan_work(FARM, photos, objects=["ram"])
    with begin_work(tmp_path / "work", source, name="work", per_object=2, plan=OURS) as work:
        assert Inspection(work).plan.name == "ours"
    assert "ours" in json.loads((tmp_path / "work" / "work.json").read_text())["plan"]["name"]
    assert "begun with plan: ours" in create("paper", code=1)
    assert "ram r1" in create(tmp_path / "ours.json")  # the same one


def test_a_preview_does_without_a_server_that_is_gone(
    create: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", "0" * 40)
    told = create("paper")
    assert "ram r1" in told
    assert "no Label Studio answers at http://127.0.0.1:9, so accounts were not looked up" in told


def test_examples_are_looked_at_before_anything_is_made(
    create: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    assert "does not exist" in create("paper", "--examples", tmp_path / "nosuch", code=3)
    assert "ram r1" in create("paper", "--examples", photos)
    assert not (tmp_path / "work").exists()


def test_annotators_who_change_nothing_are_said(
    create: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    table = tmp_path / "who.csv"
    table.write_text("object,email\nram,ben@x.org\n")
    source = plan_work(FARM, photos, objects=["ram"])
    with begin_work(tmp_path / "work", source, name="work", per_object=2) as work:
        assert "stays with" not in create("paper")
        hand_out(work)
        drawer = work.batch("ram").assignee
    stays = f"stays with {drawer}; `partlab studio reassign` hands a category over"
    for people in ("ben@x.org", table):
        assert stays in create("paper", "--annotators", people)
    assert "stays with" not in create("paper", "--annotators", f"ben@x.org,{drawer.upper()}")


def test_names_after_the_work_are_those_of_its_categories(
    create: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    begin_work(tmp_path / "work", plan_work(FARM, photos, objects=["ram"]), name="work",
               per_object=2).close()  # fmt: skip
    told = create("paper", "rma", code=3)
    assert "unknown object category 'rma'" in told
    assert "did you mean ram?" in told
    assert "--object" not in told
