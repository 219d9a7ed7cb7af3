"""Model help: what is pointed at is inside, full size, kept within its bytes, alike in threads."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from colour_segmenter import COLOURS, INCLUSIONS, NAMES, ColourSegmenter, draw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from partlab.errors import ConfigError
from partlab.images import load_image
from partlab.masks import decode
from partlab.parts import Parts
from segmenter.part_rcnn import ModelConfig
from segmenter.prompt import Click, Prompts, prompter_of
from segmenter.prompt.bend import bent
from segmenter.prompt.cache import LookCache, key_of
from segmenter.prompt.head import PromptHead
from segmenter.prompt.layers import LayersPrompter
from segmenter.prompt.network import NetworkPrompter
from segmenter.prompt.simulate import iou, next_click
from segmenter.prompt.trained import TrainedPrompter
from segmenter.torchvision_backend import MaskRCNN

TINY = ModelConfig(
    weights="none", channels=16, image_size=64, box_features=16, mask_channels=8, mask_layers=1,
    rois=8, proposals=20, score_threshold=0.0,
)  # fmt: skip
SIZE = (60, 90)


@pytest.fixture(scope="module")
def network() -> MaskRCNN:
    torch.manual_seed(0)
    return MaskRCNN(Parts.of(["cat:head", "cat:tail", "dog:head"]), TINY, "cpu")


@pytest.fixture(scope="module")
def head(network) -> PromptHead:
    made = PromptHead.of(network.network.roi_heads.part_masks)
    with torch.no_grad():  # as after a training: every tensor counts
        for tensor in made.parameters():
            tensor.add_(0.05 * torch.randn_like(tensor))
    return made


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)


clicks = st.lists(
    st.builds(Click, st.floats(0, SIZE[1]), st.floats(0, SIZE[0]), st.booleans()), max_size=6
).map(tuple)
boxes = st.none() | st.tuples(*(st.floats(-5, 100) for _ in range(4)))


@pytest.mark.parametrize("way", ["network", "prompted"])
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(clicks=clicks, box=boxes, part=st.sampled_from([None, "cat:tail", "cow:horn"]))
def test_an_answer_obeys_every_click_and_is_of_full_size(
    network, head, pixels, way, clicks, box, part
) -> None:
    prompter = NetworkPrompter(network) if way == "network" else TrainedPrompter(network, head)
    if not clicks and box is None:
        with pytest.raises(ConfigError, match="neither a click nor a box"):
            prompter.answer(pixels, Prompts(clicks, box))
        return
    prompts = Prompts(clicks, box)
    answer = prompter.answer(pixels, prompts, part=part, key="one")
    if answer is None:
        return
    mask = decode(answer.mask)
    assert mask.shape == SIZE
    assert mask.any()
    assert prompts.within(*SIZE).obeyed(mask)
    assert 0 <= answer.score <= 1
    assert answer.way in (
        ("prompted",) if way == "prompted" and part != "cow:horn" else ("layer", "box")
    )
    assert part is None or answer.part == part


@pytest.mark.parametrize("way", ["network", "prompted"])
def test_a_click_alone_always_gets_an_answer(network, head, pixels, way) -> None:
    prompter = NetworkPrompter(network) if way == "network" else TrainedPrompter(network, head)
    for x, y in [(0, 0), (89.9, 59.9), (90, 60), (45, 30)]:
        assert prompter.answer(pixels, Prompts((Click(x, y),)), objects="cat") is not None


@pytest.mark.parametrize("asked", [{"part": "ant:leg"}, {"objects": "ant"}])
def test_of_a_part_that_was_never_learnt_the_runs_own_heads_answer(
    network, head, pixels, asked
) -> None:
    prompts = Prompts((Click(20, 20), Click(40, 30)))
    ways = NetworkPrompter(network), TrainedPrompter(network, head)
    own, trained = (way.answer(pixels, prompts, **asked) for way in ways)
    assert own is not None
    assert trained == own
    known = ways[1].answer(pixels, prompts, part=network.names[0])
    assert known is not None
    assert known.way == "prompted"


def test_one_pixel_inside_and_outside_is_no_mask(network, pixels) -> None:
    both = Prompts((Click(20, 20), Click(20, 20, positive=False)))
    assert NetworkPrompter(network).answer(pixels, both) is None


def test_negative_clicks_alone_ask_for_nothing(network, pixels) -> None:
    assert NetworkPrompter(network).answer(pixels, Prompts((Click(5, 5, positive=False),))) is None


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        (Prompts(), "neither a click nor a box"),
        (Prompts((Click(float("nan"), 1),)), "no number"),
        (Prompts(box=(0, 0, float("inf"), 1)), "no number"),
        (Prompts((Click(1, 1),) * 101), "101 clicks, more than 100"),
    ],
)
def test_prompts_of_no_use_are_said(network, pixels, prompts, words) -> None:
    with pytest.raises(ConfigError, match=words):
        NetworkPrompter(network).answer(pixels, prompts)


def test_points_beyond_the_picture_are_its_border_and_boxes_may_be_drawn_backwards() -> None:
    found = Prompts((Click(-3, 999),), (80, 50, -1, 20)).within(*SIZE)
    assert found.clicks[0].at == (59, 0)
    assert found.box == (0, 20, 80, 50)
    assert Prompts(box=(89.9, 59.9, 89.9, 59.9)).within(*SIZE).box == (89, 59, 90, 60)


def test_a_bent_mask_changes_about_the_click_alone() -> None:
    pixels = np.full((100, 100, 3), 90, np.uint8)
    logits = np.full((100, 100), -4, np.float32)
    logits[10:40, 10:40] = 4
    found = bent(logits, pixels, Prompts((Click(12.5, 12.5, positive=False), Click(20, 20))))
    assert found is not None
    changed = (found > 0) != (logits > 0)
    assert changed[12, 12]
    assert not changed[20, 20]
    assert not changed[30:].any()


def test_a_bend_stays_on_its_colour() -> None:
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[:, 30:] = 255
    logits = np.full((60, 60), -0.5, np.float32)
    logits[:20, :20] = 4  # how far a click reaches follows from the mask's size
    found = bent(logits, pixels, Prompts((Click(28, 30),)))
    assert found is not None
    assert (found[30, 26:30] > 0).all()
    assert not (found[:, 30:] > 0).any()


# --- the segmenter's layers ---------------------------------------------------------------


@pytest.fixture
def drawn(tmp_path) -> tuple[ColourSegmenter, np.ndarray]:
    draw(tmp_path / "one.png", "cat", 1)
    return ColourSegmenter(Parts.of(NAMES, INCLUSIONS), COLOURS), load_image(tmp_path / "one.png")


def test_any_segmenters_layer_under_the_click_is_the_answer(drawn) -> None:
    segmenter, pixels = drawn
    prompter = prompter_of(segmenter)
    assert isinstance(prompter, LayersPrompter)
    (found,) = segmenter.predict([pixels], ["cat"])
    for label, rle in zip(found.labels, found.masks, strict=True):
        row, column = np.argwhere(decode(rle))[0]
        click = Prompts((Click(float(column), float(row)),))
        answer = prompter.answer(pixels, click, part=NAMES[label], objects="cat")
        assert (answer.mask, answer.part, answer.way) == (rle, NAMES[label], "layer")


def test_where_no_layer_fits_there_is_no_answer(drawn) -> None:
    segmenter, pixels = drawn
    (found,) = segmenter.predict([pixels])
    free = ~np.any([decode(rle) for rle in found.masks], axis=0)
    row, column = np.argwhere(free)[0]
    prompter = prompter_of(segmenter)
    assert prompter.answer(pixels, Prompts((Click(float(column), float(row)),))) is None
    assert prompter.answer(pixels, Prompts(box=(0, 0, 3, 3))) is None
    box = tuple(float(side) for side in found.boxes[0])
    assert prompter.answer(pixels, Prompts(box=box)).mask == found.masks[0]


# --- the cache ----------------------------------------------------------------------------


class Bytes:
    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


def test_the_cache_stays_within_its_bytes_and_keeps_what_was_used_last() -> None:
    cache: LookCache[Bytes] = LookCache(100)
    for key in "abc":
        cache.get(key, lambda: Bytes(40))
        cache.get("a", lambda: pytest.fail("a was used last"))
        assert cache.nbytes <= 100
    assert (len(cache), cache.nbytes, cache.hits, cache.misses) == (2, 80, 3, 3)
    cache.get("b", lambda: Bytes(101))  # it was pushed out, and is too large now
    assert (len(cache), cache.nbytes, cache.misses) == (2, 80, 4)


def test_a_failed_look_is_tried_again() -> None:
    cache: LookCache[Bytes] = LookCache(100)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: Bytes(1 // 0))
    assert cache.get("a", lambda: Bytes(1)).nbytes == 1


def test_two_threads_look_once_and_answer_alike(network, pixels) -> None:
    prompter, looks = NetworkPrompter(network), []
    inner = prompter.looker.look
    prompter.looker.look = lambda pixels: looks.append(1) or inner(pixels)
    start = Barrier(4)

    def ask(_: int):
        start.wait()
        return prompter.answer(pixels, Prompts((Click(30, 30),)), part="cat:head")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert len(looks) == 1
    assert all(answer == answers[0] for answer in answers)


def test_the_networks_cache_is_capped(network) -> None:
    prompter = prompter_of(network, cache_bytes=200_000)
    for seed in range(6):
        pixels = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        prompter.answer(pixels, Prompts((Click(30, 30),)))
        assert 0 < prompter.cache.nbytes <= 200_000
    assert len(prompter.cache) < 6
    assert key_of(pixels) != key_of(pixels[::-1])


# --- the simulated annotator --------------------------------------------------------------


def test_the_annotator_clicks_the_middle_of_the_largest_error() -> None:
    truth = np.zeros((50, 50), bool)
    truth[10:31, 10:31] = True
    assert next_click(np.zeros_like(truth), truth) == Click(20.5, 20.5)
    mask = truth.copy()
    mask[40:49, 0:30] = True  # more pixels too many than missing
    mask[10:14, 10:14] = False
    assert next_click(mask, truth) == Click(4.5, 44.5, positive=False)
    assert next_click(truth, truth) is None
    assert iou(mask, truth) == pytest.approx((441 - 16) / (441 + 270))
