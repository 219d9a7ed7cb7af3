"""What must never be learnt as background: broken masks, crowds, masks over the limit."""

import json
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from partlab.coco import read_coco
from partlab.errors import ConfigError, DatasetError, SchemaError, UnknownNameError
from partlab.masks import decode, encode
from partlab.parts import Parts
from partlab.schema import Annotation, Dataset
from segmenter.checks import check_val, left_out, tell_mirrors
from segmenter.data import Augment, TrainingSet, collate
from segmenter.part_rcnn import ModelConfig, PartRCNN
from segmenter.train import train_segmenter
from segmenter.unsure import PartRPN, covered, without_unsure

BOX = (4, 20, 40, 18)


@pytest.fixture
def data(make_dataset) -> Dataset:
    images = [
        (f"{i}.png", "cat", [("cat:body", BOX), ("cat:head", (40, 5, 15, 15))]) for i in "abc"
    ]
    found: Dataset = make_dataset(images)
    return found


def changed(data: Dataset, *changes: tuple[int, dict[str, Any]]) -> Dataset:
    """The data set with some annotations changed, by their position."""
    records = list(data.annotations)
    for position, values in changes:
        records[position] = Annotation({**records[position].raw, **values})
    return Dataset(
        data.images, records, data.categories, path=data.path, image_root=data.image_root
    )


EMPTY = encode(np.zeros((40, 60), bool))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"segmentation": [[1, 2, 3]]}, "odd number"),
        ({"segmentation": []}, "empty"),
        ({"segmentation": EMPTY}, "covers no pixel"),
        ({"category_id": 99}, "there is no category 99"),
    ],
)
def test_an_image_with_a_mask_that_cannot_be_used_stays_out(data, fault, words) -> None:
    """Its object would be learnt as background."""
    bad = changed(data, (2, fault))  # the first of b.png's two
    unused, reasons = left_out(bad)
    assert unused == {2}
    assert len(reasons) == 1
    assert "1 image is left out of training" in reasons[0]
    assert "b.png: annotation 3: " in reasons[0]
    assert words in reasons[0]
    assert [image.file_name for image in TrainingSet(bad, 64).images] == ["a.png", "c.png"]


def test_a_record_set_aside_in_reading_keeps_its_image_out(data) -> None:
    file = data.path
    loaded = json.loads(file.read_text())
    loaded["annotations"][0]["category_id"] = {"no": "number"}
    file.write_text(json.dumps(loaded))
    read = read_coco(file)
    unused, reasons = left_out(read)
    assert unused == {1}
    assert "a.png: annotations[0] has the 'category_id'" in reasons[0]


def test_no_image_left_is_a_refusal_and_writes_nothing(data, tmp_path) -> None:
    bad = changed(data, *((at, {"segmentation": []}) for at in range(6)))
    with pytest.raises(DatasetError, match=r"none of the 6 masks .* has usable pixels"):
        TrainingSet(bad, 64)


def test_training_says_what_it_left_out(data, tmp_path, caplog) -> None:
    file = data.path
    loaded = json.loads(file.read_text())
    loaded["annotations"][0]["segmentation"] = []
    loaded["annotations"][2]["iscrowd"] = loaded["annotations"][3]["iscrowd"] = 1
    file.write_text(json.dumps(loaded))
    settings = ["model.backbone=test_efficientnet", "model.weights=none", "model.first_stride=8"]
    settings += ["model.channels=16", "model.image_size=64", "train.epochs=1", "train.workers=0"]
    with caplog.at_level(logging.WARNING):
        told = train_segmenter(file.parent.parent, tmp_path / "run", overrides=settings)
    assert "1 image is left out of training, for what was drawn" in caplog.text
    assert "1 image is left out of training: nothing but crowd regions" in caplog.text
    assert told is not None
    assert told["images"] == 1
    assert (tmp_path / "run" / "train_images.txt").read_text() == "c.png\n"


