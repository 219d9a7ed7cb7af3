"""Predictions of any tool beside ours: ids and names matched, AP, mean IoU, the command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_segmenter import NAMES, draw, write_colour_run
from PIL import Image as PillowImage
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

from app.cli.main import app
from partlab.coco import read_dataset, write_coco
from partlab.errors import ConfigError, NotFoundError, SchemaError
from partlab.masks import bbox, decode, encode
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.others.compare import Compared, compare, split_trained
from segmenter.others.predictions import match_names, read_predictions

PARTS = ("cat:head", "cat:tail", "dog:head", "polar bear:foot")
SIZE = (48, 60)
HEAD, TAIL = (2, 2, 20, 20), (30, 10, 15, 30)
Box = tuple[int, int, int, int]


def mask(box: Box) -> Any:
    pixels = np.zeros(SIZE, bool)
    pixels[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
    return encode(pixels)


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    """Two cats and a dog; ids of images and categories that nobody would guess."""
    folder = tmp_path / "pets"
    (folder / "images").mkdir(parents=True)
    categories = [Category.new(30 - i, *name.split(":")) for i, name in enumerate(PARTS)]
    drawn = {"cat:head": HEAD, "cat:tail": TAIL}, {"cat:head": HEAD}, {"dog:head": HEAD}
    images, masks = [], []
    for number, parts in enumerate(drawn, 101):
        PillowImage.new("RGB", SIZE[::-1], "grey").save(folder / "images" / f"{number}.png")
        images.append(Image.new(number, f"{number}.png", SIZE[::-1]))
        for name, box in parts.items():
            id = 30 - PARTS.index(name)
            masks.append(Annotation.new(len(masks) + 1, number, id, mask(box)))
    write_coco(Dataset(images, masks, categories), folder / "annotations" / "val.json")
    return read_dataset(folder)


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def result(image: Any, category: Any, box: Box, score: Any = 0.9) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": mask(box),
        "score": score,
    }


RIGHT = [result(101, 30, HEAD), result(101, 29, TAIL), result(102, 30, HEAD), result(103, 28, HEAD)]


def measured(data: Dataset, file: Path, **options: Any) -> dict[str, Any]:
    found = read_predictions(file, data, options.pop("ids", None))
    record = compare([Compared("theirs", "zero-shot", found, file)], data, **options)
    model: dict[str, Any] = record["models"][0]
    return model


def test_right_predictions_are_right_in_every_way(pets: Dataset, tmp_path: Path) -> None:
    found = measured(pets, written(tmp_path / "r.json", RIGHT))
    for naming in ("by_name", "mapped", "class_agnostic"):
        assert found[naming]["ap"] == pytest.approx(1)
    assert found["by_name"]["miou"] == found["by_name"]["part_miou"] == 1
    assert found["names"]["predictions"]["same"] == 4


def test_ap_is_that_of_pycocotools(pets: Dataset, tmp_path: Path) -> None:
    noisy = [
        result(101, 30, (4, 2, 20, 20), 0.5),
        result(101, 30, TAIL, 0.8),
        result(102, 30, (2, 2, 20, 14), 0.7),
        result(103, 30, HEAD, 0.6),
        result(103, 28, (2, 6, 20, 20), 0.4),
    ]
    file = written(tmp_path / "r.json", noisy)
    raw = {
        "images": [image.raw for image in pets.images],
        "categories": [category.raw for category in pets.categories],
        "annotations": [
            {**a.raw, "area": int(decode(a.segmentation).sum()), "bbox": bbox(a.segmentation)}
            for a in pets.annotations
        ],
    }
    truth = COCO(str(written(tmp_path / "truth.json", raw)))
    for agnostic, naming in ((False, "by_name"), (True, "class_agnostic")):
        oracle = COCOeval(truth, truth.loadRes(str(file)), "segm")
        oracle.params.useCats = int(not agnostic)
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
        assert measured(pets, file)[naming]["ap"] == pytest.approx(oracle.stats[0], abs=1e-6)


def test_wrong_names_cost_ap_by_name_and_nothing_without_names(
    pets: Dataset, tmp_path: Path
) -> None:
    confused = [{**r, "category_id": 28} for r in RIGHT]
    found = measured(pets, written(tmp_path / "r.json", confused))
    assert found["by_name"]["ap"] < 0.5
    assert found["by_name"]["miou"] < 0.5
    assert found["class_agnostic"]["ap"] == pytest.approx(1)


THEIRS = {
    "images": [{"id": n, "file_name": f"deep/{n + 100}.png"} for n in (1, 2, 3)],
    "categories": [
        {"id": 1, "name": "Cat's head"},
        {"id": 2, "name": "cat_tail"},
        {"id": 3, "name": "puppy face"},
        {"id": 4, "name": "sofa"},
    ],
    "annotations": [
        result(1, 1, HEAD),
        result(1, 2, TAIL),
        result("2", 1.0, HEAD, "0.9"),
        result(3, 3, HEAD),
        result(3, 4, TAIL),
    ],
}


def test_a_coco_file_brings_its_own_ids_and_names(pets: Dataset, tmp_path: Path) -> None:
    found = measured(pets, written(tmp_path / "r.json", THEIRS))
    assert found["by_name"]["ap"] == 0
    assert found["mapped"]["ap"] == pytest.approx(2 / 3)
    assert found["names"]["map"]["alike"] == {"Cat's head": "cat:head", "cat_tail": "cat:tail"}
    assert found["names"]["unknown"] == {"puppy face": 1, "sofa": 1}
    assert found["names"]["predictions"]["alike"] == 3
    # the sofa covers background, so that its pixels are wrong
    assert found["mapped"]["miou"] < 0.75


def test_the_table_says_what_names_mean_and_what_does_not_count(
    pets: Dataset, tmp_path: Path
) -> None:
    table = {"puppy face": ("dog", "head"), "sofa": ("", "")}
    found = measured(pets, written(tmp_path / "r.json", THEIRS), table=table)
    assert found["mapped"]["ap"] == pytest.approx(1)
    assert found["mapped"]["miou"] == 1
    assert found["names"]["map"]["table"] == {"puppy face": "dog:head"}
    assert found["names"]["left_out"] == ["sofa"]
    with pytest.raises(SchemaError, match="the part 'dog:face', which the data set does not"):
        measured(pets, tmp_path / "r.json", table={"puppy face": ("dog", "face")})


def test_results_with_the_ids_of_another_file(pets: Dataset, tmp_path: Path) -> None:
    about = {key: THEIRS[key] for key in ("images", "categories")}
    ids = written(tmp_path / "ids.json", about)
    file = written(tmp_path / "r.json", THEIRS["annotations"])
    assert measured(pets, file, ids=ids)["mapped"]["ap"] == pytest.approx(2 / 3)
    with pytest.raises(SchemaError, match="5 of images that the data set does not have"):
        measured(pets, file)


def test_a_name_like_two_of_ours_is_not_guessed() -> None:
    ours = ("polar bear:foot", "polar:bear foot", "cat:head")
    found = match_names(["polar bear foot", "CAT HEAD", "cat:head"], ours)
    assert found.unknown == ("polar bear foot",)
    assert found.alike == {"CAT HEAD": "cat:head"}
    assert found.same == {"cat:head": "cat:head"}


def test_records_that_cannot_be_used_are_counted(pets: Dataset, tmp_path: Path) -> None:
    bad = [
        {**RIGHT[0], "segmentation": {"size": [5, 5], "counts": "91"}},
        {**RIGHT[0], "segmentation": None, "bbox": [1, 2, 3, 4]},
        {**RIGHT[0], "score": "high"},
        {**RIGHT[0], "category_id": 999},
        {**RIGHT[0], "image_id": 9},
        "nothing",
    ]
    found = measured(pets, written(tmp_path / "r.json", [*RIGHT, *bad]))
    assert found["left_out"] == {
        "whose mask cannot be drawn": 1,
        "without a mask": 1,
        "without a score": 1,
        "of categories without a name": 1,
        "of images that the data set does not have": 1,
        "no records": 1,
    }
    assert found["by_name"]["ap"] == pytest.approx(1)


def test_boxes_alone_have_box_ap_and_no_mean_iou(pets: Dataset, tmp_path: Path) -> None:
    boxes = [{k: v for k, v in r.items() if k != "segmentation"} for r in RIGHT]
    for record, box in zip(boxes, (HEAD, TAIL, HEAD, HEAD), strict=True):
        record["bbox"] = list(box)
    found = measured(pets, written(tmp_path / "r.json", boxes))
    assert found["of"] == "boxes"
    assert found["by_name"]["ap"] == pytest.approx(1)
    assert found["by_name"]["miou"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<!DOCTYPE html><html>", "is a web page"),
        ('{"info": 1}', "holds no COCO results"),
        ('[{"image_id": 1', "is not valid JSON"),
        ("[]", "no prediction that can be used"),
    ],
)
def test_a_file_that_is_none(pets: Dataset, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(SchemaError, match=says):
        read_predictions(tmp_path / "r.json", pets)
    with pytest.raises(NotFoundError):
        read_predictions(tmp_path / "nowhere.json", pets)


def test_how_a_model_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert split_trained("zero-shot=a=b.json") == ("zero-shot", Path("a=b.json"))
    assert split_trained("r.json") == ("not said", Path("r.json"))
    with pytest.raises(ConfigError, match="how the model was trained"):
        split_trained("closed=r.json")
    monkeypatch.chdir(tmp_path)
    Path("lr=1.json").touch()
    assert split_trained("lr=1.json") == ("not said", Path("lr=1.json"))


# --- the command ---------------------------------------------------------------------------------


def told(*words: Any) -> Any:
    return CliRunner().invoke(app, ["segmenter", "compare", *map(str, words)])


@pytest.fixture
def vehicles(tmp_path: Path) -> Path:
    """Drawings with masks taken from their colours, and the run that finds those colours."""
    folder = tmp_path / "vehicles"
    categories = [Category.new(i, *name.split(":")) for i, name in enumerate(NAMES, 1)]
    images, masks = [], []
    for number, owner in enumerate(("car", "cat", "bike"), 1):
        pixels = draw(folder / "images" / f"{owner}.png", owner, number)
        images.append(Image.new(number, f"{owner}.png", pixels.shape[1::-1], object=owner))
        whole = encode(pixels.min(2) < 60)
        category = next(c for c in categories if c.object == owner)
        masks.append(Annotation.new(number, number, category.id, whole))
    write_coco(Dataset(images, masks, categories), folder / "annotations" / "val.json")
    return folder


def test_the_command_shows_runs_and_files_in_columns(vehicles: Path, tmp_path: Path) -> None:
    run = write_colour_run(tmp_path / "seg")
    data = read_dataset(vehicles)
    records = [{**a.raw, "score": 0.9} for a in data.annotations]
    file = written(tmp_path / "open.json", records)
    done = told(
        vehicles, "--predictions", f"zero-shot={file}", "--run", f"in-domain={run}",
        "--out", tmp_path / "compared.json", "--reference",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    head = next(line for line in lines if "in-domain" in line)
    row = next(line for line in lines if line.startswith(" open") and "by name" in line)
    assert row.index("100.0 / 100.0") < head.index("joint") - 3
    assert row.index("100.0 / 100.0") > head.index("in-domain") + 4
    assert any(line.startswith(" seg with CF") for line in lines)
    assert "29.7 / 54.1" in done.stdout
    kept = json.loads((tmp_path / "compared.json").read_text())
    assert [m["trained"] for m in kept["models"]] == ["zero-shot", "in-domain", "in-domain"]
    assert kept["models"][0]["sha256"]
    again = told(vehicles, "--predictions", file, "--out", tmp_path / "compared.json")
    assert again.exit_code == 1
    assert "already exists" in again.stderr


def test_a_run_trained_beside_is_in_domain(vehicles: Path, tmp_path: Path) -> None:
    run = write_colour_run(tmp_path / "seg")
    config = json.loads((run / "config.json").read_text())
    config["data"] = {"path": str(vehicles.resolve() / "annotations" / "train.json")}
    written(run / "config.json", config)
    done = told(vehicles, "--run", run, "--out", tmp_path / "c.json", "--json")
    assert {m["trained"] for m in json.loads(done.stdout)["models"]} == {"in-domain"}


def test_nothing_to_compare(vehicles: Path, tmp_path: Path) -> None:
    assert told(vehicles, "--out", tmp_path / "c.json").exit_code == 2
