"""Training methods by name; listing them needs no torch.

A method is a function `Method(situation) -> losses by name`, whose sum the loop differentiates.
Other distributions add theirs through the entry-point group `partlab.attacks`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from partlab.registry import Registry
from train.settings import AttackConfig

if TYPE_CHECKING:
    from torch import Tensor

    from train.attacks.situation import Situation

Method = Callable[["Situation"], "dict[str, Tensor]"]

methods = Registry("training method", "partlab.attacks")
methods.register("none", "train.attacks.standard:none")
methods.register("pgd", "train.attacks.standard:pgd")


def method_name(config: AttackConfig, progress: float) -> str:
    """Which method is in force after `progress` epochs.

    Standard-then-adversarial training (T-07) is any method with `clean_epochs`: `none` until
    they are done.
    """
    return "none" if progress < config.clean_epochs else config.method


def method_at(config: AttackConfig, progress: float) -> Method:
    """The method in force after `progress` epochs.

    Raises:
        UnknownNameError: nobody registered `config.method`.
    """
    methods.get(config.method)  # a slip is told at the first step, not after the clean epochs
    return methods.get(method_name(config, progress))


def losses(situation: "Situation") -> "dict[str, Tensor]":
    """The step's losses by name, by the method in force."""
    return method_at(situation.config, situation.progress)(situation)
