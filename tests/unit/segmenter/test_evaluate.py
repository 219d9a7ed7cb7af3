"""Evaluation with and without the category filter (P-07), pixel scores (H-03), its command."""

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from scripted_segmenter import HEAD, PARTS, SIZE, TAIL, Scripted, dataset, mask
from typer.testing import CliRunner

from app.cli.main import app
from partlab.coco import write_coco
from partlab.errors import DatasetError, NotFoundError, SchemaError
from partlab.files import write_lines
from partlab.masks import area, decode, encode
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.ap import mask_ap
from segmenter.composite_metrics import PixelMeter
from segmenter.evaluate import EvaluationSettings, evaluate
from segmenter.evaluation_file import evaluate_run
from segmenter.protocol import Detections
from segmenter.quick_ap import quick_ap


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    """Two cats and two dogs with the same boxes."""
    owners = ["cat", "dog", "cat", "dog"]
    return dataset(tmp_path / "pets", [(o, {f"{o}:head": HEAD, f"{o}:tail": TAIL}) for o in owners])


def _perfect(data: Dataset) -> dict[int, Any]:
    return {
        image.id: [
            (box, {f"{image.object}:{part}": 0.9}) for part, box in (("head", HEAD), ("tail", TAIL))
        ]
        for image in data.images
    }


def _close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


def test_perfect_detections_score_one(pets: Dataset) -> None:
    found = evaluate(Scripted(_perfect(pets)), pets)
    for measured in (found.without_cf, found.with_cf):
        assert measured.ap.ap == _close(1)
        pixels = measured.pixels
        assert pixels.pixel_accuracy == pixels.foreground_pixel_accuracy == pixels.miou == 1.0
        assert measured.detections == 8


def test_the_filter_repairs_confusion_between_objects(pets: Dataset) -> None:
    """P-07: every head is taken for a dog's; only the known class tells them apart."""
    confused = {"dog:head": 0.6, "cat:head": 0.55}
    script = {
        number: [(HEAD, confused), (TAIL, {f"{pets.images[number - 1].object}:tail": 0.9})]
        for number in (1, 2, 3, 4)
    }
    found = evaluate(Scripted(script), pets)
    per_object = found.without_cf.ap.per_object
    assert per_object["cat"].ap == _close(0.5)  # no cat:head found
    assert found.with_cf.ap.per_object["cat"].ap == _close(1)
    assert found.with_cf.pixels.pixel_accuracy == 1.0
    head = HEAD[2] * HEAD[3]
    wrong = 2 * head / (4 * SIZE[0] * SIZE[1])
    assert found.without_cf.pixels.pixel_accuracy == _close(1 - wrong)
    part = head + TAIL[2] * TAIL[3]
    assert found.without_cf.pixels.foreground_pixel_accuracy == _close(1 - 2 * head / (4 * part))


@pytest.mark.parametrize("seed", range(5))
def test_the_filter_never_lowers_ap_under_cross_object_confusion(pets: Dataset, seed: int) -> None:
    """P-07: noise in foreign columns only can but cost AP without the filter."""
    rng = np.random.default_rng(seed)
    script: dict[int, Any] = {}
    for image in pets.images:
        foreign = [name for name in PARTS if not name.startswith(f"{image.object}:")]
        script[image.id] = [
            (box, {f"{image.object}:{part}": rng.uniform(0.3, 0.9)})
            for part, box in (("head", HEAD), ("tail", TAIL))
        ] + [((5 * i, 5 * i, 9, 9), {n: rng.uniform(0, 1)}) for i, n in enumerate(foreign)]
    found = evaluate(Scripted(script), pets)
    for id, scores in found.without_cf.ap.per_category.items():
        filtered = found.with_cf.ap.per_category[id].ap
        assert scores.ap is not None
        assert filtered is not None
        assert filtered >= scores.ap
    assert found.with_cf.ap.ap == _close(1)