@pytest.mark.parametrize("split", ["train", "val"])
def test_all_masks_crowd_is_one_sentence(data, tmp_path, split) -> None:
    folder = data.path.parent
    (folder / "val.json").write_bytes(data.path.read_bytes())
    loaded = json.loads(data.path.read_text())
    for annotation in loaded["annotations"]:
        annotation["iscrowd"] = 1
    (folder / f"{split}.json").write_text(json.dumps(loaded))
    with pytest.raises(DatasetError, match=r"all 6 usable masks of .* are crowd regions"):
        train_segmenter(folder.parent, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_crowd_is_no_target_and_its_image_stays(data) -> None:
    crowded = changed(data, (0, {"iscrowd": 1}))
    samples = TrainingSet(crowded, 60, Augment(flip=0, smallest=1))
    assert len(samples) == 3
    sample: Any = samples[(0, 0)]
    assert len(sample.labels) == len(sample.masks) == len(sample.boxes) == 1
    truth = decode(crowded.annotations[0].segmentation)
    assert np.array_equal(sample.unsure.numpy(), truth)
    flipped: Any = TrainingSet(crowded, 60, Augment(flip=1, smallest=1))[(0, 0)]
    assert np.array_equal(flipped.unsure.numpy(), truth[:, ::-1])
    other: Any = samples[(0, 1)]
    assert other.unsure.numel() == 0
    batch: Any = collate([sample, other])
    assert batch.targets[0]["unsure"].shape == (40, 60)


def test_masks_over_the_limit_are_not_learnt_as_background(data) -> None:
    sample: Any = TrainingSet(data, 60, Augment(flip=0, smallest=1), limit=1)[(0, 0)]
    assert len(sample.masks) == 1
    whole: Any = TrainingSet(data, 60, Augment(flip=0, smallest=1))[(0, 0)]
    assert torch.equal(sample.masks[0].bool() | sample.unsure, whole.masks.any(0))


def test_the_share_of_a_box_in_a_region() -> None:
    region = torch.zeros(40, 60, dtype=torch.bool)
    region[10:20, 10:30] = True
    boxes = torch.tensor(
        [[10, 10, 30, 20], [0, 10, 20, 20], [0, 0, 60, 40], [40, 0, 60, 40], [-20, 10, 20, 20],
         [70, 5, 90, 9]]
    ).float()  # fmt: skip
    wanted = [float(region[10:20, 10:30].float().mean()), 0.5, 200 / 2400, 0, 0.5, 0]
    assert covered(boxes, region).tolist() == pytest.approx(wanted)


def test_anchors_and_proposals_in_a_crowd_are_no_negatives() -> None:
    torch.manual_seed(0)
    network = PartRCNN(3, ModelConfig(weights="none", channels=16, image_size=64)).train()
    assert isinstance(network.rpn, PartRPN)
    part, crowd = torch.tensor([[2.0, 2, 14, 14]]), torch.zeros(64, 64, dtype=torch.bool)
    crowd[:, 16:] = True
    target = {"boxes": part, "labels": torch.tensor([1])}
    boxes = torch.cat([part, torch.tensor([[20.0, 20, 40, 40], [0, 40, 14, 60]])])
    for unsure, wanted in ((crowd, [1, -1, 0]), (torch.zeros(0, 0), [1, 0, 0])):
        labels, _ = network.rpn.assign_targets_to_anchors([boxes], [{**target, "unsure": unsure}])
        assert labels[0].tolist() == wanted
    kept = without_unsure([boxes], [{**target, "unsure": crowd}])[0]
    assert kept.tolist() == boxes[[0, 2]].tolist()
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    assert len(without_unsure([boxes], [{**nothing, "unsure": crowd}])[0]) == 2
    masks = torch.zeros(0, 64, 64, dtype=torch.uint8)
    everywhere = {**nothing, "masks": masks, "unsure": torch.ones(64, 64, dtype=torch.bool)}
    losses = network(torch.randn(1, 3, 64, 64), [(64, 64)], [everywhere])
    assert torch.isfinite(torch.stack(list(losses.values()))).all()
    assert all(float(loss.detach()) == 0 for loss in losses.values())  # nothing to learn here
    torch.stack(list(losses.values())).sum().backward()


SIDES = Parts.of(["cat:leye", "cat:reye", "cat:left_ear", "cat:right_ear", "car:left door"])


def test_one_sided_names_and_likely_pairs_are_told_with_the_line_to_type(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        tell_mirrors(SIDES, ())
    assert "1 part names have a side and no partner (car:left door)" in caplog.text
    assert "--set train.flip=0" in caplog.text
    assert """--set 'train.mirror=[["leye","reye"]]'""" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        tell_mirrors(SIDES, [("leye", "reye")])
    assert "two sides" not in caplog.text
    with pytest.raises(UnknownNameError, match="unknown part 'leg'"):
        tell_mirrors(SIDES, [("leye", "leg")])


def test_given_pairs_swap_in_mirrored_pictures(make_dataset) -> None:
    names = ("cat:leye", "cat:reye", "cat:front_left_leg", "cat:front_right_leg")
    boxes = [(2, 2, 8, 8), (40, 2, 8, 8), (2, 20, 8, 8), (40, 20, 8, 8)]
    masks = list(zip(names, boxes, strict=True))
    data = make_dataset([("a.png", "cat", masks)], names=names)
    always = Augment(flip=1, smallest=1, mirror=(("leye", "reye"),))
    sample: Any = TrainingSet(data, 60, always)[(0, 0)]
    assert sample.labels.tolist() == [2, 1, 4, 3]
    assert sample.boxes[0].tolist() == [50, 2, 58, 10]
    without: Any = TrainingSet(data, 60, Augment(flip=1, smallest=1))[(0, 0)]
    assert without.labels.tolist() == [1, 2, 4, 3]


def test_pairs_are_a_setting(data, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"train\.mirror"):
        train_segmenter(data.path.parent.parent, tmp_path, overrides=["train.mirror=left"])
    with pytest.raises(UnknownNameError, match="unknown part 'tial'"):
        train_segmenter(
            data.path.parent.parent, tmp_path / "run", overrides=['train.mirror=[["head","tial"]]']
        )
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("look", [left_out, check_val])
def test_an_id_that_is_two_images_is_refused(data, look) -> None:
    """Both pictures would be trained on with the masks of both."""
    double = [*data.images[:2], data.images[2].changed(id=1)]
    with pytest.raises(SchemaError, match=r"a\.png and c\.png share the id 1"):
        look(replace(data, images=double))
