"""AutoAttack's figures for a robust network on real digits, against those of its authors' code.

The authors' own code gave 68, 84 and 60 percent on 50 pictures (seed 0) for a network of three
convolutions with BatchNorm and GELU, adversarially trained on the digits of scikit-learn. Its
weights are not to be had, so the network is trained anew here; another draw of it may differ by
what 50 pictures allow: twice the standard error is 13 points, and as the authors' figures are of
50 pictures too, more of ours would not make it less. PGD's are of 397; there four networks of this
training (seeds 0 to 3) show how far it may be off. That flags and points are the
package's own, bit for bit, is tests/unit/train/test_evaluate_autoattack.py's.
"""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.attacks.ball import Ball
from train.attacks.evaluation import attack
from train.attacks.pgd import pgd
from train.evaluate.attacks import AUTOATTACK
from train.evaluate.autoattack import autoattack
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim

pytestmark = pytest.mark.slow
TRAINED, SHOWN, EPS, EPOCHS, BATCH = 1400, 50, 0.15, 40, 128


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """(1797, 1, 8, 8) float in 0…1 and labels, shuffled."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(found.images / 16, dtype=torch.float32)[:, None]
    return images[order], torch.tensor(found.target)[order]


@pytest.fixture(scope="module")
def network(digits: tuple[Tensor, Tensor]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return trained(*(each[:TRAINED] for each in digits))


def layer(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.GELU()]


def trained(images: Tensor, labels: Tensor) -> nn.Module:
    """PGD-7 adversarial training of 15,498 weights."""
    network = nn.Sequential(
        *layer(1, 16, 1), *layer(16, 32, 2), *layer(32, 32, 2), nn.Flatten(), nn.Linear(128, 10)
    )
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for some in torch.randperm(len(images)).split(BATCH):
            step(network, images[some], labels[some])
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return network.eval()


def step(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    def loss(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")

    points = pgd(
        network.eval(), images, loss, norm="linf", eps=EPS, steps=7, step_size=EPS / 3
    )  # fmt: skip
    loss(network.train()(points)).mean().backward()


def test_clean_and_pgd_accuracy(network: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    """The authors' network: 98.99 clean; 91.7, 76.8 and 44.3 under PGD-20; 397 pictures.

    Ours, seeds 0 to 3: 92.9 ± 0.4, 81.5 ± 0.7 and 54.2 ± 2.8. So this training is not quite theirs,
    which tells more the larger ε is: the bands are what was seen, and two standard errors of it.
    """
    images, labels = (each[TRAINED:] for each in digits)
    with torch.no_grad():
        clean = (network(images).argmax(1) == labels).float().mean()
    assert clean > 0.97
    for eps, golden, band in ((0.1, 0.917, 0.04), (0.15, 0.768, 0.09), (0.2, 0.443, 0.15)):
        points = attack(network, images, labels, Ball("linf", eps, large_eps=True), steps=20)
        with torch.no_grad():
            robust = (network(points).argmax(1) == labels).float().mean()
        assert float(robust) == pytest.approx(golden, abs=band)


@pytest.mark.parametrize(
    ("threat", "golden"),
    [(Threat("linf", 0.15), 0.68), (Threat("l2", 0.45), 0.84), (Threat("l1", 1.0), 0.60)],
    ids=lambda each: each.name if isinstance(each, Threat) else "",
)
def test_autoattack_reaches_the_authors_figures(
    network: nn.Module, digits: tuple[Tensor, Tensor], threat: Threat, golden: float
) -> None:
    images, labels = (each[TRAINED : TRAINED + SHOWN] for each in digits)
    victim = Victim(network, [str(digit) for digit in range(10)])
    found = autoattack(victim, images, labels, threat, AUTOATTACK, batch=SHOWN, seed=0)
    left = [
        sum(by is None or by in AUTOATTACK[number:] for by in found.broken_by) / SHOWN
        for number in range(len(AUTOATTACK) + 1)
    ]
    assert left[-1] == pytest.approx(golden, abs=0.13)
    assert all(after <= before for before, after in pairwise(left))
    assert "square" not in found.broken_by  # as with the authors' network: FAB is the last to tell
