"""Training methods by name; listing them needs no torch.

A method is a function `Method(situation) -> losses by name`, whose sum the loop differentiates.
Other distributions add theirs through the entry-point group `partlab.attacks`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from partlab.registry import Registry
from train.settings import AttackConfig

if TYPE_CHECKING:
    from torch import Tensor

    from train.attacks.situation import Situation


class State(Protocol):
    """What a method keeps between steps; it is saved with the run, for each process."""

    def after(self, step: int) -> None:
        """The loop has moved the weights in this step."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What to save."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it up again."""
        ...


Method = Callable[["Situation"], "dict[str, Tensor]"]

methods = Registry("training method", "partlab.attacks")
methods.register("none", "train.attacks.standard:none")
methods.register("pgd", "train.attacks.standard:pgd")
methods.register("trades", "train.attacks.trades:trades")
methods.register("awp", "train.attacks.awp:awp")
methods.register("nfgsm", "train.attacks.nfgsm:nfgsm")
methods.register("free", "train.attacks.free:free")

states = Registry("state of a training method", "partlab.attack_states")
states.register("free", "train.attacks.free:FreeState")


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


def state_of(config: AttackConfig) -> "State | None":
    """What `config.method` keeps between the steps of one process; None for most."""
    if config.method not in states.names():
        return None
    made: State = states.get(config.method)(config)
    return made


def losses(situation: "Situation") -> "dict[str, Tensor]":
    """The step's losses by name, by the method in force."""
    return method_at(situation.config, situation.progress)(situation)
