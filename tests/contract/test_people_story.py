"""Three categories, two annotators, and all that happens on the way, in at most 18 commands.

One category is rejected and drawn again, two refused images are disputed, one image of an
accepted category is sent back alone; the export passes `data check`. Every command is one that
a person types; `partlab studio up`, which serves the server of these tests, counts as the first.
It is told twice: of pictures that partlab draws, and of photographs that people drew parts on.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from team import Team, passes, seed_vocabulary
from typer.testing import CliRunner

from annotate.studio.server.start import Running, start_server
from annotate.work import Work
from annotate.world import WorldConfig, make_world
from app.cli.main import app
from partlab.coco import read_dataset
from partlab.schema import Dataset

IMAGES = 12
ANN, BEN, INA, IVO, IDA = (f"{name}@story.org" for name in ("ann", "ben", "ina", "ivo", "ida"))
AT_MOST = 18
PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "parts"


@dataclass(frozen=True)
class Cast:
    """Where the story plays: pictures and what is truly on them, and who plays which part.

    Of `refused` two images are given up, `lone` has one bad image, `hasty` is drawn badly first.
    `vocabulary` writes the names; `overlaps` are those that `sample` has to accept by name.
    """

    truth: Dataset
    images: tuple[object, ...]
    vocabulary: Callable[[Path, "Story"], None]
    refused: str
    lone: str
    hasty: str
    overlaps: tuple[str, ...] = ()

    @property
    def objects(self) -> tuple[str, ...]:
        """The three categories."""
        return self.refused, self.lone, self.hasty


@pytest.fixture
def world(tmp_path: Path) -> Cast:
    """Pictures that partlab draws, with names from a SPARQL engine."""
    objects = ("ram", "lamp", "mug")
    config = WorldConfig(images=IMAGES * 4 // 3 * 3, objects=objects, pool=0, heldout=0, size=128)
    make_world(tmp_path / "world", config)
    truth = read_dataset(tmp_path / "world", "train")

    def names(out: Path, story: "Story") -> None:
        seed_vocabulary(out, truth, story.partlab)

    return Cast(truth, (truth.path,), names, *objects)


@pytest.fixture
def photographs() -> Cast:
    """Real photographs, and the parts that their makers drew; a vocabulary written by hand."""
    objects = ("person", "ant", "car")
    found = read_dataset(PHOTOS, "train")
    truth = found.subset([image.id for image in found.images if image.object in objects])
    inclusions = {
        "ant": {"eye": "head"},
        "car": {"mirror": ["front door", "back door"], "back glass": "tailgate"},
        "person": {"glasses": "skin"},
    }
    parts = {name: [c.part for c in truth.categories if c.object == name] for name in objects}
    written = {
        name: {"parts": parts[name], "inclusions": inclusions[name]} for name in sorted(objects)
    }

    def names(out: Path, story: "Story") -> None:
        out.write_text(yaml.safe_dump({"name": "photographs", "objects": written}))

    overlaps = ("back light=trunk", "skin=outerwear")  # one photograph of each is drawn so
    return Cast(truth, (PHOTOS, "--split", "train"), names, *objects, overlaps)


class Story:
    """Types commands, counts them, and fills in the tables that inspectors are shown."""

    def __init__(self, folder: Path, cast: Cast) -> None:
        self.folder, self.cast, self.typed = folder, cast, ["studio up"]

    def partlab(self, *words: object) -> Any:
        """Run a command; its result."""
        done = CliRunner().invoke(app, [*map(str, words), "--json"])
        assert done.exit_code == 0, f"{words}: {done.exit_code}\n{done.output}\n{done.stderr}"
        self.typed.append(" ".join(map(str, words[:2])))
        return json.loads(done.stdout)

    def state(self) -> dict[str, tuple[int, str]]:
        """Round and state of each category."""
        with Work.open(self.folder) as work:
            return {batch.object: (batch.round, batch.state) for batch in work.batches()}

    def fill_in(self, team: Team, table: Path, object: str) -> None:
        """Look at every picture that a table lists, and write down what is seen."""
        with open(table, newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        with Work.open(self.folder) as work:
            for row in rows:
                good = passes(work, team, object, int(row["image"]))
                row["verdict"], row["reason"] = ("pass", "") if good else ("fail", "outline")
        with open(table, "w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def inspect(self, team: Team) -> Any:
        """`sample` of all that waits, its tables filled in, and `decide`."""
        fine = [word for pair in self.cast.overlaps for word in ("--accept-overlap", pair)]
        for desk in self.partlab("inspect", "sample", self.folder, "--by", INA, *fine):
            self.fill_in(team, Path(desk["table"]), desk["object"])
        for table in self.folder.glob("overlays/*/r*/again.csv"):
            self.fill_in(team, table, table.parent.parent.name)
        return self.partlab("inspect", "decide", self.folder, "--by", INA, "--yes")

    def task(self, team: Team, object: str, image: int) -> Any:
        """The task of an image as its annotator sees it."""
        with Work.open(self.folder) as work:
            batch = work.batch(object)
            tasks = {task.image_id: task.task_id for task in work.tasks(object, batch.round)}
        with team(batch.assignee) as person:
            found = person.tasks(batch.project_id or 0)
        return next(task for task in found if task["id"] == tasks[image])

    def draw_again(self, team: Team, object: str, image: int) -> None:
        """Its annotator opens the task, draws it well, and presses Update."""
        task = self.task(team, object, image)
        with Work.open(self.folder) as work:
            parts, who = work.vocabulary.object(object), work.batch(object).assignee
        with team(who) as person:
            regions = team.regions(task["data"]["file_name"], parts)
            person.update(task["annotations"][0]["id"], regions)

    def draw(self, team: Team, object: str, **how: int) -> None:
        """Work through the project of a category."""
        with Work.open(self.folder) as work:
            parts, batch = work.vocabulary.object(object), work.batch(object)
        assert team.draw(batch.assignee, batch.project_id or 0, parts, **how) == IMAGES


def test_the_whole_story(
    studio_server: Running, world: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(world, studio_server, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    not PHOTOS.is_dir(), reason="the photographs of ../shared/data/parts are not here"
)
def test_the_whole_story_with_photographs(
    studio_server: Running, photographs: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server of its own: the people of the other story have their passwords already."""
    with start_server(tmp_path / "server", root=tmp_path, port=0) as server:
        tell(photographs, server, tmp_path, monkeypatch)


