"""Detectors on a recognition model's backbone: boxes, network, attacks, Free-AT, runs (G-05)."""

import json
import logging
import math
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import tiny_detection
import tiny_recognition
import torch
from safetensors.torch import load_file, save_file
from tiny_detection import BALL, fresh, learnt, planted, train
from tiny_recognition import DiesAt, Stopped
from torchvision.models.detection.faster_rcnn import FasterRCNN

from partlab.coco import read_dataset, write_coco
from partlab.errors import (
    ConfigError,
    DatasetError,
    NotFoundError,
    OutputExistsError,
    PartlabError,
    SchemaError,
    UnknownNameError,
)
from partlab.masks import decode
from partlab.progress import listening
from partlab.schema import Annotation, Category, Dataset, Image
from partlab.training.runs import read_metrics
from train.attacks.free import FreeState
from train.detection import fit as fitting
from train.detection.attack import ATTACKS, Shown, attack, losses_of
from train.detection.body import Body
from train.detection.boxes import boxed, with_rectangles
from train.detection.evaluate import Manner, evaluate_detector
from train.detection.fit import RAISED, Trainer, make_optimizer, rate
from train.detection.network import soft_clipped
from train.detection.runs import load_detector
from train.detection.settings import DetectorTrain, recipe
from train.detection.train import detector_settings
from train.export import export_model
from train.settings import AttackConfig


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A world of cats and rams, a recognition run, its export, and a detector of each kind."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("detection")
    tiny_recognition.world(folder / "world")
    tiny_recognition.train(folder / "world", folder / "mpm", "train.epochs=1", "train.ema=0")
    export_model(folder / "mpm", folder / "model")
    train(folder / "model", folder / "world", folder / "free")
    return folder


# What is to be found


def _dataset(parts: list[tuple[str, list[int], int | None]], crowd: bool = False) -> Dataset:
    """One picture of 40 x 40 with parts "object:part" as boxes x, y, w, h with an object_id."""
    names = list(dict.fromkeys(name for name, _, _ in parts))
    categories = [Category.new(10 + n, *name.split(":")) for n, name in enumerate(names)]
    annotations = []
    for n, (name, (x, y, w, h), owner) in enumerate(parts):
        corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        said = {} if owner is None else {"object_id": owner}
        annotations.append(Annotation.new(n + 1, 1, 10 + names.index(name), corners, **said))
    if crowd:
        annotations[-1] = annotations[-1].changed(iscrowd=1)
    return Dataset([Image.new(1, "a.png", (40, 40))], annotations, categories)


def test_an_object_is_the_box_about_its_parts() -> None:
    parts = [("cat:head", [2, 4, 6, 6], 1), ("cat:tail", [20, 10, 4, 8], 1)]
    found = boxed(_dataset([*parts, ("cat:head", [30, 30, 5, 5], 2)]), "objects")
    assert [a.bbox for a in found.annotations] == [[2, 4, 22, 14], [30, 30, 5, 5]]
    assert [a.area for a in found.annotations] == [36 + 32, 25]
    assert [c.name for c in found.categories] == ["cat:cat"]


def test_parts_are_boxes_of_their_own() -> None:
    parts = [("cat:head", [2, 4, 6, 6], 1), ("cat:tail", [20, 10, 4, 8], 1)]
    found = boxed(_dataset(parts), "parts")
    assert [c.name for c in found.categories] == ["cat:head", "cat:tail"]
    assert [a.bbox for a in found.annotations] == [[2, 4, 6, 6], [20, 10, 4, 8]]


def test_classes_are_numbered_as_the_detector_does() -> None:
    parts = [("ram:head", [2, 4, 6, 6], 1), ("yak:head", [20, 10, 4, 8], 2)]
    found = boxed(_dataset(parts), "objects", ["cat", "ram"])
    assert {c.id: c.object for c in found.categories} == {1: "cat", 2: "ram", 3: "yak"}
    assert [a.category_id for a in found.annotations] == [2, 3]


