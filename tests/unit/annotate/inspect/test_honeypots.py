"""Honeypots: chosen and mixed by the seed, scored against known masks, drift over time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.inspect.honeypots import drift, score_honeypots
from annotate.inspect.plant import plant_errors
from annotate.studio.acts.mixing import choose_honeypots, mix
from partlab.errors import ConfigError, DatasetError
from partlab.schema import Dataset


def by(dataset: Dataset, who: str) -> Dataset:
    drawn = [a.changed(provenance=f"human:{who}") for a in dataset.annotations]
    return replace(dataset, annotations=drawn)


def test_choice_is_seeded_and_by_category(truth: Dataset) -> None:
    one, again = choose_honeypots(truth, 3, seed=1), choose_honeypots(truth, 3, seed=1)
    assert [i.id for i in one.images] == [i.id for i in again.images]
    assert {o: sum(i.object == o for i in one.images) for o in truth.objects} == dict.fromkeys(
        truth.objects, 3
    )
    other = choose_honeypots(truth, 3, seed=2)
    assert {i.id for i in one.images} != {i.id for i in other.images}
    cats = truth.subset(i.id for i in truth.images if i.object == "cat")
    alone = {i.id for i in choose_honeypots(cats, 3, seed=1).images}
    assert alone == {i.id for i in one.images if i.object == "cat"}
    assert len(choose_honeypots(cats, 1000).images) == len(cats.images)
    with pytest.raises(ConfigError):
        choose_honeypots(truth, 0)


def test_images_without_masks_are_no_honeypots(truth: Dataset) -> None:
    assert choose_honeypots(replace(truth, annotations=[])).images == []


@given(st.integers(0, 60), st.integers(0, 12), st.integers(0, 99))
def test_mixing_keeps_everything_once_and_the_work_in_order(
    work: int, honeypots: int, seed: int
) -> None:
    mixed = mix(
        [("work", n) for n in range(work)], [("pot", n) for n in range(honeypots)], seed=seed
    )
    assert [n for kind, n in mixed if kind == "work"] == list(range(work))
    assert sorted(n for kind, n in mixed if kind == "pot") == list(range(honeypots))


def test_honeypots_are_spread_and_unannounced() -> None:
    mixed = mix(["w"] * 90, ["h"] * 10, seed=4, name="ram")
    stretches = [mixed[i : i + 10].count("h") for i in range(0, 100, 10)]
    assert stretches == [1] * 10
    assert mixed != mix(["w"] * 90, ["h"] * 10, seed=4, name="cat")
    assert mixed == mix(["w"] * 90, ["h"] * 10, seed=4, name="ram")


def test_answers_are_scored_by_annotator(truth: Dataset) -> None:
    """The careful one passes everything; of the careless one's spoilt answers most fail."""
    pots = choose_honeypots(truth, 4)
    cats = pots.subset(i.id for i in pots.images if i.object in ("cat", "dog", "ram"))
    cars = pots.subset(i.id for i in pots.images if i.object in ("car", "bus"))
    careless = by(plant_errors(cars, 1.0, kinds=["careless"]).dataset, "bo")
    careful = by(cats, "ann")
    answers = replace(
        truth,
        images=[*careful.images, *careless.images],
        annotations=[*careful.annotations, *careless.annotations],
    )
    ann, bo = score_honeypots(pots, answers)
    assert (ann.annotator, bo.annotator) == ("ann", "bo")
    assert (ann.passed, ann.overlap) == (12, 1.0)
    assert len(bo.answers) == 8
    assert bo.passed <= 2
    assert bo.overlap < 0.7
    assert set(bo.per_part) == {
        name for name in truth.names if name.split(":")[0] in ("car", "bus")
    }


def test_an_empty_answer_counts_when_its_annotator_is_known(truth: Dataset) -> None:
    pots = choose_honeypots(truth, 1)
    first = pots.images[0]
    empty = replace(by(pots, "ann"), annotations=[])
    (record,) = score_honeypots(pots, empty, annotators={first.file_name: "ann"})
    assert (len(record.answers), record.passed, record.overlap) == (1, 0, 0.0)


def test_other_images_and_unanswered_honeypots_do_not_count(truth: Dataset) -> None:
    pots = choose_honeypots(truth, 2)
    some = by(truth, "ann").subset([pots.images[0].id, truth.images[-1].id])
    (record,) = score_honeypots(pots, some)
    assert len(record.answers) <= 2
    with pytest.raises(DatasetError, match="no image in common"):
        score_honeypots(pots, replace(truth, images=[], annotations=[]))
    with pytest.raises(ConfigError, match="bar"):
        score_honeypots(pots, some, bar=70)


def test_answers_come_by_time(truth: Dataset) -> None:
    pots = choose_honeypots(truth, 1)
    names = [image.file_name for image in pots.images]
    when = {name: f"2026-01-{number + 1:02d}T10:00:00" for number, name in enumerate(names[::-1])}
    (record,) = score_honeypots(pots, by(pots, "ann"), when=when)
    assert [answer.file_name for answer in record.answers] == names[::-1]


def test_a_lasting_fall_is_an_alarm() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.normal(0.88, 0.04, 20), rng.normal(0.75, 0.04, 20)
    found = drift([*good, *bad])
    assert found.alarm is not None
    assert 20 < found.alarm <= 27
    assert found.slope < 0
    assert found.last < found.first - 0.08


def test_steady_work_is_no_alarm() -> None:
    """False alarms within 30 answers: fewer than one annotator in ten."""
    rng = np.random.default_rng(1)
    alarms = [drift(rng.normal(0.85, 0.05, 30).tolist()).alarm for _ in range(300)]
    assert sum(alarm is not None for alarm in alarms) < 30
    assert drift([0.8] * 40).alarm is None
    assert drift([]).alarm is None
    assert drift([0.9]).slope == 0


def test_getting_better_is_no_alarm() -> None:
    found = drift(np.linspace(0.5, 0.95, 30).tolist())
    assert found.alarm is None
    assert found.slope > 0
