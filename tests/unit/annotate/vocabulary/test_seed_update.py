"""`partlab vocabulary seed` as people run it: files, updates, edits that stay, kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import Result
from typer.testing import CliRunner

from annotate.vocabulary.edit import Editor, rename_part, split_part
from annotate.vocabulary.file import read_vocabulary, write_vocabulary
from annotate.vocabulary.model import ObjectParts, Part, Vocabulary
from annotate.vocabulary.proposals import whole_object
from annotate.vocabulary.update import updated
from app.cli.main import app

if TYPE_CHECKING:
    from sparql_engine import SparqlEngine

Run = Callable[..., Result]


@pytest.fixture
def run(sparql_endpoint: "SparqlEngine", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("hammer", "--update")` in an empty folder, asking the engine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def go(*words: str) -> Result:
        line = ["vocabulary", "seed", *words, "--endpoint", sparql_endpoint.url]
        return CliRunner().invoke(app, line)

    return go


def test_summary_in_words(run: Run, tmp_path: Path) -> None:
    told = run("hammer,hammer,ram,flatworm,gobbledygook")
    assert told.exit_code == 0, told.stderr
    assert "4 objects, 9 parts: 7 wikidata, 2 whole-object" in told.stdout
    assert "hammer: took Q25294 tool with a heavy head, may be Q906" in told.stdout
    assert "not found anywhere (1): gobbledygook" in told.stdout
    assert "named twice, kept once (1): hammer" in told.stdout
    assert "so the object itself is the part (2): flatworm, gobbledygook" in told.stdout
    assert "written to vocabulary.yaml" in told.stdout
    assert read_vocabulary(tmp_path / "vocabulary.yaml").names[1] == "ram"
    assert (tmp_path / "cache" / "partlab" / "sparql" / "answers.sqlite").is_file()


def test_json_alone_on_stdout(run: Run) -> None:
    told = json.loads(run("hammer,flatworm", "--json").stdout)
    assert (told["objects"], told["parts"], told["out"]) == (2, 4, "vocabulary.yaml")
    assert told["sources"] == {"wikidata": 3, "whole-object": 1}
    assert told["ambiguous"][0]["candidates"][1]["id"] == "Q906"


def test_dry_run_writes_nothing_but_keeps_answers(
    run: Run, sparql_endpoint: "SparqlEngine", tmp_path: Path
) -> None:
    assert "nothing written" in run("hammer", "--dry-run").stdout
    assert not (tmp_path / "vocabulary.yaml").exists()
    count = len(sparql_endpoint.requests)
    assert run("hammer").exit_code == 0
    assert len(sparql_endpoint.requests) == count


def test_an_existing_file_is_never_lost(
    run: Run, sparql_endpoint: "SparqlEngine", tmp_path: Path
) -> None:
    (tmp_path / "vocabulary.yaml").write_text("# mine\nobjects: {}\n")
    told = run("hammer")
    assert told.exit_code == 1
    assert "--update" in told.stderr
    assert sparql_endpoint.requests == []
    assert (tmp_path / "vocabulary.yaml").read_text() == "# mine\nobjects: {}\n"
    assert run("hammer", "--force").exit_code == 0
    assert "# mine" not in (tmp_path / "vocabulary.yaml").read_text()


def test_update_adds_what_is_new_and_keeps_every_edit(
    run: Run, sparql_endpoint: "SparqlEngine", tmp_path: Path
) -> None:
    """Renamed and split by command, taken out and renamed by hand: none of it comes back."""
    out = tmp_path / "vocabulary.yaml"
    run("hammer,maraca,ram")
    by = Editor(who="me")
    vocabulary = rename_part(read_vocabulary(out), "hammer", "striker", "poll", by)
    vocabulary = split_part(vocabulary, "maraca", "stick", ["joint", "handle"], by)
    write_vocabulary(out, vocabulary)
    text = out.read_text().replace("    - name: tail\n", "    # no tail\n    - name: rear\n", 1)
    text = text.replace("    - name: foot\n", "    - name: leg\n", 1)
    out.write_text(text)
    edited = read_vocabulary(out)
    assert run("hammer,maraca,ram", "--update").stdout.count("nothing new") == 1
    assert out.read_text() == text

    sparql_endpoint.triples.item("Q940", "cheek", P361="Q25294")
    told = run("hammer,maraca,ram,crane", "--update", "--refresh")
    assert "new objects (1): crane" in told.stdout
    assert "new parts (1): hammer:cheek" in told.stdout
    now = read_vocabulary(out)
    assert now.object("hammer").names == (*edited.object("hammer").names, "cheek")
    assert now.object("maraca") == edited.object("maraca")
    assert now.object("ram") == edited.object("ram")
    assert now.version == edited.version + 1
    assert [(c.object, c.after) for c in now.changes if c.version == now.version] == [
        ("hammer", ("cheek",)),
        ("crane", ("beak",)),
    ]
    assert now.object("ram").part("rear").remark == "no tail"


def test_update_gives_parts_to_what_seeding_left_whole(
    run: Run, sparql_endpoint: "SparqlEngine", tmp_path: Path
) -> None:
    run("flatworm,hammer")
    sparql_endpoint.triples.item("Q941", "pharynx", P361="Q124900")
    assert "flatworm:pharynx" in run("flatworm", "--update", "--refresh").stdout
    now = read_vocabulary(tmp_path / "vocabulary.yaml")
    assert now.object("flatworm").names == ("pharynx",)
    assert [c.operation for c in now.changes if c.version == 2] == ["remove", "add"]
    assert now.object("hammer").parts


def test_update_leaves_what_people_made_whole(
    run: Run, sparql_endpoint: "SparqlEngine", tmp_path: Path
) -> None:
    run("flatworm,hammer")
    out = tmp_path / "vocabulary.yaml"
    out.write_text(out.read_text().replace("no parts found in", "9 of 10 find that"))
    old = read_vocabulary(out)
    sparql_endpoint.triples.item("Q941", "pharynx", P361="Q124900")
    assert "nothing new" in run("flatworm", "--update", "--refresh").stdout
    assert read_vocabulary(out) == old


def test_an_object_renamed_by_hand_is_known_by_its_wnid(run: Run, tmp_path: Path) -> None:
    run("hammer = n03481172")
    old = read_vocabulary(tmp_path / "vocabulary.yaml")
    renamed = old.model_copy(
        update={"objects": (old.objects[0].model_copy(update={"name": "claw hammer"}),)}
    )
    assert updated(renamed, old, Editor()).vocabulary == renamed


def test_another_thing_of_the_same_name_is_another_object(run: Run, tmp_path: Path) -> None:
    """As when both are seeded at once; asked for again, each is known by its item."""
    run("crane = Q25365")
    told = run("crane = Q27896", "--update")
    assert "new objects (1): crane (Q27896)" in told.stdout
    now = read_vocabulary(tmp_path / "vocabulary.yaml")
    assert {one.name: one.names for one in now.objects} == {
        "crane": ("beak",),
        "crane (Q27896)": ("jib",),
    }
    assert [c.object for c in now.changes if c.version == 2] == ["crane (Q27896)"]
    assert "nothing new" in run("Q27896,Q25365", "--update").stdout


def test_an_object_renamed_by_hand_is_known_by_its_item(
    run: Run, sparql_endpoint: "SparqlEngine", tmp_path: Path
) -> None:
    run("ram")
    out = tmp_path / "vocabulary.yaml"
    text = out.read_text().replace("  ram:", "  male sheep:")
    out.write_text(text.replace("    - name: tail\n", "    - name: rear\n", 1))
    assert "nothing new" in run("ram", "--update").stdout
    sparql_endpoint.triples.item("Q942", "horn", P361="Q2929800")
    assert "new parts (1): male sheep:horn" in run("ram", "--update", "--refresh").stdout
    assert read_vocabulary(out).names == ("male sheep",)


def test_things_are_told_apart_by_wnid_before_item() -> None:
    """One item for two WordNet categories; a name alone joins what has ids."""
    bird = ObjectParts(name="crane", wnid="n02012849", qid="Q1", parts=(Part(name="beak"),))
    machine = ObjectParts(name="crane", wnid="n03126707", qid="Q1", parts=(Part(name="jib"),))
    bare = ObjectParts(name="Crane", parts=(Part(name="wing"),))
    old, by = Vocabulary(objects=(bird,)), Editor()
    assert updated(old, Vocabulary(objects=(machine,)), by).objects == ["crane (n03126707)"]
    assert updated(old, Vocabulary(objects=(bare,)), by).parts == ["crane:wing"]
    whole = ObjectParts(name="Crane", qid="Q2", parts=(whole_object("Crane", "no parts found"),))
    found = updated(Vocabulary(objects=(bare,)), Vocabulary(objects=(machine, whole)), by)
    assert found.parts == ["Crane:jib"]
    assert found.vocabulary.object("Crane (Q2)").names == ("Crane (Q2)",)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["missing.txt"], 3, "no file missing.txt"),
        (["hammer", "--source", "wordnet"], 2, "list of parts"),
        (["hammer", "--source", "dbpedia"], 2, "sources"),
        (["hammer", "--set", "batches=3"], 2, "unknown setting 'batches'"),
        (["hammer", "--language", "de de"], 2, "language"),
        (["hammer", "--wordnet", "none.json"], 3, "no file none.json"),
        (["gobbledygook"], 5, "none of 1 category was found"),
        (["hammer", "--offline"], 4, "not stored"),
        (["hammer", "--cache", "a_file"], 1, "a_file"),
        (["empty.txt"], 5, "no object category"),
    ],
)
def test_mistakes_are_one_sentence(
    run: Run, tmp_path: Path, words: list[str], code: int, sentence: str
) -> None:
    (tmp_path / "a_file").write_text("")
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    told = run(*words)
    assert (told.exit_code, told.stdout) == (code, "")
    assert sentence in told.stderr
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "vocabulary.yaml").exists()


def test_no_connection_is_one_sentence(
    run: Run, sparql_endpoint: "SparqlEngine", tmp_path: Path
) -> None:
    sparql_endpoint.stop()
    try:
        told = run("hammer")
    finally:
        sparql_endpoint.start_again()
    assert told.exit_code == 4
    assert "no answer from http://127.0.0.1" in told.stderr
    assert "--offline" in told.stderr


def test_kill_9_loses_no_answer(sparql_endpoint: "SparqlEngine", tmp_path: Path) -> None:
    """One request for each name: those answered before the kill are not asked again."""
    names = ",".join(f"thing {number}" for number in range(30))
    for number in range(30):
        sparql_endpoint.triples.item(f"Q{1000 + number}", f"thing {number}", P279="Q39546")
    sparql_endpoint.delay = 0.05
    line = [sys.executable, "-m", "app.cli.main", "vocabulary", "seed", names, "--endpoint"]
    line += [sparql_endpoint.url, "--cache", str(tmp_path / "cache"), "--set", "batch=4"]
    line += ["--out", str(tmp_path / "v.yaml")]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(sparql_endpoint.requests) < 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.2)
    before = sparql_endpoint.queries
    assert len(before) >= 12
    assert not (tmp_path / "v.yaml").exists()
    sparql_endpoint.delay = 0.0
    subprocess.run(line, check=True, capture_output=True)
    after = sparql_endpoint.queries[len(before) :]
    assert len(set(before) & set(after)) <= 1  # the one whose answer was under way
    assert len(read_vocabulary(tmp_path / "v.yaml").objects) == 30