def test_ap_is_that_of_the_detections_whatever_the_batches(pets: Dataset) -> None:
    """The stream of batches and one call on all results agree (and that equals pycocotools)."""
    rng = np.random.default_rng(3)
    script = {
        n: [
            ((int(x), int(y), 18, 18), {str(rng.choice(PARTS)): float(s)})
            for x, y, s in rng.uniform((0, 0, 0), (8, 8, 1), (12, 3))
        ]
        for n in (1, 2, 3, 4)
    }
    segmenter = Scripted(script)
    results = []
    for image in pets.images:
        found = segmenter.predict([np.full((1, 1, 1), image.id)], threshold=0.0)[0]
        for label, rle, score in zip(found.labels, found.masks, found.scores, strict=True):
            id = pets.categories[int(label)].id
            results.append({"image_id": image.id, "category_id": id, "segmentation": rle})
            results[-1]["score"] = float(score)
    expected = mask_ap(pets, results)
    assert expected.ap is not None
    assert 0 < expected.ap < 1
    for size in (1, 3, 4):
        settings = EvaluationSettings(batch_size=size, score_threshold=0.0)
        assert evaluate(segmenter, pets, settings).without_cf.ap == expected


def test_parts_are_matched_by_name(pets: Dataset) -> None:
    names = ("zebra:head", *reversed(PARTS))
    assert evaluate(Scripted(_perfect(pets), names), pets).with_cf.ap.ap == _close(1)


def test_a_part_the_data_lacks_costs_pixels_but_is_no_category(pets: Dataset) -> None:
    script = _perfect(pets)
    script[1] = [(HEAD, {"zebra:head": 0.9}), *script[1][1:]]
    found = evaluate(Scripted(script, (*PARTS, "zebra:head")), pets)
    assert found.without_cf.pixels.foreground_pixel_accuracy == _close(1 - 400 / (4 * 850))
    assert found.missing_parts == ()


def test_missing_parts_are_told_and_count_as_zero(pets: Dataset) -> None:
    found = evaluate(Scripted(_perfect(pets), PARTS[:3]), pets)
    assert found.missing_parts == ("dog:tail",)
    assert found.with_cf.ap.ap == _close(0.75)


def test_a_foreign_data_set_is_refused(pets: Dataset) -> None:
    with pytest.raises(DatasetError, match="none of the parts") as error:
        evaluate(Scripted({}, ("car:wheel", "car:door")), pets)
    assert "car:wheel" in str(error.value.hint)
    assert "cat:head" in str(error.value.hint)


def test_the_known_class_is_stated_or_told_by_the_masks(tmp_path: Path) -> None:
    data = dataset(
        tmp_path,
        [
            ("cat", {}),
            (None, {"dog:head": HEAD}),
            (None, {"dog:head": HEAD, "cat:tail": TAIL}),
            (None, {}),
            ("horse", {}),
        ],
    )
    segmenter = Scripted({})
    found = evaluate(segmenter, data, EvaluationSettings(batch_size=5))
    assert segmenter.calls[-1][1] == [("cat",), ("dog",), ("cat", "dog"), None, ()]
    assert found.images_without_class == 1


def test_weak_detections_count_for_ap_but_not_in_the_composite(pets: Dataset) -> None:
    script = {n: [(HEAD, {"cat:head": 0.05})] for n in (1, 3)}
    segmenter = Scripted(script)
    found = evaluate(segmenter, pets)
    assert found.without_cf.ap.per_category[30].ap == _close(1)
    assert found.without_cf.pixels.foreground_pixel_accuracy == 0.0
    assert {call[2] for call in segmenter.calls} == {0.001}
    assert evaluate(segmenter, pets, EvaluationSettings(score_threshold=0.1)).with_cf.ap.ap == 0.0


def test_a_backend_may_share_its_backbone(pets: Dataset) -> None:
    class Sharing(Scripted):
        shared = 0

        def predict_both(self, images: Sequence[Any], objects: Any, **more: Any) -> Any:
            self.shared += len(images)
            alone = Scripted.predict
            return alone(self, images, **more), alone(self, images, objects, **more)

        def predict(self, *args: Any, **more: Any) -> list[Detections]:
            raise AssertionError("the shared way was not taken")

    segmenter = Sharing(_perfect(pets))
    assert evaluate(segmenter, pets).with_cf.ap.ap == _close(1)
    assert segmenter.shared == 4


def test_pixel_scores_worked_by_hand() -> None:
    """H-03: all pixels and foreground only differ; a foreign label costs its truth's IoU."""
    truth = np.array([[0, 0, 1, 1], [0, 0, 2, 2]], np.int32)
    found = np.array([[0, 1, 1, 1], [0, 0, 2, 3]], np.int32)
    meter = PixelMeter(3)
    meter.update(found, truth)
    scores = meter.result()
    assert scores.pixel_accuracy == 6 / 8
    assert scores.foreground_pixel_accuracy == 3 / 4
    assert scores.iou == {0: 2 / 3, 1: 1 / 2}
    assert scores.miou == pytest.approx((3 / 4 + 2 / 3 + 1 / 2) / 3)
    assert scores.part_miou == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert PixelMeter(3).result().pixel_accuracy is None


