"""Hingun's detector models: sizes of the paper, what is read, gradients, what can be dropped."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from train.models.berkeley.detector import Detected, targets_of
from train.models.build import create_model
from train.models.vanilla import Vanilla

pytest.importorskip("transformers")

CLASSES, PARTS = ("cat", "dog"), ("cat:head", "cat:tail", "dog:head")
SMALL = {"queries": 6, "layers": 1, "width": 16, "denoising": 4}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def pictures(number: int = 3) -> Tensor:
    return torch.rand(number, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def labels() -> Tensor:
    found = torch.zeros(3, 64, 64, dtype=torch.int32)
    found[0, 10:30, 10:30], found[1, 5:25, 30:60], found[2] = 1, 3, 4
    return found


def tiny(kind: str, **detector: object):  # type: ignore[no-untyped-def]
    options = {"detector": {**SMALL, **detector}, "size": 64}
    return create_model(f"{kind}_small_resnet8", classes=CLASSES, parts=PARTS, **options)


@pytest.mark.parametrize(
    ("kind", "queries", "layers", "published", "within"),
    [
        ("seq", 900, 6, 49.5, 0.02),
        ("seq", 100, 6, 47.0, 0.02),
        ("2heads", 900, 6, 46.9, 0.02),
        ("2heads", 100, 6, 46.7, 0.02),
        # RT-DETRv2's encoder keeps its convolutions with one layer, DINO's has none:
        ("seq", 100, 1, 32.8, 0.15),
        ("seq", 900, 1, 35.4, 0.15),
        # Table 2.2's DINO alone; the two-headed model's classifier is 0.02 M:
        ("2heads", 900, 6, 46.6, 0.02),
        ("2heads", 100, 6, 46.4, 0.02),
        ("2heads", 900, 1, 32.7, 0.15),
        ("2heads", 100, 1, 32.5, 0.15),
    ],
)
def test_as_many_parameters_as_published(kind, queries, layers, published, within) -> None:
    """Hingun 2023 Tables 2.2 and 2.3, on PartImageNet's 40 parts and 11 classes."""
    classes = [f"object {number}" for number in range(11)]
    parts = [f"object {number % 11}:part {number}" for number in range(40)]
    asked = {"queries": queries, "layers": layers}
    model = create_model(
        f"{kind}_resnet50", classes=classes, parts=parts, size=224, gelu=False, detector=asked
    )
    counted = sum(each.numel() for each in model.parameters()) / 1e6
    assert counted == pytest.approx(published, rel=within)


@pytest.mark.parametrize("kind", ["seq", "2heads"])
@pytest.mark.parametrize("known", [[True, True, True], [True, False, False], [False] * 3])
def test_every_weight_learns_whatever_is_known(kind, known) -> None:
    model = tiny(kind)
    model.expect(labels(), torch.tensor(known))
    outputs = model(pictures(), parts=True)
    (outputs.logits.square().sum() + outputs.losses["boxes"]).backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []
    assert outputs.losses["boxes"].item() > 0 or not any(known)
    assert model.eval()(pictures(), parts=True).losses == {}


@pytest.mark.parametrize("kind", ["seq", "2heads"])
def test_the_class_loss_reaches_the_picture_through_the_detector(kind) -> None:
    """Attacks need it. Of an untrained RT-DETRv2 it is small: its last layers begin near 0."""
    images = pictures().requires_grad_()
    F.cross_entropy(tiny(kind).train()(images), torch.tensor([0, 1, 0])).backward()
    assert images.grad is not None
    assert (images.grad.abs().amax(1) > 0).float().mean() > 0.9


@pytest.mark.parametrize("softmax", ["parts", "queries"])
def test_the_two_readings_of_the_softmax(softmax) -> None:
    """The released code has it over the queries; each part is then one share over them."""
    model = tiny("seq", softmax=softmax).eval()
    read = []
    model.judge.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    logits = torch.randn(2, 6, 3)
    model.classified(Detected(logits, torch.rand(2, 6, 4), None))
    shares = read[0][:, :, :3]
    assert torch.allclose(shares.sum(2 if softmax == "parts" else 1), torch.ones(1))
    assert read[0].shape == (2, 6, 3 + 4)  # MD-13: (parts + 4) x queries


@pytest.mark.parametrize("layers", [1, 2])
def test_no_weight_stands_in_a_file_twice(layers) -> None:
    state = tiny("seq", layers=layers).state_dict()
    places = [each.data_ptr() for each in state.values() if each.numel()]
    assert len(set(places)) == len(places)


def test_without_the_detector_the_class_is_the_same() -> None:
    """X-12: what is left is a plain network."""
    model = tiny("2heads").eval()
    plain = model.plain()
    with torch.no_grad():
        assert torch.equal(plain(pictures()), model(pictures()))
        assert torch.equal(plain(pictures()), model(pictures(), parts=True).logits)
    assert isinstance(plain, Vanilla)
    assert not any("detector" in name for name in plain.state_dict())


def test_boxes_to_learn_are_those_of_the_label_map() -> None:
    first, second, third = targets_of(labels(), ignore=4)
    assert first["class_labels"].tolist() == [0]
    assert first["boxes"][0].tolist() == pytest.approx([20 / 64, 20 / 64, 20 / 64, 20 / 64])
    assert second["class_labels"].tolist() == [2]
    assert len(third["boxes"]) == 0
