"""What part outputs are asked, how much each picture counts, and what is told of a batch."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from train.losses import (
    Facts,
    Objective,
    ignored_label,
    image_weights,
    part_accuracy,
    part_labels,
)
from train.models.base import Outputs
from train.part_loss import part_loss
from train.pictures import HUMAN, PLAIN, PSEUDO
from train.settings import PartConfig

K, C = 5, 3


def maps(*rows: list[int]) -> Tensor:
    """Label maps of 2 x 2 pixels."""
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 2, 2)


def test_objects_and_foreground() -> None:
    labels, classes = maps([0, 1, 5, 6], [6, 6, 0, 2]), torch.tensor([2, 0])

    def asked(targets: Any) -> Tensor:
        return part_labels(labels, classes, targets=targets, parts=K, n_classes=C)

    assert torch.equal(asked("parts"), labels)
    assert torch.equal(asked("objects"), maps([0, 3, 3, 4], [4, 4, 0, 1]))
    assert torch.equal(asked("foreground"), maps([0, 1, 1, 2], [2, 2, 0, 1]))
    for targets, ignore in (("parts", 6), ("objects", 4), ("foreground", 2)):
        assert asked(targets).dtype == labels.dtype
        assert ignored_label(targets, parts=K, n_classes=C) == ignore  # type: ignore[arg-type]


def test_weights_of_images() -> None:
    """Human, pseudo, class-only; a blank crop, one ignored everywhere, one blank where known."""
    labels = maps([0, 1, 0, 0], [2, 0, 0, 6], [1, 1, 1, 1], [0] * 4, [6] * 4, [0, 6, 6, 0])
    sources = torch.tensor([HUMAN, PSEUDO, PLAIN, HUMAN, PSEUDO, HUMAN], dtype=torch.uint8)
    strict, lax = PartConfig(pseudo_weight=0.5), PartConfig(pseudo_weight=0.5, ignore_blank=False)
    assert image_weights(labels, sources, strict, 6).tolist() == [1, 0.5, 0, 0, 0, 0]
    assert image_weights(labels, sources, lax, 6).tolist() == [1, 0.5, 0, 1, 0, 1]
    assert image_weights(labels, sources, strict, 6).dtype == torch.float32


def logits_for(said: Tensor, channels: int) -> Tensor:
    """(B, channels, h, w) whose highest logits are at `said`."""
    return F.one_hot(said.long(), channels).permute(0, 3, 1, 2).float()


def test_accuracy_of_parts() -> None:
    labels = maps([0, 1, 2, 6], [3, 3, 0, 0])
    said = maps([0, 1, 0, 4], [3, 0, 0, 3])
    found = part_accuracy([logits_for(said, 6)], labels)
    assert [int(count) for count in found] == [4, 7, 2, 4]
    assert found.accuracy == pytest.approx(4 / 7)
    assert found.missed_share == 0.5


def test_accuracy_at_coarser_outputs() -> None:
    """A cell of four labels is right where none of them is more frequent than what was said."""
    cells = ([1, 1, 2, 6], [1, 1, 2, 2], [0, 0, 0, 4], [6, 6, 6, 6], [0, 6, 3, 6], [2, 0, 0, 2])
    said = torch.tensor([[1], [2], [4], [1], [0], [0]])[:, None]
    each = [
        part_accuracy([logits_for(one[None], 6)], maps(cell))
        for cell, one in zip(cells, said, strict=True)
    ]
    assert [int(found.right) for found in each] == [1, 1, 0, 0, 1, 1]
    assert [int(found.cells) for found in each] == [1, 1, 1, 0, 1, 1]
    assert [int(found.foreground) for found in each] == [1, 1, 0, 0, 0, 0]


def test_collapse_into_background_shows() -> None:
    labels = maps([0, 1, 2, 6], [3, 3, 0, 0])
    found = part_accuracy([logits_for(torch.zeros(2, 2, 2), 6)], labels)
    assert found.missed_share == 1
    assert found.accuracy == pytest.approx(3 / 7)


def objective(config: PartConfig, labels: Tensor, sources: list[int]) -> Objective:
    classes = torch.arange(len(labels)) % C
    return Objective(classes, labels, torch.tensor(sources), config, 0.1, K, C)


def outputs(images: int, channels: int, *, parts: bool = True) -> Outputs:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(images, C, generator=draw, requires_grad=True)
    if not parts:
        return Outputs(logits, ())
    sides = (4, 2)
    made = [torch.randn(images, channels, s, s, generator=draw).requires_grad_() for s in sides]
    return Outputs(logits, tuple(made))


@pytest.mark.parametrize("targets", ["parts", "objects", "foreground"])
def test_without_background_only_parts_are_asked(targets: Any) -> None:
    labels = torch.randint(0, K + 2, (4, 4, 4), generator=torch.Generator().manual_seed(1))
    before, sources = labels.clone(), [HUMAN] * 4
    whole = objective(PartConfig(targets=targets), labels, sources)
    asked = objective(PartConfig(targets=targets, background=False), labels, sources)
    expected = torch.where(whole.asked == 0, whole.ignore, whole.asked)
    assert torch.equal(asked.asked, expected)
    assert torch.equal(labels, before)
    given = outputs(4, whole.ignore)
    assert asked(given)["part"] != whole(given)["part"]


@pytest.mark.parametrize("targets", ["parts", "objects", "foreground"])
def test_objective_is_class_and_weighted_part_loss(targets: Any) -> None:
    labels = torch.randint(0, K + 2, (4, 4, 4), generator=torch.Generator().manual_seed(1))
    sources = [HUMAN, PSEUDO, PLAIN, HUMAN]
    config = PartConfig(targets=targets, weight=3.0, pseudo_weight=0.25, gamma=1.5, smoothing=0.2)
    asked = objective(config, labels, sources)
    given = outputs(4, ignored_label(targets, parts=K, n_classes=C))
    losses = asked(given)
    assert list(losses) == ["class", "part"]
    expected = F.cross_entropy(given.logits, asked.classes, label_smoothing=0.1)
    torch.testing.assert_close(losses["class"], expected)
    mapped = part_labels(labels, asked.classes, targets=targets, parts=K, n_classes=C)
    weights = torch.tensor([1, 0.25, 0, 1])
    part = part_loss(given.parts, mapped, weights, gamma=1.5, smoothing=0.2, shrink=config.shrink)
    torch.testing.assert_close(losses["part"], 3 * part.total)
    sum(losses.values(), torch.zeros(())).backward()
    assert all(z.grad is not None for z in (given.logits, *given.parts))
    facts = asked.seen.numbers()
    assert facts["part_human"] == pytest.approx(float(part.per_image[[0, 3]].mean()))
    assert facts["part_pseudo"] == pytest.approx(float(part.per_image[1]))
    cells = part_accuracy(given.parts, mapped)
    assert facts["part_accuracy"] == pytest.approx(float(cells.accuracy))
    assert facts["part_missed"] == pytest.approx(float(cells.missed_share))
    right = (given.logits.argmax(1) == asked.classes).float().mean()
    assert facts["class_accuracy"] == pytest.approx(float(right))


def test_models_without_part_outputs() -> None:
    """The loss is the class's alone, to the bit; the part keys change nothing (T-04)."""
    labels = torch.ones(4, 4, 4, dtype=torch.int32)
    one = objective(PartConfig(), labels, [HUMAN] * 4)
    other = objective(PartConfig(weight=9, gamma=0, targets="objects"), labels, [HUMAN] * 4)
    given = outputs(4, 0, parts=False)
    assert list(one(given)) == ["class"]
    assert torch.equal(one(given)["class"], other(given)["class"])
    assert set(one.seen.numbers()) == {"class_accuracy"}


