"""The people's room whole, with a real Label Studio and a real SPARQL engine, by its commands.

Vocabulary from triples in Wikidata's shape -> projects -> three annotators, one careless ->
pull -> the careless category is rejected, its second round accepted -> discards reviewed by
two -> a data set that the checks find no fault with (V-01, M-05, M-07, M-08, Q-01 to Q-04).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from team import Team, passes, seed_vocabulary
from typer.testing import CliRunner

from annotate.studio.server.start import Running
from annotate.work import Work
from annotate.world import WorldConfig, make_world
from app.cli.main import app
from partlab.coco import read_dataset
from partlab.masks import decode
from partlab.schema import Dataset

OBJECTS = ("ram", "lamp", "mug")
IMAGES = 12
ANN, BEA, CEM, INA, IVO, IDA = (f"{n}@x.org" for n in ("ann", "bea", "cem", "ina", "ivo", "ida"))
CARELESS = CEM  # draws mugs, and in haste


def partlab(*words: object, code: int = 0) -> Any:
    """Run a command with --json; the result it prints."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == code, f"{words}: {done.exit_code}\n{done.output}\n{done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The pictures, and what is truly on them."""
    folder = tmp_path_factory.mktemp("people") / "world"
    config = WorldConfig(images=IMAGES * 4 // 3 * 3, objects=OBJECTS, pool=0, heldout=0, size=128)
    make_world(folder, config)
    return read_dataset(folder, "train")


@pytest.fixture(scope="module")
def connected(studio_server: Running) -> Iterator[Running]:
    """The server's address and token where partlab looks for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
        patch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
        yield studio_server


def inspect(folder: Path, team: Team, object: str, who: str) -> str:
    """Draw the sample and decide image by image; the state it ends in."""
    sampled = partlab("inspect", "sample", folder, object, "--by", who)
    assert sampled
    with Work.open(folder) as work:
        from annotate.inspect.service import Inspection

        cards = Inspection(work).cards(object).cards
        assert len(cards) == 10
        assert all(Path(card.overlay).is_file() for card in cards)
        verdicts = {card.image_id: passes(work, team, object, card.image_id) for card in cards}
    for image_id, good in verdicts.items():
        words = ["--pass"] if good else ["--fail", "--reason", "outline"]
        said = ["--image", image_id, *words, "--by", who, "--yes"]
        partlab("inspect", "decide", folder, object, *said)
    with Work.open(folder) as work:
        return work.batch(object).state


def test_from_a_list_of_names_to_an_inspected_data_set(
    connected: Running, world: Dataset, tmp_path: Path
) -> None:
    vocabulary, folder = tmp_path / "vocabulary.yaml", tmp_path / "work"
    seed_vocabulary(vocabulary, world, partlab)
    assert world.path is not None
    users = partlab("studio", "user", ANN, BEA, CEM, INA, IVO, IDA)["users"]
    team = Team(connected, folder, world, {u["email"]: u["password"] for u in users})
    who = tmp_path / "who.csv"
    who.write_text(f"object,email\nram,{ANN}\nlamp,{BEA}\nmug,{CEM}\n", encoding="utf-8")
    begin = ["--vocabulary", vocabulary, "--images", world.path, "--annotators", who]
    partlab("studio", "create", folder, *begin, "--per-object", IMAGES, "--seed", 3)
    with Work.open(folder) as work:
        projects = {batch.object: batch.project_id or 0 for batch in work.batches()}
        parts = {name: work.vocabulary.object(name) for name in OBJECTS}
    assert len(set(projects.values())) == 3

    # -- people draw; ann discards two good pictures, cem is in haste -------------------------
    assert team.draw(ANN, projects["ram"], parts["ram"], refuse=2) == IMAGES
    assert team.draw(BEA, projects["lamp"], parts["lamp"]) == IMAGES
    assert team.draw(CEM, projects["mug"], parts["mug"], shift=15) == IMAGES
    partlab("studio", "pull", folder)
    assert partlab("studio", "pull", folder) is not None  # nothing new, nothing changed
    with Work.open(folder) as work:
        assert {b.object: b.state for b in work.batches()} == dict.fromkeys(OBJECTS, "submitted")
        assert work.flags() == []
        refused = [a.image_id for a in work.answers("ram", 1) if a.kind == "discard"]
    assert len(refused) == 2

    # -- discards: one is upheld by two, one restored by the third, then drawn ----------------
    partlab("inspect", "sample", folder, "ram", "--by", INA, code=1)
    review = ("inspect", "discards", folder, "ram", "--image")
    for inspector in (INA, IVO):
        partlab(*review, refused[0], "--uphold", "--by", inspector)
    for inspector, word in ((INA, "--uphold"), (IVO, "--restore"), (IDA, "--restore")):
        partlab(*review, refused[1], word, "--by", inspector)
    with Work.open(folder) as work:
        assert work.batch("ram").state == "annotating"
        task_of = {task.image_id: task.task_id for task in work.tasks("ram", 1)}
    with team(ANN) as ann:
        again = next(t for t in ann.tasks(projects["ram"]) if t["id"] == task_of[refused[1]])
        regions = team.regions(again["data"]["file_name"], parts["ram"])
        ann.update(again["annotations"][0]["id"], regions)
    partlab("studio", "pull", folder)

    # -- inspection: two good categories pass, the careless one does not (Q-02) ----------------
    assert inspect(folder, team, "ram", INA) == "accepted"
    assert inspect(folder, team, "lamp", IVO) == "accepted"
    assert inspect(folder, team, "mug", INA) == "rejected"
    partlab("studio", "create", folder)
    with Work.open(folder) as work:
        second = work.batch("mug")
    assert (second.round, second.state, second.assignee) == (2, "annotating", CARELESS)
    assert second.project_id not in projects.values()
    assert team.draw(CEM, second.project_id or 0, parts["mug"]) == IMAGES
    partlab("studio", "pull", folder)
    assert inspect(folder, team, "mug", INA) == "accepted"

    check_export(folder, tmp_path / "dataset", team)
    check_rebuild(folder)


def check_export(folder: Path, out: Path, team: Team) -> None:
    """The data set: whole, checked without error, pixel for pixel what was drawn."""
    partlab("inspect", "export", folder, "--out", out)
    findings = partlab("data", "check", out)
    assert findings["errors"] == 0
    found = read_dataset(out)
    assert len(found.images) == 3 * IMAGES - 1
    assert found.inclusions == {"ram": {"horn": "head"}}
    for image in found.images:
        true = find(team, image.sha256)
        drawn = {
            (found.category_by_id[a.category_id].name, a.object_id): a.segmentation
            for a in found.annotations_of(image)
        }
        for a in team.truth.annotations_of(true):
            name = team.truth.category_by_id[a.category_id].name
            same_but_specks(decode(drawn.pop((name, a.object_id))), decode(a.segmentation))
        assert not drawn
    assert {a.provenance for a in found.annotations} == {f"human:{w}" for w in (ANN, BEA, CEM)}
    (discard,) = found.discards
    assert {v["inspector"] for v in discard.verdicts or ()} == {INA, IVO}
    stats = partlab("data", "stats", folder)["datasets"][0]
    assert (stats["images"], stats["discards"]) == (3 * IMAGES - 1, 1)
    effort = stats["effort"]
    assert (effort["annotators"], effort["inspectors"], effort["verdicts"]) == (3, 3, 40)
    assert (effort["rounds"], effort["rejections"], effort["accepted"]) == (4, 1, 3)
    assert (effort["discards_final"], effort["discards_restored"]) == (1, 1)
    assert effort["hours"] > 45 / 60


def same_but_specks(drawn: Any, true: Any) -> None:
    """Bit for bit what was drawn, without blobs of under 12 pixels (slips of the brush)."""
    assert not (drawn & ~true).any()
    assert (true & ~drawn).sum() < 2 * 12


def find(team: Team, sha256: str | None) -> Any:
    """The truth of a picture, by its bytes."""
    return next(image for image in team.truth.images if image.sha256 == sha256)


def check_rebuild(folder: Path) -> None:
    """The state is made again from the exports alone."""
    with Work.open(folder) as work:
        before = [repr(b) for o in OBJECTS for b in work.rounds(o)]
        answers = [
            repr(a) for o in OBJECTS for b in work.rounds(o) for a in work.answers(o, b.round)
        ]
    os.truncate(folder / "partlab.db", 0)
    for name in ("partlab.db-wal", "partlab.db-shm"):
        (folder / name).unlink(missing_ok=True)
    partlab("inspect", "rebuild", folder)
    with Work.open(folder) as work:
        assert [repr(b) for o in OBJECTS for b in work.rounds(o)] == before
        assert [
            repr(a) for o in OBJECTS for b in work.rounds(o) for a in work.answers(o, b.round)
        ] == answers