def test_parts_of_nobody_are_one_object_and_said(caplog) -> None:
    parts = [("cat:head", [2, 4, 6, 6], None), ("cat:head", [30, 30, 5, 5], None)]
    with caplog.at_level(logging.WARNING):
        found = boxed(_dataset(parts), "objects")
    assert [a.bbox for a in found.annotations] == [[2, 4, 33, 31]]
    assert "1 object is told only by the picture" in caplog.text


def test_crowd_regions_are_no_objects() -> None:
    parts = [("cat:head", [2, 4, 6, 6], 1), ("cat:head", [20, 10, 4, 8], 1)]
    found = boxed(_dataset(parts, crowd=True), "objects")
    assert [a.iscrowd for a in found.annotations] == [0, 1]


def test_boxes_without_masks_will_do() -> None:
    data = _dataset([("cat:cat", [2, 4, 6, 6], 1)])
    bare = Annotation.new(9, 1, 10, [], bbox=[10.0, 12.0, 5.0, 7.0])
    none = Annotation.new(10, 1, 10, [], bbox=[10.0, 12.0, 0.0, 7.0])
    both = Dataset(data.images, [*data.annotations, bare, none], data.categories)
    found = boxed(with_rectangles(both), "parts")
    assert [a.bbox for a in found.annotations] == [[2, 4, 6, 6], [10, 12, 5, 7]]


def test_the_worlds_objects_are_its_individuals(place: Path) -> None:
    data = read_dataset(place / "world", "train")
    found = boxed(data, "objects")
    people = {(a.image_id, a.object_id) for a in data.annotations}
    assert len(found.annotations) == len(people) > len(data.images)
    for each in found.annotations:
        rows, columns = np.nonzero(decode(each.segmentation))
        x, y, w, h = each.bbox
        assert (x, y, x + w - 1, y + h - 1) == (
            columns.min(), rows.min(), columns.max(), rows.max()
        )  # fmt: skip


# The network


@pytest.mark.parametrize("model", ["model", "mpm"])
def test_the_backbone_is_the_models_tensor_by_tensor(place: Path, model: str) -> None:
    exported = load_file(place / "model" / "model.safetensors")
    wanted = {k.removeprefix("backbone."): v for k, v in exported.items() if ".fc." not in k}
    wanted = {k: v for k, v in wanted.items() if not k.startswith("normalise.")}
    detector = fresh(place / model)
    got = detector.pyramid.body.network.state_dict()
    assert got.keys() == wanted.keys()
    assert len(got) > 30
    for name, value in got.items():
        assert torch.equal(value, wanted[name]), name
    mean = exported["normalise.mean"]
    assert torch.equal(detector.normalise.mean, mean)


def test_its_features_are_the_models(place: Path) -> None:
    from train.models.load import load_model

    model, detector = load_model(place / "model", device="cpu"), fresh(place / "model").eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, maps = model.maps(model.normalise(images))
        ours = detector.pyramid.body(detector.normalise(images))
    assert [list(each.shape[1:]) for each in ours] == [[16, 16, 16], [32, 8, 8], [64, 4, 4]]
    for got, wanted in zip(ours, maps, strict=True):
        assert torch.equal(got, wanted)


