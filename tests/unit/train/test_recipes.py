"""Recipes: what they promise of the paper, and that text and code disagree where the guide says."""

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from partlab.config import load_config
from partlab.errors import ConfigError, UnknownNameError
from train.attacks.pgd import step_size
from train.recipes import RECIPES, changed, described, differences, flat, recipe
from train.settings import TrainConfig

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "training.md"
OURS = ("small_at", "light_at")
VARIANTS = ("code", "text")
every_recipe = pytest.mark.parametrize("name", RECIPES)
both = pytest.mark.parametrize("variant", VARIANTS)


def unlike(one: TrainConfig, other: TrainConfig) -> dict[str, tuple[Any, Any]]:
    a, b = flat(one), flat(other)
    return {key: (a[key], b[key]) for key in a if a[key] != b[key]}


@every_recipe
@both
def test_mpm_is_trained_as_vanilla_is(name: str, variant: str) -> None:
    """T-04: nothing but the kind of model differs, so a gain is the model's."""
    mpm, vanilla = (recipe(name, variant, kind=kind) for kind in ("mpm", "vanilla"))
    assert unlike(mpm, vanilla) == {"model.kind": ("mpm", "vanilla")}


@every_recipe
@both
def test_a_recipe_goes_through_json_and_back(name: str, variant: str, tmp_path: Path) -> None:
    made = recipe(name, variant)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(made.model_dump(mode="json"), allow_nan=False), encoding="utf-8")
    assert load_config(TrainConfig, file) == made
    again = [f"{key}={json.dumps(value)}" for key, value in flat(made).items()]
    assert changed(TrainConfig(), again) == made  # as --set takes them


@both
def test_two_steps_of_pgd_are_as_long_as_the_ball(variant: str) -> None:
    """T-01: s = 2 ε / t, so with t = 2 a step is ε."""
    attack = recipe("pinpp_at", variant).attack
    assert (attack.steps, attack.norm, attack.random_start) == (2, "linf", True)
    assert attack.eps == pytest.approx(4 / 255)
    assert step_size(attack, 10.0) == pytest.approx(attack.eps)
    assert step_size(attack.model_copy(update={"steps": 8}), 10.0) == pytest.approx(attack.eps / 4)


@both
def test_appendix_f(variant: str) -> None:
    """T-02: what text and code say alike."""
    made = recipe("pinpp_at", variant)
    train = made.train
    assert (train.optimizer, train.lr, train.lr_batch, train.momentum) == ("sgd", 0.2, 512, 0.9)
    assert (train.weight_decay, train.epochs, train.smoothing) == (1e-4, 80, 0.1)
    assert (train.ema, train.batch_size * 8) == (0.9998, 512)
    assert (made.data.size, made.data.flip, made.data.crop) == (224, 0.5, "resized")
    assert (made.data.scale, made.data.ratio) == ((0.08, 1.0), (3 / 4, 4 / 3))
    assert (made.model.weights, made.model.gelu, made.model.levels) == ("timm", True, 3)
    assert (made.part.weight, made.part.gamma, made.part.targets) == (1.0, 2.0, "parts")
    assert made.attack.method == "pgd"


def test_appendix_f_where_only_the_code_says_so() -> None:
    made = recipe("pinpp_at", "code")
    assert (made.train.min_lr, made.train.warmup_epochs, made.train.warmup_lr) == (0.01, 2, 1e-3)
    assert not made.train.warmup_prefix
    assert (made.train.nesterov, made.data.jitter, made.part.smoothing) == (True, 0.1, 0.1)
    assert [step_size(made.attack, epoch) / made.attack.eps for epoch in (0, 1, 2)] == [0, 0.5, 1]
    text = recipe("pinpp_at", "text")
    assert (text.train.min_lr, text.train.warmup_epochs, text.train.nesterov) == (0, 0, False)
    assert step_size(text.attack, 0) == pytest.approx(text.attack.eps)


