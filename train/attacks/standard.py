"""Training without attack, and plain adversarial training."""

from torch import Tensor

from train.attacks.situation import Situation


def none(situation: Situation) -> dict[str, Tensor]:
    """Standard training: the objective on the images as they are (T-03)."""
    return situation.objective(situation.outputs(situation.images))


def pgd(situation: Situation) -> dict[str, Tensor]:
    """Madry et al. (2018): the objective on attacked images only (T-01)."""
    return situation.objective(situation.outputs(situation.adversarial()))
