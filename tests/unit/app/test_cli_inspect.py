"""`partlab inspect …` as inspectors type it."""

import csv
import json
import logging
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from farm import hand_out
from farm_drawn import begin, submit_drawn
from typer.testing import CliRunner

from annotate.inspect.people import named
from annotate.work import Work
from app.cli.main import app

INA = ("--by", "ina@x.org")
Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with begin(tmp_path / "work") as work:
        return work.folder


@pytest.fixture
def run(folder: Path) -> Run:
    """`run("status", code=0)`: the command's parsed JSON, or its words with json=False."""

    def call(command: str, *words: object, code: int = 0, json_: bool = True) -> Any:
        words += ("--yes",) if command == "decide" and not code else ()
        group = [] if command == "status" else ["inspect"]
        args = [*group, command, str(folder), *map(str, words), *(["--json"] if json_ else [])]
        told = CliRunner().invoke(app, args)
        assert told.exit_code == code, told.output
        if code:
            return told.stderr
        found = json.loads(told.stdout) if json_ else told.stdout
        return found["rounds"] if json_ and command == "status" else found

    return call


@pytest.fixture(autouse=True)
def quiet_after() -> Iterator[None]:
    yield
    logging.getLogger().handlers.clear()


def test_a_round_by_the_table(run: Run, folder: Path, tmp_path: Path) -> None:
    """Sample, fill in the table beside the pictures, decide, export, check."""
    (desk,) = run("sample", *INA)
    assert (desk["state"], len(desk["cards"]), len(desk["due"])) == ("sampled", 10, 10)
    assert all(Path(card["overlay"]).is_file() for card in desk["cards"])
    table = Path(desk["table"])
    fill_in(table, ["pass"] * 10)
    told = run("decide", "ram", "--verdicts", table, *INA)
    assert (told["state"], told["given"], told["bad"]) == ("accepted", 10, 0)
    out = tmp_path / "out"
    assert run("export", "--out", out)["images"] == 12
    assert CliRunner().invoke(app, ["data", "check", str(out)]).exit_code == 0
    assert "data check" in run("export", "--out", out, "--force", json_=False)


def fill_in(table: Path, words: Sequence[str]) -> None:
    """Write these verdicts into the lines of a table, from the top."""
    rows = list(csv.DictReader(table.open()))
    for row, word in zip(rows, words, strict=False):
        row["verdict"] = word
    with table.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_without_a_category_all_tables_of_the_inspector_are_taken(run: Run) -> None:
    """One that cannot be read, or is another inspector's, is told; then none is taken."""
    (desk,) = run("sample", *INA)
    table = Path(desk["table"])
    assert "no table that was written for ina@x.org has a verdict" in run("decide", *INA, code=2)
    assert "--pass-rest is about one object category" in run("decide", "--pass-rest", *INA, code=2)
    fill_in(table, ["pass", "perhaps"])
    assert "line 3: the verdict is 'perhaps'" in run("decide", *INA, code=5)
    fill_in(table, ["pass"] * 10)
    words = run("decide", "--by", "mikhail@y.org", code=2)
    assert "left out: ram is inspected by ina@x.org" in words
    assert "--yes does it" in run("decide", *INA, code=2)
    ahead = run("decide", "--dry-run", *INA)
    assert (ahead["dry_run"], ahead["desks"][0]["decision"]) == (True, "accept")
    assert run("status")[0]["state"] == "sampled"
    (told,) = run("decide", *INA)["desks"]
    assert (told["object"], told["state"], told["given"]) == ("ram", "accepted", 10)


def test_a_table_with_a_gap_says_what_waits(run: Run) -> None:
    (desk,) = run("sample", "ram", "--plan", "sequential", *INA)
    ids = [card["image_id"] for card in desk["cards"]]
    table = Path(desk["table"])
    lines = [f"{image},{'' if at == 1 else 'pass'}" for at, image in enumerate(ids)]
    table.write_text("\n".join(["image,verdict", *lines]))
    words = run("decide", "ram", "--verdicts", table, *INA, json_=False)
    assert f"1 verdict taken, 10 wait until image {ids[1]} has one" in words
    told = run("decide", "ram", "--verdicts", table, *INA)
    assert (told["given"], told["known"], told["waiting"], told["not_needed"]) == (0, 1, 10, 0)
    run("decide", "ram", "--image", ids[1], "--pass", *INA)
    words = run("decide", "ram", "--verdicts", table, *INA, json_=False)
    assert "9 verdicts taken, 1 not needed by the plan" in words
    assert "accepted" in words


