"""Settings of recognition training: fractions, slips of 255, and what is refused by name."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partlab.config import SPEED, deciding, load_config
from partlab.errors import ConfigError
from train.settings import LARGE_EPS, TrainConfig


def with_(*overrides: str) -> TrainConfig:
    return load_config(TrainConfig, None, overrides)


@pytest.mark.parametrize("said", ["4/255", " 4 / 255 ", '"4/255"', str(4 / 255)])
def test_eps_may_be_a_fraction(said: str) -> None:
    assert with_(f"attack.eps={said}").attack.eps == 4 / 255


@given(st.integers(0, 50), st.integers(255, 1000))
def test_a_fraction_is_its_quotient(above: int, below: int) -> None:
    assert with_(f"attack.eps={above}/{below}").attack.eps == above / below


def test_the_step_size_may_be_a_fraction_or_nothing() -> None:
    assert with_("attack.step_size=1/255").attack.step_size == 1 / 255
    assert with_("attack.step_size=null").attack.step_size is None


@pytest.mark.parametrize("said", ["4/0", "four", "4/255/2", ""])
def test_what_is_no_number_is_refused(said: str) -> None:
    with pytest.raises(ConfigError, match=r"attack\.eps"):
        with_(f"attack.eps={said}")


@pytest.mark.parametrize("eps", ["4", "8", "1", "0.2"])
def test_a_slip_of_255_is_refused(eps: str) -> None:
    """RK-13: ε = 4 in place of 4/255 trains on grey noise for days."""
    with pytest.raises(ConfigError, match=f"write eps={eps}/255, or attack.large_eps=true"):
        with_(f"attack.eps={eps}")
    meant = with_(f"attack.eps={eps}", "attack.large_eps=true")
    assert meant.attack.eps == float(eps)


def test_below_the_limit_and_in_another_norm_eps_is_free() -> None:
    assert with_(f"attack.eps={LARGE_EPS - 1e-9}").attack.eps < LARGE_EPS
    assert with_("attack.eps=2", "attack.norm=l2").attack.eps == 2


@pytest.mark.parametrize(
    ("said", "near"),
    [
        ("attack.epz=4/255", "attack.eps"),
        ("train.epoch=3", "train.epochs"),
        ("part.weigth=3", "part.weight"),
        ("modle.kind=mpm", "model"),
    ],
)
def test_unknown_settings_suggest_near_ones(said: str, near: str) -> None:
    with pytest.raises(ConfigError, match="unknown setting") as error:
        with_(said)
    assert near in (error.value.hint or "")


@pytest.mark.parametrize(
    "said",
    [
        "model.levels=4",
        "model.levels=0",
        "attack.norm=l1",
        "attack.steps=0",
        "attack.eps=-0.01",
        "part.targets=pixels",
        "part.labels=pseudo",
        "part.smoothing=1",
        "data.size=8",
        "data.crop=none",
        "train.momentum=1",
        "train.lr=0",
        "train.optimizer=adam",
        "val.steps=0",
    ],
)
def test_impossible_values_are_refused_by_name(said: str) -> None:
    name = said.partition("=")[0]
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        with_(said)


def test_settings_of_speed_decide_no_weights() -> None:
    told = deciding(TrainConfig())
    assert "workers" not in told["train"]
    assert "checkpoint_steps" not in told["train"]
    assert "batch_size" not in told["val"]
    assert {"batch_size", "lr", "seed"} <= told["train"].keys()
    assert SPEED.what == "speed"


def test_settings_and_recipes_load_no_torch() -> None:
    code = "import sys, train.settings, train.recipes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("attack.norm=l2", "next to nothing under l2"),
        ("train.clip_norm=-1", "clip_norm"),
        ("data.scale=[1.0, 0.08]", "no range"),
        ("data.scale=[0.1, 2]", "no more than all"),
        ("data.ratio=[0, 1]", "no range"),
        ("data.shift=400", "more than half"),
        ("attack.clean_epochs=80", "leaves no epoch"),
    ],
)
def test_settings_that_make_no_sense(override, words) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        load_config(TrainConfig, None, [override])
    assert "Value error" not in told.value.message
