"""`partlab evaluate ood`: layouts, answers against torchvision by hand, resume, what is absent."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import evaluate_command
import numpy as np
import pytest
import timm
import torch
from evaluate_command import told
from PIL import Image
from timm.data import ImageNetInfo
from torchvision import transforms
from typer.testing import CliRunner

from app.cli.main import app
from partlab.errors import DatasetError, NotFoundError
from partlab.files import write_json
from train.evaluate.outcomes import read_evaluation
from train.evaluate_report import read_measured, report
from train.models.foreign import load_foreign
from train.ood.sets import NINE, NONE_OF_NINE, SETS, VARIANTS, open_set
from train.ood.table import ood_facts, ood_text
from train.ood.wnids import classes_by_wnid
from train.people.categories import CATEGORIES
from train.people.stimuli import choose
from train.people.trials import EXCLUDED

WNIDS = ImageNetInfo("imagenet-1k").label_names()
SIDE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Others' weights of 1,000 classes whose answers differ from picture to picture."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "thousand"
    folder.mkdir()
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=1000)
    state = network.state_dict()
    state["fc.weight"] = torch.randn_like(state["fc.weight"])
    network.load_state_dict(state)
    noise = torch.rand(64, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    shown = torch.nn.functional.interpolate(noise, (SIDE, SIDE), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        told = network.eval()((shown - 0.5) / 0.5)
    scale = 5 / told.std(0)
    state["fc.weight"] *= scale[:, None]
    state["fc.bias"] = -(told - state["fc.bias"]).mean(0) * scale
    torch.save(state, folder / "w.pth")
    card = {"foreign": 1, "architecture": "test_resnet", "weights": "w.pth", "classes": WNIDS}
    write_json(folder / "card.json", card | {"mean": [0.5] * 3, "std": [0.5] * 3, "size": SIDE})
    return folder


def picture(file: Path, seed: int, mode: str = "RGB", size: tuple[int, int] = (60, 44)) -> Path:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize(size).convert(mode).save(file)
    return file


def by_wnid(folder: Path, wnids: list[str], each: int = 2) -> Path:
    for n, wnid in enumerate(wnids):
        for k in range(each):
            mode = ("RGB", "L", "CMYK")[(n + k) % 3]
            picture(folder / wnid / f"völva {k}.jpg", 10 * n + k, mode)
    return folder


def call(model: Path, out: Path, *words: Any) -> Any:
    return evaluate_command.call("ood", model, "--out", out, *words)


def logits(model: Path, file: Path, squashed: bool = False) -> torch.Tensor:
    """By torchvision and the network alone."""
    short, bicubic = int(SIDE / 0.875), transforms.InterpolationMode.BICUBIC
    first = (transforms.Resize((short, short), transforms.InterpolationMode.BILINEAR) if squashed
             else transforms.Resize(short, bicubic))  # fmt: skip
    steps = transforms.Compose([first, transforms.CenterCrop(SIDE), transforms.ToTensor()])
    with Image.open(file) as shown, torch.no_grad():
        found: torch.Tensor = load_foreign(model).eval()(steps(shown.convert("RGB"))[None])[0]
    return found


def rows_of(folder: Path, threat: str) -> dict[str, Any]:
    rows = read_evaluation(folder).outcomes.to_pylist()
    return {row["image"]: row for row in rows if row["threat"] == threat}


@pytest.mark.parametrize("name", ["imagenet-r", "imagenet-a-plus", "imagenet-sketch"])
def test_answers_are_those_of_the_network_among_the_sets_classes(
    name: str, model: Path, tmp_path: Path
) -> None:
    few = [WNIDS[n] for n in (7, 900, 33, 512, 2, 604)]
    folder = by_wnid(tmp_path / "set", few)
    result = call(model, tmp_path / "out", "--set", f"{name}={folder}")
    assert result.exit_code == 0, told(result)
    rows = rows_of(tmp_path / "out" / "thousand", f"ood:{name}")
    assert len(rows) == 12
    asked = [n for n, wnid in enumerate(WNIDS) if wnid in few] if name != "imagenet-sketch" else (
        range(1000))  # fmt: skip
    said = set()
    for key, row in rows.items():
        found = logits(model, folder / key, squashed=name == "imagenet-a-plus")
        best = max(asked, key=lambda n: float(found[n]))
        others = max(float(found[n]) for n in asked if WNIDS[n] != row["label"])
        assert (row["prediction"], row["label"]) == (WNIDS[best], key.split("/")[0])
        wanted = float(found[WNIDS.index(row["label"])]) - others
        assert row["margin"] == pytest.approx(wanted, abs=1e-3)
        said.add(best)
    assert len(said) > 1  # they differ, so that the comparison says something


def nine(folder: Path, *variants: str) -> Path:
    """ImageNet-9 as it is released: pictures that are cut already, three of each class."""
    for at, variant in enumerate(variants):
        for n, k in product(range(9), range(3)):
            file = folder / variant / "val" / f"{n:02}_{NINE[n]}" / f"fg_{k}_bg_0.png"
            picture(file, 1000 * at + 10 * n + k, size=(SIDE, SIDE))
    return folder


def as_it_is(model: Path, file: Path) -> int:
    """The answer to a picture that nothing is cut from."""
    with Image.open(file) as shown, torch.no_grad():
        told: torch.Tensor = load_foreign(model).eval()(transforms.ToTensor()(shown)[None])[0]
    return int(told.argmax())


def test_imagenet_9_joins_classes_by_its_map(model: Path, tmp_path: Path) -> None:
    folder, place = nine(tmp_path / "in9", *VARIANTS), tmp_path / "out" / "thousand"
    picture(folder / "mixed_rand" / "val" / "99_x" / "a.jpg", 1)
    answers = {file: as_it_is(model, file) for file in folder.rglob("fg_*.png")}
    mapped = {str(n): n % 10 - 1 for n in range(1000)}  # a tenth of the answers is in no class
    for file, said in answers.items():  # some pictures are right
        if file.stem == "fg_0_bg_0" and file.parts[-4] != "mixed_rand":
            mapped[str(said)] = int(file.parent.name[:2])
    write_json(folder / "in_to_in9.json", mapped)
    result = call(model, tmp_path / "out", "--set", f"imagenet-9={folder}")
    assert result.exit_code == 0, told(result)
    assert "left out: 1 in folders of no class" in result.stdout
    assert "imagenet-9: 8 of 8 variants present\n" in result.stdout
    right = dict[str, float]()
    for variant in VARIANTS:
        rows = rows_of(place, f"ood:imagenet-9/{variant}")
        assert len(rows) == 27
        for key, row in rows.items():
            best = mapped[str(answers[folder / variant / "val" / key])]
            assert row["prediction"] == (NINE[best] if best >= 0 else NONE_OF_NINE)
            assert row["right"] == (best == int(key[:2]))
        right[variant] = sum(row["right"] for row in rows.values()) / 27
    gap = right["mixed_same"] - right["mixed_rand"]
    assert gap > 0.1
    assert f"background gap {100 * gap:.1f} points" in result.stdout
    assert ood_facts(read_evaluation(place))["background_gap"] == pytest.approx(gap)
    assert -1 in {mapped[str(said)] for said in answers.values()}


def test_variants_of_imagenet_9_that_are_not_there_are_named(model: Path, tmp_path: Path) -> None:
    folder = nine(tmp_path / "in9", "mixed_rand", "only_fg")
    (folder / "mixed_rand" / "val").rename(folder / "mixed_rand" / "moved")
    for each in (folder / "mixed_rand" / "moved").iterdir():
        each.rename(folder / "mixed_rand" / each.name)  # without the folder `val`
    write_json(folder / "in_to_in9.json", {str(n): n % 9 for n in range(1000)})
    result = call(model, tmp_path / "out", "--set", f"imagenet-9={folder}")
    assert result.exit_code == 0, told(result)
    absent = ", ".join(v for v in VARIANTS if v not in ("mixed_rand", "only_fg"))
    assert f"imagenet-9: 2 of 8 variants present, not {absent}" in result.stdout
    assert "no background gap without mixed_same" in result.stdout


def din(folder: Path, sets: list[str]) -> Path:
    for at, name in enumerate(sets):
        if name in ("edge", "silhouette", "cue-conflict"):
            picture(folder / name / "dog" / "dog1-cat2.png", at)
            continue
        away = [*EXCLUDED[name].split(), ""][0] or "x"
        for n, condition in enumerate((away, "42")):
            file = f"0001_x_dnn_{condition}_{('cat', 'truck')[n]}_00_{n}.png"
            picture(folder / name / "dnn" / "session-1" / file, 10 * at + n)
    return folder


def test_din_is_sixteen_way_and_its_mean_needs_all_seventeen(model: Path, tmp_path: Path) -> None:
    folder = din(tmp_path / "din", list(EXCLUDED))
    picture(folder / "contrast" / "dnn" / "session-1" / "0001_x_dnn_c05_cow_00.png", 5)
    picture(folder / "contrast" / "dog" / "dog1.png", 6)  # of which condition?
    result = call(model, tmp_path / "out", "--set", f"din={folder}", "--json")
    assert result.exit_code == 0, told(result)
    (facts,) = json.loads(result.stdout)["evaluations"]
    assert (facts["din"]["present"], facts["four"]["present"]) == (17, ["din"])
    assert facts["four"]["mean"] is None
    assert facts["sets"]["din/contrast"]["left_out"] == {
        "whose name tells no category of the 16, or no condition": 2
    }
    rows = rows_of(tmp_path / "out" / "thousand", "ood:din/contrast")
    for key, row in rows.items():
        assert row["prediction"] == choose(logits(model, folder / key)[None])[0]
        assert row["label"] in CATEGORIES
    kept = [facts["sets"][f"din/{name}"]["kept"] for name in EXCLUDED]
    assert kept[list(EXCLUDED).index("contrast")] == 1  # c100 is left out
    assert kept[list(EXCLUDED).index("sketch")] == 2
    few = din(tmp_path / "few", ["contrast", "edge"])
    less = call(model, tmp_path / "less", "--set", f"din={few}")
    assert "din: 2 of 17 sets present, no mean of fewer" in less.stdout
    assert "0 of 4" not in less.stdout


def test_the_mean_of_four_needs_four(model: Path, tmp_path: Path) -> None:
    folder, out = by_wnid(tmp_path / "set", WNIDS[:3]), tmp_path / "out"
    first = call(model, out, "--set", f"imagenet-a-plus={folder}", "--set",
                 f"imagenet-sketch={folder}")  # fmt: skip
    assert first.exit_code == 0, told(first)
    assert "2 of 4 sets present" in first.stdout
    assert "no mean of fewer" in first.stdout
    all_seventeen = din(tmp_path / "din", list(EXCLUDED))
    more = call(model, out, "--set", f"stylized-imagenet={folder}", "--set",
                f"din={all_seventeen}")  # fmt: skip
    assert "4 of 4 sets present" in more.stdout
    assert "imagenet-a-plus is not whole: " in more.stdout
    assert " of 3,286 pictures, so its figures compare with no published ones" in more.stdout
    facts = ood_facts(read_evaluation(out / "thousand"))
    figures = [facts["sets"][n]["accuracy"]
               for n in ("imagenet-a-plus", "imagenet-sketch", "stylized-imagenet")]  # fmt: skip
    assert facts["four"]["mean"] == pytest.approx(np.mean([*figures, facts["din"]["kept"]]))
    assert "mean" in ood_text(facts)


def test_each_set_keeps_its_own_list_and_is_never_ranked(model: Path, tmp_path: Path) -> None:
    folder, out = by_wnid(tmp_path / "set", WNIDS[:4]), tmp_path / "out"
    assert call(model, out, "--set", f"imagenet-r={folder}").exit_code == 0
    before = read_evaluation(out / "thousand")
    assert before.list.images == 0
    ordinary = ["evaluate", str(model), str(folder), "--out", str(out), "--attacks", "pgd-1",
                "--threats", "linf:1/255", "--columns", ",".join(WNIDS)]  # fmt: skip
    attacked = CliRunner().invoke(app, ordinary)
    assert attacked.exit_code == 0, told(attacked)
    both = read_evaluation(out / "thousand")
    assert both.list.images == 8
    kept = next(row for row in both.rows if row.threat == "ood:imagenet-r")
    assert kept == before.rows[0]
    assert kept.pictures is not None
    assert kept.pictures.sha256 != both.list.sha256
    assert both.settings["ood"]["imagenet-r"]["answers"] == 4
    facts = report(read_measured([out / "thousand"]))
    (group,) = facts["groups"]
    assert {column["threat"] for column in group["columns"]} == {"clean", "linf-1/255"}
    (other,) = facts["models"][0]["other"]
    assert (other["threat"], other["list"]) == ("ood:imagenet-r", kept.pictures.sha256)
    again = call(model, out, "--set", f"imagenet-r={folder}")
    assert again.exit_code == 0
    assert len(rows_of(out / "thousand", "ood:imagenet-r")) == 8
    picture(folder / WNIDS[0] / "more.jpg", 1)
    other = call(model, out, "--set", f"imagenet-r={folder}")
    assert (other.exit_code, "begun with another list" in told(other)) == (2, True)


def test_a_damaged_picture_stops_it_and_what_is_done_stays(model: Path, tmp_path: Path) -> None:
    folder, out = by_wnid(tmp_path / "set", WNIDS[:4]), tmp_path / "out"
    small = ("--set", f"imagenet-r={folder}", "--batch", 2, "--chunk", 2)
    bad = folder / WNIDS[3] / "völva 1.jpg"
    content = bad.read_bytes()
    bad.write_bytes(b"")
    broken = call(model, out, *small)
    assert (broken.exit_code, f"cannot read image {bad}" in told(broken)) == (5, True)
    parts = sorted((out / "thousand" / "ood" / "imagenet-r").glob("*.parquet"))
    times = [part.stat().st_mtime_ns for part in parts]
    assert len(parts) == 3
    bad.write_bytes(content)
    assert call(model, out, *small).exit_code == 0
    assert [part.stat().st_mtime_ns for part in parts] == times
    whole = call(model, tmp_path / "whole", "--set", f"imagenet-r={folder}")
    assert whole.exit_code == 0
    one, other = (
        rows_of(each / "thousand", "ood:imagenet-r") for each in (out, tmp_path / "whole")
    )
    assert {k: r["prediction"] for k, r in one.items()} == {
        k: r["prediction"] for k, r in other.items()}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_set_that_is_not_there_says_what_to_fetch(name: str, tmp_path: Path) -> None:
    """RK-22."""
    with pytest.raises(NotFoundError) as absent:
        open_set(name, tmp_path / "nowhere", WNIDS)
    assert f"{name}: no folder" in absent.value.message
    assert "FOLDER" in absent.value.hint or "wnid" in absent.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError) as empty:
        open_set(name, tmp_path / "empty", WNIDS)
    assert empty.value.hint


def test_mistakes_get_one_sentence(model: Path, tmp_path: Path) -> None:
    folder = by_wnid(tmp_path / "set", WNIDS[:3], 1)
    for words, code, said in (
        (("--set", "imagenet-r"), 2, "is not NAME=DIR"),
        (("--set", f"imagenet-x={folder}"), 3, "unknown set 'imagenet-x'"),
        (("--set", f"imagenet-r={folder}", "--set", f"imagenet-r={folder}"), 2, "given twice"),
        (("--set", f"spurious={folder}"), 3, "is no made set"),
    ):
        result = call(model, tmp_path / "out", *words)
        assert (result.exit_code, said in told(result)) == (code, True), told(result)
    with pytest.raises(DatasetError, match="none of the classes"):
        open_set("imagenet-r", folder, ("zebra fish", "mug of tea"))
    with pytest.raises(DatasetError, match="the model lacks 999"):
        open_set("din", din(tmp_path / "din", ["edge"]), ("tench",))
    whole = {str(n): -1 for n in range(1000)}
    for wrong in ({**whole, "0": 12}, {**whole, "1000": 1}, {"0": 1}, [0] * 1000):
        write_json(tmp_path / "in9" / "in_to_in9.json", wrong)
        with pytest.raises(DatasetError, match="does not map each of"):
            open_set("imagenet-9", tmp_path / "in9", WNIDS)


def test_classes_are_known_by_wnid_or_by_a_name_of_one_class_alone() -> None:
    assert classes_by_wnid(WNIDS) == {wnid: wnid for wnid in WNIDS}
    found = classes_by_wnid(("Ram", "tench, Tinca tinca", "crane", "egyptian_cat", "unicorn"))
    assert found == {"n02412080": "Ram", "n01440764": "tench, Tinca tinca",
                     "n02124075": "egyptian_cat"}  # fmt: skip


def test_pictures_that_do_not_count_are_counted(tmp_path: Path) -> None:
    folder = by_wnid(tmp_path / "set", [*WNIDS[:2], "n99999999"], 1)
    picture(folder / "loose.jpg", 3)
    (one,) = open_set("imagenet-r", folder, WNIDS)
    assert dict(one.left_out) == {"of classes that the model has not": 1,
                                  "in no folder of a class": 1}  # fmt: skip
    assert set(one.answers) == set(WNIDS[:2])