def tell(
    cast: Cast, studio_server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that happens, from the server to the data set."""
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    story, names = Story(tmp_path / "farm", cast), tmp_path / "vocabulary.yaml"
    cast.vocabulary(names, story)
    people = story.partlab("studio", "user", ANN, BEN, INA, IVO, IDA)["users"]
    team = Team(
        studio_server, story.folder, cast.truth, {one["email"]: one["password"] for one in people}
    )
    draws = {cast.refused: ANN, cast.lone: BEN, cast.hasty: ANN}
    who = tmp_path / "who.csv"
    who.write_text("object,email\n" + "".join(f"{o},{w}\n" for o, w in draws.items()))
    begin = ("--vocabulary", names, "--images", *cast.images, "--annotators", who)
    story.partlab("studio", "create", story.folder, *cast.objects, *begin, "--per-object", IMAGES)
    story.draw(team, cast.refused, refuse=2)
    story.draw(team, cast.lone)
    story.draw(team, cast.hasty, shift=15)  # in haste
    story.partlab("studio", "pull", story.folder)

    refused, restored = two_disputes(story, cast.refused)
    assert "take back the reason" in story.task(team, cast.refused, restored)["data"]["todo"]
    decided = story.inspect(team)
    assert {desk["object"] for desk in decided["desks"]} == {cast.lone, cast.hasty}
    assert story.state() == {
        cast.refused: (1, "annotating"),
        cast.lone: (1, "accepted"),
        cast.hasty: (1, "rejected"),
    }
    story.partlab("studio", "create", story.folder)
    bad = sent_back(story, cast.lone)
    assert "outline: too low" in story.task(team, cast.lone, bad)["data"]["todo"]

    story.draw(team, cast.hasty)
    story.draw_again(team, cast.refused, restored)
    story.draw_again(team, cast.lone, bad)
    story.partlab("studio", "pull", story.folder)
    decided = story.inspect(team)
    assert decided["again"] == [f"image {bad} of {cast.lone} passes"]
    assert story.state() == {
        cast.refused: (1, "accepted"),
        cast.lone: (1, "accepted"),
        cast.hasty: (2, "accepted"),
    }
    assert not story.task(team, cast.lone, bad)["data"].get("todo")

    story.partlab("inspect", "export", story.folder, "--out", tmp_path / "data")
    assert story.partlab("data", "check", tmp_path / "data")["errors"] == 0
    found = read_dataset(tmp_path / "data")
    assert len(found.images) == 3 * IMAGES - 1
    with Work.open(story.folder) as work:
        gone = work.image(refused).file_name
    assert [discard.file_name for discard in found.discards] == [gone]
    assert len(story.typed) <= AT_MOST, story.typed


def two_disputes(story: Story, object: str) -> tuple[int, int]:
    """Two inspectors disagree on both refused images; a third has one of them drawn after all."""
    with Work.open(story.folder) as work:
        refused = [a.image_id for a in work.answers(object, 1) if a.kind == "discard"]
    both = [word for image in refused for word in ("--image", image)]
    review = ("inspect", "discards", story.folder, object)
    story.partlab(*review, *both, "--uphold", "--by", INA)
    disputed = story.partlab(*review, *both, "--restore", "--by", IVO)
    assert [case["state"] for case in disputed] == ["waiting", "waiting"]
    final = story.partlab(*review, *both[:2], "--uphold", "--by", IDA)
    again = story.partlab(*review, *both[2:], "--restore", "--by", IDA)
    assert (final["state"], again["state"]) == ("final", "restored")
    return refused[0], refused[1]


def sent_back(story: Story, object: str) -> int:
    """One image of the accepted category is to be drawn again, alone."""
    with Work.open(story.folder) as work:
        image = work.images(object)[3].id
    words = ("--image", image, "--by", INA, "--reason", "outline", "--note", "too low")
    story.partlab("inspect", "send-back", story.folder, object, *words)
    return image
