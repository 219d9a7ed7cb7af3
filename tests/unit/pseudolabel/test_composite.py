"""P-05, B3, B4: composite masks from stores and from human data sets."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partlab.composite import Layer
from partlab.errors import SchemaError
from partlab.labelmap_sources import DatasetSource, compose, composites, joined
from partlab.masks import encode
from partlab.parts import Parts
from pseudolabel.source import StoreSource

BODY, HEAD, EAR, WHEEL = 0, 1, 2, 3


def test_a_store_row_becomes_one_label_per_pixel_with_included_parts_on_top(make_store):
    store = make_store(
        [("cat/a.png", "cat", [(HEAD, (0, 0, 20, 20), 0.9), (EAR, (0, 0, 5, 5), 0.3)])]
    )
    [(item, composite)] = composites(StoreSource(store))
    assert item.file_name == "cat/a.png"
    assert item.object == "cat"
    assert composite.labels.shape == (40, 60)
    assert composite.labels[2, 2] == EAR + 1  # lower score, but it lies in the head
    assert composite.labels[10, 10] == HEAD + 1
    assert composite.labels[30, 50] == 0
    assert composite.pseudo
    assert not composite.blank
    assert composite.ignore == 6  # K + 1, K read from the names


def test_no_part_found_is_ignored_not_background(make_store):
    store = make_store([("cat/a.png", "cat", [])])  # B4.7
    [(_, composite)] = composites(StoreSource(store))
    assert composite.blank
    assert (composite.labels == composite.ignore).all()
    assert not composite.one_hot().any()


def test_unreadable_images_have_no_composite(make_store):
    store = make_store([("cat/a.png", "cat", "truncated"), ("cat/b.png", "cat", [])])
    assert [item.file_name for item, _ in composites(StoreSource(store))] == ["cat/b.png"]


def test_one_hot_has_k_plus_one_channels_background_last(make_store):
    store = make_store([("car/a.png", "car", [(WHEEL, (0, 0, 10, 10), 0.9)])])
    [(_, composite)] = composites(StoreSource(store))
    one_hot = composite.one_hot()
    assert one_hot.shape == (40, 60, 6)
    assert (one_hot.sum(axis=-1) == 1).all()
    assert one_hot[..., WHEEL].sum() == 100
    assert one_hot[..., 5].sum() == 40 * 60 - 100


def test_multi_form_keeps_overlaps_and_pads_with_k_plus_one(make_store):
    store = make_store(
        [("cat/a.png", "cat", [(HEAD, (0, 0, 20, 20), 0.9), (EAR, (0, 0, 5, 5), 0.3)])]
    )
    [(_, composite)] = composites(StoreSource(store), channels=9)
    assert composite.labels.shape == (9, 40, 60)
    assert composite.labels[0, 2, 2] == EAR + 1
    assert composite.labels[1, 2, 2] == HEAD + 1
    assert (composite.labels[2:] == composite.ignore).all()
    one_hot = composite.one_hot()
    assert one_hot[2, 2].tolist() == [False, True, True, False, False, False]
    assert one_hot[30, 50].tolist() == [False] * 5 + [True]


def test_human_masks_score_one_and_say_they_are_human(make_dataset):
    dataset = make_dataset(
        [("a.png", "cat", [("cat:body", (0, 0, 20, 20)), ("cat:head", (10, 0, 10, 10))])]
    )
    [(item, composite)] = composites(DatasetSource(dataset))
    assert [layer.score for layer in item.layers] == [1.0, 1.0]
    assert not composite.pseudo
    assert composite.labels[5, 15] == HEAD + 1  # equal scores: the smaller one wins


def test_exported_pseudo_masks_stay_pseudo_and_keep_their_scores(make_dataset):
    dataset = make_dataset([("a.png", "cat", [("cat:body", (0, 0, 20, 20))])])
    masks = [a.changed(provenance="pseudo:seg", score=0.4) for a in dataset.annotations]
    source = DatasetSource(replace(dataset, annotations=masks))
    [(item, composite)] = composites(source)
    assert composite.pseudo
    assert not source.human
    assert item.layers[0].score == 0.4


def test_a_broken_human_mask_is_left_out_and_named(make_dataset, caplog):
    dataset = make_dataset(
        [("a.png", "cat", [("cat:body", (0, 0, 20, 20)), ("cat:head", (30, 0, 10, 10))])]
    )
    broken = [dataset.annotations[0].changed(segmentation=[[1, 2, 3]]), dataset.annotations[1]]
    with caplog.at_level(logging.WARNING):
        [(_, composite)] = composites(DatasetSource(replace(dataset, annotations=broken)))
    assert "annotation 1 of a.png" in caplog.text
    assert set(np.unique(composite.labels)) == {composite.ignore, HEAD + 1}  # not background


def test_vocabulary_joins_names_and_keeps_an_objects_parts_together(make_store, make_dataset):
    store = make_store([], names=("cat:head", "car:wheel"))
    dataset = make_dataset([], names=("car:window", "cat:tail", "cat:head"))
    vocabulary = joined([StoreSource(store), DatasetSource(dataset)])
    assert vocabulary.names == ("cat:head", "cat:tail", "car:wheel", "car:window")
    assert vocabulary.objects == ("cat", "car")
    assert Parts.of(dataset.names).matched(vocabulary) == {0: 3, 1: 1, 2: 0}


def test_contradicting_inclusions_are_refused(make_dataset):
    a, b = make_dataset([], folder="a"), make_dataset([], folder="b")
    turned = replace(b, inclusions={"cat": {"head": "ear"}})
    with pytest.raises(SchemaError, match="put cat:ear into itself: ear in head in ear"):
        joined([DatasetSource(a), DatasetSource(turned)])
    alone = replace(b, inclusions={"cat": {"ear": "head", "head": "ear"}})
    with pytest.raises(SchemaError, match="cat:ear is said to lie in itself"):
        joined([DatasetSource(alone)])


masks = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 7),
        st.integers(0, 7),
        st.integers(0, 8),
        st.integers(0, 8),
        st.sampled_from([0.2, 0.5, 0.9]),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(masks, st.randoms(), st.sampled_from([1, 9]))
def test_the_order_of_layers_changes_nothing_that_counts(drawn, random, channels):
    vocabulary = Parts(("a:1", "a:2", "a:3", "b:1", "b:2"), {"a": {"3": "2"}, "b": {"2": "1"}})
    layers = []
    for label, left, top, width, height, score in {m[0]: m for m in drawn}.values():
        mask = np.zeros((8, 8), bool)
        mask[top : top + height, left : left + width] = True
        layers.append(Layer(label, encode(mask), score))
    shuffled = list(layers)
    random.shuffle(shuffled)
    one = compose(layers, (8, 8), vocabulary, pseudo=True, channels=channels)
    two = compose(shuffled, (8, 8), vocabulary, pseudo=True, channels=channels)
    assert np.array_equal(one.labels, two.labels)
    assert one.blank == two.blank == (not any(layer_pixels(layer) for layer in layers))


def layer_pixels(layer: Layer) -> int:
    from partlab.masks import area

    return area(layer.rle)


@pytest.mark.parametrize("channels", [1, 3])
def test_crowd_regions_are_ignored_neither_background_nor_part(make_dataset, channels):
    boxes = [("cat:body", (0, 0, 20, 20)), ("cat:head", (30, 0, 10, 10))]
    dataset = make_dataset([("a.png", "cat", boxes)])
    crowd = [dataset.annotations[0], dataset.annotations[1].changed(iscrowd=1)]
    source = DatasetSource(replace(dataset, annotations=crowd))
    [(_, composite)] = composites(source, channels=channels)
    labels = composite.labels.reshape(-1, *composite.labels.shape[-2:])
    assert (labels[:, :10, 30:40] == composite.ignore).all()
    assert labels[0, 5, 5] == BODY + 1
    assert labels[0, 30, 50] == 0


def test_an_image_of_crowd_regions_alone_says_nothing(make_dataset):
    dataset = make_dataset([("a.png", "cat", [("cat:head", (30, 0, 10, 10))])])
    crowd = [dataset.annotations[0].changed(iscrowd=1)]
    [(_, composite)] = composites(DatasetSource(replace(dataset, annotations=crowd)))
    assert composite.blank
    assert (composite.labels == composite.ignore).all()
