"""`partlab inspect plan | audit | agreement`, as typed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farm import hand_out, pull
from farm_drawn import begin, mask
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.inspect.plant import plant_errors
from annotate.work import Work
from annotate.world import WorldConfig, make_world
from app.cli.main import app
from partlab.coco import find_splits, read_coco, write_coco
from partlab.masks import encode
from partlab.schema import Annotation, Category, Dataset, Image


def run(*words: object, code: int = 0) -> str:
    answer = CliRunner().invoke(app, ["inspect", *map(str, words)])
    assert answer.exit_code == code, answer.output
    return answer.output


def told(*words: object) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Held-out pictures, their masks as `heldout.json`, and a spoilt copy as `spoilt.json`."""
    folder = tmp_path_factory.mktemp("cli") / "world"
    make_world(folder, WorldConfig(images=0, pool=0, heldout=42, size=64, seed=9))
    truth = read_coco(folder / "annotations" / "heldout.json")
    spoilt = plant_errors(truth, 0.1, seed=1)
    write_coco(spoilt.dataset, folder / "annotations" / "spoilt.json")
    return folder


def test_plan_as_json_has_the_papers_figures() -> None:
    found = told("plan")
    paper, sequential, ranked = found["plans"]
    accepted = {point["bad"]: point["accept"] for point in paper["points"]}
    assert [round(accepted[bad], 2) for bad in (5, 10, 15, 20, 30)] == [
        0.92,
        0.74,
        0.54,
        0.36,
        0.14,
    ]
    for plan in (sequential, ranked):
        assert plan["consumer_risk_whatever_the_ranking"] <= 0.1
        assert plan["producer_risk_whatever_the_ranking"] <= 0.05
        assert plan["mean_images_half_good"] <= 10


def test_plan_as_a_table() -> None:
    text = run("plan")
    assert "36.3%" in text
    assert "accepts at most 9.9%" in text
    other = run("plan", "--draw", 20, "--reject-at", 3)
    assert "20 at once" in other
    assert "36.3%" not in other


def test_one_plan_at_another_size() -> None:
    found = told("plan", "--plan", "sequential", "--size", 50)
    assert [plan["settings"]["name"] for plan in found["plans"]] == ["sequential"]
    assert found["plans"][0]["points"][-1]["bad"] == 15


def test_plans_of_a_small_category() -> None:
    """The rules and rates printed are those of this size, each number of bad images once."""
    text = run("plan", "--size", 1)
    assert "of categories with 0 bad (0%), accepts 100.0% of those with 0 bad (0%)" in text
    rows = [line.split()[:2] for line in run("plan", "--size", 8).splitlines() if "%)" in line[:12]]
    assert rows == [["0", "(0%)"], ["1", "(12%)"], ["2", "(25%)"]]
    assert "look at 8 random images at once" in told("plan", "--size", 8)["plans"][0]["rules"]


@pytest.mark.parametrize("name", ["plans.png", "pläne.svg"])
def test_the_plot_is_a_picture(tmp_path: Path, name: str) -> None:
    run("plan", "--plot", tmp_path / name)
    if name.endswith("png"):
        with PillowImage.open(tmp_path / name) as picture:
            assert picture.width > 1000
    else:
        assert "<svg" in (tmp_path / name).read_text()
    assert "already exists" in run("plan", "--plot", tmp_path / name, code=1)
    run("plan", "--plot", tmp_path / name, "--force")


def test_a_plan_for_a_size_of_ones_own(tmp_path: Path) -> None:
    """Searched, written, read again: both risks hold there, and it costs no more."""
    out = tmp_path / "ours.json"
    found = told("plan", "--plan", "sequential", "--size", 60, "--tune", out)["plans"][0]
    before = told("plan", "--plan", "sequential", "--size", 60)["plans"][0]
    assert told("plan", "--plan", out, "--size", 60)["plans"] == [found]
    assert found["consumer_risk"] <= 0.1
    assert found["producer_risk"] <= 0.05
    assert found["mean_images_half_good"] < before["mean_images_half_good"]
    assert found["settings"]["name"] == "ours"
    assert "already exists" in run("plan", "--plan", "ranked", "--tune", out, code=1)
    assert "no plan is named" in run("plan", "--tune", tmp_path / "x.json", code=2)
    assert ".json" in run("plan", "--plan", "ranked", "--tune", tmp_path / "x.yaml", code=2)
    out.write_text('{"name": "x", "reject_at": 1, "limits": [{"accept": [9], "rejct": []}]}')
    assert "unknown setting" in run("plan", "--plan", out, code=2)
    assert "no settings file" in run("plan", "--plan", tmp_path / "none.json", code=3)


