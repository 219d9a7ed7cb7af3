"""`evaluate shape-bias` and `evaluate humans`: counted by hand, and what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from typer.testing import CliRunner

from app.cli.evaluate_people import register
from partlab.files import write_json
from train.models.build import create_model
from train.models.foreign import load_foreign
from train.people.categories import CATEGORIES
from train.people.thousand import load_thousand

WNIDS = ImageNetInfo("imagenet-1k").label_names()
HEAD = "subj,Session,trial,rt,object_response,category,condition,imagename\n"
group = typer.Typer()
register(group)


def _run(*words: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(group, [str(word) for word in words])
    return found.exit_code, found.stdout, found.stderr


def _biased(folder: Path, category: str, classes: list[str] | None = None) -> Path:
    """A third-party ResNet that answers one category to all pictures."""
    import timm

    folder.mkdir()
    classes = classes or WNIDS
    network = timm.create_model("test_resnet", num_classes=len(classes))
    state = network.state_dict()
    state["fc.weight"].zero_()
    state["fc.bias"].zero_()
    for place in CATEGORIES[category]:
        state["fc.bias"][classes.index(WNIDS[place]) if classes[0][0] == "n" else place] = 9
    torch.save(state, folder / "w.pth")
    card = {"foreign": 1, "architecture": "test_resnet", "weights": "w.pth", "classes": classes}
    write_json(folder / "card.json", card | {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 32})
    return folder


def _stimuli(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 36), (90, 120, 30)).save(file)
    return folder


PAIRS = ("cat/cat1-dog2.png", "cat/cat2-car1.png", "cat/cat1-cat3.png", "dog/dog1-cat1.png")


def test_shape_bias_of_a_card_with_formula_counts_and_what_is_left_out(tmp_path: Path) -> None:
    """RK-20."""
    model, shown = (
        _biased(tmp_path / "m", "cat"),
        _stimuli(tmp_path / "s", *PAIRS, "dog/dog2-oven1.png"),
    )
    code, out, _ = _run("shape-bias", model, shown, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["counts"] == {"shape": 2, "texture": 1, "other": 1, "same": 1}
    assert facts["shape_bias"] == pytest.approx(2 / 3)
    seen = facts["preprocessing"]
    assert (facts["right"], seen["shorter_side"], seen["size"]) == (3, 36, 32)
    text = _run("shape-bias", model, shown)[1]
    assert "shape bias: 2 / (2 + 1) = 66.7%" in text
    assert "shape bias = shape / (shape + texture)" in text
    assert "neither, left out: 1" in text
    assert "one category, left out: 1" in text


def test_pictures_without_a_texture_give_the_accuracy_alone(tmp_path: Path) -> None:
    model, shown = (
        _biased(tmp_path / "m", "cat"),
        _stimuli(tmp_path / "s", "cat/cat1.png", "dog/dog1.png"),
    )
    facts = json.loads(_run("shape-bias", model, shown, "--json")[1])
    assert facts["accuracy"] == 0.5
    assert "shape_bias" not in facts
    code, _, err = _run("shape-bias", model, _stimuli(shown, "cat/cat1-dog1.png"))
    assert (code, "names no shape and texture" in err) == (5, True)


def test_classes_in_another_order_are_put_in_imagenets(tmp_path: Path) -> None:
    turned = load_thousand(str(_biased(tmp_path / "turned", "oven", WNIDS[::-1])))
    assert turned.opened.network(torch.zeros(1, 3, 32, 32)).argmax() == CATEGORIES["oven"][0]
    named = _biased(tmp_path / "named", "oven", [f"class {place}" for place in range(1000)])
    text = _run("shape-bias", named, _stimuli(tmp_path / "s", "oven/oven1.png"))[1]
    assert "note: the classes of" in text
    assert "accuracy: 1 / 1 = 100.0%" in text


def test_the_picture_is_resized_and_cut_as_the_model_wants(tmp_path: Path) -> None:
    found = load_thousand(str(_biased(tmp_path / "m", "cat"))).opened
    plain = load_foreign(tmp_path / "m")
    Image.new("RGB", (80, 40), (255, 0, 51)).save(tmp_path / "a.png")
    pixels = found.pictures([tmp_path / "a.png"])
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels[0, :, 0, 0].tolist() == pytest.approx([1, 0, 0.2])
    assert torch.equal(found.network(pixels), plain(pixels))


def test_the_packaged_network_knows_its_categories(tmp_path: Path) -> None:
    thousand = load_thousand("packaged:tf_efficientnet_lite0")
    found, seen = thousand.opened, thousand.opened.preprocessing
    assert (seen["size"], seen["shorter_side"], thousand.remark) == (224, 256, "")
    assert found.interpolation == "bicubic"
    direct = create_model(
        "vanilla_tf_efficientnet_lite0", classes=WNIDS, weights="package", gelu=False
    )
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(found.network(pixels), direct.eval()(pixels))


def test_what_is_no_model_or_no_stimulus_is_one_sentence(tmp_path: Path) -> None:
    shown = _stimuli(tmp_path / "s", "cat/cat1-dog1.png")
    few = _biased(tmp_path / "few", "knife", [f"class {place}" for place in range(14 + 486)])
    cases: list[tuple[Any, Any, int, str]] = [
        (few, shown, 2, "500 classes"),
        ("packaged:resnet50", shown, 2, "no packaged weights"),
        (tmp_path / "none", shown, 3, "no model"),
        (tmp_path, shown, 3, "neither a run nor an exported model"),
        (few, tmp_path / "nowhere", 3, "no folder"),
        (few, few, 5, "holds no stimuli"),
    ]
    for model, pictures, expected, words in cases:
        code, out, err = _run("shape-bias", model, pictures)
        assert (code, out, err.count("error:")) == (expected, "", 1), err
        assert words in " ".join(err.split())
    (shown / "cat" / "cat2-dog1.png").write_bytes(b"\x89PNG no picture")
    code, _, err = _run("shape-bias", _biased(tmp_path / "m", "cat"), shown)
    assert code == 5
    assert "cannot read image" in err
    assert "cat2-dog1.png" in err


def _raw(folder: Path, sets: dict[str, dict[str, list[str]]]) -> Path:
    for name, subjects in sets.items():
        (folder / name).mkdir(parents=True)
        for subject, answers in subjects.items():
            _answers(folder / name / f"{name}_{subject}_session_1.csv", subject, answers)
    return folder


def _answers(file: Path, subject: str, answers: list[str]) -> Path:
    """Each answer is to a picture of a cat, in condition 90, or 0 where it ends with `@0`."""
    rows = []
    for place, answer in enumerate(answers):
        told, _, condition = answer.partition("@")
        image = f"{place:04}_rot_s_90_cat_10_n01_{place}.png"
        rows.append(f"{subject},1,{place},.5,{told},cat,{condition or 90},{image}\n")
    file.write_text(HEAD + "".join(rows))
    return file


EDGES = {"p1": ["cat", "dog"], "p2": ["cat", "cat"]}
ROTATED = {"p1": ["cat", "na", "cat", "dog", "cat@0"], "p2": ["cat", "cat", "cat", "dog", "dog@0"]}


def test_people_with_people_and_a_model_with_people(tmp_path: Path) -> None:
    raw = _raw(tmp_path / "raw", {"edge": EDGES, "rotation": ROTATED})
    csv = _answers(tmp_path / "rotation_net.csv", "net", ["cat", "cat", "dog", "dog", "cat@0"])
    code, out, _ = _run("humans", raw, "--model-responses", csv, "--json")
    facts = json.loads(out)
    assert code == 0
    people, net = facts["people"], facts["models"]["net"]
    assert people["told"] == "2 of 17 sets present"
    assert (people["trials"], people["excluded_trials"], people["no_answer"]) == (14, 2, 1)
    assert people["accuracy"] == pytest.approx((0.75 + 0.625) / 2)
    assert people["accuracy_of_all"] == pytest.approx(9 / 14)
    # net: accuracy 1/2. p1 (also 1/2): O = 1/2, E = 1/2. p2 (3/4): O = 3/4, E = 1/2.
    assert net["told"] == "1 of 17 sets present"
    assert net["observed_consistency"] == pytest.approx(0.625)
    assert net["error_consistency"] == pytest.approx((0 + 0.5) / 2)
    assert net["accuracy_difference"] == pytest.approx((0 + 0.0625) / 2)
    assert (net["accuracy"], net["accuracy_of_all"]) == (0.5, 0.6)
    assert net["people_on_the_same_sets"]["sets"] == ["rotation"]


def test_the_text_says_formula_sets_and_what_is_not_compared(tmp_path: Path) -> None:
    """RK-20."""
    raw = _raw(tmp_path / "raw", {"edge": EDGES, "rotation": ROTATED})
    csv = _answers(tmp_path / "rotation_net.csv", "net", ["cat", "cat", "dog"])
    other = _answers(tmp_path / "sketch_net.csv", "net", ["cat"])
    code, text, _ = _run("humans", raw, "--model-responses", csv, "--model-responses", other)
    assert code == 0
    for words in (
        "(O - E) / (1 - E)",
        "people against people: 2 of 17 sets present (edge, rotation)",
        "net against people: 1 of 17 sets present (rotation)",
        "14 trials, 2 of them in excluded conditions; 1 kept ones without an answer",
        "note: 2 trials of people are on pictures that it did not answer",
        "note: no people answered these sets of net: sketch",
    ):
        assert words in text, text


def test_bad_trials_are_one_sentence(tmp_path: Path) -> None:
    raw = _raw(tmp_path / "raw", {"rotation": ROTATED})
    unnamed = _answers(tmp_path / "net.csv", "net", ["cat"])
    excluded = _answers(tmp_path / "rotation_x.csv", "x", ["cat@0"])
    strange = _answers(tmp_path / "rotation_y.csv", "y", ["tiger"])
    alone = _raw(tmp_path / "alone", {"rotation": {"p1": ["cat"]}})
    cases: list[tuple[Path, list[Path], int, str]] = [
        (tmp_path, [], 3, "none of the 17 sets"),
        (raw, [tmp_path / "none.csv"], 3, "no file"),
        (raw, [unnamed], 5, "tells which of the 17 sets"),
        (raw, [excluded], 5, "no picture in common"),
        (raw, [strange], 5, "line 2: object_response 'tiger' is none of the 16"),
        (alone, [], 5, "one subject"),
    ]
    for folder, files, expected, words in cases:
        options = [word for file in files for word in ("--model-responses", file)]
        code, out, err = _run("humans", folder, *options)
        assert (code, out, err.count("error:")) == (expected, "", 1), err
        assert words in " ".join(err.split())


def test_an_exported_model_of_1000_classes_is_cut_as_its_card_says(tmp_path: Path) -> None:
    model = create_model("vanilla_small_resnet8", classes=WNIDS, size=32).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    settings = {"kind": "vanilla", "backbone": "small_resnet8", "weights": "none"}
    seen = {"size": 32, "shorter_side": 40}
    card = {"model": settings, "targets": "parts", "classes": WNIDS, "parts": []}
    write_json(tmp_path / "card.json", card | {"preprocessing": seen})
    found = load_thousand(str(tmp_path)).opened
    pixels = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found.network(pixels), model(pixels))
    assert (found.data.size, found.preprocessing["shorter_side"]) == (32, 40)
    assert round(found.data.size / found.data.eval_crop) == 40
