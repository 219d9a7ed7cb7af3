"""A rebuild makes the very rows that the live work made, whatever happened in it."""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from farm import FARM, answer, hand_out, start, submit

from annotate.vocabulary.edit import rename_part
from annotate.work import Answer, Event, Flag, Work, rebuild_work
from annotate.work.machine import RULES
from annotate.work.tables import Base
from partlab.errors import DatasetError, NotFoundError, SchemaError, StateError

INA, IVO, IDA = "ina@x.org", "ivo@x.org", "ida@x.org"


class Life:
    """A work to which everything happens; `brought` is what each ingest brought, by event."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.brought: dict[int, tuple[list[Answer], list[Flag]]] = {}

    def say(self, what: str, who: str = "lead", object: str = "ram", **data: Any) -> None:
        self.work.record(what, who=who, object=object, data=data)

    def pull(self, *images: int, kind: str = "masks", flags: Sequence[Flag] = ()) -> None:
        answers = [answer(self.work, image, kind) for image in images]
        kept = deepcopy((answers, list(flags)))
        data = {"file": "f", "sha256": "s", "cursor": "c", "seen": {str(i): "t" for i in images}}
        about: Any = {"object": "ram", "data": data, "answers": answers, "flags": flags}
        self.brought[self.work.record("pulled", who="partlab", **about).id] = kept

    def ingest(self, work: Work, event: Event) -> tuple[list[Answer], list[Flag]]:
        return deepcopy(self.brought[event.id])

    def live(self) -> None:
        hand_out(self.work)
        self.say("reassigned", to="bea@x.org")
        self.say("pushed", model="m", tasks={"1": "c", "2": "c"})
        self.say("ordered", project_id=71, order={"2": 1, "1": 2})
        late = Flag(
            object="ram", round=1, task_id=1, annotation_id=2, kind="late", message="m", at="t"
        )
        self.pull(*range(1, 12), flags=[late])
        self.pull(12, kind="discard")
        self.say("submitted", manifest_hash="m", images=12, masks=11, discards=1)
        for who in (INA, IVO):  # the discard is turned down
            self.say("discard-review", who, image_id=12, uphold=False)
        self.pull(12)
        self.more(16)
        self.pull(16)
        self.say("migrated", vocabulary_version=2, parts={"head": "skull"})
        self.say("migrated", vocabulary_version=3, parts={"skull": None}, redraw={"3": "why"})
        self.say("flagged", reason="gone", flags=[], gone=[5])
        self.say("abandoned", reason="ill")
        self.round_two()
        renamed = rename_part(FARM, "ram", "horn", "horns")
        self.work.replace_vocabulary(renamed, "lead")
        self.say("categories", object="", ids=[["ram", "head", 1], ["ram", "horn", 2]])
        made = {"served": True, "weights_sha256": "w", "data_sha256": "d"}
        self.say("version", object="", version=1, parent=None, **made)
        self.say("version", object="", version=2, parent=1, **made)
        self.say("rollback", object="", version=1, before=2)
        self.say("logged", object="", hours=3.5, note="schön 足 \u2028")

    def more(self, id: int) -> None:
        row = {"id": id, "object": "ram", "file_name": f"ram/{id}.jpg", "rank": id}
        size = {"width": 64, "height": 48, "shown": [64, 48]}
        self.say("images", object="", images=[row | size])
        self.say("extended", images=[id])

    def round_two(self) -> None:
        for round, accepted in ((2, False), (3, True)):
            hand_out(self.work, round=round)
            self.pull(*range(1, 13), 16)
            self.say("submitted", manifest_hash="m", images=13, masks=13, discards=0)
            self.say("sampled", INA, seed=1, plan="paper", images=[3, 1])
            for image in (3, 1):
                self.say("verdict", INA, image_id=image, passed=accepted, reason=None)
            self.say("verdict", INA, image_id=3, passed=accepted, note="again")
            self.say("unsaid", INA, image_id=1)
            self.say("verdict", INA, image_id=1, passed=accepted, reason=None)
            self.say("decided", INA, accepted=accepted, seen=2, bad=0 if accepted else 2)
        self.say("exported", object="", out="rams", categories={"ram": [3, "hash"]})
        self.say("reopened", IVO, reason="a slip")
        for image in (3, 1):
            self.say("verdict", INA, image_id=image, passed=True, reason=None)
        self.say("decided", INA, accepted=True, seen=2, bad=0)
        for image in (3, 1):
            self.say("sent-back", INA, image_id=image, reason="outline", note="too low")
        self.say("told", project_id=73, todo={"3": "correct it"})
        self.say("corrected", INA, image_id=3)


def everything(work: Work) -> dict[str, list[Any]]:
    """Every row of every table."""
    with work.read() as session:
        return {
            table.__tablename__: sorted(map(repr, map(asdict, session.query(table))))
            for table in Base.__subclasses__()
        }


@pytest.fixture
def lived(work: Work) -> Life:
    life = Life(work)
    life.live()
    return life


def test_every_kind_of_event_is_replayed_alike(
    lived: Life, database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = lived.work
    assert {event.what for event in work.events()} == set(RULES)
    before, folder = everything(work), work.folder
    assert all(before.values())
    work.close()
    if database == "postgresql":
        import psycopg

        with pytest.raises(DatasetError, match="already holds the work 'farm'"):
            rebuild_work(folder, lived.ingest)
        server = request.getfixturevalue("postgres")
        with psycopg.connect(
            server.replace("+psycopg", "") + "postgres", autocommit=True
        ) as connection:
            connection.execute("DROP DATABASE IF EXISTS again")
            connection.execute("CREATE DATABASE again")
        monkeypatch.setenv("PARTLAB_DB_URL", server + "again")
    assert rebuild_work(folder, lived.ingest) == len(before["events"])
    with Work.open(folder) as again:
        assert everything(again) == before
        again.record("logged", who="x", object="ram")  # and life goes on


@pytest.mark.parametrize("state", ["planned", "annotating", "submitted", "sampled", "accepted"])
def test_what_may_happen_in_which_state(tmp_path: Path, state: str) -> None:
    """M-05, M-08, Q-02: anything else is refused, and leaves no trace."""
    allowed = {
        "planned": {"opened", "reassigned", "abandoned", "extended", "migrated", "flagged"},
        "annotating": {"opened", "tasks", "pushed", "abandoned", "extended", "pulled"}
        | {"flagged", "migrated", "submitted"},
        "submitted": {"abandoned", "extended", "pulled", "sampled", "migrated", "flagged"},
        "sampled": {"abandoned", "verdict", "decided", "migrated", "flagged"},
        "accepted": {"migrated", "flagged", "reopened"},
    }
    tries: dict[str, dict[str, Any]] = {
        "planned": {"images": [1], "assignee": "a", "vocabulary_version": 1},
        "opened": {"project_id": 71, "config_hash": "c"},
        "tasks": {"project_id": 71, "tasks": {"1": 1001}},
        "pushed": {"model": "m", "tasks": {"1": "c"}},
        "reassigned": {"to": "z@x.org"},
        "abandoned": {"reason": "r"},
        "extended": {"images": [16]},
        "pulled": {"cursor": "c"},
        "flagged": {"reason": "r"},
        "submitted": {"manifest_hash": "m"},
        "sampled": {"seed": 1, "plan": "paper", "images": [1]},
        "verdict": {"image_id": 1, "passed": True},
        "decided": {"accepted": True},
        "reopened": {"reason": "r"},
        "discard-review": {"image_id": 1, "uphold": True},
        "migrated": {"vocabulary_version": 2, "parts": {}},
    }
    for what, data in tries.items():
        with start(tmp_path / what) as work:
            row = {"id": 16, "object": "ram", "file_name": "x", "rank": 12}
            size = {"width": 64, "height": 48, "shown": [64, 48]}
            work.record("images", who="lead", data={"images": [row | size]})
            lead_to(work, state)
            answers = [answer(work, 1)] if what == "pulled" and state != "planned" else []
            about: Any = {"who": INA, "object": "ram", "round": 1, "data": data}
            if what == "planned":
                about["round"] = 2
            count = len(work.events())
            if what in allowed[state]:
                work.record(what, **about, answers=answers)
            else:
                with pytest.raises(StateError):
                    work.record(what, **about, answers=answers)
                assert len(work.events()) == count, what


def lead_to(work: Work, state: str) -> None:
    """Bring the rams to a state."""
    steps = ["planned", "annotating", "submitted", "sampled", "accepted"]
    for step in steps[: steps.index(state) + 1]:
        if step == "planned":
            ids = list(range(1, 13))
            planned = {"images": ids, "assignee": "ann@x.org", "vocabulary_version": 1}
            work.record("planned", who="lead", object="ram", round=1, data=planned)
        elif step == "annotating":
            opened = {"project_id": 71, "config_hash": "c"}
            work.record("opened", who="lead", object="ram", data=opened)
            if state == "annotating":
                done = [answer(work, image) for image in range(1, 13)]
                data = {"file": "f", "sha256": "s", "cursor": "c"}
                work.record("pulled", who="p", object="ram", data=data, answers=done)
        elif step == "submitted":
            submit(work)
        elif step == "sampled":
            sample = {"seed": 1, "plan": "paper", "images": [1, 2]}
            work.record("sampled", who=IDA, object="ram", data=sample)
        else:
            work.record("decided", who=IDA, object="ram", data={"accepted": True})


def test_a_database_older_than_its_history_is_not_written_to(lived: Life) -> None:
    """As one restored from a backup: new events would take the numbers of those it lacks."""
    folder = lived.work.folder
    event = {**asdict(lived.work.events()[-1]), "id": len(lived.work.events()) + 3}
    lived.work.close()
    with lived.work.history.open("a", encoding="utf-8") as journal:
        journal.write(json.dumps(event) + "\n")
    with pytest.raises(DatasetError, match=r"older than its history.* last 3 events") as caught:
        Work.open(folder)
    assert "rebuild" in (caught.value.hint or "")


def test_a_damaged_last_line_of_the_history_is_one_sentence(lived: Life) -> None:
    with lived.work.history.open("a", encoding="utf-8") as journal:
        journal.write("{nonsense\n")
    with pytest.raises(SchemaError, match=r"last line of .*history\.jsonl is damaged"):
        Work.open(lived.work.folder)


def test_a_vocabulary_changed_by_hand_is_found_and_every_version_is_kept(lived: Life) -> None:
    work = lived.work
    path = work.folder / "vocabulary.yaml"
    assert work.kept_vocabulary(2).read_bytes() == path.read_bytes()
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "# a remark harms nobody\n", encoding="utf-8")
    Work.open(work.folder).close()
    path.write_text(text.replace("name: horns", "name: antlers"), encoding="utf-8")
    with pytest.raises(StateError, match="was changed by hand; the work is at version 2") as caught:
        Work.open(work.folder)
    assert str(work.kept_vocabulary(2)) in (caught.value.hint or "")
    path.write_bytes(work.kept_vocabulary(2).read_bytes())
    Work.open(work.folder).close()
    path.unlink()
    with pytest.raises(NotFoundError):
        Work.open(work.folder)