def test_bad_records_stop_before_the_network_runs(pets: Dataset, tmp_path: Path) -> None:
    segmenter = Scripted({})
    with pytest.raises(DatasetError, match="no images"):
        evaluate(segmenter, replace(pets, images=[]))
    assert segmenter.calls == []


@pytest.mark.parametrize("lists", ["images", "categories"])
def test_an_id_that_is_two_records_is_refused_before_any_work(pets: Dataset, lists: str) -> None:
    first, second, *rest = getattr(pets, lists)
    segmenter = Scripted(_perfect(pets))
    with pytest.raises(SchemaError, match="share the id"):
        evaluate(segmenter, replace(pets, **{lists: [first, second.changed(id=first.id), *rest]}))
    assert segmenter.calls == []


NOTHING = [[], None, [[1.0, 2.0, 3.0, 4.0, 5.0]], dict(encode(np.zeros(SIZE, bool)))]


@pytest.mark.parametrize("nothing", NOTHING, ids=str)
def test_a_mask_without_pixels_stops_nothing(pets: Dataset, nothing: Any) -> None:
    odd = Annotation.new(77, 4, 30, nothing)
    found = evaluate(Scripted(_perfect(pets)), replace(pets, annotations=[*pets.annotations, odd]))
    assert found == replace(evaluate(Scripted(_perfect(pets)), pets), masks=found.masks)
    assert (found.masks.masks, len(found.masks.left_out)) == (8, 1)
    assert "annotation 77 of image 4.png" in (found.masks.sentence() or "")


def test_a_mask_of_no_known_category_is_left_out_and_named(pets: Dataset) -> None:
    stray = Annotation.new(78, 4, 999, mask(HEAD))
    data = replace(pets, annotations=[*pets.annotations, stray])
    found = evaluate(Scripted(_perfect(pets)), data)
    assert found == replace(evaluate(Scripted(_perfect(pets)), pets), masks=found.masks)
    assert "1 of 9 masks cannot be used and is left out" in (found.masks.sentence() or "")
    assert "there is no category 999" in (found.masks.sentence() or "")
    only = replace(pets, annotations=[stray])
    with pytest.raises(
        DatasetError, match=r"not even the one mask of .* can be used; it is annotation"
    ):
        evaluate(Scripted({}), only)


def test_validation_leaves_masks_without_pixels_out(pets: Dataset) -> None:
    odd = Annotation.new(77, 4, 30, [])
    val = replace(pets, annotations=[*pets.annotations, odd])
    assert quick_ap(Scripted(_perfect(pets)), val) == (_close(1), _close(1))


def test_all_crowd_is_one_sentence_not_a_dash(pets: Dataset) -> None:
    crowd = [a.changed(iscrowd=1) for a in pets.annotations]
    segmenter = Scripted(_perfect(pets))
    with pytest.raises(DatasetError, match=r"all 8 usable masks .* crowd regions") as refused:
        evaluate(segmenter, replace(pets, annotations=crowd))
    assert "--fix" in str(refused.value.hint)
    assert segmenter.calls == []


def _pycocotools_ap(data: Dataset, script: dict[int, Any]) -> float:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = COCO(), COCO()
    lists = {"images": data.images, "categories": data.categories}
    raw = {name: [record.raw for record in records] for name, records in lists.items()}
    masks = [{**a.raw, "id": n} for n, a in enumerate(data.annotations, 1)]
    for each in masks:
        each |= {"area": float(area(each["segmentation"])), "iscrowd": int(each["iscrowd"])}
    truth.dataset = {**raw, "annotations": masks}
    truth.createIndex()
    ids = {category.name: category.id for category in data.categories}
    results = [
        {"image_id": image, "category_id": ids[name], "score": score, "segmentation": mask(box)}
        for image, each in script.items()
        for box, wanted in each
        for name, score in wanted.items()
    ]
    found = truth.loadRes(results)
    measured = COCOeval(truth, found, "segm")
    measured.evaluate()
    measured.accumulate()
    precision = measured.eval["precision"][..., 0, 0]
    return float(precision[precision > -1].mean())