def test_a_round_by_hand(run: Run) -> None:
    run("sample", "ram", *INA)
    image = run("sample", "ram", *INA)[0]["cards"][2]["image_id"]
    told = run("decide", "ram", "--image", image, "--fail", "--reason", "outline", *INA)
    assert (told["state"], told["given"], len(told["due"])) == ("sampled", 1, 9)
    words = run("decide", "ram", "--pass-rest", *INA, json_=False)
    assert "ram r1: accepted, 1 of 10 inspected images bad" in words
    assert "next: partlab inspect export" in words
    (row,) = run("status")
    assert (row["object"], row["state"], row["seen"]) == ("ram", "accepted", 10)
    assert "accepted" in run("status", "ram", json_=False)


def test_a_decision_is_asked_for_and_can_be_taken_back(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    """A slip of the pen accepts or rejects nothing by itself."""
    run("sample", "ram", *INA)
    words = ["inspect", "decide", str(folder), "ram", "--pass-rest", *INA]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "ram r1: 0 of 10 inspected images bad; this accepts the category" in refused.stderr
    ahead = CliRunner().invoke(app, [*words, "--dry-run"])
    assert "nothing is recorded; ram r1: 0 of 10" in ahead.stdout
    assert run("status", "ram")[0]["seen"] == 0
    run("decide", "ram", "--pass-rest", *INA)
    run("export", "--out", tmp_path / "out")
    lea = ("--by", "lea@x.org", "--reason", "a slip")
    told = run("reopen", "ram", *lea, json_=False)
    assert "ram r1: open again, 10 images to look at" in told
    assert f"stale from now on, and marked so: {tmp_path / 'out'}" in told
    checked = CliRunner().invoke(app, ["data", "check", str(tmp_path / "out")])
    assert "ram was opened again after this was exported: a slip" in checked.stdout
    assert "needs it accepted or rejected" in run("reopen", "ram", *lea, code=1)


def test_somebody_at_the_terminal_is_asked(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.cli import _verdict_ways

    monkeypatch.setattr(_verdict_ways, "_at_terminal", lambda: True)
    run("sample", "ram", *INA)
    words = ["inspect", "decide", str(folder), "ram", "--pass-rest", *INA]
    no = CliRunner().invoke(app, words, input="n\n")
    assert (no.exit_code, "nothing was recorded" in no.stderr) == (2, True)
    assert run("status", "ram")[0]["seen"] == 0
    yes = CliRunner().invoke(app, words, input="y\n")
    assert yes.exit_code == 0, yes.output
    assert "ram r1: accepted" in yes.stdout


def test_a_rejected_category_says_what_comes_next(run: Run, folder: Path) -> None:
    cards = run("sample", "ram", *INA)[0]["cards"]
    for card in cards[:2]:
        fails = ("--image", card["file_name"], "--fail", "--reason", "overlap")
        run("decide", "ram", *fails, *INA)
    words = run("decide", "ram", "--pass-rest", *INA, json_=False)
    assert "ram r1: rejected, 2 of 10" in words
    assert f"partlab studio create {folder}" in words


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--image", "1", *INA), 2, "no verdict is given"),
        ((*INA,), 2, "no verdict is given"),
        (("--image", "1", "--pass"), 2, "nobody is named"),
        (("--image", "99", "--pass", *INA), 3, "unknown image"),
        (("--image", "ALL", "--fail", "--reason", "ugly", *INA), 3, "unknown reason"),
        (("--image", "ALL", "--fail", *INA), 2, "needs a reason"),
        (("--verdicts", "nowhere.csv", *INA), 3, "no file"),
        (("--pass-rest", "--by", "ann@x.org"), 1, "nobody inspects their own work"),
        (("--pass-rest", "--by", " "), 2, "nobody is named"),
        (("--verdicts", "x.csv", "--pass-rest", *INA), 2, "exclude each other"),
        (("--image", "ALL", "--pass", "--fail", *INA), 2, "--pass and --fail exclude each other"),
        (("--verdicts", "EMPTY", *INA), 5, "has no verdict yet"),
        (("--pass-rest", "--reason", "outline", *INA), 2, "are about one image"),
        (("--verdicts", "EMPTY", "--note", "all good", *INA), 2, "are about one image"),
    ],
)
def test_bad_verdicts(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    for name in ("PARTLAB_STUDIO_URL", "PARTLAB_STUDIO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (desk,) = run("sample", "ram", *INA)
    meant = {"ALL": str(desk["cards"][0]["image_id"]), "EMPTY": desk["table"]}
    words = tuple(meant.get(word, word) for word in words)
    assert said in run("decide", "ram", *words, code=code)
    assert run("status", "ram")[0]["seen"] == 0


def test_unknown_names_and_places(run: Run, tmp_path: Path) -> None:
    assert "did you mean ram" in run("sample", "rma", *INA, code=3)
    assert "unknown object category" in run("decide", "rma", "--pass-rest", *INA, code=3)
    assert "unknown inspection plan" in run("sample", "ram", "--plan", "papier", *INA, code=3)
    assert "unknown object category" in run("history", "rma", code=3)
    assert "is submitted, so nothing is" in run("decide", "ram", "--pass-rest", *INA, code=1)
    told = CliRunner().invoke(app, ["status", str(tmp_path / "none")])
    assert told.exit_code == 3
    assert "holds no work" in told.stderr


def test_names_with_brackets_and_spaces_stay_what_they_are(tmp_path: Path) -> None:
    """No markup in tables, and what is printed can be pasted."""
    with begin(tmp_path / "my work"):
        pass
    words = ["inspect", "sample", str(tmp_path / "my work"), "--by", "[b]Ina[/b]"]
    told = CliRunner().invoke(app, words).stdout
    assert "plan paper:\n  look at 10 random images at once\n" in told
    command = next(line for line in told.splitlines() if "partlab inspect decide" in line)
    assert shlex.split(command.split("then: ")[1])[3] == str(tmp_path / "my work")
    decide = [
        "inspect",
        "decide",
        str(tmp_path / "my work"),
        "ram",
        "--pass-rest",
        *words[-2:],
        "--yes",
    ]
    assert "10 verdicts taken" in CliRunner().invoke(app, decide).stdout
    assert "[b]Ina[/b]" in CliRunner().invoke(app, ["status", words[2]]).stdout
    assert "no object category waits" in CliRunner().invoke(app, words).stdout
    assert "[b]Ina[/b]" in CliRunner().invoke(app, ["data", "stats", words[2], "--all"]).stdout


def test_what_a_picture_may_hide_is_told(run: Run, folder: Path) -> None:
    """M-02: of two parts over each other, a picture shows one."""
    words, name = "head and horn overlap", "schöner Hammer"
    problem = {"kind": "overlap", "message": words, "severity": "warning"}
    with Work.open(folder) as work:
        hand_out(work, name)
        submit_drawn(work, name, problems=[problem])
    (desk,) = run("sample", name, *INA)
    assert [card["problems"] for card in desk["cards"]] == [[words]] * 3
    told = run("sample", name, *INA, json_=False)
    assert f"mind image {desk['cards'][0]['image_id']}: {words}" in told


def test_all_that_is_ready_is_sampled_and_the_rest_is_said(run: Run, folder: Path) -> None:
    """The own category of an inspector is left out when they ask for all."""
    from annotate.work import Work

    with Work.open(folder) as work:
        hand_out(work, "schöner Hammer", assignee="ina@x.org")
        submit_drawn(work, "schöner Hammer")
    told = CliRunner().invoke(app, ["inspect", "sample", str(folder), *INA])
    assert told.exit_code == 0, told.output
    assert "left out: ina@x.org drew schöner Hammer" in told.stderr
    assert "ram r1" in told.stdout
    assert "own work" in run("sample", "schöner Hammer", *INA, code=1)


def test_an_audit_leads_a_ranked_plan(run: Run, tmp_path: Path) -> None:
    images = [{"file_name": f"ram/{n}.jpg", "suspicion": n / 10} for n in range(10)]
    audit = tmp_path / "audit.json"
    audit.write_text(json.dumps({"images": images}))
    (desk,) = run("sample", "ram", "--plan", "ranked", "--audit", audit, *INA)
    assert [card["file_name"] for card in desk["cards"][:3]] == [
        "ram/9.jpg",
        "ram/8.jpg",
        "ram/7.jpg",
    ]
    for wrong in ('{"images": [{"file_name": "ram/1.jpg", "suspicion": NaN}]}', "[1]", "{}"):
        audit.write_text(wrong)
        assert "not the file of an audit" in run("sample", "ram", "--audit", audit, *INA, code=5)
    assert "not the file of an audit" in run("sample", "ram", "--audit", audit, *INA, code=5)
    audit.write_text(json.dumps({"images": [{"file_name": "x.jpg", "suspicion": 1}]}))
    assert "none of these images" in run("sample", "ram", "--audit", audit, *INA, code=5)


def test_a_plan_that_comes_too_late_is_refused(run: Run, tmp_path: Path) -> None:
    """The draw is done; said again, the same words show it again."""
    audit = tmp_path / "audit.json"
    audit.write_text(json.dumps({"images": [{"file_name": "ram/1.jpg", "suspicion": 1}]}))
    drawn = run("sample", "ram", "--plan", "sequential", *INA)
    assert run("sample", "ram", "--plan", "sequential", *INA) == drawn
    for late in (("--plan", "ranked"), ("--audit", audit)):
        words = run("sample", "ram", *late, *INA, code=2)
        assert "ram round 1 is drawn already, by the plan sequential" in words
    assert run("sample", *INA) == drawn


def test_a_restored_image_whose_task_is_gone(run: Run, folder: Path) -> None:
    with Work.open(folder) as work:
        work.record("abandoned", who="lead", object="ram", data={"reason": "again"})
        hand_out(work, round=2)
        submit_drawn(work, discards=(3,))
        flag = {"task_id": 1003, "annotation_id": 0, "kind": "task-gone", "message": "m", "at": "t"}
        gone = {"reason": "deleted", "flags": [flag], "gone": [3]}
        work.record("flagged", who="partlab", object="ram", data=gone)
    review = ("discards", "ram", "--image", "3", "--restore", "--by")
    run(*review, "ina@x.org")
    words = run(*review, "ben@x.org", json_=False)
    assert "ann@x.org is to draw it: its task is gone, so run `partlab studio create`" in words
    assert "None" not in words


def test_discards_are_listed_reviewed_and_go_back(folder: Path, run: Run, tmp_path: Path) -> None:
    from annotate.work import Work

    with Work.open(folder) as work:
        work.record("abandoned", who="lead", object="ram", data={"reason": "again"})
        hand_out(work, round=2)
        submit_drawn(work, discards=(2, 3))
    found = run("discards", "ram")
    assert [case["state"] for case in found["cases"]] == ["waiting", "waiting"]
    assert found["refusals"][0]["refused"] == 2
    assert "published" not in found
    assert run("discards", "ram", "--reference")["published"]["discarded"] == 37_505
    words = run("discards", json_=False)
    assert "image 2 ram/1.jpg: low quality (waiting)" in words
    assert "published" not in words
    words = run("discards", "--reference", json_=False)
    assert "published: 37,505 refused, 29%" in words
    review = ("discards", "ram", "--image", "2", "--restore", "--by")
    assert "another inspector" in run(*review, "ina@x.org", json_=False)
    words = run(*review, "ben@x.org", json_=False)
    assert "restored; ann@x.org is to draw it: open task 1002 of project 72" in words
    assert "two others must review" in run(
        "discards", "ram", "--image", "3", "--uphold", "--by", "ann@x.org", code=1
    )
    assert "lacks --image ID, --by WHO" in run("discards", "ram", "--uphold", code=2)
    assert "disputed" not in run("discards", json_=False)


def test_a_slip_in_a_name_makes_no_second_inspector(folder: Path, run: Run) -> None:
    """Q-04: two inspectors are two people; whoever is new and nearly known says so."""
    with Work.open(folder) as work:
        work.record("abandoned", who="lead", object="ram", data={"reason": "again"})
        hand_out(work, round=2)
        submit_drawn(work, discards=(2, 3))
    review = ("discards", "ram", "--image", "2", "--uphold", "--by")
    run(*review, "ivo@example.org")
    for slip in ("ivo@exmaple.org", "Ivoo@example.com", "ivoo"):
        words = run(*review, slip, code=2)
        assert "is new in this work: did you mean ivo@example.org?" in words
        assert "--new-inspector" in words
    assert "ann@x.org?" in run("sample", "ram", "--by", "an@x.org", code=2)
    assert "ann@x.org?" in run("decide", "ram", "--pass-rest", "--by", "an@x.org", code=2)
    assert run("discards", "ram")["cases"][0]["state"] == "waiting"
    assert "already reviewed" in run(*review, "ivo", code=1)
    assert run(*review, "ivor@example.org", "--new-inspector")["state"] == "final"
    third = ("discards", "ram", "--image", "3", "--uphold", "--by")
    run(*third, "inspector1@x.org")
    assert "already" not in run(*third, "inspector2@x.org", json_=False)  # two by their numbers
    with Work.open(folder) as work:
        assert named(work, "ivor@example.org") == "ivor@example.org"  # known by now
        assert named(work, "ben@example.org") == "ben@example.org"  # like nobody else


def test_hours_and_history(run: Run, folder: Path) -> None:
    assert run("hours", "1.5", "--by", "Ina@X.org", "--note", "rules")["who"] == "ina@x.org"
    assert run("hours", "1,5", *INA)["hours"] == 1.5  # as many languages write it
    assert "write it like 1.5" in run("hours", "1h", *INA, code=2)
    assert "cannot note" in run("hours", "0", *INA, code=2)
    assert "unknown role" in run("hours", "1", "--role", "boss", *INA, code=2)
    last = run("history", "--last", "1")[0]
    assert (last["who"], last["what"], last["data"]["hours"]) == ("ina@x.org", "logged", 1.5)
    assert len(last["after"].removeprefix("2:")) == 64  # the form of the hash, and the hash
    words = run("history", "ram", "--last", "0", json_=False)
    assert "ann@x.org" in words
    assert "planned" in words.splitlines()[0]
    started = run("history", "--last", "0")[0]["data"]
    words = run("history", "--last", "0", json_=False).splitlines()[0]
    assert f"vocabulary_hash {started['vocabulary_hash'][:8]}" in words
    assert started["vocabulary_hash"][:9] not in words
    told = CliRunner().invoke(app, ["data", "stats", str(folder), "--all"])
    assert "3.0" in told.stdout  # 1.5 twice


def test_the_table_of_known_pictures_tells_names_whole() -> None:
    from rich.console import Console

    from annotate.inspect.checked import Checked
    from annotate.inspect.honeypots import Answer, Record, drift
    from app.cli.inspect_honeypots import _answers

    who = "annabelle@example.org"
    answers = tuple(Answer(f"{n}.jpg", who, 0.9, True, None) for n in range(5))
    record = Record(who, answers, 5, 0.9, {"ram:head": 0.9}, drift([0.9] * 5))
    narrow = Console(width=80)
    with narrow.capture() as shown:
        narrow.print(_answers([Checked(None, record, 0), Checked("ram", record, 0)], 0.7))
    assert shown.get().count(who) == 2
    assert "0.90 → 0.90" in shown.get()


def test_inclusions_of_a_work(run: Run, tmp_path: Path) -> None:
    (one,) = run("inclusions")["inclusions"]
    assert (one["inner"], one["outer"], one["state"], one["share"]) == ("horn", "head", "holds", 1)
    assert "holds" in run("inclusions", json_=False)
    assert run("inclusions", "--out", tmp_path / "including")["files"] == 1
    assert (tmp_path / "including" / "ram.txt").read_text() == "horn:head\n"
    assert "already exists" in run("inclusions", "--out", tmp_path / "including", code=1)
    assert "nested" in run("inclusions", "--nested", "2", code=2)


def test_nothing_to_export_yet(run: Run, tmp_path: Path) -> None:
    assert "no object category is accepted yet" in run("export", "--out", tmp_path / "o", code=1)
    told = run("export", "--out", tmp_path / "o", "--include-open", "--pictures", "none")
    assert (told["images"], told["objects"]) == (12, 1)
    words = run("export", "--out", tmp_path / "r", "--by-round", json_=False)
    assert str(tmp_path / "r" / "r1") in words


def test_a_rebuild_without_the_raw_exports_says_so(run: Run) -> None:
    """These answers came from no export, so the database stays as it is."""
    before = run("status")
    run("rebuild", code=3)
    assert run("status") == before


def test_who_inspects_is_remembered_by_the_machine(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARTLAB_ME", "ina@x.org")
    image = run("sample", "ram")[0]["cards"][0]["image_id"]
    told = run("decide", "ram", "--image", image, "--pass")
    assert told["cards"][0]["inspector"] == "ina@x.org"
    run("decide", "ram", "--image", image, "--pass", "--by", "ivo@y.org", code=1)  # --by goes first
    assert "lacks" in run("discards", "ram", "--image", image, code=2)
