"""AutoAttack on one batch of pictures, by the authors' package pyautoattack.

Attacks, parameters and random numbers are the package's; the loop over stages is here, because
the package's own asks five more forwards of every batch, switches off debuggers and coverage
(`sys.settrace`), and does not say which stage broke a picture. Verdicts are equal bit for bit
(tests/unit/train/test_evaluate_autoattack.py; robustness report A6).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from train.attacks.modes import attacked
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim

TARGETS = {"linf": 9, "l2": 9, "l1": 5}
"""Target classes of APGD-T in the standard version; FAB-T has 9."""
_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


class Found(NamedTuple):
    """What was found about each picture.

    points: (B, 3, H, W); the picture itself where nothing was found or it was wrong already.
    broken_by: name of the stage that broke it, "clean", or None.
    steps: how many it took, or None; nothing where the attack does not know.
    """

    points: Tensor
    broken_by: list[str | None]
    steps: Sequence[int | None] = ()


def autoattack(
    victim: Victim,
    images: Tensor,
    labels: Tensor,
    threat: Threat,
    stages: Sequence[str],
    *,
    batch: int,
    seed: int = 0,
) -> Found:
    """Each stage on the pictures that still stand, `batch` at a time: worst case by picture.

    Depends on seed, batch and the pictures given, as the package does (RK-06); torch's
    generators are afterwards as before.

    Args:
        images: (B, 3, H, W) float32 in 0…1, on the victim's device.
        labels: (B,) positions in the victim's classes.
    """
    points = images.clone()
    wrong = torch.cat([_errs(victim, x, y) for x, y in _batches(images, labels, batch)])
    broken: list[str | None] = ["clean" if each else None for each in wrong.tolist()]
    if threat.eps == 0:  # RK-12
        return Found(points, broken)
    with torch.random.fork_rng(), attacked(victim), torch.no_grad():
        searches = _searches(victim, threat, images.device, seed)
        for stage in stages:
            left = torch.tensor([n for n, by in enumerate(broken) if by is None])
            for own in torch.split(left, batch) if len(left) else ():
                at = own.to(images.device)
                found = searches[stage](images[at].clone(), labels[at].clone())
                threat.verify(found, images[at])
                errs = _errs(victim, found, labels[at])
                points[at[errs]] = found[errs]
                for n in own[errs.cpu()].tolist():
                    broken[n] = stage
    return Found(points, broken)


def targets(threat: Threat, classes: int) -> dict[str, int]:
    """How many target classes the targeted stages aim at: never more than there are (RK-01)."""
    others = classes - 1
    return {"apgd-t": min(TARGETS[threat.norm], others), "fab-t": min(9, others)}


def _batches(images: Tensor, labels: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(images, batch), torch.split(labels, batch), strict=True)


@torch.no_grad()
def _errs(victim: Victim, images: Tensor, labels: Tensor) -> Tensor:
    logits: Any = victim(images)
    return logits.argmax(1) != labels  # type: ignore[no-any-return]


Search = Callable[[Tensor, Tensor], Tensor]


def _searches(victim: Victim, threat: Threat, device: torch.device, seed: int) -> dict[str, Search]:
    """The package's stages with the parameters of its standard version."""
    from pyautoattack import AutoAttack

    logging.getLogger("auto-attack").setLevel(logging.WARNING)  # else it says what is usual
    suite = AutoAttack(victim, norm=_NORMS[threat.norm], eps=threat.eps, seed=seed, device=device)
    aims = targets(threat, len(victim.classes))
    suite.apgd_targeted.n_target_classes = aims["apgd-t"]
    suite.fab.n_target_classes = aims["fab-t"]

    def apgd(loss: str) -> Search:
        def search(images: Tensor, labels: Tensor) -> Tensor:
            suite.apgd.loss, suite.apgd.seed = loss, seed
            return suite.apgd.perturb(images, labels)  # type: ignore[no-any-return]

        return search

    def fab(targeted: bool) -> Search:
        def search(images: Tensor, labels: Tensor) -> Tensor:
            suite.fab.targeted, suite.fab.seed = targeted, seed
            return suite.fab.perturb(images, labels)  # type: ignore[no-any-return]

        return search

    return {
        "apgd-ce": apgd("ce"),
        "apgd-dlr": apgd("dlr"),
        "apgd-t": suite.apgd_targeted.perturb,
        "fab": fab(False),
        "fab-t": fab(True),
        "square": suite.square.perturb,
    }