@pytest.mark.parametrize("flag", [1, True])
def test_crowd_regions_are_ignored_as_pycocotools_does(pets: Dataset, flag: Any) -> None:
    """A miss is no miss and a false alarm is none, where a crowd region is."""
    crowd = [a.changed(iscrowd=flag) if a.id in (1, 4, 6) else a for a in pets.annotations]
    data = replace(pets, annotations=crowd)
    script = _perfect(pets)
    script[1] = [((3, 3, 9, 9), {"cat:head": 0.95}), ((12, 12, 9, 9), {"cat:head": 0.9})]
    script[3] = [((0, 0, 9, 9), {"cat:head": 0.8}), *script[3]]
    script[2] = script[2][:1]
    found = evaluate(Scripted(script), data)
    assert found.with_cf.ap.ap == pytest.approx(_pycocotools_ap(data, script), abs=1e-6)
    assert found.with_cf.ap.ap < 1
    assert (found.masks.masks, found.masks.crowd) == (5, 3)


def test_crowd_pixels_do_not_count(pets: Dataset) -> None:
    """Without its head, found or not, the first cat's pixels are all right."""
    crowd = [a.changed(iscrowd=int(a.id == 1)) for a in pets.annotations]
    script = _perfect(pets)
    script[1] = script[1][1:]
    pixels = evaluate(Scripted(script), replace(pets, annotations=crowd)).with_cf.pixels
    assert pixels.pixel_accuracy == pixels.miou == 1.0


def test_bad_pictures_are_named(pets: Dataset) -> None:
    file = pets.image_path(pets.images[2])
    PillowImage.new("RGB", (7, 9)).save(file)
    with pytest.raises(DatasetError, match=r"3\.png is 7x9 pixels, its record says 60x48"):
        evaluate(Scripted({}), pets)
    file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(DatasetError, match=r"cannot read image .*3\.png"):
        evaluate(Scripted({}), pets)
    file.unlink()
    with pytest.raises(NotFoundError, match=r"3\.png"):
        evaluate(Scripted({}), pets)


# The command, with the colour segmenter of tests/plugins as the trained network.


@pytest.fixture
def colour(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "plugins"))
    return importlib.import_module("colour_segmenter")


@pytest.fixture
def colour_run(colour: Any, tmp_path: Path) -> Path:
    run: Path = colour.write_colour_run(tmp_path / "runs" / "seg-colour")
    return run


@pytest.fixture
def vehicles(colour: Any, tmp_path: Path) -> Path:
    """Drawings with masks taken from their colours: wheels of cars and bikes look alike."""
    folder = tmp_path / "Fahrzeuge ü"
    categories = [Category.new(i, *name.split(":")) for i, name in enumerate(colour.NAMES, 1)]
    records, masks = [], []
    for number in range(1, 10):
        owner = ("car", "cat", "bike")[number % 3]
        name = f"{owner}-{number}.png"
        pixels = colour.draw(folder / "images" / name, owner, number)
        height, width = pixels.shape[:2]
        records.append(Image.new(number, name, (width, height), object=owner))
        for category, shade in zip(categories, colour.COLOURS, strict=True):
            mask = (pixels == shade).all(2)
            if category.object == owner and mask.any():
                masks.append(Annotation.new(len(masks) + 1, number, category.id, encode(mask)))
    data = Dataset(records, masks, categories, inclusions=colour.INCLUSIONS)
    write_coco(data, folder / "annotations" / "val.json")
    write_coco(data.subset([1, 2, 3]), folder / "annotations" / "train.json")
    return folder


Command = Callable[..., Any]


@pytest.fixture
def command() -> Command:
    def call(*words: Any) -> Any:
        return CliRunner().invoke(app, ["segmenter", "evaluate", *map(str, words)])

    return call


def test_the_command_prints_a_table_and_keeps_json(
    command: Command, colour_run: Path, vehicles: Path
) -> None:
    done = command(colour_run, vehicles, "--per-part")
    assert done.exit_code == 0, done.output
    for words in ("without CF", "with CF", "mask AP50", "pixel accuracy (all pixels)", "mIoU"):
        assert words in done.stdout
    assert any(line.split()[:2] == ["bike", "wheel"] for line in done.stdout.splitlines())
    assert "Table 5" not in done.stdout
    kept = json.loads((colour_run / f"evaluation-{vehicles.name}-val.json").read_text())
    assert kept["images"] == 9
    bike = next(each for each in kept["per_object"] if each["object"] == "bike")
    assert bike["images"] == 3
    assert bike["without_cf"]["ap"] == 0.0  # its wheels are all taken for a car's
    assert bike["with_cf"]["ap"] > 0.1
    assert kept["difference"]["ap"] == kept["with_cf"]["ap"] - kept["without_cf"]["ap"] > 0
    assert [each["part"] for each in kept["per_part"]] == [
        name.split(":")[1]
        for name in ("car:wheel", "car:body", "cat:head", "cat:ear", "bike:wheel")
    ]