def test_sources_that_are_not_there_are_left_out() -> None:
    """A batch without pseudo labels says nothing of them, rather than 0."""
    labels = torch.ones(2, 4, 4, dtype=torch.int32)
    labels[1] = 0  # blank: its loss of 'all background' is not one of a human label map
    asked = objective(PartConfig(), labels, [HUMAN, HUMAN])
    given = outputs(2, K + 1)
    losses = asked(given)
    alone = part_loss(
        given.parts, labels, torch.tensor([1.0, 0]), gamma=2.0, smoothing=0.1, shrink="centre"
    )
    torch.testing.assert_close(losses["part"], alone.total)
    assert asked.seen.numbers()["part_human"] == pytest.approx(float(alone.per_image[0]))
    assert "part_pseudo" not in asked.seen.numbers()


def test_facts_hold_no_graph() -> None:
    """Otherwise the activations of a step would live until the next."""
    asked = objective(PartConfig(), torch.ones(2, 4, 4, dtype=torch.int32), [HUMAN, PSEUDO])
    asked(outputs(2, K + 1))
    assert not any(x.requires_grad for pair in asked.seen.sums.values() for x in pair)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_facts_add_up(pairs: list[tuple[int, int]]) -> None:
    """Means over batches of different sizes are those over all of their pictures."""
    total = Facts({})
    for found, of in pairs:
        total = total + Facts({"a": (torch.tensor(found), torch.tensor(of))})
    found, of = (sum(each) for each in zip(*pairs, strict=True))
    assert total.numbers() == ({"a": pytest.approx(found / of)} if of else {})
    assert (total + Facts({"b": (torch.tensor(1.0), torch.tensor(2))})).numbers()["b"] == 0.5
