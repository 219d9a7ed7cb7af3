"""Agreement between two data sets: overlaps by part, and kappa without chance."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.inspect.agreement import cohen_kappa, compare
from annotate.inspect.plant import plant_errors
from partlab.errors import DatasetError
from partlab.masks import decode, encode
from partlab.schema import Annotation, Category, Dataset, Image

Box = tuple[int, int, int, int]  # left, top, width, height
SIZE = (40, 60)


def dataset(
    *images: list[tuple[str, Box]], names: tuple[str, ...] = ("cat:head", "cat:ear")
) -> Dataset:
    """One 60 x 40 picture of a cat for each list of (part, box)."""
    categories = [Category.new(i, *name.split(":")) for i, name in enumerate(names, 1)]
    ids = {category.name: category.id for category in categories}
    records = [Image.new(n, f"{n}.jpg", (60, 40), object="cat") for n in range(1, len(images) + 1)]
    masks = []
    for number, parts in enumerate(images, 1):
        for name, (left, top, width, height) in parts:
            mask = np.zeros(SIZE, bool)
            mask[top : top + height, left : left + width] = True
            masks.append(Annotation.new(len(masks) + 1, number, ids[name], encode(mask)))
    return Dataset(records, masks, categories)


HEAD: tuple[str, Box] = ("cat:head", (0, 0, 20, 10))
EAR: tuple[str, Box] = ("cat:ear", (40, 0, 10, 10))


def test_a_data_set_agrees_with_itself(truth: Dataset) -> None:
    found = compare(truth, truth)
    assert found.overall.overlap == found.overall.pixel_kappa == 1
    assert found.overall.presence_kappa is None  # every picture of this world shows every part
    assert found.overall.pairs == len(truth.annotations)
    assert set(found.per_image.values()) == {1.0}
    assert [part.name for part in found.per_part] == sorted(part.name for part in found.per_part)
    assert sum(part.pairs for part in found.per_part) == len(truth.annotations)
    assert {owner.name for owner in found.per_object} == set(truth.objects)


def test_overlap_counted_by_hand() -> None:
    """Heads of 200 and 200 pixels, 100 in common: 1/3. The ear only one has counts 0."""
    a = dataset([HEAD, EAR], [HEAD])
    b = dataset([("cat:head", (10, 0, 20, 10))], [HEAD])
    found = compare(a, b)
    parts = {part.name: part for part in found.per_part}
    assert parts["cat:head"].overlap == pytest.approx((1 / 3 + 1) / 2)
    assert (parts["cat:ear"].pairs, parts["cat:ear"].only_a, parts["cat:ear"].only_b) == (0, 1, 0)
    assert parts["cat:ear"].overlap == 0
    assert parts["cat:ear"].paired_overlap is None
    assert found.overall.overlap == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert found.per_image == {"1.jpg": pytest.approx(1 / 6), "2.jpg": 1.0}
    assert list(found.per_image) == ["1.jpg", "2.jpg"]
    assert found.overall.images == 2


def test_pixel_kappa_is_cohens(truth: Dataset) -> None:
    """Against numpy on the decoded masks."""
    spoilt = plant_errors(truth, 0.5, seed=1).dataset
    found = {part.name: part for part in compare(truth, spoilt).per_part}
    name = "cat:body"
    a, b = (_pixels(each, name) for each in (truth, spoilt))
    agree = np.mean(a == b)
    chance = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    assert found[name].pixel_kappa == pytest.approx((agree - chance) / (1 - chance))
    assert 0 < (found[name].pixel_kappa or 0) < 1


def _pixels(dataset: Dataset, name: str) -> np.ndarray:
    pieces = []
    for image in dataset.images:
        if image.object == name.split(":")[0]:
            mask = np.zeros((image.height, image.width), bool)
            for one in dataset.annotations_of(image):
                if dataset.category_by_id[one.category_id].name == name:
                    mask |= decode(one.segmentation)
            pieces.append(mask.ravel())
    return np.concatenate(pieces)


def test_presence_kappa() -> None:
    """Ears: both, both, neither, only one -> 3 of 4 the same, chance 1/2: kappa 1/2."""
    a = dataset([EAR], [EAR], [HEAD], [EAR, HEAD])
    b = dataset([EAR], [EAR], [HEAD], [HEAD])
    parts = {part.name: part for part in compare(a, b).per_part}
    assert parts["cat:ear"].presence_kappa == pytest.approx(0.5)
    assert parts["cat:head"].presence_kappa == 1


def test_instances_are_paired_by_overlap_whatever_their_order() -> None:
    left, right = ("cat:ear", (0, 0, 10, 10)), ("cat:ear", (30, 0, 10, 10))
    assert compare(dataset([left, right]), dataset([right, left])).overall.overlap == 1
    two_for_one = compare(dataset([left, right]), dataset([left]))
    assert two_for_one.overall.overlap == 0.5
    assert two_for_one.overall.only_a == 1


def test_categories_may_have_other_ids_and_order() -> None:
    other = dataset([EAR, HEAD], names=("cat:ear", "cat:head"))
    assert compare(dataset([HEAD, EAR]), other).overall.overlap == 1


def test_agreement_is_symmetric(truth: Dataset) -> None:
    spoilt = plant_errors(truth, 0.4).dataset
    one, other = compare(truth, spoilt), compare(spoilt, truth)
    assert one.overall.overlap == pytest.approx(other.overall.overlap)
    assert one.overall.only_a == other.overall.only_b
    assert one.per_image == pytest.approx(other.per_image)


def test_images_of_one_side_are_named() -> None:
    a, b = dataset([HEAD], [EAR]), dataset([HEAD])
    assert compare(a, b).only_a == ["2.jpg"]
    assert compare(b, a).only_b == ["2.jpg"]
    assert compare(a, b).as_json()["images"] == 1


def test_bad_input_is_said() -> None:
    a = dataset([HEAD])
    renamed = replace(a, images=[a.images[0].changed(file_name="ä.jpg")])
    with pytest.raises(DatasetError, match="no image in common"):
        compare(a, renamed)
    with pytest.raises(DatasetError, match="another size"):
        compare(a, replace(a, images=[a.images[0].changed(width=61)]))
    broken = replace(a, annotations=[a.annotations[0].changed(segmentation={"size": [1, 1]})])
    found = compare(a, broken)
    assert "annotation 1" in found.broken[0]
    assert found.overall.overlap == 0
    assert compare(dataset([]), dataset([])).overall.overlap == 1  # both say: nothing there


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_cohen_kappa(answers: list[tuple[bool, bool]]) -> None:
    found = cohen_kappa(answers)
    if not answers or len({said for pair in answers for said in pair}) == 1:
        assert found is None
        return
    a, b = (np.array(side) for side in zip(*answers, strict=True))
    chance = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    assert found == pytest.approx((np.mean(a == b) - chance) / (1 - chance))
    assert -1 <= found <= 1


def test_two_inspectors() -> None:
    assert cohen_kappa([(True, True), (False, False)]) == 1
    assert cohen_kappa([(True, False), (False, True)]) == -1
    assert cohen_kappa([(True, True), (True, False), (False, True), (False, False)]) == 0


def test_a_careless_annotator_agrees_less(truth: Dataset, change: Callable[..., Dataset]) -> None:
    careful = plant_errors(truth, 0.05, kinds=["sloppy"]).dataset
    careless = plant_errors(truth, 0.5, kinds=["careless"]).dataset
    assert compare(truth, careful).overall.overlap > compare(truth, careless).overall.overlap + 0.1