def test_plan_mistakes(tmp_path: Path) -> None:
    assert "unknown inspection plan 'papper'" in run("plan", "--plan", "papper", code=3)
    assert "AUROC" in run("plan", "--auroc", 2, code=2)
    assert "choose one" in run("plan", "--plan", "ranked", "--reject-at", 3, code=2)
    assert ".png or .svg" in run("plan", "--plot", tmp_path / "plans.doc", code=2)


def test_audit_beside_predictions(world: Path, tmp_path: Path) -> None:
    """The true masks stand for the network's here: the spoilt images come first."""
    truth = world / "annotations" / "heldout.json"
    sheet, out = tmp_path / "sheet.png", tmp_path / "audit.json"
    words = ("audit", world, "--split", "spoilt", "--predictions", truth)
    text = run(*words, "--top", 4, "--sheet", sheet, "--out", out)
    spoilt = plant_errors(read_coco(truth), 0.1, seed=1).kinds
    found = json.loads(out.read_text())
    assert {image["image_id"] for image in found["images"][: len(spoilt)]} == set(spoilt)
    assert found["images"][0]["file_name"] in text
    with PillowImage.open(sheet) as picture:
        assert picture.width > 4 * 288
        assert np.asarray(picture).std() > 20
    assert told(*words) == found
    assert "already exists" in run(*words, "--out", out, code=1)


def test_audit_by_sizes_alone(world: Path) -> None:
    assert "only sizes were judged" in run("audit", world, "--split", "heldout", "--top", 2)


def test_audit_measures_itself(world: Path) -> None:
    truth = world / "annotations" / "heldout.json"
    found = told("audit", world, "--split", "heldout", "--predictions", truth, "--plant", 0.3)
    assert found["planted"] == 13
    assert found["auroc"] > 0.95
    assert sum(found["counts"].values()) == 13
    assert found["counts"].keys() == found["by_kind"].keys()
    table = run("audit", world, "--split", "heldout", "--plant", 0.3).splitlines()
    swapped = next(line.split() for line in table if "swapped" in line)
    assert swapped[1] == str(found["counts"]["swapped"])


def test_audit_of_a_work(tmp_path: Path) -> None:
    """Its newest rounds, as inspectors get them before anything is accepted."""
    with begin(tmp_path / "work") as work:
        rows = list(work.answers("ram", 1))
        rows[4].masks = [mask("body", (2, 2, 4, 4)), *rows[4].masks[:2]]
        work.record("abandoned", who="lead", object="ram", data={"reason": "again"})
        hand_out(work, round=2)
        for row in rows:
            row.round = 2
        pull(work, rows)
        work.record("submitted", who="partlab", object="ram", data={"manifest_hash": "m"})
        events = len(work.events())
        odd = work.image(rows[4].image_id).file_name
    out, sheet = tmp_path / "audit.json", tmp_path / "sheet.png"
    run("audit", tmp_path / "work", "--out", out, "--sheet", sheet)
    images = json.loads(out.read_text())["images"]
    assert (len(images), images[0]["file_name"]) == (12, odd)
    with PillowImage.open(sheet) as picture:
        assert picture.width > 500
    with Work.open(tmp_path / "work") as work:
        assert len(work.events()) == events  # looking changes nothing
    words = ("sample", tmp_path / "work", "ram", "--by", "ina@x.org", "--plan", "ranked")
    assert told(*words, "--audit", out)[0]["cards"][0]["file_name"] == odd


def test_audit_with_unreadable_pictures(world: Path, tmp_path: Path) -> None:
    """One damaged picture is an empty cell; all of them are an error."""
    truth = read_coco(world / "annotations" / "heldout.json")
    one = truth.images[0]
    (tmp_path / "images" / one.file_name).parent.mkdir(parents=True)
    (tmp_path / "images" / one.file_name).write_bytes(b"not a picture")
    write_coco(truth.subset([one.id]), tmp_path / "annotations" / "a.json")
    words = ("audit", tmp_path, "--predictions", world / "annotations" / "heldout.json")
    assert "none of the images can be read" in run(*words, "--sheet", tmp_path / "s.png", code=5)