def test_equal_to_torchvisions_faster_rcnn() -> None:
    """Losses, gradients and detections, with the same weights and the same lots."""
    detector = learnt(10)
    detector.roi_heads.clip = None
    shown = planted(2)

    class Backbone(torch.nn.Module):
        out_channels = detector.pyramid.channels

        def forward(self, pixels):
            return detector.pyramid(pixels)

    heads, rpn = detector.roi_heads, detector.rpn
    theirs = FasterRCNN(
        Backbone(), rpn_anchor_generator=rpn.anchor_generator, rpn_head=rpn.head,
        box_roi_pool=heads.box_roi_pool, box_head=heads.box_head,
        box_predictor=heads.box_predictor, image_mean=detector.normalise.mean.flatten().tolist(),
        image_std=detector.normalise.std.flatten().tolist(), min_size=64, max_size=64,
        _skip_resize=True, box_batch_size_per_image=16,
        rpn_pre_nms_top_n_train=40, rpn_pre_nms_top_n_test=40,
        rpn_post_nms_top_n_train=20, rpn_post_nms_top_n_test=20,
    )  # fmt: skip
    torch.manual_seed(5)
    ours = detector(*shown)
    theirs.train()
    detector.eval()
    torch.manual_seed(5)
    wanted = theirs(list(shown.images), shown.targets)
    for a, b in [("objectness", "loss_objectness"), ("proposal_box", "loss_rpn_box_reg"),
                 ("classifier", "loss_classifier"), ("box", "loss_box_reg")]:  # fmt: skip
        assert ours[a].item() == pytest.approx(wanted[b].item(), rel=1e-5), a
        assert ours[a].item() > 0
    theirs.eval()
    with torch.no_grad():
        there = theirs(list(shown.images))
    here = detector.find(shown.images, shown.sizes)
    assert sum(len(each["boxes"]) for each in here) > 0
    for mine, other in zip(here, there, strict=True):
        for name in ("boxes", "labels", "scores"):
            assert torch.allclose(mine[name].float(), other[name].float(), atol=1e-4), name


def test_norms_and_first_layers_stay_where_weights_came_with_the_backbone(place: Path) -> None:
    model = tiny_detection.MODEL.model_copy(update={"frozen_stride": 4})
    for source, kept in ((place / "model", True), ("small_resnet8", False)):
        detector = fresh(source, model).train()
        body = detector.pyramid.body.network
        before = {name: value.clone() for name, value in body.state_dict().items()}
        optimizer = make_optimizer(detector, DetectorTrain(lr=1e-2))
        for _ in range(3):
            optimizer.zero_grad()
            torch.stack(list(detector(*planted()).values())).sum().backward()
            optimizer.step()
        moved = {n for n, v in body.state_dict().items() if not torch.equal(v, before[n])}
        assert ("bn1.running_mean" in moved) is not kept
        assert ("layer3.0.bn1.running_mean" in moved) is not kept
        assert ("conv1.weight" in moved) is not kept
        assert ("layer2.0.conv1.weight" in moved) is not kept  # stride 4 in this network
        assert "layer3.0.conv1.weight" in moved
        assert "layer3.0.bn1.weight" in moved


def test_padding_says_nothing() -> None:
    detector, shown = learnt(5), planted(2, side=48)
    noisy = shown.images.clone()
    noisy[:, :, 48:] = 1
    torch.manual_seed(0)
    before = detector(*shown)
    torch.manual_seed(0)
    point = noisy.requires_grad_()
    after = detector(point, shown.sizes, shown.targets)
    assert {k: v.item() for k, v in before.items()} == {k: v.item() for k, v in after.items()}
    (slope,) = torch.autograd.grad(torch.stack(list(after.values())).sum(), point)
    assert slope[:, :, 48:].abs().max() == 0
    assert slope[:, :, :48, :48].abs().max() > 0


def test_soft_clipping_keeps_the_direction() -> None:
    losses = torch.tensor([0.0, -0.0, 2.0, 6.0, 24.0, 1e30], requires_grad=True)
    clipped = soft_clipped(losses, 6.0)
    assert clipped.tolist() == pytest.approx([0, 0, 2, 6, 6, 6])
    clipped.sum().backward()
    assert losses.grad.tolist() == pytest.approx([1, 1, 1, 1, 0.25, 0], abs=1e-6)
    assert soft_clipped(losses, None) is losses


