"""The state on disk: history, rebuild, crashes, two processes at once."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from farm import answer, hand_out, pull, start, submit

from annotate.vocabulary.edit import rename_part
from annotate.work import Answer, Event, Flag, Work, rebuild_work
from annotate.work.database import DATABASE_FILES
from partlab.errors import (
    BackendUnavailableError,
    BusyError,
    ConfigError,
    DatasetError,
    NotFoundError,
    OutputExistsError,
    PartlabError,
    SchemaError,
    StateError,
)

COUNT = """
import sys
from annotate.work import Work
work = Work.open(sys.argv[1])
print("ready", flush=True)
for n in range(int(sys.argv[2])):
    work.record("logged", who=sys.argv[3], object="ram", data={"n": n})
"""


def run(folder: Path, count: int, who: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COUNT, str(folder), str(count), who]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def rows(work: Work) -> list[object]:
    events = [(e.id, e.what, e.before, e.after) for e in work.events()]
    answers = [repr(a) for b in work.rounds("ram") for a in work.answers("ram", b.round)]
    return [events, answers, [repr(b) for b in work.batches()], [repr(i) for i in work.images()]]


def test_every_event_carries_the_hash_before_and_after(work: Work) -> None:
    hand_out(work)
    events = work.events("ram")
    assert events[0].before == ""
    assert [e.before for e in events[1:]] == [e.after for e in events[:-1]]
    assert len({e.after for e in events}) == len(events)
    assert all(e.at and e.who for e in events)


def test_the_journal_holds_every_event_and_mends_a_cut_line(work: Work) -> None:
    hand_out(work)
    whole = work.history.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    work.history.write_text("".join(lines[:-3]) + lines[-3][:20], encoding="utf-8")
    work.record("logged", who="x")
    after = work.history.read_text(encoding="utf-8")
    assert after.startswith(whole)
    assert [json.loads(line)["id"] for line in after.splitlines()] == list(range(1, len(lines) + 2))


def test_the_state_is_rebuilt_from_the_exports(work: Work, database: str) -> None:
    hand_out(work)
    submit(work, discards=(4,))
    for who in ("ina@x.org", "ivo@x.org"):
        data = {"image_id": 4, "uphold": True}
        work.record("discard-review", who=who, object="ram", data=data)
    before = rows(work)
    given = list(work.answers("ram", 1))

    def ingest(work: Work, event: Event) -> tuple[Sequence[Answer], Sequence[Flag]]:
        fresh = [Answer(**{k: v for k, v in vars(a).items() if k[0] != "_"}) for a in given]
        return fresh, ()

    work.close()
    if database == "postgresql":
        with pytest.raises(DatasetError):  # a full database is not written over
            rebuild_work(work.folder, ingest)
        return
    (work.folder / "partlab.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(DatasetError, match="damaged") as caught:
        Work.open(work.folder)
    assert "inspect rebuild" in (caught.value.hint or "")
    rebuild_work(work.folder, ingest)
    with Work.open(work.folder) as again:
        assert rows(again) == before


def test_a_journal_changed_by_hand_is_found(tmp_path: Path) -> None:
    with start(tmp_path / "w") as work:
        hand_out(work)
    text = work.history.read_text(encoding="utf-8")
    work.history.write_text(text.replace("ann@x.org", "eve@x.org"), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"event \d+ \(planned\)"):
        rebuild_work(work.folder, lambda *_: ((), ()))
    work.history.write_text(text.replace('"what"', '"wat"', 1), encoding="utf-8")
    with pytest.raises(SchemaError, match="line 1 is damaged"):
        rebuild_work(work.folder, lambda *_: ((), ()))
    with Work.open(work.folder) as same:  # a rebuild that failed changed nothing
        assert same.batch("ram").assignee == "ann@x.org"


def test_two_processes_at_once_lose_nothing(work: Work) -> None:
    hand_out(work)
    before = len(work.events("ram"))
    both = [run(work.folder, 60, who) for who in ("ann", "bea")]
    assert [process.wait(timeout=100) for process in both] == [0, 0]
    events = work.events("ram")
    assert len(events) == before + 120
    assert [e.before for e in events[1:]] == [e.after for e in events[:-1]]
    lines = work.history.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [e.id for e in work.events()]


def test_a_killed_writer_leaves_a_whole_state(work: Work) -> None:
    hand_out(work)
    for delay in (0.0, 0.05, 0.15):
        process = run(work.folder, 100_000, "ann")
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    work.record("logged", who="bea", object="ram")
    events = work.events("ram")
    assert [e.before for e in events[1:]] == [e.after for e in events[:-1]]
    assert len(work.history.read_text(encoding="utf-8").splitlines()) == len(work.events())


def test_a_start_that_was_cut_off_is_begun_again(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    with start(folder):
        (folder / "work.json").unlink()  # the last thing that is written
    with start(folder) as work:
        assert len(work.images()) == 15
    with pytest.raises(OutputExistsError, match="already holds a work"):
        start(folder)


def test_a_work_is_not_mistaken_for_another(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no work"):
        Work.open(tmp_path)
    start(tmp_path / "a").close()
    start(tmp_path / "b").close()
    shutil.copy(tmp_path / "a" / "partlab.db", tmp_path / "b" / "partlab.db")
    with pytest.raises(DatasetError, match="another work"):
        Work.open(tmp_path / "b")


def test_a_lost_or_cut_off_database_wants_a_rebuild_and_nothing_else(tmp_path: Path) -> None:
    """Nobody who has SQLite needs to hear of PostgreSQL, or has to move anything."""
    folder = tmp_path / "w"
    start(folder).close()
    database = folder / "partlab.db"
    whole = database.read_bytes()
    database.unlink()
    with pytest.raises(DatasetError, match="holds nothing yet") as lost:
        Work.open(folder)
    assert lost.value.hint == "run `partlab inspect rebuild WORK`"
    for name in DATABASE_FILES:
        (folder / name).unlink(missing_ok=True)
    database.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="damaged") as cut:
        Work.open(folder)
    assert cut.value.hint == "`partlab inspect rebuild WORK` makes it again"
    rebuild_work(folder, lambda *_: NOTHING)
    Work.open(folder).close()


def test_no_work_is_rebuilt_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no work"):
        rebuild_work(tmp_path, lambda *_: NOTHING)


def test_a_team_database_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql+psycopg://user:secret@127.0.0.1:1/none"
    monkeypatch.setenv("PARTLAB_DB_URL", url)
    with pytest.raises(BackendUnavailableError, match="cannot reach the database") as caught:
        start(tmp_path / "w")
    assert "secret" not in caught.value.message
    monkeypatch.setenv("PARTLAB_DB_URL", "mysql://x")
    with pytest.raises(ConfigError, match="does not name a PostgreSQL database"):
        start(tmp_path / "v")


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with start(tmp_path / "w") as work:
        hand_out(work)
        work.history.unlink()
        work.history.mkdir()  # the journal cannot be written
        with pytest.raises(PartlabError, match=r"cannot write .*history\.jsonl") as caught:
            pull(work, [answer(work, 1)])
        assert "the state itself is safe" in (caught.value.hint or "")
        work.history.rmdir()
        work.record("logged", who="x")
        assert len(work.history.read_text(encoding="utf-8").splitlines()) == len(work.events())


def test_answers_stream(tmp_path: Path) -> None:
    """A hundred thousand answers never stand in memory together."""
    with start(tmp_path / "w") as work:
        hand_out(work)
        pull(work, [answer(work, i) for i in range(1, 13)])
        stream = work.answers("ram", 1)
        assert next(stream).image_id == 1
        stream.close()  # type: ignore[attr-defined]
        work.record("logged", who="x")  # a reader that stopped midway blocks nobody


NOTHING: tuple[tuple[Answer, ...], tuple[Flag, ...]] = ((), ())


def test_who_has_the_work_open_during_a_rebuild_loses_nothing(tmp_path: Path) -> None:
    """Their database was moved away: they are told, write nothing, and go on with the new one."""
    start(tmp_path / "w").close()
    with Work.open(tmp_path / "w") as live:
        live.batches()
        rebuild_work(live.folder, lambda *_: NOTHING)
        with Work.open(live.folder) as other:
            with pytest.raises(BusyError, match="was made again meanwhile"):
                live.record("logged", who="ann")
            other.record("logged", who="bea")
            live.record("logged", who="ann")
            assert [event.who for event in other.events()][-2:] == ["bea", "ann"]
    lines = live.history.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["who"] for line in lines][-2:] == ["bea", "ann"]
    rebuild_work(live.folder, lambda *_: NOTHING)


def test_nobody_writes_while_a_rebuild_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotate.work.database.WAIT_SECONDS", 0.2)
    refused = []

    def ingest(work: Work, event: Event) -> tuple[Sequence[Answer], Sequence[Flag]]:
        with Work.open(work.folder) as other, pytest.raises(BusyError, match="another process"):
            other.record("logged", who="bea")
        refused.append(event.id)
        return NOTHING

    with start(tmp_path / "w") as work:
        hand_out(work)
        pull(work, [])
    rebuild_work(work.folder, ingest)
    assert len(refused) == 1


def test_a_rebuild_takes_events_that_a_crash_kept_from_the_history(tmp_path: Path) -> None:
    with start(tmp_path / "w") as work:
        lines = work.history.read_text(encoding="utf-8").splitlines(keepends=True)
        work.record("logged", who="ann")
        work.history.write_text("".join(lines), encoding="utf-8")
    assert rebuild_work(work.folder, lambda *_: NOTHING) == len(lines) + 1
    with Work.open(work.folder) as again:
        assert again.events()[-1].who == "ann"


def test_a_history_that_is_not_the_databases_is_not_written_on(tmp_path: Path) -> None:
    with start(tmp_path / "w") as work:
        text = work.history.read_text(encoding="utf-8")
        last = work.events()[-1].after
        work.history.write_text(text.replace(last, "another"), encoding="utf-8")
        with pytest.raises(DatasetError, match="is not that of the database"):
            work.record("logged", who="ann")


@pytest.mark.parametrize("calls", range(5))
def test_a_rebuild_that_is_killed_leaves_a_whole_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """Wherever it is cut off while the files change places, another rebuild ends it."""
    folder, left = tmp_path / "w", [calls]
    start(folder).close()
    count = len(Work.open(folder).events())  # who has it open keeps the log there

    def last_moments(function: Callable[..., None]) -> Callable[..., None]:
        def moved(*paths: Path) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            function(*paths)

        return moved

    with monkeypatch.context() as patched:
        for name in ("replace", "link"):
            patched.setattr(f"annotate.work.rebuild.os.{name}", last_moments(getattr(os, name)))
        with suppress(KeyboardInterrupt):
            rebuild_work(folder, lambda *_: NOTHING)
    with Work.open(folder) as whole:
        assert len(whole.events()) == count
    rebuild_work(folder, lambda *_: NOTHING)
    with sqlite3.connect(folder / "partlab.db.before-rebuild") as kept:
        assert kept.execute("SELECT count(*) FROM events").fetchone() == (count,)
    with Work.open(folder) as again:
        assert len(again.events()) == count


def test_a_database_of_another_version_says_so(work: Work) -> None:
    """Versions before noted no form at all."""
    for change in ("UPDATE about SET value = 'x' WHERE key = 'form'", "DELETE FROM about"):
        with work._engine.begin() as connection:
            connection.exec_driver_sql(change)
        with pytest.raises(DatasetError, match="made by another version of partlab") as caught:
            Work.open(work.folder)
        assert "`partlab inspect rebuild WORK`" in (caught.value.hint or "")
        assert ("name a new database" in (caught.value.hint or "")) == (
            work.settings.database == "postgresql"
        )


def test_a_database_of_another_version_is_made_again(tmp_path: Path) -> None:
    start(tmp_path / "w").close()
    with sqlite3.connect(tmp_path / "w" / "partlab.db") as old:
        old.execute("ALTER TABLE flags DROP COLUMN settled")
        old.execute("DELETE FROM about WHERE key = 'form'")
    with pytest.raises(DatasetError, match="another version"):
        Work.open(tmp_path / "w")
    rebuild_work(tmp_path / "w", lambda *_: NOTHING)
    with Work.open(tmp_path / "w") as again:
        assert again.flags() == []


def test_who_has_the_work_open_sees_what_others_change(tmp_path: Path) -> None:
    """Events, the vocabulary, and a database that was made again."""
    start(tmp_path / "w").close()
    with Work.open(tmp_path / "w") as live:
        assert live.vocabulary.version == 1
        with Work.open(live.folder) as other:
            hand_out(other)
            renamed = rename_part(other.vocabulary, "ram", "horn", "antler")
            other.replace_vocabulary(renamed, "lead")
        assert live.batch("ram").state == "annotating"
        assert live.vocabulary.object("ram").part("horn").name == "antler"
        rebuild_work(live.folder, lambda *_: NOTHING)
        with Work.open(live.folder) as other:
            other.record("logged", who="bea")
        assert live.events()[-1].who == "bea"


def test_who_has_the_work_open_takes_no_vocabulary_changed_by_hand(tmp_path: Path) -> None:
    with start(tmp_path / "w") as live:
        path = live.folder / "vocabulary.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace("horn", "antler"), "utf-8")
        for _ in range(2):
            with pytest.raises(StateError, match="was changed by hand"):
                _ = live.vocabulary
