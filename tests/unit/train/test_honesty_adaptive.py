"""Attacks on part outputs (E-10), and what models make of each other's adversarial images."""

import json

import pytest
import torch
from attack_networks import assert_same, state_of_everything
from honesty_networks import EPS, honest, pictures, planted
from torch import nn
from torch.nn import functional as F

from partlab.errors import ConfigError, UnknownNameError
from train.attacks.ball import Ball
from train.honesty.adaptive import ADAPTIVE, _goals, _known, _part_loss, worst_of
from train.honesty.transfer import transfer_matrix
from train.honesty.watched import Watched, margin
from train.models.base import Outputs
from train.models.build import create_model
from train.part_loss import part_loss

BALL = Ball("linf", EPS)


def maps_of(labels, side=12):
    """Part 1 or 2 on the left half, by class, and part 3 on the right."""
    maps = torch.full((len(labels), side, side), 3)
    maps[:, :, : side // 2] = (1 + labels % 2)[:, None, None]
    return maps


@pytest.fixture(scope="module", params=["mpm", "two_stage"])
def part_model(request):
    """Trained for a second on class and parts."""
    torch.manual_seed(0)
    model = create_model(f"{request.param}_small_resnet8", classes=4, parts=3, levels=2).train()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for step in range(40):
        images, labels = pictures(48, seed=step)
        outputs = model(images, parts=True)
        parts = part_loss(
            outputs.parts, maps_of(labels), torch.ones(48), gamma=0, smoothing=0, shrink="centre"
        )
        loss = F.cross_entropy(outputs.logits, labels) + parts.total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("name", ADAPTIVE)
def test_every_attack_finds_errors_and_leaves_all_as_it_was(part_model, name: str) -> None:
    images, labels = pictures(24, seed=99)
    before, state = state_of_everything(part_model), torch.get_rng_state()
    found = [
        ADAPTIVE[name](part_model, images, labels, maps, BALL, 6, seed)
        for maps, seed in ((maps_of(labels), 0), (maps_of(labels), 0), (None, 1))
    ]
    assert_same(state_of_everything(part_model), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    with torch.no_grad():
        clean = margin(part_model(images), labels)
        noise = margin(part_model(BALL.start(images, torch.Generator().manual_seed(0))), labels)
        worst = [margin(part_model(each), labels) for each in (found[0], found[2])]
    for each, margins in zip((found[0], found[2]), worst, strict=True):
        BALL.verify(each, images)
        assert (margins > 0).sum() < (clean > 0).sum()
        assert margins.mean() < noise.mean() - 0.3


def test_what_is_reported_is_the_worst_of_all(part_model) -> None:
    images, labels = pictures(24, seed=99)
    worst, right = worst_of(part_model, images, labels, maps_of(labels), BALL, 6)
    assert list(right) == list(ADAPTIVE)
    with torch.no_grad():
        still = part_model(worst).argmax(1) == labels
    together = torch.stack(list(right.values())).all(0)
    assert torch.equal(still, together)
    assert all(still.sum() <= each.sum() for each in right.values())


class NoClassGradient(nn.Module):
    """A part model whose class is too sure to have a gradient."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, images, *, parts=False):
        outputs = self.model(images, parts=True)
        logits = outputs.logits * 1e5
        return Outputs(logits, outputs.parts) if parts else logits


def test_the_parts_show_the_way_where_the_class_hides_it(part_model) -> None:
    images, labels = pictures(32, seed=99)
    hidden = NoClassGradient(part_model).eval()
    _, right = worst_of(hidden, images, labels, maps_of(labels), Ball("linf", 2 * EPS), 8)
    by_class = int(right["pgd-cls"].sum())
    assert by_class >= int(right["pgd-seg"].sum()) + 3
    assert by_class >= int(right["pgd-sum"].sum()) + 3
    assert by_class >= int(right["pgd-seg-guided"].sum()) + 3


def test_each_image_has_its_own_part_loss_and_gradient(part_model) -> None:
    images, labels = pictures(5)
    images.requires_grad_()
    aim = _part_loss(maps_of(labels))
    losses = aim(part_model(images, parts=True))
    (together,) = torch.autograd.grad(losses.sum(), images)
    for n in range(5):
        alone = _part_loss(maps_of(labels[n : n + 1]))(part_model(images[n : n + 1], parts=True))
        (own,) = torch.autograd.grad(alone.sum(), images)
        torch.testing.assert_close(alone[0], losses[n])
        torch.testing.assert_close(own[n], together[n], rtol=1e-3, atol=1e-6)


def test_goals_are_maps_of_the_likeliest_other_class(part_model) -> None:
    images, labels = pictures(16, seed=5)
    known = maps_of(labels)
    goals, sign = _goals(part_model, images, labels, known)
    assert (sign == -1).all()
    with torch.no_grad():
        logits = part_model(images)
    for n in range(16):
        others = [int(c) for c in labels.unique() if c != labels[n]]
        likeliest = max(others, key=lambda c: float(logits[n, c]))
        assert torch.equal(goals[n], maps_of(torch.tensor([likeliest]))[0])
    same = labels == labels[0]
    goals, sign = _goals(part_model, images[same], labels[same], known[same])
    assert (sign == 1).all()
    assert torch.equal(goals, known[same])


def test_predicted_parts_stand_in_for_missing_maps(part_model) -> None:
    images, _ = pictures(4)
    with torch.no_grad():
        finest = part_model(images, parts=True).parts[0]
    maps = _known(part_model, images, None)
    step = maps.shape[1] // finest.shape[2]
    assert torch.equal(maps[:, ::step, ::step], finest.argmax(1))
    assert maps.shape[1] % part_model(images, parts=True).parts[-1].shape[2] == 0


def test_mistakes_are_told() -> None:
    images, labels = pictures(2)
    with pytest.raises(ConfigError, match="no part outputs"):
        worst_of(honest(), images, labels, None, BALL, 2, names=["pgd-seg"])
    with pytest.raises(UnknownNameError, match="pgd-sge"):
        worst_of(honest(), images, labels, None, BALL, 2, names=["pgd-sge"])
    with pytest.raises(ConfigError, match="no adaptive attack"):
        worst_of(honest(), images, labels, None, BALL, 2, names=[])


def test_a_watched_network_keeps_the_worst_of_each_image() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False)).eval()
    network[1].weight.data = torch.tensor([[1.0, 1, 1], [0, 0, 0]])
    images, labels = torch.full((2, 3, 1, 1), 0.5), torch.tensor([0, 1])
    watched = Watched(network, images, labels)
    for shade in (0.5, 0.2, 0.9):
        watched(torch.full((2, 3, 1, 1), shade))
    assert watched.worst[:, 0, 0, 0].tolist() == pytest.approx([0.2, 0.9])
    assert watched.margins.tolist() == pytest.approx([0.6, -2.7])
    assert watched.right.tolist() == [True, False]


# Transfer


def test_hidden_gradients_are_told_by_transfer() -> None:
    """Images made on an honest network break the hidden one, whose own attack does nothing."""
    images, labels = pictures(40, seed=7)
    victims = {
        "standard": honest(),
        "robust": honest(eps=EPS),
        "hidden": planted("quantised input"),
    }
    found = transfer_matrix(victims, images, labels, Ball("linf", 2 * EPS), steps=8)
    assert found.accuracy.shape == (3, 3)
    assert [each.ok for each in found.findings] == [True, True, False]
    assert found.findings[2].sentence.startswith("images made on standard break")
    assert found.accuracy[0, 0] < found.accuracy[1, 0]  # the white box is worst
    for made, attacked in enumerate(victims.values()):
        assert found.accuracy[made, made] <= found.clean[made].mean()
        with torch.no_grad():
            assert (attacked(images).argmax(1) == labels).tolist() == found.clean[made].tolist()
    said = json.loads(json.dumps(found.as_json()))
    assert said["models"] == list(victims)
    assert said["images"] == 40
    assert said["made_on_tried_on"][0][2] == found.accuracy[0, 2]
    assert said["findings"][2]["ok"] is False


def test_a_matrix_needs_two_models_and_images() -> None:
    images, labels = pictures(4)
    with pytest.raises(ConfigError, match="1 models on 4 images"):
        transfer_matrix({"one": honest()}, images, labels, BALL)
    with pytest.raises(ConfigError, match="2 models on 0 images"):
        transfer_matrix({"a": honest(), "b": honest()}, images[:0], labels[:0], BALL)