def test_the_learning_rate_is_li_and_others() -> None:
    config = recipe("coco").train
    rates = [rate(step, 600, config) for step in (0, 125, 499, 500, 599)]
    assert rates == pytest.approx([1e-7, 1e-4, 1e-4, 1e-5, 1e-5])
    detector = fresh()
    groups = make_optimizer(detector, config).param_groups
    assert {(g["factor"], g["weight_decay"]) for g in groups} == {
        (0.1, 0.1), (0.1, 0.0), (1.0, 0.1), (1.0, 0.0)
    }  # fmt: skip
    assert all((p.ndim > 1) == (g["weight_decay"] > 0) for g in groups for p in g["params"])
    assert sum(len(g["params"]) for g in groups) == len(list(detector.parameters()))


# Attacks


@pytest.fixture(scope="module")
def clever():
    return learnt()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_raises_its_own_losses(clever, name: str) -> None:
    """Each loss it names, on boxes that are known: a flipped sign would lower it."""
    shown = planted(4)
    found = attack(clever, shown, name, BALL, steps=10, seed=0)
    before, after = (losses_of(clever, shown, each) for each in (shown.images, found))
    total = [sum(float(each[one]) for one in ATTACKS[name]) for each in (before, after)]
    assert total[1] > 1.2 * total[0], (before, after)


def test_each_attack_raises_its_own_loss_most(clever) -> None:
    shown = planted(4)
    after = {n: losses_of(clever, shown, attack(clever, shown, n, BALL)) for n in ("cls", "reg")}
    assert after["cls"]["classifier"] > after["reg"]["classifier"]
    assert after["reg"]["box"] > after["cls"]["box"]


def test_attacked_pictures_stay_in_the_ball_and_in_colours(clever) -> None:
    shown = planted(2, side=48)
    found = attack(clever, shown, "cls", BALL, steps=7, step_size=3 / 255)
    away = (found - shown.images).abs()
    assert away.max() == pytest.approx(4 / 255, abs=1e-6)
    assert away.max() <= 4 / 255 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert away[:, :, 48:].max() == away[:, :, :, 48:].max() == 0  # padding


def test_an_attack_leaves_everything_as_it_was(place: Path) -> None:
    """Trap 1: modes, statistics, gradients and generators; and it draws the same lots again."""
    detector, shown = fresh(place / "model").train(), planted(2)
    modes = [module.training for module in detector.modules()]
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    first = attack(detector, shown, "reg", BALL, steps=3, seed=1, first=8)
    assert torch.equal(torch.rand(3), wanted)
    assert [module.training for module in detector.modules()] == modes
    assert all(torch.equal(v, before[n]) for n, v in detector.state_dict().items())
    assert all(parameter.grad is None for parameter in detector.parameters())
    again = attack(detector, shown, "reg", BALL, steps=3, seed=1, first=8)
    assert torch.equal(first, again)


def test_pictures_that_show_nothing_are_attacked_in_class_alone(clever) -> None:
    images, sizes, targets = planted(2)
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    empty = Shown(images, sizes, [{**each, **none} for each in targets])
    assert torch.equal(attack(clever, empty, "reg", BALL, steps=2), images)
    away = (attack(clever, empty, "cls", BALL, steps=2) - images).abs()
    assert away.max() == pytest.approx(2 / 255, abs=1e-6)


def test_pictures_that_are_not_finite_are_refused(clever) -> None:
    images, sizes, targets = planted(1)
    images[0, 0, 5, 5] = float("nan")
    with pytest.raises(PartlabError, match="an attack left its ball"):
        attack(clever, Shown(images, sizes, targets), "cls", BALL, steps=2)


