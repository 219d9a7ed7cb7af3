"""Pictures and label maps go through crop, flip and resize together, and into batches."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as TF

from partlab.errors import DatasetError, NotFoundError
from partlab.labelmaps import Composite, Entry, Header, write_label_maps
from partlab.training.batches import Batches
from train.crops import cut, eval_view, resize, resized_box, training_view
from train.pictures import HUMAN, PLAIN, PSEUDO, Pictures, open_pictures
from train.samples import (
    Batch,
    EvalPictures,
    Sample,
    TrainingPictures,
    collate,
    eval_batches,
    jitter,
)
from train.sampling import epoch_plan, partners
from train.settings import DataConfig

NAMES = ("cat:left ear", "cat:right ear", "cat:nose", "cat:tail", "cat:body")
MIRROR = (0, 2, 1, 3, 4, 5, 6)  # of labels
IGNORE = len(NAMES) + 1
GREY = 36  # a label's colour is so many times it
Resized = InterpolationMode.BICUBIC


def blocks(size: tuple[int, int], seed: int) -> np.ndarray:
    """A label map of large blocks."""
    coarse = np.random.default_rng(seed).integers(0, IGNORE + 1, (3, 4), dtype=np.uint8)
    height, width = size
    return coarse[np.arange(height) * 3 // height][:, np.arange(width) * 4 // width]


@pytest.fixture
def make(tmp_path) -> Callable[..., Pictures]:
    """Pictures whose colours are their labels; `sizes` (height, width); class-only ones besides."""

    def build(sizes, *, plain=0, pseudo=frozenset(), scale=1) -> Pictures:
        entries = []
        for at, size in enumerate(sizes):
            labels = blocks(size, at)
            shown = np.repeat(np.repeat(labels, scale, 0), scale, 1) * GREY
            path = tmp_path / "photos" / f"{at}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(shown).convert("RGB").save(path)
            entries.append(Entry(path.name, 0, 0, Composite(labels, IGNORE, at in pseudo, False)))
        header = Header("k", NAMES, ("cat",), ("photos",))
        write_label_maps(tmp_path / "l.arrow", header, entries)
        for at in range(plain):
            path = tmp_path / "plain" / "dog" / f"{at}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (50, 40), (at, 0, 0)).save(path)
        places = [tmp_path / "plain"] if plain else []
        return open_pictures([tmp_path / "l.arrow"], plain=places, cache=tmp_path / "cache")

    return build


def centres(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """What the middle of each cell shows, as a label; -1 where it is near a border of blocks."""
    step = pixels.shape[-1] // side
    cells = pixels[0].float().reshape(side, step, side, step)
    label = cells.mean((1, 3)) / GREY
    flat = cells.amax((1, 3)) - cells.amin((1, 3)) <= 2
    return torch.where(flat, label.round(), -1).int()


SIZES = [(48, 64), (64, 48), (61, 47), (200, 90)]


@pytest.mark.parametrize("crop", ["resized", "padded"])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_pixels_and_labels_are_cut_alike(make, crop, flip):
    pictures = make(SIZES)
    config = DataConfig(size=48, crop=crop, flip=flip, shift=5)
    data = TrainingPictures(pictures, config, 12, seed=3)
    seen = 0
    for epoch in range(8):
        for at in range(len(SIZES)):
            sample = data[(epoch, at)]
            shown = centres(sample.pixels, 12)
            if flip:
                shown = torch.where(shown < 0, shown, torch.tensor(MIRROR)[shown])
            known = (shown >= 0) & (sample.labels != IGNORE)
            assert torch.equal(shown[known], sample.labels[known].int())
            # what shows the ignored label's colour is ignored
            assert (sample.labels[shown == IGNORE] == IGNORE).all()
            seen += int(known.sum())
    assert seen > 8 * len(SIZES) * 144 * 0.3


def test_a_flip_renames_left_and_right(make):
    pictures = make(SIZES[:1])
    plain, turned = (
        whole(pictures, DataConfig(size=48, scale=(1, 1), ratio=(4 / 3, 4 / 3), flip=flip))
        for flip in (0.0, 1.0)
    )
    straight, mirrored = plain[(0, 0)], turned[(0, 0)]
    assert torch.equal(straight.pixels.flip(-1), mirrored.pixels)
    renamed = torch.tensor(MIRROR)[straight.labels.flip(-1)]
    assert torch.equal(renamed.int(), mirrored.labels)
    assert not torch.equal(straight.labels.flip(-1), mirrored.labels)
    paired = whole(
        pictures,
        DataConfig(
            size=48, scale=(1, 1), ratio=(4 / 3, 4 / 3), flip=1, mirror=(("cat:nose", "cat:tail"),)
        ),
    )[(0, 0)]
    assert torch.equal(paired.labels == 3, mirrored.labels == 4)


def whole(pictures: Pictures, config: DataConfig) -> TrainingPictures:
    return TrainingPictures(pictures, config, 12, seed=0)


@pytest.mark.parametrize("flip", [0, 1])
def test_what_a_shift_brings_in_says_nothing(make, flip):
    pictures = make([(48, 96)])
    config = DataConfig(size=48, crop="padded", shift=8, flip=flip)
    data, still = (
        TrainingPictures(pictures, config.model_copy(update={"shift": shift}), 12, seed=1)
        for shift in (8, 0)
    )
    middle = still[(0, 0)]
    for epoch in range(12):
        random = np.random.default_rng((1, epoch, 0))
        view, _ = training_view((48, 96), config, random)
        x, y = view.shift
        sample = data[(epoch, 0)]
        turned = slice(None, None, -1 if flip else 1)
        at = (np.arange(12) + 0.5) * 4
        inside = ((at + y >= 0) & (at + y < 48))[:, None] & ((at + x >= 0) & (at + x < 48))
        assert (sample.labels.numpy()[:, turned][~inside] == IGNORE).all()
        shown = centres(sample.pixels, 12)
        shown = torch.where(shown < 0, shown, torch.tensor(MIRROR)[shown]) if flip else shown
        known = (shown >= 0).numpy() & inside[:, turned]
        assert (sample.labels.numpy() == shown.numpy())[known].all()
        # where the picture goes on, it is the same picture, moved
        ys, xs = slice(max(-y, 0), 48 - max(y, 0)), slice(max(-x, 0), 48 - max(x, 0))
        from_y, from_x = slice(max(y, 0), 48 + min(y, 0)), slice(max(x, 0), 48 + min(x, 0))
        moved, whole = (one.pixels.flip(-1) if flip else one.pixels for one in (sample, middle))
        assert torch.equal(moved[:, ys, xs], whole[:, from_y, from_x])


@pytest.mark.parametrize("size", SIZES)
def test_a_cut_is_torchvisions(size):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    for _ in range(10):
        view, box = training_view(size, DataConfig(size=32), rng)
        left, top, width, height = box
        picture = Image.fromarray(pixels)
        theirs = TF.resized_crop(picture, top, left, height, width, [32, 32], Resized)
        theirs = TF.hflip(theirs) if view.flip else theirs
        assert np.array_equal(cut(pixels, box, view, 32), np.asarray(theirs))


def test_boxes_follow_torchvisions_law():
    """The same distribution of area, shape and place, by quantiles of many draws."""
    size, scale, ratio, n = (300, 500), (0.08, 1.0), (3 / 4, 4 / 3), 4000
    rng = np.random.default_rng(0)
    ours = np.array([resized_box(size, scale, ratio, rng) for _ in range(n)], float)
    torch.manual_seed(0)
    picture = torch.zeros(3, *size)
    drawn = [RandomResizedCrop.get_params(picture, list(scale), list(ratio)) for _ in range(n)]
    theirs = np.array([(left, top, w, h) for top, left, h, w in drawn], float)
    levels = np.linspace(0.05, 0.95, 10)
    for found in (
        lambda b: b[:, 2] * b[:, 3],
        lambda b: b[:, 2] / b[:, 3],
        lambda b: b[:, 0],
        lambda b: b[:, 1],
    ):
        a, b = np.quantile(found(ours), levels), np.quantile(found(theirs), levels)
        assert np.abs(a - b).max() < 0.05 * np.ptp(found(theirs))


@pytest.mark.parametrize("size", [(10, 400), (400, 10), (100, 100)])
def test_where_no_box_fits_the_middle_is_taken_as_torchvision_does(size):
    box = resized_box(size, (1.5, 2.0), (3 / 4, 4 / 3), np.random.default_rng(0))
    picture = torch.zeros(3, *size)
    top, left, h, w = RandomResizedCrop.get_params(picture, [1.5, 2.0], [3 / 4, 4 / 3])
    assert box == (left, top, w, h)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 99))
def test_a_box_lies_in_its_picture(height, width, seed):
    rng = np.random.default_rng(seed)
    left, top, w, h = resized_box((height, width), (0.08, 1.0), (3 / 4, 4 / 3), rng)
    assert (w >= 1, h >= 1, left >= 0, top >= 0) == (True,) * 4
    assert left + w <= width
    assert top + h <= height


@pytest.mark.parametrize("size", [*SIZES, (224, 224), (57, 300)])
@pytest.mark.parametrize(("side", "share"), [(224, 0.875), (64, 0.875), (32, 1.0), (48, 0.9)])
def test_evaluation_cuts_as_torchvision(size, side, share):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    scaled, _, (left, top) = eval_view(size, DataConfig(size=side, eval_crop=share))
    ours = resize(pixels, scaled)[top : top + side, left : left + side]
    picture = TF.resize(Image.fromarray(pixels), round(side / share), Resized)
    assert np.array_equal(ours, np.asarray(TF.center_crop(picture, side)))


def test_evaluation_cuts_labels_with_the_picture(make):
    pictures = make(SIZES)
    data = EvalPictures(pictures, DataConfig(size=48), 12)
    for at in range(len(SIZES)):
        sample = data[at]
        shown = centres(sample.pixels, 12)
        known = shown >= 0
        assert torch.equal(shown[known], sample.labels[known].int())
        assert known.sum() > 40


def test_a_sample_depends_on_seed_epoch_and_position_alone(make):
    pictures, config = make(SIZES), DataConfig(size=32)
    first, again = (TrainingPictures(pictures, config, 8, seed=5) for _ in range(2))
    again[(0, 3)]
    torch.manual_seed(9)
    np.random.seed(9)
    one, other = first[(2, 1)], again[(2, 1)]
    assert torch.equal(one.pixels, other.pixels)
    assert torch.equal(one.labels, other.labels)
    for differs in (first[(3, 1)], TrainingPictures(pictures, config, 8, seed=6)[(2, 1)]):
        assert not torch.equal(one.pixels, differs.pixels)
    second = first[(2, 1 + len(pictures))]  # shown a second time in the epoch
    assert not torch.equal(one.pixels, second.pixels)
    assert second.class_ == one.class_


def test_a_class_only_picture_says_nothing_of_parts(make):
    pictures = make(SIZES[:2], plain=1, pseudo={1})
    data = TrainingPictures(pictures, DataConfig(size=32), 8, seed=0)
    samples = [data[(0, at)] for at in range(3)]
    assert [sample.source for sample in samples] == [HUMAN, PSEUDO, PLAIN]
    assert (samples[2].labels == IGNORE).all()
    assert (samples[1].labels != IGNORE).any()
    alone = TrainingPictures(pictures.without_pseudo(), DataConfig(size=32), 8, seed=0)
    assert (alone[(0, 1)].labels == IGNORE).all()
    batch = collate(samples)
    assert isinstance(batch, Batch)
    assert (batch.pixels.shape, batch.pixels.dtype) == ((3, 3, 32, 32), torch.uint8)
    assert batch.pixels.is_contiguous()
    assert (batch.labels.shape, batch.labels.dtype) == ((3, 8, 8), torch.int32)
    assert (batch.classes.dtype, batch.classes.tolist()) == (torch.int64, [0, 0, 1])
    assert (batch.sources.dtype, batch.sources.tolist()) == (torch.uint8, [0, 1, 2])
    assert torch.equal(batch.to("cpu").pixels, batch.pixels)


def test_shuffled_maps_are_those_of_another_picture(make):
    sizes = [(48, 64), (40, 80), (64, 48)]
    pictures = make(sizes, plain=2)
    config = DataConfig(size=48, flip=0, scale=(1, 1), ratio=(0.1, 10))
    own = TrainingPictures(pictures, config, 12, seed=4)
    shuffled = TrainingPictures(pictures, config, 12, seed=4, shuffled=True)
    other = partners(pictures, 4)
    for at in range(3):
        sample = shuffled[(0, at)]
        assert torch.equal(sample.pixels, own[(0, at)].pixels)
        whole = pictures.labels(int(other[at]))
        view, _ = training_view(sizes[at], config, np.random.default_rng((4, 0, at)))
        twins = np.array(pictures.parts.mirrored())
        assert np.array_equal(sample.labels, view.labels(whole, 48, 12, IGNORE, twins))
        assert torch.equal(shuffled[(7, at)].labels.unique(), shuffled[(8, at)].labels.unique())
    assert (shuffled[(0, 4)].labels == IGNORE).all()


def test_a_picture_that_cannot_be_read_is_told_as_a_value(make, tmp_path):
    pictures = make(SIZES)
    path = tmp_path / "photos" / "1.png"
    path.write_bytes(path.read_bytes()[:90])
    (tmp_path / "photos" / "2.png").unlink()
    data = TrainingPictures(pictures, DataConfig(size=32), 8, seed=0)
    damaged, gone = data[(0, 1)], data[(0, 2)]
    assert isinstance(damaged, DatasetError)
    assert str(path) in damaged.message
    assert isinstance(gone, NotFoundError)
    assert collate([data[(0, 0)], damaged, gone]) is damaged
    with pytest.raises(DatasetError, match=r"cannot read image .*1\.png"):
        [*eval_batches(pictures, DataConfig(size=32), 8, 2, [0, 1])]


def test_a_damaged_label_map_is_told_as_a_value(make, tmp_path):
    make(SIZES)
    path = tmp_path / "l.arrow"
    raw = bytearray(path.read_bytes())
    start = raw.index(bytes.fromhex("28b52ffd"))  # where the first zstd frame begins
    raw[start : start + 4] = b"\0\0\0\0"
    path.write_bytes(raw)
    pictures = open_pictures([path], cache=tmp_path / "cache")
    error = TrainingPictures(pictures, DataConfig(size=32), 8, seed=0)[(0, 0)]
    assert isinstance(error, DatasetError)
    assert "l.arrow is damaged: cannot read the label map of 0.png" in error.message


def test_a_picture_of_another_shape_than_its_labels_is_refused(make, tmp_path):
    pictures = make([(48, 64)])
    Image.new("RGB", (48, 64)).save(tmp_path / "photos" / "0.png")
    error = TrainingPictures(pictures, DataConfig(size=32), 8, seed=0)[(0, 0)]
    assert isinstance(error, DatasetError)
    assert "0.png has 48 x 64 pixels, and its label map 64 x 48" in error.message


def test_a_larger_copy_of_the_labelled_picture_will_do(make):
    pictures = make([(48, 64)], scale=3)
    data = TrainingPictures(pictures, DataConfig(size=48, flip=0), 12, seed=0)
    for epoch in range(5):
        sample = data[(epoch, 0)]
        shown = centres(sample.pixels, 12)
        assert torch.equal(shown[shown >= 0], sample.labels[shown >= 0].int())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_gets_the_batches_of_its_plan(make, workers):
    pictures, config = make(SIZES, plain=3), DataConfig(size=32)
    data = TrainingPictures(pictures, config, 8, seed=2)

    def plan(epoch: int) -> list[list[int]]:
        return epoch_plan(pictures, config, 3, seed=2, epoch=epoch)

    batches = Batches(data, plan, collate, workers=workers)
    found = [*batches.start(1, 2)]
    keys = [[(0, at) for at in plan(0)[1]], *[[(1, at) for at in one] for one in plan(1)]]
    assert len(found) == 3
    for batch, wanted in zip(found, keys, strict=True):
        again = collate([data[key] for key in wanted])
        assert isinstance(again, Batch)
        assert torch.equal(batch.pixels, again.pixels)
        assert torch.equal(batch.labels, again.labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_takes_the_positions_in_order(make, workers):
    pictures, config = make(SIZES, plain=3), DataConfig(size=32)
    state = torch.get_rng_state()
    found = [*eval_batches(pictures, config, 8, 2, [6, 0, 3], workers=workers)]
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(batch.classes) for batch in found] == [2, 1]
    data = EvalPictures(pictures, config, 8)
    samples = [data[at] for at in (6, 0, 3)]
    assert torch.equal(torch.cat([batch.pixels for batch in found]), stacked(samples))


def stacked(samples: list[Sample]) -> torch.Tensor:
    return torch.stack([sample.pixels for sample in samples])


# --- colours ---------------------------------------------------------------------------------


def test_colours_change_as_torchvisions_do():
    from train.colours import brightness, contrast, saturation

    images = torch.rand(4, 3, 9, 11)
    factors = torch.tensor([0.0, 0.7, 1.0, 1.6])
    pairs = [
        (brightness, TF.adjust_brightness),
        (contrast, TF.adjust_contrast),
        (saturation, TF.adjust_saturation),
    ]
    for ours, theirs in pairs:
        found = ours(images, factors.view(-1, 1, 1, 1))
        wanted = [theirs(one, float(by)) for one, by in zip(images, factors, strict=True)]
        torch.testing.assert_close(found, torch.stack(wanted), atol=1e-6, rtol=0)


def test_each_image_has_its_own_colours_and_the_seed_decides():
    images = torch.full((64, 3, 4, 4), 0.5)
    torch.manual_seed(1)
    one = jitter(images, 0.1)
    torch.manual_seed(1)
    assert torch.equal(one, jitter(images, 0.1))
    assert not torch.equal(one, jitter(images, 0.1))
    levels = one.mean((1, 2, 3))
    assert len(levels.unique()) == 64
    assert levels.min() >= 0.45 - 1e-6
    assert levels.max() <= 0.55 + 1e-6
    assert levels.max() - levels.min() > 0.07
    assert jitter(images, 0) is images
    assert (images == 0.5).all()
    strong = jitter(torch.rand(8, 3, 4, 4), 2.0)
    assert strong.min() >= 0
    assert strong.max() <= 1