CHANGES = {
    "pinpp_init": {"attack.method": "none", "train.epochs": 1, "train.frozen_backbone": True,
                   "train.ema": 0.0},
    "pinpp_standard": {"attack.method": "none", "train.epochs": 100, "model.weights": "none",
                       "train.min_lr": 1e-3},
    "pin_at_8": {"attack.eps": 8 / 255},
    "tiny_pinpp": {"model.backbone": "resnext50_32x4d.tv2_in1k"},
    "two_stage": {"model.kind": "two_stage"},
    "sv1": {"model.levels": 1},
    "sv2": {"model.levels": 2},
    "no_top_down": {"model.top_down": False},
    "object_masks": {"part.targets": "objects"},
    "foreground_masks": {"part.targets": "foreground"},
    "human_labels": {"part.labels": "human"},
    "human_masks_10": {"part.human_share": 0.1},
    "no_background": {"part.background": False},
    "tiny_lambda_0.3": {"part.weight": 0.3},
    "tiny_lambda_1": {},
    "tiny_lambda_3": {"part.weight": 3.0},
    "tiny_lambda_10": {"part.weight": 10.0},
    "pinpp_trades": {"attack.method": "trades"},
    "pinpp_awp": {"attack.method": "awp"},
    "pinpp_free": {"attack.method": "free", "attack.warmup_epochs": 0, "train.epochs": 20},
    "pinpp_nfgsm": {"attack.method": "nfgsm"},
    "standard_then_at": {"attack.clean_epochs": 40},
}  # fmt: skip


@every_recipe
def test_an_ablation_changes_what_it_says_and_nothing_else(name: str) -> None:
    if name in ("pinpp_at", "sitawarin_at", *OURS):
        assert name not in CHANGES
        return
    found = unlike(recipe("pinpp_at"), recipe(name))
    assert {key: new for key, (_, new) in found.items()} == CHANGES[name]


def test_small_and_light_differ_in_pictures_and_network_alone() -> None:
    found = unlike(recipe("small_at"), recipe("light_at"))
    assert {key.split(".")[0] for key in found} == {"model", "attack", "data", "train"}
    for name in OURS:
        made = recipe(name)
        assert made.attack.warmup_epochs == made.train.epochs / 2
    assert (recipe("light_at").model.weights, recipe("light_at").data.size) == ("package", 128)
    for name in OURS:
        assert differences(name) == {}


def test_settings_of_the_older_paper() -> None:
    """T-07, T-08: 50 clean epochs, then 50 with PGD-10 at 8/255."""
    for variant, share in (("code", 1.25), ("text", 2.0)):
        made = recipe("sitawarin_at", variant)
        assert (made.attack.clean_epochs, made.train.epochs, made.attack.steps) == (50, 100, 10)
        assert step_size(made.attack, 60.0) == pytest.approx(share * 8 / 255 / 10)
        assert (made.train.weight_decay, made.train.lr, made.train.amp) == (5e-4, 0.1, "off")


def test_unknown_recipes_suggest_near_ones() -> None:
    with pytest.raises(UnknownNameError) as error:
        recipe("pinpp_ta")
    assert "pinpp_at" in (error.value.hint or "")
    with pytest.raises(ConfigError, match="no variant 'paper'") as other:
        recipe("pinpp_at", "paper")
    assert "code and text" in (other.value.hint or "")


@every_recipe
def test_every_recipe_says_what_it_is(name: str) -> None:
    about = described(name, settings=True)
    assert about["about"]
    assert re.match(r"PIN\+\+ |Hingun 2023|Sitawarin 2023|ours$", about["where"])
    assert not re.search(r"\b[A-Z]{1,3}-?\d\d\b", about["where"])  # ids of our own requirements
    assert about["settings"] == flat(recipe(name))
    assert about["differences"] == differences(name)


ROW = re.compile(r"^\| `([a-z_.]+)` \| (\S+) \| (\S+) \| (.+?) \| .+ \|$", re.MULTILINE)


def value(cell: str) -> Any:
    """`1/255`, `0.1`, `true`, `null` or a word, as --set takes it."""
    try:
        return float(Fraction(cell))
    except ValueError:
        return {"true": True, "false": False, "null": None}.get(cell, cell)


def meant(cell: str) -> set[str]:
    """The recipes that a cell of the guide's table names."""
    named = set(re.findall(r"`([\w.]+)`", cell))
    if not cell.startswith("PIN++'s"):
        return named
    return set(RECIPES) - {"sitawarin_at", *OURS} - named


def test_the_guides_table_is_where_text_and_code_disagree() -> None:
    told: dict[tuple[str, str], tuple[Any, Any]] = {}
    for setting, text, code, names in ROW.findall(GUIDE.read_text(encoding="utf-8")):
        for name in meant(names):
            assert (name, setting) not in told, f"the guide has {setting} of {name} twice"
            told[name, setting] = (value(text), value(code))
    found = {(name, key): each for name in RECIPES for key, each in differences(name).items()}
    assert told.keys() == found.keys()
    wrong = {key: (told[key], found[key]) for key in told if not _same(told[key], found[key])}
    assert wrong == {}


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return all(a is b or a == pytest.approx(b) for a, b in zip(one, other, strict=True))