def test_what_makes_no_sense_is_told_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match="eps 4 is the whole range") as told:
        Manner(eps=4)
    assert told.value.hint == "4/255? Else say large_eps=True"
    with pytest.raises(UnknownNameError, match="unknown attack on a detector 'clss'"):
        Manner(attacks=("clss",))
    with pytest.raises(ConfigError, match="0 steps"):
        Manner(steps=0)
    with pytest.raises(ConfigError, match="step size nan"):
        Manner(step_size=math.nan)
    for said, why in [
        ("attack.eps=4", "eps 4 is the whole range"),
        ("attack.method=pgd", "'pgd' is none of a detector's: free, or none"),
        ("attack.norm=l2 attack.eps=2", "within linf"),
    ]:
        with pytest.raises(ConfigError, match=why):
            detector_settings("small", None, said.split())
    with pytest.raises(UnknownNameError, match="recipe of a detector 'smal'"):
        recipe("smal")


# Free adversarial training


def test_the_perturbation_follows_the_heads_losses(place: Path) -> None:
    """Against the definition: noise + ε sign(gradient of class and box losses), in the ball."""
    detector, shown = fresh(place / "model").train(), planted(2)
    config = AttackConfig(method="free")
    state = FreeState(config)
    trainer = Trainer(detector, 2, torch.device("cpu"), state)
    pixels = (shown.images * 255).round().byte()

    class Batch:
        sizes, targets = shown.sizes, shown.targets

    Batch.pixels = pixels
    images, noise = pixels.float() / 255, torch.zeros_like(shown.images)
    for number in range(3):
        torch.manual_seed(number)
        point = noise.clone().requires_grad_()
        wanted = detector((images + point).clamp(0, 1), shown.sizes, shown.targets)
        (slope,) = torch.autograd.grad(wanted["classifier"] + wanted["box"], point)
        torch.manual_seed(number)
        losses = trainer.step(Batch, number)
        assert {k: v.item() for k, v in losses.items()} == {k: v.item() for k, v in wanted.items()}
        torch.stack(list(losses.values())).sum().backward()
        state.after(number)
        noise = (noise + config.eps * slope.sign()).clamp(-config.eps, config.eps)
        assert torch.equal(state.noise, noise)
    assert noise.abs().max() == pytest.approx(config.eps)
    assert RAISED == ("classifier", "box")


def test_every_batch_is_shown_as_often_as_asked(place: Path, tmp_path: Path, monkeypatch) -> None:
    seen: list[bytes] = []
    step = Trainer.step

    def watched(self, batch, number):
        seen.append(batch.pixels.numpy().tobytes())
        return step(self, batch, number)

    monkeypatch.setattr(Trainer, "step", watched)
    counts = {}
    for method, replays in (("free", 3), ("none", 3)):
        seen.clear()
        words = f"attack.method={method}", f"attack.replays={replays}", "train.val_images=0"
        train(place / "model", place / "world", tmp_path / method, *words)
        counts[method] = len(seen)
        if method == "free":
            assert all(len(set(seen[at : at + 3])) == 1 for at in range(0, len(seen), 3))
        assert read_metrics(tmp_path / method)[-1]["step"] == len(seen)
    assert counts == {"free": 15, "none": 5}  # 18 pictures, 4 at once


# Runs


def test_a_killed_run_ends_as_one_that_was_not(place: Path, tmp_path: Path) -> None:
    with listening(DiesAt(8)), pytest.raises(Stopped):
        train(place / "model", place / "world", tmp_path / "free")
    train(place / "model", place / "world", tmp_path / "free")
    for name in ("last", "best"):
        there = load_file(place / "free" / f"{name}.safetensors")
        here = load_file(tmp_path / "free" / f"{name}.safetensors")
        assert all(torch.equal(here[key], value) for key, value in there.items())
    whole, resumed = ([m["step"] for m in read_metrics(f / "free")] for f in (place, tmp_path))
    assert whole == resumed


def test_a_run_says_what_it_is_and_refuses_to_be_another(place: Path, tmp_path: Path) -> None:
    config = json.loads((place / "free" / "config.json").read_text("utf-8"))
    assert config["kind"] == "detector"
    assert config["classes"] == ["cat", "ram"]
    assert config["backbone"]["name"] == "small_resnet8"
    assert config["backbone"]["gelu"] is True
    assert len(config["backbone"]["sha256"]) == 64
    with pytest.raises(OutputExistsError, match=r"attack\.replays"):
        train(place / "model", place / "world", place / "free", "attack.replays=2")
    with pytest.raises(OutputExistsError, match="another backbone"):
        train("small_resnet8", place / "world", place / "free")


