"""What a teacher makes of pseudo labels, and the strong changes a student sees."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from partlab.parts import Parts
from segmenter.data import Batch
from segmenter.dense.lesson import taught
from segmenter.dense.network import DenseNetwork
from segmenter.dense.settings import DenseModelConfig
from segmenter.strong import strong
from segmenter.teacher import Teacher, teacher_of

PARTS = Parts.of(["car:door", "car:wheel", "car:mirror"], {"car": {"mirror": "door"}})
TINY = DenseModelConfig(weights="none", channels=16, width=16, image_size=64)


def _network(*bias: float) -> DenseNetwork:
    """Says the same of every pixel: logits of the background, door, wheel and mirror."""
    network = DenseNetwork(PARTS, TINY).eval()
    with torch.no_grad():
        network.weight.zero_()
        network.bias[:] = torch.tensor(bias)
    return network


def _target() -> dict[str, torch.Tensor]:
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, :, :32] = 1  # door
    masks[1, 8:16, 8:16] = 1  # mirror in it
    unsure = torch.zeros(64, 64, dtype=torch.bool)
    unsure[:8, 40:48] = True
    return {"masks": masks, "labels": torch.tensor([1, 3]), "unsure": unsure}


def _taught(network: DenseNetwork, sure: float) -> dict[str, torch.Tensor]:
    (found,) = taught(network, torch.zeros(1, 3, 64, 64), [_target()], sure)
    return found


@torch.no_grad()
def test_where_store_and_teacher_differ_only_a_sure_teacher_counts() -> None:
    door = _network(0.0, 3.0, 0.0, 0.0)  # says door everywhere, at 0.91
    sure, unsure = _taught(door, 0.9), _taught(door, 0.95)
    assert sure["labels"].tolist() == unsure["labels"].tolist() == [1, 3]
    assert sure["masks"][0].all()
    assert not sure["unsure"].any()  # and fills what the store says nothing of
    assert torch.equal(unsure["masks"][0], _target()["masks"][0])
    assert unsure["unsure"][:, 32:].all()
    assert not unsure["unsure"][:, :32].any()


@torch.no_grad()
def test_parts_in_others_stay_the_stores_and_new_parts_get_their_label() -> None:
    wheel = _taught(_network(0.0, 0.0, 9.0, -9.0), 0.9)
    assert wheel["labels"].tolist() == [2, 3]
    assert torch.equal(wheel["masks"][1], _target()["masks"][1])


@torch.no_grad()
def test_where_nothing_is_left_to_say_all_is_ignored() -> None:
    torn = _taught(_network(0.0, -1.0, 1.0, 0.0), 0.9)  # wheel at 0.67, nowhere the store's
    assert torn["labels"].tolist() == [3]
    assert torn["unsure"].all()


def test_only_pseudo_labels_are_corrected_by_the_mean_of_the_students_weights() -> None:
    network = torch.nn.Linear(1, 1)
    seen: list[Any] = []

    def teach(found: Any, pictures: torch.Tensor, targets: Any, sure: float) -> Any:
        seen.append((float(found.weight.detach()), pictures.shape, list(targets), sure))
        return ["taught"] * len(targets)

    student: Any = SimpleNamespace(
        network=network, device=torch.device("cpu"), normalised=torch.Tensor.float
    )
    teacher = Teacher(student, teach, 0.75, 0.8)
    for value in (1.0, 3.0):
        with torch.no_grad():
            network.weight.fill_(value)
        teacher.follow(0)
    targets: Any = ["person", "store"]
    plain = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    teacher.correct(Batch(plain, [(8, 8)], [], [1], plain), targets)
    assert targets == ["person", "taught"]
    assert seen == [(1.5, plain.shape, ["store"], 0.8)]
    teacher.correct(Batch(plain, [(8, 8)], []), targets)
    assert len(seen) == 1


def test_a_teacher_is_there_by_itself_and_can_be_left_out() -> None:
    student: Any = SimpleNamespace(network=torch.nn.Linear(1, 1))
    settings: Any = SimpleNamespace(teacher=None, teacher_sure=0.9)
    assert teacher_of(student, taught, settings) is not None
    assert teacher_of(student, None, settings) is None
    settings.teacher = 0.0
    assert teacher_of(student, taught, settings) is None


def test_strong_changes_follow_from_the_generator_and_leave_the_original() -> None:
    picture = torch.from_numpy(
        np.random.default_rng(0).integers(0, 255, (3, 40, 60), dtype=np.uint8)
    )
    before = picture.clone()
    each = [strong(picture, np.random.default_rng(seed)) for seed in range(12)]
    again = [strong(picture, np.random.default_rng(seed)) for seed in range(12)]
    assert all(torch.equal(a, b) for a, b in zip(each, again, strict=True))
    assert all(one.shape == picture.shape and one.dtype == torch.uint8 for one in each)
    assert not any(torch.equal(one, picture) for one in each)
    assert torch.equal(picture, before)
    cut = [(one == 127).all(0) for one in each]
    assert any(6 * 4 <= int(mask.sum()) <= 14 * 20 for mask in cut)
