"""Self-training: which pictures of a store join, and what is learnt of them."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from safetensors.torch import load_file

from partlab.errors import ConfigError, DatasetError, NotFoundError
from partlab.files import read_lines, write_lines
from partlab.training.loop import Loop
from pseudolabel.second_round import adding, with_pseudo
from pseudolabel.store import write_manifest
from segmenter.data import TrainingSet
from segmenter.leaks import leaks
from segmenter.runs import load_segmenter, read_run
from segmenter.teacher import Teacher
from segmenter.train import train_segmenter

CAT = [("cat:body", (4, 20, 40, 18)), ("cat:head", (40, 5, 15, 15))]
FOUND = [(0, (4, 20, 40, 18), 0.9), (1, (40, 5, 15, 15), 0.8)]
TINY = [
    "model.backbone=test_efficientnet",
    "model.weights=none",
    "model.channels=16",
    "model.width=16",
    "model.image_size=64",
    "train.batch_size=2",
    "train.workers=0",
    "train.warmup_steps=1",
    "train.checkpoint_steps=2",
    "train.epochs=2",
]


@pytest.fixture
def people(make_dataset) -> Any:
    return make_dataset([(f"cat/p{i}.png", "cat", CAT) for i in range(3)])


def test_pictures_of_a_store_come_after_peoples(people, make_store) -> None:
    low = (2, (50, 5, 5, 5), 0.3)
    store = make_store([("cat/a.png", "cat", [*FOUND, low]), ("cat/b.png", "cat", FOUND)])
    both = with_pseudo(people, [], store, 0.5)
    assert [i.file_name for i in both.images[3:]] == ["cat/a.png", "cat/b.png"]
    assert len({i.id for i in both.images}) == 5
    assert len({a.id for a in both.annotations}) == len(both.annotations) == 6 + 5
    new = both.annotations_of(both.images[3])
    assert [(both.names[both.label_of[a.category_id]], a.iscrowd) for a in new] == [
        ("cat:body", 0),
        ("cat:head", 0),
        ("cat:ear", 1),
    ]
    assert {a.provenance for a in new} == {"pseudo:seg-a"}
    assert all(both.image_path(image).is_file() for image in both.images)
    assert both.fingerprint != people.fingerprint


def test_a_part_the_data_set_lacks_is_not_learnt_as_background(make_dataset, make_store) -> None:
    names = ("cat:body", "cat:head", "cat:ear")
    people = make_dataset([("p.png", "cat", CAT)], names=names)
    store = make_store([("a.png", "cat", [*FOUND, (3, (0, 0, 9, 9), 0.9)])])
    both = with_pseudo(people, [], store, 0.5)
    assert [a.iscrowd for a in both.annotations_of(both.images[-1])] == [0, 0, 1]
    assert TrainingSet(both, 60)[0, 1].unsure.any()


def test_what_is_left_out_is_counted_and_said(people, make_store, make_dataset, caplog) -> None:
    store = make_store(
        [
            ("new.png", "cat", FOUND),
            ("blank.png", "cat", []),
            ("broken.png", "cat", "hello"),
            ("held.png", "cat", FOUND),
            ("mine.png", "cat", FOUND),
            ("other.png", "car", [(3, (5, 5, 9, 9), 0.9)]),
        ]
    )
    root = store.image_root
    held = make_dataset([("held.png", "cat", CAT)], folder="held", image_root=root)
    mine = make_dataset([("mine.png", "cat", CAT)], folder="mine", image_root=root)
    with caplog.at_level(logging.WARNING):
        both = with_pseudo(mine, [held], store, 0.5)
    assert [i.file_name for i in both.images] == ["mine.png", "new.png", "other.png"]
    assert both.top["partlab"]["pseudo"]["left_out"] == {
        "blank": 1, "unreadable": 1, "held out": 1, "annotated": 1,
    }  # fmt: skip
    assert "1 since they are held out" in caplog.text
    assert "1 since nothing was found in them" in caplog.text


def test_a_store_that_knows_fewer_parts_of_an_object_gives_none_of_it(people, make_store) -> None:
    """What it cannot find would be learnt as background."""
    narrow = make_store(
        [("a.png", "cat", [(0, (4, 20, 40, 18), 0.9)])], names=("cat:body", "cat:head")
    )
    with pytest.raises(DatasetError, match="the store knows not all parts of their object"):
        with_pseudo(people, [], narrow, 0.5)


def test_a_held_out_picture_under_another_name_stays_out(people, make_store, make_dataset) -> None:
    pytest.importorskip("imagehash")
    store = make_store([("a.png", "cat", FOUND), ("b.png", "cat", FOUND)])
    held = make_dataset([("other.png", "cat", CAT)], folder="held")
    small = np.random.default_rng(5).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    smooth = PillowImage.fromarray(small).resize((60, 40), PillowImage.Resampling.BICUBIC)
    smooth.save(held.image_path(held.images[0]))
    smooth.save(store.image_root / "b.png")
    both = with_pseudo(people, [held], store, 0.5)
    assert [i.file_name for i in both.images[3:]] == ["a.png"]
    assert both.top["partlab"]["pseudo"]["left_out"] == {"like held out": 1}


def test_a_picture_that_people_left_without_masks_is_the_stores(make_dataset, make_store) -> None:
    store = make_store([("a.png", "cat", FOUND)])
    drawn = [("p.png", "cat", CAT), ("a.png", "cat", [])]
    (store.image_root / "p.png").write_bytes((store.image_root / "a.png").read_bytes())
    people = make_dataset(drawn, image_root=store.image_root)
    both = with_pseudo(people, [], store, 0.5)
    assert [i.file_name for i in both.images] == ["p.png", "a.png"]
    assert len(both.annotations_of(both.images[1])) == 2


def test_a_store_that_cannot_be_used_is_refused(people, make_store, make_dataset) -> None:
    with pytest.raises(DatasetError, match="has no picture that can be trained on: it is empty"):
        with_pseudo(people, [], make_store([], folder="empty"), 0.5)
    with pytest.raises(DatasetError, match="1 since nothing was found"):
        with_pseudo(people, [], make_store([("a.png", "cat", [])], folder="blank"), 0.5)
    other = make_store([("a.png", "dog", [(0, (4, 4, 9, 9), 0.9)])], folder="o", names=("dog:leg",))
    with pytest.raises(DatasetError, match="has none of the parts of"):
        with_pseudo(people, [], other, 0.5)
    half = make_store([("a.png", "cat", FOUND)], folder="half")
    write_manifest(half.path, half.manifest.model_copy(update={"state": "running"}))
    with pytest.raises(DatasetError, match="is not finished"):
        adding(half.path)(people, [], 0.5)
    with pytest.raises(NotFoundError, match="is not a pseudo-label store"):
        adding(half.path / "nothing")


def test_a_store_whose_run_saw_held_out_pictures_is_refused(
    people, make_store, make_dataset, colour_run, tmp_path
) -> None:
    run = shutil.copytree(colour_run, tmp_path / "seg-b")
    write_lines(run / "train_images.txt", ["cat/v.png"])
    store = make_store([("a.png", "cat", FOUND)], run=str(run))
    held = make_dataset([("cat/v.png", "cat", CAT)], folder="held")
    with pytest.raises(DatasetError, match=r"trained on 1 picture of .*cat/v.png"):
        with_pseudo(people, [held], store, 0.5)
    write_lines(run / "train_images.txt", ["cat/u.png"])
    assert len(with_pseudo(people, [held], store, 0.5).images) == 4


def _train(people: Any, store: Any, run: Path, *more: str, **how: Any) -> Path:
    data = people.path.parent.parent
    how = {"backend": "dense", "pseudo": adding(store.path), **how}
    train_segmenter(data, run, overrides=[*TINY, *more], **how)
    return run


@pytest.fixture
def store(make_store) -> Any:
    return make_store([(f"{i}.png", "cat", FOUND) for i in range(3)])


def test_a_second_round_goes_on_with_its_teacher(people, store, tmp_path, monkeypatch) -> None:
    """Stopped in the middle and taken up again, it ends with the weights of one that was not."""
    whole = _train(people, store, tmp_path / "whole")
    save = Loop._save_state

    def stop(loop: Loop) -> None:
        save(loop)
        if loop.done == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_save_state", stop)
        with pytest.raises(KeyboardInterrupt):
            _train(people, store, tmp_path / "broken")
    broken = _train(people, store, tmp_path / "broken")
    first, second = (load_file(run / "last.safetensors") for run in (whole, broken))
    assert all((first[name] == second[name]).all() for name in first)
    assert read_run(whole)["pseudo"]["images"] == 3
    assert set(read_lines(whole / "train_images.txt")) >= {"0.png", "1.png", "2.png"}
    assert load_segmenter(whole).names == people.names


def test_the_teacher_corrects_and_the_control_sees_no_pseudo_label(
    people, store, tmp_path, monkeypatch
) -> None:
    seen: list[int] = []
    correct = Teacher.correct

    def counted(teacher: Teacher, batch: Any, targets: Any) -> None:
        seen.append(len(batch.pseudo))
        correct(teacher, batch, targets)

    monkeypatch.setattr(Teacher, "correct", counted)
    taught = _train(people, store, tmp_path / "taught")
    assert len(seen) == 5  # the warmup's step is the store's
    assert sum(seen) > 0
    seen.clear()
    control = _train(people, store, tmp_path / "control", "train.pseudo_share=0")
    assert sum(seen) == 0
    assert read_lines(control / "train_images.txt") == [f"cat/p{i}.png" for i in range(3)]
    steps = [json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
             for run in (taught, control)]  # fmt: skip
    assert steps[0] == steps[1]


def test_other_backends_learn_from_a_store_and_have_no_teacher(people, store, tmp_path) -> None:
    small = ["model.first_stride=8", "model.rois=8", "model.proposals=20", "model.box_features=16",
             "model.mask_channels=8", "model.mask_layers=1"]  # fmt: skip
    tiny = [each for each in TINY if "width" not in each] + small
    data, more = people.path.parent.parent, {"backend": "torchvision", "pseudo": adding(store.path)}
    found = train_segmenter(data, tmp_path / "rcnn", overrides=tiny, **more)
    assert found is not None
    assert found["images"] == 6
    with pytest.raises(ConfigError, match="this backend has no teacher"):
        train_segmenter(data, tmp_path / "no", overrides=[*tiny, "train.teacher=0.9"], **more)
    with pytest.raises(ConfigError, match="needs pseudo labels"):
        train_segmenter(
            data, tmp_path / "no", overrides=[*TINY, "train.teacher=0.9"], backend="dense"
        )
    assert not (tmp_path / "no" / "config.json").exists()


def test_pictures_of_the_store_count_as_trained_on(people, store, make_dataset, tmp_path) -> None:
    pytest.importorskip("imagehash")
    run = _train(people, store, tmp_path / "run", "train.epochs=1")
    copied = make_dataset([("renamed.png", "cat", CAT)], folder="copied")
    shutil.copy(store.image_root / "1.png", copied.image_path(copied.images[0]))
    assert [pair[:2] for pair in leaks(run, copied).look_alike] == [("1.png", "renamed.png")]