def test_a_loaded_detector_is_the_trained_one(place: Path) -> None:
    detector = load_detector(place / "free", device="cpu")
    saved = load_file(place / "free" / "last.safetensors")
    assert all(torch.equal(detector.state_dict()[key], value) for key, value in saved.items())
    assert not detector.training
    acts = {type(m).__name__ for m in detector.pyramid.body.modules()}
    assert "GELU" in acts
    assert "ReLU" not in acts


def test_others_weights_by_card_are_a_start(place: Path, tmp_path: Path) -> None:
    exported = load_file(place / "model" / "model.safetensors")
    state = {k.removeprefix("backbone."): v for k, v in exported.items() if "normalise" not in k}
    card = {"foreign": 1, "architecture": "small_resnet8", "weights": "w.safetensors", "size": 32,
            "classes": ["cat", "ram"], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.2],
            "gelu": True}  # fmt: skip
    save_file(state, tmp_path / "w.safetensors")
    (tmp_path / "card.json").write_text(json.dumps(card))
    detector = fresh(tmp_path)
    assert torch.equal(detector.pyramid.body.network.conv1.weight, state["conv1.weight"])
    assert detector.normalise.mean.flatten().tolist() == pytest.approx([0.5, 0.4, 0.3])


def test_models_and_data_of_another_kind(place: Path, tmp_path: Path) -> None:
    world = place / "world"
    with pytest.raises(SchemaError, match="another kind: recognition, not detector"):
        evaluate_detector(place / "mpm", world, tmp_path / "out")
    with pytest.raises(SchemaError, match="another kind: detector, not recognition"):
        train(place / "free", world, tmp_path / "run")
    with pytest.raises(NotFoundError, match="neither a run, nor an exported model") as told:
        train("resnet5O", world, tmp_path / "run")
    assert "resnet50" in told.value.hint
    with pytest.raises(NotFoundError, match="is not a detector's run"):
        evaluate_detector(tmp_path, world, tmp_path / "out")
    with pytest.raises(ConfigError, match="one size only"):
        train("swin_tiny_patch4_window7_224", world, tmp_path / "run")
    with pytest.raises(ConfigError, match="no two feature maps at stride 16"):
        Body(tiny_detection.opened()[1], "small_resnet8", 16)


def test_data_without_boxes(place: Path, tmp_path: Path) -> None:
    data = read_dataset(place / "world", "train")
    write_coco(Dataset(data.images, [], data.categories, top=data.top), tmp_path / "bare.json")
    for call in (
        lambda: train(place / "model", tmp_path / "bare.json", tmp_path / "run"),
        lambda: evaluate_detector(place / "free", tmp_path / "bare.json", tmp_path / "out",
                                  split="bare"),
    ):  # fmt: skip
        with pytest.raises(DatasetError, match="has no masks to measure against"):
            call()
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_diverging_training_ends_with_one_sentence(
    place: Path, tmp_path: Path, monkeypatch
) -> None:
    step = Trainer.step
    broken = lambda self, batch, n: {k: v * math.nan for k, v in step(self, batch, n).items()}  # noqa: E731
    monkeypatch.setattr(fitting.Trainer, "step", broken)
    with pytest.raises(PartlabError, match="five steps in a row without a finite gradient"):
        train(place / "model", place / "world", tmp_path / "run")


# Evaluation


