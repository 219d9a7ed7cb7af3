"""Names of Berkeley's experiments: round trip, what they set, and what is refused by name."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partlab.errors import ConfigError
from train.experiments import MODELS, NOT_HERE, SEGTYPES, Experiment, parse_experiment, tell
from train.recipes import changed, recipe
from train.settings import TrainConfig


def settings(name: str) -> TrainConfig:
    return changed(recipe("sitawarin_at"), parse_experiment(name).overrides())


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    model = draw(st.sampled_from(sorted(MODELS)))
    known = MODELS[model]
    words = draw(st.lists(st.sampled_from(sorted(known.words)), unique=True)) if known.words else []
    return Experiment(
        draw(st.sampled_from(sorted(SEGTYPES))),
        model,
        draw(st.integers(1, 99)) if known.number else None,
        tuple(words[:1] if model == "pixel" else words),  # one way to count pixels
        known.drops == "none" or draw(st.booleans()),
        draw(st.booleans()),
    )


@given(experiments())
def test_a_name_and_what_it_says_are_the_same(experiment: Experiment) -> None:
    assert parse_experiment(str(experiment)) == experiment
    changed(recipe("sitawarin_at"), experiment.overrides())  # each is a setting there is


def test_the_example_of_the_paper() -> None:
    found = settings("part-pooling-4-no_bg-semi")
    assert (found.model.kind, found.model.reads.pool) == ("pooling", 4)
    assert found.model.reads.background is False
    assert (found.part.targets, found.part.share) == ("parts", 0.5)
    assert found.attack.clean_epochs == 50  # the recipe's


@pytest.mark.parametrize("spelling", ["no_bg", "nobg"])
def test_either_spelling_drops_the_background(spelling, caplog) -> None:
    """N-04: the released code looked for `nobg`, so `-no_bg` did nothing."""
    name = f"part-pooling-4-{spelling}-semi"
    assert settings(name).model.reads.background is False
    with caplog.at_level(logging.INFO):
        tell(parse_experiment(name), name)
    assert "does not read the background" in caplog.text
    assert str(parse_experiment(name)) == "part-pooling-4-no_bg-semi"


def test_words_that_change_nothing_are_told(caplog) -> None:
    tell(parse_experiment("part-wbbox-no_bg"), "part-wbbox-no_bg")
    assert "no_bg changes nothing" in caplog.text
    assert "add -semi" in caplog.text


@pytest.mark.parametrize(
    ("name", "targets"), [("part", "parts"), ("object", "objects"), ("fg", "foreground")]
)
def test_the_first_word_says_which_masks(name, targets) -> None:
    assert settings(f"{name}-2heads_e-semi").part.targets == targets


def test_without_semi_the_class_alone_is_learnt() -> None:
    assert settings("part-pooling-4").part.share == 0.0


def test_normal_is_the_plain_classifier() -> None:
    for name in ("normal", "part-normal", "fg-normal"):
        assert settings(name).model.kind == "vanilla"


@pytest.mark.parametrize(
    ("name", "says", "near"),
    [
        ("part-poolng-4", "poolng", "pooling"),
        ("prt-pooling-4", "prt", "part"),
        ("part-wbbox-norm_imgs", "norm_imgs", "norm_img"),
        ("part-pooling-4-sem", "sem", "semi"),
        ("part-pooling-4-no_bgs", "no_bgs", "no_bg"),
        ("part-pooling", "to what size", "pooling-4"),
        ("part-pooling-0", "to what size", "pooling-4"),
        ("part-pooling-semi", "to what size", "pooling-4"),
        ("part-pooling-4-semi-no_bg", "wrong place", "SEGTYPE"),
        ("part-pooling-4-bn-bn", "twice", "once"),
        ("part-pixel-logits_mask-softmax_mask", "both", "one"),
        ("part-pixel-logits_mask-hard", "both", "one"),
        ("part-pooling-4-centroid", "centroid", "semi"),
        ("part-sim-1layers", "1layers", "1layer"),
        ("part-2heads_e-no_bg", "does not read", "no_bg"),
        ("part", "names no model", "pooling"),
        ("", "unknown word", "part"),
        ("part--4", "unknown word", "pooling"),
    ],
)
def test_what_is_no_name_is_refused_with_near_ones(name, says, near) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parse_experiment(name)
    assert near in (caught.value.hint or "")


@pytest.mark.parametrize("word", NOT_HERE)
def test_words_of_the_released_code_that_there_is_nothing_for_are_told_so(word) -> None:
    with pytest.raises(ConfigError, match=f"partlab has no '{word}'"):
        parse_experiment(f"part-{word}-semi")


def test_controls_and_additions_of_the_released_code() -> None:
    reads = settings("part-wbbox-norm_img-centroid-semi").model.reads
    assert (reads.norm_img, reads.centroid) == (True, True)
    assert settings("part-pixel-hard-semi").model.reads.hard
    assert settings("part-mask-hard-inpt-no_bg-semi").model.reads.picture
    truth = settings("part-groundtruth-no_bg").model
    assert (truth.kind, truth.reads.background) == ("groundtruth", False)
    simple = settings("part-sim-learn_mask-1layer-semi").model
    assert (simple.kind, simple.masked.matrix, simple.masked.layers) == ("sim", "learned", 1)
    assert settings("part-sim-semi").model.masked.layers == 9


def test_a_control_that_predicts_no_masks_needs_no_semi(caplog) -> None:
    tell(parse_experiment("part-groundtruth"), "part-groundtruth")
    assert "semi" not in caplog.text
