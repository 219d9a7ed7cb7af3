"""P-02: the category filter is exactly the paper's equation."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from segmenter.category_filter import candidates, category_filter

SCORES = st.floats(0, 1, width=32)


@st.composite
def scored(draw: st.DrawFn) -> tuple[torch.Tensor, list[int]]:
    rows, parts = draw(st.integers(0, 6)), draw(st.integers(1, 8))
    row = st.lists(SCORES, min_size=parts, max_size=parts)
    table = draw(st.lists(row, min_size=rows, max_size=rows))
    allowed = draw(st.lists(st.integers(0, parts - 1), min_size=1, unique=True))
    return torch.tensor(table).reshape(rows, parts), allowed


@given(scored())
def test_allowed_parts_keep_their_probability_and_others_are_zero(case) -> None:
    probabilities, allowed = case
    filtered = category_filter(probabilities, allowed)
    for part in range(probabilities.shape[1]):
        expected = probabilities[:, part] if part in allowed else torch.zeros(len(probabilities))
        assert torch.equal(filtered[:, part], expected)


@given(scored(), st.sampled_from(["argmax", "multi"]), st.sampled_from([0.0, 0.3, 1.0]))
def test_never_a_foreign_part_never_an_empty_row(case, rule, threshold) -> None:
    probabilities, allowed = case
    filtered = category_filter(probabilities, allowed)
    rows, labels, scores = candidates(filtered, rule=rule, threshold=threshold)
    assert set(labels.tolist()) <= set(allowed)
    assert (scores > 0).all()
    assert (scores >= threshold).all()
    assert torch.equal(scores, filtered[rows, labels])
    empty = (filtered.sum(1) == 0).nonzero()[:, 0].tolist()
    assert not set(empty) & set(rows.tolist())


@given(scored())
def test_nothing_changes_when_all_is_allowed_or_the_switch_is_off(case) -> None:
    probabilities, _ = case
    everything = list(range(probabilities.shape[1]))
    assert torch.equal(category_filter(probabilities, everything), probabilities)
    assert category_filter(probabilities, None) is probabilities
    once = category_filter(probabilities, everything[:1])
    assert torch.equal(category_filter(once, everything[:1]), once)


@given(scored())
def test_argmax_gives_each_row_its_best_allowed_part(case) -> None:
    probabilities, allowed = case
    filtered = category_filter(probabilities, allowed)
    rows, _, scores = candidates(filtered, rule="argmax", threshold=0.0)
    best = probabilities[:, allowed].max(1).values
    assert rows.tolist() == [i for i in range(len(best)) if best[i] > 0]
    assert torch.equal(scores, best[rows])


def test_worked_example() -> None:
    """A radio's button and a bird's head go; of the cat's parts the best one names the mask."""
    names = ["bird:head", "cat:body", "cat:head", "radio:button"]
    probabilities = torch.tensor([[0.6, 0.1, 0.25, 0.05], [0.5, 0.0, 0.0, 0.5]])
    filtered = category_filter(probabilities, [1, 2])
    rows, labels, scores = candidates(filtered, rule="argmax", threshold=0.05)
    assert [names[label] for label in labels] == ["cat:head"]
    assert rows.tolist() == [0]
    assert scores.tolist() == [0.25]