def test_figures_are_those_of_pycocotools(place: Path, tmp_path: Path) -> None:
    """On planted detections: true boxes, some moved, some of the other class."""
    import contextlib
    import io

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = boxed(read_dataset(place / "world", "train"), "objects")
    random = np.random.default_rng(0)
    found = [
        {"image_id": a.image_id, "category_id": a.category_id if random.random() < 0.8 else 1,
         "bbox": (np.array(a.bbox) + random.normal(0, 2, 4).clip(-3, 3)).tolist(),
         "score": float(random.random())}
        for a in chain(truth.annotations, truth.annotations)
    ]  # fmt: skip
    _plant(place / "free", tmp_path, found)
    record = evaluate_detector(
        place / "free", place / "world", tmp_path, split="train", manner=Manner(attacks=()),
        device="cpu", chunk=1000,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [i.raw for i in truth.images],
            "annotations": [a.raw for a in truth.annotations],
            "categories": [{"id": c.id, "name": c.name} for c in truth.categories],
        }
        coco.createIndex()
        measured = COCOeval(coco, coco.loadRes(found), "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    (row,) = record["rows"]
    assert 0.05 < row["ap"] < 0.95
    assert [row["ap"], row["ap50"], row["ap75"]] == pytest.approx(measured.stats[:3], abs=1e-6)


def _plant(run: Path, out: Path, found: list[dict]) -> None:
    """An evaluation that has already found all this."""
    part = {"results": found, "losses": [], "seconds": 0.0}
    (out / "parts").mkdir(parents=True)
    (out / "parts" / "0000000-clean.json").write_text(json.dumps(part))


def test_evaluation_goes_on_where_it_was_killed(place: Path, tmp_path: Path) -> None:
    class Dies(DiesAt):
        def track(self, items, what, total=None):
            for number, item in enumerate(items):
                if what == "attacking" and number == 4:
                    raise Stopped
                yield item

    given = {"manner": Manner(steps=2, batch=2), "split": "train", "device": "cpu", "chunk": 4}
    run, world = place / "free", place / "world"
    whole = evaluate_detector(run, world, tmp_path / "whole", **given)
    with listening(Dies(0)), pytest.raises(Stopped):
        evaluate_detector(run, world, tmp_path / "cut", **given)
    assert len(list((tmp_path / "cut" / "parts").glob("*.json"))) == 4
    again = evaluate_detector(run, world, tmp_path / "cut", **given)
    seen = [[{k: v for k, v in row.items() if k != "seconds"} for row in each["rows"]]
            for each in (whole, again)]  # fmt: skip
    assert seen[0] == seen[1]
    assert [row["attack"] for row in whole["rows"]] == ["clean", "cls", "reg"]
    assert all(row["loss"]["after"] > row["loss"]["before"] for row in whole["rows"][1:])
    with pytest.raises(ConfigError, match="begun with another steps: 2, now 3"):
        evaluate_detector(
            run, world, tmp_path / "cut", **{**given, "manner": Manner(steps=3, batch=2)}
        )


def test_classes_that_it_does_not_know_count_and_are_named(place: Path, tmp_path: Path) -> None:
    data = read_dataset(place / "world", "val")
    names = {c.id: c for c in data.categories}
    other = [Category.new(id, "yak", c.part) if c.object == "ram" else c for id, c in names.items()]
    file = tmp_path / "val.json"
    top = {"partlab": {"images": str(place / "world" / "images")}}
    write_coco(Dataset(data.images, data.annotations, other, top=top), file)
    record = evaluate_detector(
        place / "free", file, tmp_path / "out", split="val", manner=Manner(("cls",), steps=1),
        device="cpu",
    )  # fmt: skip
    assert record["data"]["unknown_classes"] == ["yak:yak"]
    assert record["rows"][0]["per_class"]["yak:yak"] == 0
    strange = [Category.new(c.id, "yak" + c.object, c.part) for c in other]
    write_coco(Dataset(data.images, data.annotations, strange, top=top), file)
    with pytest.raises(DatasetError, match="none of the 2 classes that this detector knows"):
        evaluate_detector(place / "free", file, tmp_path / "out2", split="val")
