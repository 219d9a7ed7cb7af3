"""Do adversarial images of one model fool another, and more than its own do?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from partlab.errors import ConfigError
from train.attacks.ball import Ball
from train.attacks.evaluation import attack
from train.attacks.modes import as_evaluated
from train.honesty.checks import few
from train.honesty.finding import Finding


@dataclass(frozen=True, slots=True)
class Transfer:
    """What models make of each other's adversarial images.

    right: (M, M, B) bool; [a, b] tells where model b is right on what was made on model a, and
        right as the images are.
    clean: (M, B) bool: right on the images as they are.
    """

    names: tuple[str, ...]
    right: NDArray[np.bool_]
    clean: NDArray[np.bool_]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(M, M): row, the model attacked; column, the model asked; the diagonal is white-box."""
        shares: NDArray[np.float64] = self.right.mean(2)
        return shares

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of each model: the images that only another's attack breaks, as a share of all it had.

        An attack that knows the model cannot do worse than one that knows another, unless the
        model hides its gradient. Threshold: `few`, for each other model.
        """
        return tuple(self._finding(own) for own in range(len(self.names)))

    def _finding(self, own: int) -> Finding:
        stands = self.right[own, own]
        missed = [int((stands & ~self.right[a, own]).sum()) for a in range(len(self.names))]
        most = int(np.argmax(missed))
        name, other = self.names[own], self.names[most]
        had = max(int(self.clean[own].sum()), 1)
        return Finding.of(
            f"transfer:{name}",
            missed[most] / had,
            few(had),
            f"no attack made on another model breaks more of {name} than its own",
            f"images made on {other} break {missed[most]} images of {name} that the attack on "
            f"{name} itself does not: its gradient is hidden, and its robust accuracy an illusion",
        )

    def as_json(self) -> dict[str, Any]:
        """Accuracies and findings."""
        findings = [
            {
                "name": f.name,
                "ok": f.ok,
                "measured": f.measured,
                "threshold": f.threshold,
                "sentence": f.sentence,
            }
            for f in self.findings
        ]
        return {
            "models": list(self.names),
            "images": self.clean.shape[1],
            "clean": self.clean.mean(1).tolist(),
            "made_on_tried_on": self.accuracy.tolist(),
            "findings": findings,
        }


def transfer_matrix(
    victims: Mapping[str, nn.Module],
    images: Tensor,
    labels: Tensor,
    ball: Ball,
    *,
    steps: int = 20,
    seed: int = 0,
) -> Transfer:
    """Adversarial images made on each model by PGD, tried on every model.

    Every image is attacked, right or wrong: what a model is wrong on may still fool another.

    Args:
        victims: models of the same classes, by name, in evaluation mode.
        images: (B, 3, H, W) float in [0, 1].
        labels: (B,) integers.

    Raises:
        ConfigError: fewer than two models, no images, or as `train.attacks.evaluation.attack`.
    """
    if len(victims) < 2 or not len(images):
        raise ConfigError(
            f"a transfer matrix of {len(victims)} models on {len(images)} images",
            hint="name two models or more, and a split that has pictures",
        )
    clean = _right(victims, images, labels)
    rows = []
    for network in victims.values():
        found = attack(network, images, labels, ball, steps=steps, seed=seed)
        rows.append(_right(victims, found, labels) & clean)
    return Transfer(tuple(victims), np.stack(rows), clean)


def _right(victims: Mapping[str, nn.Module], images: Tensor, labels: Tensor) -> NDArray[np.bool_]:
    rows = []
    for network in victims.values():
        with as_evaluated(network), torch.no_grad():
            rows.append((network(images).argmax(1) == labels).cpu().numpy())
    return np.stack(rows)
