"""The engine around the real Mask R-CNN: resumable and independent of workers, bit for bit."""

import pytest
import torch
from colour_segmenter import INCLUSIONS, NAMES, draw
from killable import contents
from safetensors.torch import save_file

from partlab.errors import DatasetError
from partlab.images import load_image
from partlab.parts import Parts
from pseudolabel.engine import label_images
from pseudolabel.settings import Settings, Thresholds
from pseudolabel.store import Store, StoredMask
from segmenter.fit import SegmenterConfig
from segmenter.part_rcnn import ModelConfig
from segmenter.predictor import unite
from segmenter.runs import load_segmenter, write_run
from segmenter.torchvision_backend import MaskRCNN

TINY = ModelConfig(
    weights="none",
    channels=16,
    image_size=64,
    box_features=16,
    mask_channels=8,
    mask_layers=1,
    proposals=20,
    score_threshold=0.9,  # of the network itself; ALL asks for less and must get it
    detections=5,
)
ALL = Settings(thresholds=Thresholds(default=0.0), shard_size=5, batch_size=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A Mask R-CNN that was never trained; what it finds is odd, but it finds much."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("runs") / "seg-rcnn"
    config = SegmenterConfig(model=TINY).model_dump(mode="json")
    described = {"backend": "torchvision", "config": config, "inclusions": INCLUSIONS}
    write_run(place, described | {"names": list(NAMES)})
    save_file(
        MaskRCNN(Parts.of(NAMES), TINY, "cpu").network.state_dict(), place / "best.safetensors"
    )
    return place


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawings")
    sizes = [(64, 48), (48, 64), (90, 40), (64, 50), (1, 1), (300, 2), (700, 500)]
    for number in range(14):
        object = ("car", "cat")[number % 2]
        draw(folder / object / f"{number}.png", object, number, sizes[number % 7])
    (folder / "car" / "text.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def whole(run, drawings, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    label_images(drawings, run, out, ALL, workers=0, device="cpu")
    return out


def test_labels_of_every_size_with_the_known_class(whole):
    rows = list(Store.open(whole).rows())
    assert len(rows) == 15
    assert {row.status for row in rows} >= {"labelled", "unreadable"}
    for row in rows:
        assert {NAMES[mask.label].split(":")[0] for mask in row.masks} <= {row.object}
        assert len({mask.label for mask in row.masks}) == len(row.masks)


def test_rows_are_what_the_segmenter_alone_finds(run, drawings, tmp_path):
    """One image a batch: nothing but the union and the threshold stands between."""
    single = ALL.model_copy(update={"batch_size": 1})
    store = label_images(drawings, run, tmp_path / "out", single, workers=0, device="cpu").store
    segmenter = load_segmenter(run, device="cpu")
    for row in store.rows():
        if row.status != "unreadable":
            pixels = load_image(store.image_path(row))
            (found,) = segmenter.predict([pixels], [row.object], threshold=0.0)
            masks = unite(found, ALL.thresholds.of(NAMES), names=NAMES)
            stored = [StoredMask(m.label, m.score, m.area, m.bbox, m.rle) for m in masks]
            assert row.masks == tuple(stored)


@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_and_resumed_the_bytes_are_the_same(
    run, drawings, whole, tmp_path, monkeypatch, workers
):
    predict, calls = MaskRCNN.predict, []

    def stop_at_the_eighth(*args, **kwargs):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return predict(*args, **kwargs)

    monkeypatch.setattr(MaskRCNN, "predict", stop_at_the_eighth)
    with pytest.raises(KeyboardInterrupt):
        label_images(drawings, run, tmp_path / "out", ALL, workers=workers, device="cpu")
    assert 0 < len(Store.open(tmp_path / "out")) < 15
    label_images(drawings, run, tmp_path / "out", ALL, workers=workers, device="cpu")
    assert contents(tmp_path / "out") == contents(whole)


def test_truncated_checkpoint(run, drawings, tmp_path):
    harmed = tmp_path / "seg"
    harmed.mkdir()
    (harmed / "config.json").write_bytes((run / "config.json").read_bytes())
    (harmed / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes()[:-999])
    with pytest.raises(DatasetError, match=r"best\.safetensors is damaged"):
        label_images(drawings, harmed, tmp_path / "out", ALL, workers=0, device="cpu")
