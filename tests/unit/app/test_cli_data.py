"""`partlab data make-world|stats|split|sample|show`: results, errors, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from app.cli.main import app

COMMANDS = ("make-world", "stats", "split", "sample", "show")
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "parts"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def result(*arguments: object) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "world"
    made = result(
        *("make-world", "--out", out, "--per-object", 10, "--size", 64, "--pool", 3),
        *("--heldout", 3, "--objects", "ram,mug,flatworm"),
    )
    assert made["images"] == {"train": 27, "val": 3, "heldout": 3, "pool": 3}
    return out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example(command: str) -> None:
    shown = run(command, "--help")
    assert shown.exit_code == 0
    assert f"Example: partlab data {command}" in " ".join(shown.output.split())


def test_stats_as_json_and_as_tables(world: Path) -> None:
    found = result("stats", world, "--reference")
    (counted,) = found["datasets"]
    assert (counted["objects"], counted["parts"], counted["images"]) == (3, 7, 33)
    assert counted["bins"]["3-4"] == pytest.approx(1 / 3)
    assert {row["name"] for row in found["published"]} >= {"PACO", "PartImageNet++"}
    text = run("stats", world, "--reference").stdout
    assert "mask instances" in text
    assert "≈ 2.7" in text
    assert "46.3%" not in text
    assert "distinct part" in text
    assert text.count("published") == 6
    assert "3,308" in text
    assert "3,310" in text
    assert "published" not in run("stats", world).stdout


def test_stats_are_one_table_and_the_rest_on_request(world: Path) -> None:
    few, every = run("stats", world).stdout, run("stats", world, "--all").stdout
    assert len(few.strip().splitlines()) == 4  # two lines of names, a rule, the data set
    for words in ("least / median / most", "inclusion relations", "masks by", "mug"):
        assert words not in few
        assert words in every
    assert "46.3%" in run("stats", world, "--all", "--reference").stdout


def test_split_and_sample(world: Path, tmp_path: Path) -> None:
    split = result("split", world, "--split", "train", "--out", tmp_path / "s", "--ratio", 0.7)
    assert split["images"] == {"train": 18, "val": 9}
    assert result("stats", tmp_path / "s")["datasets"][0]["images"] == 27
    sample = result("sample", world / "pool", "--per-object", 1, "--out", tmp_path / "p")
    assert (sample["images"], sample["objects"]) == (3, 3)
    refused = run("sample", world / "pool", "--per-object", 2, "--out", tmp_path / "q")
    assert refused.exit_code == 5
    assert "flatworm (1)" in refused.stderr
    assert run("split", world, "--out", tmp_path / "x").exit_code == 3  # several splits


def test_show_one_and_many(world: Path, tmp_path: Path) -> None:
    one = result(
        *("show", world, "--image", "ram/train-0001.jpg", "--side", 200, "--legend"),
        *("--out", tmp_path / "one.png"),
    )
    assert one["images"] == 1
    with PillowImage.open(tmp_path / "one.png") as picture:
        assert picture.width == 200
        assert picture.height > 200
    many = result("show", world / "pool-truth.json", "--out", tmp_path / "many.png", "--columns", 3)
    assert many["images"] == 3
    with PillowImage.open(tmp_path / "many.png") as picture:
        assert picture.width == 3 * 256 + 4 * 8


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("make-world", "--out", "{world}"), 1, "already exists"),
        (("make-world", "--out", "{world}/world.json/sub"), 1, "cannot make the folder"),
        (("make-world", "--out", "{tmp}/w", "--objects", "rma"), 3, "ram"),
        (("make-world", "--out", "{tmp}/w", "--hint", "colour"), 2, "hint"),
        (("make-world", "--out", "{tmp}/w", "--size", "3"), 2, "size"),
        (("make-world", "--out", "{tmp}/w", "--images", "-1"), 2, "images"),
        (("stats", "{tmp}"), 3, "empty"),
        (("stats", "{tmp}/größe.json"), 3, "größe.json"),
        (("stats", "{world}", "--split", "tset"), 3, "train"),
        (("split", "{world}/pool-truth.json", "--out", "{tmp}/s", "--ratio", "2"), 2, "ratio"),
        (("split", "{world}/pool-truth.json", "--out", "{tmp}/s", "--protocol", "x"), 2, "seeded"),
        (("split", "{world}/pool-truth.json", "--out", "{world}/images"), 1, "--force"),
        (("split", "{world}/pool-truth.json", "--out", "{world}", "--force"), 1, "the input"),
        (
            ("sample", "{world}/pool", "--per-object", "1", "--out", "{world}", "--force"),
            1,
            "input",
        ),
        (("sample", "{tmp}", "--out", "{tmp}/s"), 3, "no images"),
        (("show", "{world}", "--object", "hammer", "--out", "{tmp}/a.png"), 3, "mug"),
        (("show", "{world}", "--part", "hornn", "--out", "{tmp}/a.png"), 3, "horn"),
        (("show", "{world}", "--image", "größe.jpg", "--out", "{tmp}/a.png"), 3, "no image"),
        (("show", "{world}", "--out", "{world}/world.json"), 1, "already exists"),
    ],
)
def test_user_mistakes_are_one_sentence_and_a_hint(
    world: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    filled = [word.format(world=world, tmp=tmp_path) for word in arguments]
    done = run(*filled)
    assert done.exit_code == code
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.output


def test_corrupt_files_are_named(world: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"images": [')
    assert run("stats", tmp_path / "bad.json").exit_code == 5
    folder = tmp_path / "photos" / "cat"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    refused = run("sample", tmp_path / "photos", "--per-object", 1, "--out", tmp_path / "s")
    assert refused.exit_code == 5
    assert "cat (0)" in refused.stderr


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data/parts beside the checkout")
def test_real_photos(tmp_path: Path) -> None:
    shown = result("show", REAL, "--split", "val", "--out", tmp_path / "a.png", "--count", 5)
    assert shown["images"] == 5
