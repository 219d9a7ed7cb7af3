"""The state of a work is what its history says, whatever version wrote it."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from fake_tasks import FakeTasks, drawn, refused
from farm import FARM, hand_out, start

from annotate.inspect.build import build
from annotate.inspect.service import Inspection
from annotate.studio.acts import answers as answering
from annotate.studio.acts import choose
from annotate.studio.acts.ingest import read_export
from annotate.studio.acts.pull import pull
from annotate.work import Work, rebuild_work
from annotate.work.tables import Base
from partlab.errors import DatasetError, SchemaError

WORKS = sorted((Path(__file__).parents[3] / "fixtures" / "works").iterdir())
"""One for each form that histories ever had: `state.json` is what its own version made of it."""


def facts(work: Work) -> dict[str, list[dict[str, Any]]]:
    """Every row but the events, without the sentences."""
    with work.read() as session:
        found = {
            table.__tablename__: [asdict(row) for row in session.query(table)]
            for table in Base.__subclasses__()
            if table.__tablename__ != "events"
        }
    for answer in found["answers"]:
        known = ("kind", "severity")
        answer["problems"] = [{key: one[key] for key in known} for one in answer["problems"]]
    for flag in found["flags"]:
        del flag["message"]
    plain: dict[str, list[dict[str, Any]]] = json.loads(json.dumps(found))
    return {name: sorted(rows, key=repr) for name, rows in plain.items()}


def same(found: dict[str, Any], stated: dict[str, Any]) -> bool:
    """Whether all that was stated is there; columns, and facts of the tables, may have come."""
    return found.keys() >= stated.keys() and all(
        (len(found[table]) == len(rows) or table == "about")
        and all(any(row.items() <= now.items() for now in found[table]) for row in rows)
        for table, rows in stated.items()
    )


@pytest.mark.parametrize("made", WORKS, ids=lambda folder: folder.name)
def test_a_work_of_an_earlier_version_is_made_again_and_goes_on(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    shutil.copytree(made, folder)
    stated = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    lines = (folder / "exports" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert rebuild_work(folder, read_export) == len(lines)
    with Work.open(folder) as work:
        assert same(facts(work), stated)
        inspection = Inspection(work)
        for card in inspection.being_inspected("ram").due:
            inspection.decide("ram", card.image_id, True, "ivo@x.org")
        assert work.batch("ram").state == "accepted"
        assert len(build(work).dataset.images) == 6
    assert rebuild_work(folder, read_export) > len(lines)


@pytest.mark.parametrize("made", WORKS, ids=lambda folder: folder.name)
def test_every_line_of_an_earlier_history_counts(made: Path, tmp_path: Path) -> None:
    history = (made / "exports" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(history):
        event = json.loads(line)
        if event["what"] == "pulled":
            continue  # its hash also covered the sentences of then
        folder = tmp_path / str(number)
        shutil.copytree(made, folder)
        changed = [*history]
        changed[number] = json.dumps({**event, "who": "somebody@x.org"})
        write(folder, changed)
        with pytest.raises(DatasetError, match=f"event {number + 1} .* does not fit the others"):
            rebuild_work(folder, read_export)


def write(folder: Path, lines: list[str]) -> None:
    (folder / "exports" / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def pulled(tmp_path: Path) -> Path:
    """A work with every kind of sentence: broken and doubtful answers, flags."""
    with start(tmp_path / "work") as work:
        hand_out(work)
        server, parts = FakeTasks(), FARM.object("ram")
        server.add_round(work, "ram")
        server.annotate(1001, drawn(parts, head=(5, 5, 20, 20), body=(15, 5, 30, 30)))
        server.annotate(1002, [])
        server.annotate(1003, drawn(parts, head=(1, 1, 9, 9)), by=3)
        server.annotate(1004, [refused()])
        pull(work, server.client())
        assert {flag.kind for flag in work.flags()} == {"nothing-drawn", "foreign-annotation"}
        assert any(answer.problems for answer in work.answers("ram", 1))
        return work.folder


def test_sentences_may_be_worded_otherwise(pulled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = answering.problem

    def otherwise(kind: str, message: str, **more: Any) -> dict[str, Any]:
        return said(kind, f"Behold: {message}", **more)

    with Work.open(pulled) as work:
        before = facts(work)
    monkeypatch.setattr(answering, "problem", otherwise)
    foreign = choose._foreign
    monkeypatch.setattr(
        choose, "_foreign", lambda *given: replace(foreign(*given), words="not theirs")
    )
    rebuild_work(pulled, read_export)
    with Work.open(pulled) as work:
        assert facts(work) == before
        assert any("Behold: " in flag.message for flag in work.flags())
        assert any("not theirs" in flag.message for flag in work.flags())


@pytest.mark.parametrize(
    "change",
    [
        {"who": "zoe@x.org"},
        {"at": "2026-01-01T00:00:00.000000+00:00"},
        {"object": "schöner Hammer"},
        {"round": 2},
        {"data": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_was_recorded_may_not(pulled: Path, change: dict[str, Any]) -> None:
    history = pulled / "exports" / "history.jsonl"
    lines = history.read_text(encoding="utf-8").splitlines()
    at = max(n for n, line in enumerate(lines) if json.loads(line)["what"] == "pulled")
    lines[at] = json.dumps(json.loads(lines[at]) | change)
    write(pulled, lines)
    for file in pulled.glob("partlab.db*"):
        file.unlink()
    with pytest.raises((DatasetError, SchemaError), match=r"does not fit|another work or round"):
        rebuild_work(pulled, read_export)


def test_nor_may_the_place_of_an_event(pulled: Path) -> None:
    """Two events of two categories, each right by itself, in the other order."""
    with Work.open(pulled) as work:
        work.record("logged", who="x", object="ram", round=1, data={"n": 1})
        work.record("logged", who="x", data={"n": 2})
    history = pulled / "exports" / "history.jsonl"
    *rest, one, two = history.read_text(encoding="utf-8").splitlines()
    ids = json.loads(one)["id"], json.loads(two)["id"]
    moved = {**json.loads(two), "id": ids[0]}, {**json.loads(one), "id": ids[1]}
    write(pulled, [*rest, *map(json.dumps, moved)])
    for file in pulled.glob("partlab.db*"):
        file.unlink()
    with pytest.raises(DatasetError, match="does not fit the others"):
        rebuild_work(pulled, read_export)