def test_audit_mistakes(world: Path, tmp_path: Path) -> None:
    truth = world / "annotations" / "heldout.json"
    assert "several splits" in run("audit", world, code=3)
    assert "no annotations" in run("audit", tmp_path, code=3)
    both = ("audit", truth, "--predictions", truth, "--segmenter", tmp_path)
    assert "exclude each other" in run(*both, code=2)
    assert "not a segmenter run" in run("audit", truth, "--segmenter", tmp_path, code=3)
    words = run("audit", truth, "--predictions", world, code=3)  # --split is DATA's alone
    first = next(iter(find_splits(world).values()))
    assert f"name the file of the one you mean, such as --predictions {first}" in words
    assert "several splits" in run("agreement", truth, world, code=3)
    other = read_coco(truth)
    renamed = [i.changed(file_name=f"ü/{i.file_name}") for i in other.images]
    write_coco(replace(other, images=renamed), tmp_path / "other.json")
    assert "no image of" in run("audit", truth, "--predictions", tmp_path / "other.json", code=5)
    assert "between 0 and 1" in run("audit", truth, "--plant", 7, code=2)


def test_agreement(world: Path) -> None:
    a, b = (world / "annotations" / f"{name}.json" for name in ("heldout", "spoilt"))
    found = told("agreement", a, b)
    assert found["images"] == 42
    assert 0.8 < found["overall"]["overlap"] < 1
    assert told("agreement", a, a)["overall"]["overlap"] == 1
    text = run("agreement", world, b, "--split", "heldout", "--parts")
    assert "cat:leg" in text
    assert "least agreement" in text
    assert "least agreement" not in run("agreement", a, a)


def test_agreement_mistakes(world: Path, tmp_path: Path) -> None:
    truth = world / "annotations" / "heldout.json"
    assert "does not exist" in run("agreement", truth, tmp_path / "nothing", code=3)
    broken = tmp_path / "broken.json"
    broken.write_text('{"images": [')
    assert "not valid JSON" in run("agreement", truth, broken, code=5)


def test_audit_with_a_segmenters_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run looks at the pictures itself: two wheels apart, and the weak one too. Nobody drew
    the third picture's body, and it comes first."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "plugins"))
    from colour_segmenter import COLOURS, write_colour_run

    from app.prelabel import found_by

    names = ("car:wheel", "car:body")
    segmenter = write_colour_run(tmp_path / "seg", names, COLOURS[:2])
    data = _cars(tmp_path / "cars", names)
    found = found_by(segmenter, data)
    assert [len(found.annotations_of(image)) for image in found.images] == [3, 3, 3]
    assert min(a.score for a in found.annotations) < 0.5
    worst = told("audit", data, "--segmenter", segmenter)["images"][0]
    assert worst["file_name"] == "car/3.png"
    assert worst["reasons"][0]["kind"] == "missing"
    assert worst["reasons"][0]["part"] == "car:body"


def _cars(folder: Path, names: tuple[str, ...]) -> Path:
    """Three cars: a body, a wheel, and a wheel full of holes; the last body is not drawn."""
    from colour_segmenter import COLOURS

    categories = [Category.new(i, *name.split(":")) for i, name in enumerate(names, 1)]
    images = [Image.new(n, f"car/{n}.png", (90, 40), object="car") for n in (1, 2, 3)]
    pixels = np.zeros((40, 90, 3), np.uint8)
    layers = []
    for label, left in ((1, 5), (0, 35), (0, 65)):
        mask = np.zeros((40, 90), bool)
        mask[10:30, left : left + 20] = True
        if left == 65:
            mask[12:30] &= np.arange(90) % 4 == 0
        pixels[mask] = COLOURS[label]
        layers.append((label + 1, encode(mask)))
    masks = [
        Annotation.new(10 * image.id + at, image.id, category, rle)
        for image in images
        for at, (category, rle) in enumerate(layers)
        if not (image.id == 3 and category == 2)
    ]
    for image in images:
        (folder / "images" / image.file_name).parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(pixels).save(folder / "images" / image.file_name)
    write_coco(Dataset(images, masks, categories), folder / "annotations.json")
    return folder
