"""Evaluations side by side: the page, the table, what is never ranked together, bad input."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from evaluation_folders import FOUR, nested, write_folder, write_pictures
from matplotlib.figure import Figure
from pyarrow import parquet
from typer.testing import CliRunner

from app.cli.main import app
from train.evaluate_report import read_measured, report
from train.evaluate_report.drawings import _Coloured, _rounds, drawings

RUNNER = CliRunner()


def call(command: str, *words: Any) -> Any:
    return RUNNER.invoke(app, ["evaluate", command, *map(str, words)])


def told(result: Any) -> str:
    return " ".join(f"{result.stdout} {result.stderr}".split())


def pair(folder: Path, n: int = 200, **second: Any) -> list[Path]:
    better = {condition: min(share + 0.1, 1.0) for condition, share in FOUR.items()}
    return [
        write_folder(folder / "vanilla", nested(n, FOUR), name="vanilla"),
        write_folder(folder / "mpm", nested(n, better), name="mpm", **second),
    ]


def test_models_on_one_list_are_ranked_with_intervals(tmp_path: Path) -> None:
    result = call("table", *pair(tmp_path))
    assert result.exit_code == 0, told(result)
    assert told(result).index("mpm") < told(result).index("vanilla")
    assert "60.0" in told(result)  # 50 + 10 percent under linf-4/255
    facts = json.loads(call("table", tmp_path / "vanilla", tmp_path / "mpm", "--json").stdout)
    (group,) = facts["groups"]
    assert [row["model"] for row in group["rows"]] == [1, 0]
    for row in group["rows"]:
        for each in filter(None, row["figures"]):
            assert each["low"] <= each["value"] <= each["high"]
    gains = [each for each in group["pairs"] if each["threat"] == "linf-4/255"]
    assert all(each["p"] < 0.01 for each in gains)


@pytest.mark.parametrize("other", [{"sha256": "cd" * 32}, {"extra_data": "50 M generated"}])
def test_other_lists_and_data_are_never_ranked_together(tmp_path: Path, other: Any) -> None:
    places = pair(tmp_path, listed=other)
    facts = json.loads(call("table", *places, "--json").stdout)
    assert len(facts["groups"]) == 2
    assert facts["apart"]
    assert all(group["ranked_by"] is None for group in facts["groups"])


def test_what_does_not_compare_is_drawn_apart(tmp_path: Path) -> None:
    """Two of one list, one of another, and one of the first with other corrupted pictures."""
    fog = {(f"corruption:fog:{s}", "clean"): 0.7 for s in range(1, 6)}
    shares = FOUR | fog | {("ood:imagenet-r", "clean"): 0.4}
    folders = [
        write_folder(
            tmp_path / name, nested(40, shares), name=name, listed=listed,
            settings={"corruptions": {"protocol": protocol, "made_by": "partlab"}},
        )
        for name, listed, protocol in (
            ("one", {}, "p"), ("two", {}, "p"), ("other", {"sha256": "cd" * 32}, "p"),
            ("crop", {}, "q"),
        )
    ]  # fmt: skip
    facts = report(read_measured(folders))
    drawn = drawings(facts)
    for chapter in ("curve", "waterfall"):
        assert [panel.models for panel in drawn[chapter]] == [(0, 1, 3), (2,)]
    assert [panel.models for panel in drawn["radar"]] == [(0, 1), (3,), (2,)]
    assert len({panel.words for panel in drawn["radar"]}) == 3
    words = [panel.words for panel in drawn["waterfall"]]
    assert all(sha[:12] in told for sha, told in zip(("ab" * 32, "cd" * 32), words, strict=True))
    assert call("report", *folders, "--out", tmp_path / "page").exit_code == 0
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    for panel in (each for panels in drawn.values() for each in panels):
        assert f"<h3>{panel.words}</h3>" in page
        assert all(each.uri in page for each in panel.drawings)
    assert page.count('<td class="words">imagenet-r</td>') == 4
    alone = drawings(report(read_measured(folders[:2])))
    assert all(len(panels) == 1 for panels in alone.values())


@pytest.mark.parametrize("value", [0.02, 0.999])
def test_radars_of_every_page_have_one_scale(tmp_path: Path, value: float) -> None:
    types = {(f"corruption:{t}:{s}", "clean"): value for t in "abc" for s in range(1, 6)}
    facts = report(read_measured([write_folder(tmp_path / "one", nested(40, FOUR | types))]))
    axes = Figure().subplots(subplot_kw={"projection": "polar"})
    _rounds(axes, [_Coloured(0, facts["models"][0], "#000")], ["a", "b", "c"])
    assert max(axes.lines[0].get_ydata()) == pytest.approx(100 * round(40 * value) / 40)
    assert axes.get_ylim() == (0, 100)


def test_a_lead_of_one_image_is_a_tie(tmp_path: Path) -> None:
    right = np.arange(400) < 300
    more, many = right.copy(), right.copy()
    more[300], many[300:330] = True, True
    folders = [
        write_folder(tmp_path / name, {("clean", "clean"): each}, name=name)
        for name, each in (("base", right), ("one", more), ("many", many))
    ]
    rows = report(read_measured(folders))["groups"][0]["rows"]
    assert [row["place"] for row in rows] == [
        {"place": 1, "tied": False},
        {"place": 2, "tied": False},  # 29 images less than the first
        {"place": 3, "tied": True},
    ]


def test_seeds_are_of_the_same_data(tmp_path: Path) -> None:
    """Runs on a tenth of the masks and on all are no two seeds of one training."""

    def trained(
        name: str, seed: int, data: str, pictures: str = "840 pictures (840 human)"
    ) -> Path:
        config = {"train": {"seed": seed}}
        model = {"training": {"config": config, "data": data, "pictures": pictures}}
        right = np.random.default_rng(seed).random(60) < 0.5
        outcomes = {("clean", "clean"): right}
        return write_folder(tmp_path / name, outcomes, name=name, model=model)

    folders = [trained("a0", 0, "a"), trained("a1", 1, "a"), trained("b0", 0, "b")]
    (group,) = report(read_measured(folders))["groups"]
    assert [line["models"] for line in group["seeds"]] == [[0, 1]]
    assert not group["seed_gains"]
    folders += [trained("b0-again", 0, "b")]  # which of the two belongs to a0 is not known
    assert not report(read_measured(folders))["groups"][0]["seed_gains"]
    folders += [trained("more", 0, "c", "8,400 pictures (840 human)")]
    told = report(read_measured(folders))
    assert len(told["groups"]) == 2
    assert any("number of training pictures: 840 and 8,400" in note for note in told["apart"])


def test_clean_accuracy_at_equal_robustness(tmp_path: Path) -> None:
    """N-13: two kinds of two models each; 40 is in the reach of both, 20 and 60 are not."""
    points = {"vanilla": [(20, 80), (50, 60)], "mpm": [(40, 75), (60, 65)]}
    folders = [
        write_folder(
            tmp_path / f"{kind}{n}",
            {("clean", "clean"): np.arange(100) < clean,
             ("linf-4/255", "pgd-20"): np.arange(100) < robust},
            name=f"{kind}{n}", model={"kind": kind},
        )
        for kind, own in points.items()
        for n, (robust, clean) in enumerate(own)
    ]  # fmt: skip
    found = report(read_measured(folders))
    (group,) = found["groups"]
    told = {round(line["robust"], 2): line for line in group["matched"]}
    assert told.keys() == {0.4, 0.5}
    assert told[0.4]["gain"] == pytest.approx(0.75 - (0.8 - 0.2 * 20 / 30))
    assert told[0.5]["gain"] == pytest.approx(0.70 - 0.60)
    assert (told[0.4]["first"], told[0.4]["second"]) == ("vanilla", "mpm")
    answer = call("report", *folders, "--out", tmp_path / "page")
    assert answer.exit_code == 0, answer.output
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    assert "Clean accuracy at equal robustness" in page
    assert "40.0 under linf-4/255, pgd-20" in page
    alone = report(read_measured(folders[:1] + folders[2:3]))
    assert not alone["groups"][0]["matched"]  # of one model each nothing is guessed


def test_merged_classes_rank_apart(tmp_path: Path) -> None:
    outcomes = {("clean", "clean"): np.arange(40) < 30}
    ways = [None, "max", "logsumexp"]
    folders = [
        write_folder(
            tmp_path / str(way), outcomes, name=str(way),
            settings={"merged": {"pet": ["heron"]} if way else None, "merge": way},
        )
        for way in ways
    ]  # fmt: skip
    assert len(report(read_measured(folders))["groups"]) == 3


def test_the_page_says_what_is_an_upper_bound_and_escapes_names(tmp_path: Path) -> None:
    places = pair(tmp_path, bounds=[("linf-4/255", "autoattack")])
    shutil.rmtree(places[0])
    write_folder(places[0], nested(200, FOUR), name="<script>alert(1)</script>")
    write_pictures(places[0], ["heron/00000.png"], ["linf-4/255"])
    result = call("report", *places, "--out", tmp_path / "report")
    assert result.exit_code == 0, told(result)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "≤ 60.0" in page
    assert "http://" not in page.replace("http://www.w3.org", "")  # it opens offline
    assert json.loads((tmp_path / "report" / "report.json").read_text())["models"]
    again = call("report", *places, "--out", tmp_path / "report")
    assert (again.exit_code, "already exists" in told(again)) == (1, True)


PUBLISHED_LIST = "1947323ed29b7974422b2716858474dca3f4ff6df247d3d67e818a6d71e35e8b"
OURS = {"preprocessing": {"size": 224}, "training": {"data": "ImageNet-1K"}}


def blocks(*places: Path, **given: Any) -> dict[str, Any]:
    """By source, the first of each."""
    found: dict[str, Any] = {}
    for each in report(read_measured(places), **given)["references"]:
        found.setdefault(each["source"], each)
    return found


def test_published_rows_stand_beside_and_are_never_ranked(tmp_path: Path) -> None:  # A14, X-05
    same = write_folder(tmp_path / "same", nested(40, FOUR), name="same", model=OURS,
                        listed={"sha256": PUBLISHED_LIST})  # fmt: skip
    other = write_folder(tmp_path / "other", nested(40, FOUR), name="other", model=OURS)
    facts = report(read_measured([same, other]))
    assert sum(len(group["rows"]) for group in facts["groups"]) == 2  # ours only
    table = blocks(same, other)["PartImageNet++ Table 2"]
    assert table["reference"] is True
    assert table["rows"][-1] == {
        "name": "ResNet-50-GELU MPM", "percent": [67.8, 39.1, 13.6, 6.2, 24.3, 20.8]
    }  # fmt: skip
    fits, apart = table["comparable"]
    assert (fits["models"], fits["ok"]) == (["same"], True)
    assert apart["why"] == "not comparable: its list is ImageNet-1K, 10 K list, not val"
    result = call("report", same, other, "--out", tmp_path / "page")
    assert result.exit_code == 0, told(result)
    page = " ".join((tmp_path / "page" / "report.html").read_text(encoding="utf-8").split())
    assert "Not comparable: its list is ImageNet-1K, 10 K list, not val (other)." in page
    assert page.index("ResNet-50-GELU MPM") > page.index("References: published, not measured")


def test_which_published_tables_are_shown(tmp_path: Path) -> None:
    linf = {("clean", "clean"): 0.8, ("linf-4/255", "autoattack"): 0.5}
    few = write_folder(tmp_path / "few", nested(40, linf), model={"training": None})
    found = blocks(few)
    assert [one["column"] for one in found["PartImageNet++ Table 2"]["columns"]] == [
        "clean", "linf"
    ]  # fmt: skip
    assert "PartImageNet++ Table 3" not in found
    (said,) = found["PartImageNet++ Table 2"]["comparable"]
    assert "its training data is ImageNet-1K, ours is not stated" in said["why"]
    by_pgd = {("clean", "clean"): 0.8, ("linf-4/255", "pgd-20"): 0.5}
    weak = write_folder(tmp_path / "weak", nested(40, by_pgd))
    assert blocks(weak) == {}  # clean alone is no reason to show a robustness table
    asked = blocks(weak, references=["2", "S4"])
    assert len(asked) == 2
    for block in asked.values():
        assert "what it was measured under was not run here" in block["comparable"][0]["why"]
    fog = {("clean", "clean"): 0.8} | {(f"corruption:fog:{s}", "clean"): 0.5 for s in range(1, 6)}
    (foggy,) = blocks(write_folder(tmp_path / "fog", nested(40, fog))).values()
    assert [one["column"] for one in foggy["columns"]] == ["fog"]  # no mean: that is of 15 types
    assert foggy["rows"][0]["percent"] == [53.8]
    wrong = call("report", few, "--out", tmp_path / "wrong", "--references", "S9")
    assert (wrong.exit_code, "'S9'" in told(wrong)) == (3, True)
    none = call("report", few, "--out", tmp_path / "none", "--references", "none")
    assert none.exit_code == 0
    assert "not measured here" not in (tmp_path / "none" / "report.html").read_text()


def test_one_picture_and_no_honesty(tmp_path: Path) -> None:
    only = {("clean", "clean"): np.array([True])}
    write_folder(tmp_path / "one", only, name="one", honesty=None)
    result = call("report", tmp_path / "one", "--out", tmp_path / "report")
    assert result.exit_code == 0, told(result)
    short = {"ok": True, "findings": [{"name": "randomness", "ok": True, "sentence": "none"}]}
    write_folder(tmp_path / "two", only, name="two", honesty=short)
    (note,) = report(read_measured([tmp_path / "two"]))["notes"]
    assert "signs of masked gradients were not looked for (checked: randomness)" in note
    quick = [{"name": n, "ok": True} for n in ("train_mode", "randomness", "zero_gradients")]
    for whole, notes in ((False, 1), (True, 0)):
        told_of = {"ok": True, "complete": whole, "findings": quick}
        place = write_folder(tmp_path / f"quick{whole}", only, name="three", honesty=told_of)
        assert len(report(read_measured([place]))["notes"]) == notes
    assert "honesty was not checked" in (tmp_path / "report" / "report.html").read_text()


def test_errors_that_pgd_found_only_at_its_end_are_told(tmp_path: Path) -> None:
    by_pgd = {("clean", "clean"): 0.9, ("linf-4/255", "pgd-20x2"): 0.4}
    for name, steps in (("early", [1, 2, 3, 4]), ("late", [1, 2, 31, 40])):
        place = write_folder(tmp_path / name, nested(80, by_pgd), name=name)
        file = place / "outcomes.parquet"
        rows = parquet.read_table(file).to_pylist()
        broken = [row for row in rows if row["attack"] == "pgd-20x2" and not row["right"]]
        for at, row in enumerate(broken):
            row["steps"] = steps[at % 4]
        parquet.write_table(pa.Table.from_pylist(rows), file)
    said = [note for note in report(read_measured([tmp_path / "late"]))["notes"] if "last" in note]
    assert said == [
        "late: linf-4/255, pgd-20x2: 24 of the 48 images it broke fell only in the last quarter of "
        "its steps, so more steps will break more"
    ]
    assert not any(
        "last quarter" in n for n in report(read_measured([tmp_path / "early"]))["notes"]
    )


def test_bad_input_gets_one_sentence(tmp_path: Path) -> None:
    first, second = pair(tmp_path)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "plan.json").write_text("{}")
    shutil.copytree(first, tmp_path / "twin")
    half = tmp_path / "half"
    shutil.copytree(first, half)
    whole = (half / "outcomes.parquet").read_bytes()
    (half / "outcomes.parquet").write_bytes(whole[: len(whole) // 2])
    write_folder(tmp_path / "other", nested(8, FOUR), model={"classes": ["a", "b"]})
    for folders, code, said in (
        ([tmp_path / "nothing"], 3, "is no evaluation"),
        ([tmp_path / "begun"], 3, "is not finished hint: run the evaluation again"),
        ([first, tmp_path / "twin"], 2, "are the same model on the same list"),
        ([half], 5, "is damaged or half written"),
        ([second, tmp_path / "other"], 2, "classes apart"),
        ([tmp_path], 3, f"name those in it: {tmp_path}"),
    ):
        result = call("table", *folders)
        assert (result.exit_code, said in told(result)) == (code, True), told(result)


def test_ten_thousand_images_open(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    result = call("report", *pair(tmp_path, 10_000), "--out", tmp_path / "report")
    assert result.exit_code == 0, told(result)
    page = tmp_path / "report" / "report.html"
    assert page.stat().st_size < 5 * 2**20
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page()
        view.goto(page.as_uri())
        assert view.locator("h1").inner_text().startswith("Evaluation of")
        browser.close()
