"""Attacks through part outputs by name, in an evaluation (E-10)."""

from typing import Any

import pytest
import torch

from partlab.errors import ConfigError
from train.evaluate.attacks import parse_attack
from train.evaluate.chunk import Chunk, Manner, attacked_outcomes
from train.evaluate.preflight import passes, preflight
from train.evaluate.threats import Threat
from train.evaluate.victim import Victim
from train.honesty.adaptive import ADAPTIVE
from train.models.build import create_model

NAMES = ("bear", "cat", "dog", "eel")


def victim(kind: str = "mpm") -> Victim:
    torch.manual_seed(0)
    parts = {} if kind == "vanilla" else {"parts": 3, "levels": 2}
    model = create_model(f"{kind}_small_resnet8", classes=4, **parts)
    return Victim(model.eval(), NAMES)


def chunk(model: Victim, count: int = 6) -> Chunk:
    """Noise, which the model is right on by definition."""
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        targets = model(images).argmax(1)
    names = [f"{n}.png" for n in range(count)]
    return Chunk(range(count), names, [NAMES[n] for n in targets.tolist()], images, targets)


def outcomes(model: Victim, name: str, eps: float, seed: int = 0) -> Any:
    shown = chunk(model)
    return attacked_outcomes(
        model, shown, Threat("linf", eps), parse_attack(name), Manner(3, seed)
    ).table


def test_names_tell_aim_steps_and_restarts() -> None:
    found = parse_attack("pgd-seg-guided-20x5")
    assert (found.aim, found.steps, found.restarts) == ("pgd-seg-guided", 20, 5)
    assert found.name == "pgd-seg-guided-20x5"
    assert found.upper_bound
    assert not parse_attack("pgd-20").aim


@pytest.mark.parametrize("aim", ADAPTIVE)
def test_passes_are_those_that_were_counted(aim: str) -> None:  # RK-14
    model, count = victim(), [0]
    shown, threat = chunk(model), Threat("linf", 1e-7)
    model.register_forward_hook(lambda _, given, __: count.__setitem__(0, count[0] + len(given[0])))
    for name in (f"{aim}-4", f"{aim}-4x3"):
        count[0] = 0
        table = attacked_outcomes(model, shown, threat, parse_attack(name), Manner(3, 0)).table
        assert table["right"].to_pylist() == [True] * 6
        assert count[0] == 6 * passes(threat, parse_attack(name), 4)[0]


@pytest.mark.parametrize("aim", ADAPTIVE)
def test_they_break_and_say_so_and_repeat(aim: str) -> None:
    model = victim()
    table = outcomes(model, f"{aim}-6", 16 / 255)
    assert table.equals(outcomes(model, f"{aim}-6", 16 / 255))
    broken = [by for by in table["broken_by"].to_pylist() if by]
    assert broken
    assert set(broken) == {f"{aim}-6"}
    again = outcomes(model, f"{aim}-6x2", 16 / 255)
    pairs = zip(again["margin"].to_pylist(), table["margin"].to_pylist(), strict=True)
    assert all(more <= less + 1e-5 for more, less in pairs)  # the worst of two restarts
    assert not again["margin"].equals(table["margin"])


def test_models_without_part_outputs_are_refused() -> None:
    attack, threat = parse_attack("pgd-sum-20"), Threat("linf", 4 / 255)
    assert victim().has_parts
    attack.fits(threat, 4, parts=True)
    assert not victim("vanilla").has_parts
    with pytest.raises(ConfigError, match="pgd-sum-20 goes through part outputs") as told:
        attack.fits(threat, 4, parts=victim("vanilla").has_parts)
    assert "run folder" in str(told.value.hint)
    with pytest.raises(ConfigError, match="not l1"):
        attack.fits(Threat("l1", 75.0), 4, parts=True)


def test_the_estimate_is_of_all_outputs() -> None:
    model, asked = victim(), list[bool]()
    images, threat = chunk(model).images, Threat("linf", 4 / 255)
    model.register_forward_pre_hook(
        lambda _, __, given: asked.append(given.get("parts", False)), with_kwargs=True
    )
    preflight(model, images, {(threat, parse_attack("pgd-sum-4")): 6}, total=6)
    assert all(asked)
    asked.clear()
    preflight(model, images, {(threat, parse_attack("pgd-4")): 6}, total=6)
    assert not any(asked)
