"""Settings that nothing reads: the table is true, and whoever sets one is told."""

from typing import Any

import pytest
import torch
from attack_networks import pictures, tiny
from torch.nn import functional as F

from train.attacks.methods import losses, methods, state_of
from train.attacks.situation import Situation
from train.recipes import changed, recipe
from train.settings import AttackConfig, TrainConfig
from train.unread import told, unread


class Watched:
    """Settings that remember which of them were read."""

    def __init__(self, config: AttackConfig) -> None:
        self.config, self.read = config, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self.config, name)


def read_by(method: str) -> set[str]:
    """The settings that one training step reads, and what comes after it."""
    network, (images, classes) = tiny(), pictures()
    config: Any = Watched(AttackConfig(method=method))
    state = state_of(config)

    def objective(outputs: Any) -> dict[str, torch.Tensor]:
        found = F.cross_entropy(outputs.logits, classes)
        return {"class": found, "part": outputs.parts[0].square().mean()}

    losses(Situation(network, network, images, classes, config, 1.0, 0.1, objective, state=state))
    if state:
        state.after(0)
    read: set[str] = config.read
    return read


@pytest.mark.parametrize("method", methods.names())
def test_the_table_is_what_the_methods_read(method: str) -> None:
    elsewhere = {"eps", "norm", "large_eps"}  # by the validation
    elsewhere |= {"replays"} if method == "free" else set()  # by the plan of an epoch
    idle = AttackConfig.model_fields.keys() - read_by(method) - elsewhere
    named = unread(TrainConfig(attack=AttackConfig(method=method)))
    assert {f"attack.{name}" for name in idle} == {n for n in named if n.startswith("attack.")}


def settings(name: str, *overrides: str, kind: str = "mpm") -> TrainConfig:
    return changed(recipe(name, kind=kind), overrides)


def test_what_was_set_and_is_not_read_is_told_once() -> None:
    overrides = ("attack.method=free", "attack.steps=7", "model.levels=1", "part.weight=2")
    (sentence,) = told(settings("small_at", *overrides, kind="vanilla"), "small_at", "code")
    assert sentence == (
        "model.levels, part.weight, attack.steps: not read with attack.method=free and "
        "model.kind=vanilla, so this changes nothing"
    )
    assert told(settings("small_at", *overrides[2:]), "small_at", "code") == []
    assert told(settings("pinpp_free"), "pinpp_free", "code") == []  # its own are not the user's


def test_a_variant_that_there_is_not() -> None:
    assert told(settings("small_at"), "small_at", "text") == [
        "small_at has one variant: --variant text changes nothing"
    ]
    assert told(recipe("pinpp_at", "text"), "pinpp_at", "text") == []
