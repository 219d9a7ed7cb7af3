"""`partlab vocabulary …` as typed: words, JSON, exit codes, files left alone."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from annotate.vocabulary import read_vocabulary
from annotate.work import Work
from app.cli.main import app
from partlab.schema import Dataset

FARM = """\
name: farm
objects:
  ram:  # the males
    inclusions: {eye: head}
    parts:
    - {name: head, source: wikidata, evidence: [has part]}
    - {name: eye, source: wordnet, evidence: [meronym]}
    - {name: body, source: wikidata, evidence: [has part]}
  maraca:
    parts: [{name: head}, {name: stick}]
  flatworm:
    parts: [{name: flatworm, source: whole-object}]
"""


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    path = tmp_path / "vocabulary.yaml"
    path.write_text(FARM, encoding="utf-8")
    return path


def run(*words: Any, code: int = 0) -> str:
    answer = CliRunner().invoke(app, ["vocabulary", *map(str, words)])
    assert answer.exit_code == code, answer.output
    return answer.output


def run_json(*words: Any, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, ["vocabulary", *map(str, words), "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def test_split_show_and_lint_of_the_maraca(farm: Path) -> None:
    """V-07."""
    assert "maraca: 2 parts: head, stick" in run("lint", farm)
    assert "stick was split into joint and handle" in run(
        "split", farm, "maraca", "stick", "--into", "joint, handle", "--who", "ann"
    )
    assert "few_parts" not in run("lint", farm)
    shown = run_json("show", farm, "maraca")
    (maraca,) = shown["objects"]
    assert [(part["name"], part["origin"]) for part in maraca["parts"]] == [
        ("head", []),
        ("joint", ["stick"]),
        ("handle", ["stick"]),
    ]
    assert shown["changes"][0]["who"] == "ann"
    text = run("show", farm, "maraca")
    assert "split from stick" in text
    assert "ann" in text
    assert "remark: the males" in farm.read_text("utf-8")


def test_show_marks_whole_objects_and_inclusions(farm: Path) -> None:
    text = run("show", farm)
    assert "whole" in text
    assert "eye (in head)" in text
    told = run_json("show", farm)
    assert [one["whole_object"] for one in told["objects"]] == [False, False, True]


def test_the_other_edits_each_make_a_version(farm: Path) -> None:
    run("add", farm, "ram", "horn", "tail", "--source", "volunteers", "--evidence", "8 of 10")
    run("rename", farm, "ram", "body", "trunk")
    run("merge", farm, "ram", "horn", "tail", "--into", "ends")
    told = run_json("remove", farm, "ram", "eye", "--note", "too small")
    assert told["version"] == 5
    assert told["notes"] == ["too small"]
    assert told["changed"] == [
        {"object": "ram", "removed": ["eye"], "inclusions_removed": ["eye in head"]}
    ]
    found = read_vocabulary(farm)
    assert found.object("ram").names == ("head", "trunk", "ends")
    assert [c.operation for c in found.changes] == ["add", "rename", "merge", "remove"]
    run("add", farm, "unicorn", "horn", code=3)
    run("add", farm, "unicorn", "horn", "--new")
    assert read_vocabulary(farm).names[-1] == "unicorn"


def test_an_inclusion_that_a_split_took_away_is_put_back(farm: Path) -> None:
    """M-04: the line that the split names can be typed as it stands."""
    text = run("split", farm, "ram", "head", "--into", "big skull,muzzle")
    assert "say again in which piece eye lies" in text
    line = next(line for line in text.splitlines() if "vocabulary include" in line)
    assert line.endswith("(or muzzle)")
    words = shlex.split(line.partition("(or")[0])
    assert words[:2] == ["partlab", "vocabulary"]
    assert "+ eye in big skull" in run(*words[2:])
    assert read_vocabulary(farm).object("ram").inclusions == {"eye": "big skull"}
    told = run_json("include", farm, "ram", "eye", "big skull", "--not", "--note", "it does not")
    assert told["changed"] == [{"object": "ram", "inclusions_removed": ["eye in big skull"]}]
    assert (told["version"], told["notes"]) == (4, ["it does not"])
    assert [c.operation for c in read_vocabulary(farm).changes] == ["split", "include", "exclude"]
    assert "eye is not declared to lie in muzzle" in run(
        "include", farm, "ram", "eye", "muzzle", "--not", code=2
    )


def test_mistakes_leave_the_file_alone(farm: Path) -> None:
    before = farm.read_bytes()
    assert "did you mean stick?" in run("remove", farm, "maraca", "stik", code=3)
    assert "did you mean maraca?" in run("remove", farm, "maracca", "stick", code=3)
    assert "two names or more" in run("split", farm, "maraca", "stick", "--into", "a,", code=2)
    assert "unknown source" in run("add", farm, "ram", "x", "--source", "wiki", code=3)
    assert "PART... --new" in run("add", farm.parent / "none.yaml", "ram", "x", code=3)
    assert farm.read_bytes() == before


def test_a_vocabulary_is_begun_by_hand(tmp_path: Path) -> None:
    run("add", tmp_path / "zoo.yaml", "yak", "horn", "hoof", "--new")
    begun = read_vocabulary(tmp_path / "zoo.yaml")
    assert (begun.name, begun.object("yak").names) == ("zoo", ("horn", "hoof"))
    assert (begun.version, [change.version for change in begun.changes]) == (1, [1])
    run("add", tmp_path / "zoo.yaml", "yak", "tail")
    assert read_vocabulary(tmp_path / "zoo.yaml").version == 2


def test_diff(farm: Path, make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_bytes(farm.read_bytes())
    run("rename", other, "ram", "body", "trunk")
    text = run("diff", farm, other)
    assert "body is now called trunk" in text
    assert "1 object differs, 2 stayed the same" in text
    make_dataset([])
    assert "- object cat" in run("diff", tmp_path / "human", farm)
    assert run_json("diff", farm, tmp_path / "human")["objects_added"] == ["cat", "car"]
    run("diff", farm, tmp_path / "empty", code=3)


def test_lint_measures_on_data_and_ends_with_5_on_errors(
    tmp_path: Path, make_dataset: Callable[..., Dataset]
) -> None:
    rows = [(f"{n}.png", "cat", [("cat:head", (5, 5, 20, 20)), ("cat:ear", (6, 6, 9, 9))])
            for n in range(3)]  # fmt: skip
    make_dataset(rows)
    assert "not measured" in run("lint", tmp_path / "human")
    path = tmp_path / "v.yaml"
    path.write_text(
        "objects: {cat: {parts: [{name: head}, {name: ear}, {name: body}]}}", encoding="utf-8"
    )
    text = run("lint", path, "--data", tmp_path / "human")
    assert "100% of ear lies in head" in text
    assert "0 errors" in text
    swapped = path.read_text("utf-8").replace("parts:", "inclusions: {head: ear}, parts:")
    path.write_text(swapped, encoding="utf-8")
    told = run_json("lint", path, "--data", tmp_path / "human", "--split", "train", code=5)
    assert told["rules"]["swapped_inclusion"]["count"] == 1
    run("lint", path, "--data", tmp_path / "human", "--split", "none", code=3)


def ballots(path: Path, yes: int = 8) -> Path:
    rows = [f"v{n},ram,horn,{'yes' if n < yes else 'no'}" for n in range(10)]
    path.write_text("\n".join(["voter,object,part,vote", *rows, "v0,rom,horn,yes"]), "utf-8")
    return path


def test_vote(farm: Path, tmp_path: Path) -> None:
    """V-03, V-10."""
    cast = ballots(tmp_path / "ballots.csv")
    before = farm.read_bytes()
    assert "nothing written" in run("vote", farm, cast, "--dry-run")
    assert farm.read_bytes() == before
    out = tmp_path / "voted.yaml"
    text = run("vote", farm, cast, "--out", out)
    assert "no object category 'rom'; did you mean ram?" in text
    assert farm.read_bytes() == before
    assert "remark: the males" in out.read_text("utf-8")
    assert read_vocabulary(out).object("ram").named("horn").evidence == ("8 of 10 volunteers",)
    run("vote", farm, cast, "--out", out, code=1)
    told = run_json("vote", farm, ballots(cast, 5), "--tie", "keep")
    assert (told["version"], told["changed"]) == (2, True)
    assert [o["decision"] for o in told["outcomes"] if o["part"] == "horn"] == ["added"]


def test_ballots_that_change_nothing_leave_the_file_alone(farm: Path, tmp_path: Path) -> None:
    cast = tmp_path / "ballots.csv"
    cast.write_text("voter,object,part,vote\n")
    before = farm.read_bytes()
    text = run("vote", farm, cast)
    assert "nothing changes: version 1\n" in text
    assert "Votes" not in text
    assert farm.read_bytes() == before
    out = tmp_path / "same.yaml"
    assert f"nothing changes: version 1, written to {out}" in run("vote", farm, cast, "--out", out)
    assert read_vocabulary(out) == read_vocabulary(farm)


def test_edits_at_the_same_time_are_all_kept(farm: Path) -> None:
    def add(name: str) -> int:
        words = [sys.executable, "-m", "app.cli.main", "vocabulary", "add", farm, "ram", name]
        return subprocess.run(words, capture_output=True, check=False).returncode

    names = [f"part{n}" for n in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        assert set(pool.map(add, names)) == {0}
    made = read_vocabulary(farm)
    assert set(names) < set(made.object("ram").names)
    assert made.version == 1 + len(names) == 1 + len(made.changes)


def test_a_works_own_vocabulary_is_not_edited(farm: Path) -> None:
    (farm.parent / "work.json").write_text("{}")
    before = farm.read_bytes()
    for words in (["add", farm, "ram", "horn"], ["rename", farm, "ram", "eye", "horn"]):
        assert "a work's own vocabulary" in run(*words, code=2)
    assert farm.read_bytes() == before


def test_vote_needs_ballots(farm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no ballots" in run("vote", farm, code=2)
    run("vote", farm, tmp_path / "none.csv", code=3)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    assert "voter,object,part,vote" in run("vote", farm, tmp_path / "bad.csv", code=5)
    run("vote", farm, ballots(tmp_path / "b.csv"), "--share", "0.2", code=2)
    monkeypatch.delenv("PARTLAB_STUDIO_URL", raising=False)
    assert "PARTLAB_STUDIO_URL" in run("vote", farm, "--survey", "3", code=4)
    assert "PARTLAB_STUDIO_URL" in run("survey", farm, code=4)


def test_migrate_of_a_work_that_was_not_handed_out(farm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    Work.create(folder, "farm", read_vocabulary(farm), []).close()
    new = tmp_path / "new.yaml"
    new.write_bytes((folder / "vocabulary.yaml").read_bytes())
    run("split", new, "maraca", "stick", "--into", "joint,handle")
    assert "nothing changed (--dry-run)" in run("migrate", folder, new, "--dry-run")
    assert read_vocabulary(folder / "vocabulary.yaml").version == 1
    assert "the work is at version 2" in run("migrate", folder, new)
    assert read_vocabulary(folder / "vocabulary.yaml") == read_vocabulary(new)
    assert run_json("migrate", folder, new) == {"version": 2, "dry_run": False, "objects": []}
    own = folder / "vocabulary.yaml"
    assert "is the work's own vocabulary" in run("migrate", folder, own, code=2)
    assert "was not made from" in run("migrate", folder, farm, code=1)
    by_hand = read_vocabulary(new).object("ram")
    new.write_text(new.read_text("utf-8").replace("name: body", "name: trunk"), encoding="utf-8")
    assert by_hand.named("body")
    text = run("migrate", folder, new, code=2)
    assert "in ram, body went and trunk came" in text
    assert "partlab vocabulary rename" in text
    assert "holds no work" in run("migrate", tmp_path, new, code=3)