def test_json_is_all_there_is_on_stdout(command: Command, colour_run: Path, vehicles: Path) -> None:
    done = command(colour_run, vehicles, "--split", "train", "--limit", 2, "--json")
    printed = json.loads(done.stdout)
    assert printed["images"] == 2
    assert printed["data"]["split"] == "train"
    assert printed == json.loads(Path(printed["file"]).read_text())


def test_records_that_cannot_be_read_are_kept_in_the_evaluation(
    colour_run: Path, vehicles: Path
) -> None:
    file = vehicles / "annotations" / "val.json"
    raw = json.loads(file.read_text())
    del raw["annotations"][0]["image_id"]
    file.write_text(json.dumps(raw))
    found = evaluate_run(colour_run, vehicles)
    assert found["unreadable_records"] == 1
    assert any("1 record of the data set's file cannot be read" in w for w in found["warnings"])


def test_a_limit_takes_images_from_all_over_the_file(colour_run: Path, vehicles: Path) -> None:
    """The first ones may all be of one object category."""
    found = evaluate_run(colour_run, vehicles, limit=3)
    raw = json.loads((vehicles / "annotations" / "val.json").read_text())
    shown = [raw["images"][position]["file_name"][:3] for position in (0, 3, 6)]
    assert found["images"] == 3
    assert {each["object"][:3]: each["images"] for each in found["per_object"]}[shown[0]] == 3
    assert evaluate_run(colour_run, vehicles, limit=99)["images"] == 9


def test_published_figures_are_shown_as_published_only(
    command: Command, colour_run: Path, vehicles: Path
) -> None:
    done = command(colour_run, vehicles, "--reference")
    assert "Published, not measured here" in done.stdout
    assert "37.2" in done.stdout.split("Published")[1]


def test_images_of_the_training_set_are_warned_about(colour_run: Path, vehicles: Path) -> None:
    """D-01: figures on seen images must not pass for figures on new ones."""
    write_lines(colour_run / "train_images.txt", ["car-3.png", "cat-1.png", "other.png"])
    found = evaluate_run(colour_run, vehicles)
    assert "2 of 9 images have the file name of a training image" in found["warnings"][0]
    assert evaluate_run(colour_run, vehicles, limit=None, split="val")["warnings"]
    (colour_run / "train_images.txt").unlink()
    (warning,) = evaluate_run(colour_run, vehicles)["warnings"]
    assert "the run does not list those" in warning


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere", "DATA"], 3, "not a segmenter run"),
        (["RUN", "nowhere"], 3, "does not exist"),
        (["RUN", "DATA", "--split", "tset"], 3, "no split 'tset'"),
        (["RUN", "DATA", "--checkpoint", "last"], 3, "no checkpoint last.safetensors"),
        (["RUN", "DATA", "--checkpoint", "../best"], 3, "no checkpoint '../best'"),
        (["RUN", "DATA", "--set", "max_det=3"], 2, "unknown setting 'max_det'"),
        (["RUN", "DATA", "--set", "score_threshold=7"], 2, "score_threshold"),
        (["RUN", "EMPTY"], 3, "is empty"),
    ],
)
def test_mistakes_are_explained(
    command: Command,
    colour_run: Path,
    vehicles: Path,
    tmp_path: Path,
    words: list[str],
    code: int,
    said: str,
) -> None:
    (tmp_path / "empty").mkdir()
    real = {"RUN": colour_run, "DATA": vehicles, "EMPTY": tmp_path / "empty"}
    done = command(*(real.get(word, word) for word in words))
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_set_with_other_parts_exits_with_bad_data(
    command: Command, colour: Any, tmp_path: Path, pets: Dataset
) -> None:
    colour_run = colour.write_colour_run(tmp_path / "run", ("tree:leaf",), colour.COLOURS[:1], {})
    done = command(colour_run, pets.path)
    assert done.exit_code == 5
    assert "none of the parts this segmenter knows" in done.stderr
    assert list(colour_run.glob("evaluation*")) == []


def test_masks_of_the_fixture_are_what_the_drawing_shows(vehicles: Path) -> None:
    raw = json.loads((vehicles / "annotations" / "val.json").read_text())
    assert all(decode(each["segmentation"]).any() for each in raw["annotations"])
