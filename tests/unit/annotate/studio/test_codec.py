"""The brush masks of Label Studio: bit-exact both ways, and damage is always told."""

import json
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counted import calls
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from label_studio_sdk.converter import brush as sdk

from annotate.studio.spelling.codec import decode_brush, encode_brush
from partlab.errors import MaskError
from partlab.masks import BoolMask

PAYLOADS = Path(__file__).resolve().parents[5] / "shared" / "data" / "labelstudio-payloads"
needs_payloads = pytest.mark.skipif(
    not PAYLOADS.is_dir(), reason="no ../shared/data/labelstudio-payloads beside the checkout"
)

noise = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))


@st.composite
def boxes(draw: st.DrawFn) -> BoolMask:
    """Large smooth masks, 1xN and Nx1 among them, whose runs need every field size."""
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    mask = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(0, 4))):
        top, left = draw(st.integers(0, height)), draw(st.integers(0, width))
        mask[
            top : top + draw(st.integers(0, height)), left : left + draw(st.integers(0, width))
        ] ^= True
    return mask


def sdk_alpha(rle: list[int], height: int, width: int) -> Any:
    return sdk.decode_rle(rle).reshape(height, width, 4)[..., 3]


def ui_stream(values: list[int], fields: tuple[int, ...] = (3, 4, 8, 16)) -> list[int]:
    """The encoder of the web page, slowly: runs where values repeat, literals where not."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in fields)
    place = 0
    while place < len(values):
        end = place + 1
        run = values[place : place + 2] == [values[place]] * 2
        while end < len(values) and end - place < 1 << fields[-1]:
            same = values[end] == values[end - 1]
            if same != run:
                break
            end += 1
        field = next(i for i, size in enumerate(fields) if end - place <= 1 << size)
        bits += f"{int(run)}{field:02b}{end - place - 1:0{fields[field]}b}"
        bits += "".join(
            f"{v:08b}" for v in (values[place : place + 1] if run else values[place:end])
        )
        place = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@given(st.one_of(noise, boxes()))
@settings(deadline=None, max_examples=200)
def test_what_is_written_is_read_again_bit_for_bit(mask: BoolMask) -> None:
    assert np.array_equal(decode_brush(encode_brush(mask), *mask.shape), mask)


@given(st.one_of(noise, boxes()))
@settings(deadline=None, max_examples=60)
def test_the_server_s_own_package_reads_and_writes_the_same_masks(mask: BoolMask) -> None:
    ours = encode_brush(mask)
    assert np.array_equal(sdk_alpha(ours, *mask.shape), mask * np.uint8(255))
    theirs = sdk.mask2rle(mask.astype(np.uint8) * 255)
    assert np.array_equal(decode_brush(theirs, *mask.shape), mask)  # the bytes may differ


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12)), st.data())
@settings(deadline=None, max_examples=100)
def test_soft_edges_are_cut_at_half_opaque(alpha: Any, data: st.DataObject) -> None:
    """The web page writes literals of changing alpha under a fixed colour."""
    colour = data.draw(st.lists(st.integers(0, 255), min_size=3, max_size=3))
    fields = data.draw(st.sampled_from([(3, 4, 8, 16), (1, 2, 5, 9), (2, 3, 4, 16)]))
    rgba = np.dstack([*(np.full_like(alpha, channel) for channel in colour), alpha])
    stream = ui_stream(rgba.ravel().tolist(), fields)
    assert np.array_equal(sdk_alpha(stream, *alpha.shape), alpha)
    assert np.array_equal(decode_brush(stream, *alpha.shape), alpha >= 128)


@pytest.mark.parametrize("shape", [(1, 1), (1, 70_000), (70_000, 1), (375, 500), (257, 256)])
@pytest.mark.parametrize("inside", [False, True])
def test_empty_and_full_masks(shape: tuple[int, int], inside: bool) -> None:
    mask = np.full(shape, inside)
    stream = encode_brush(mask)
    assert np.array_equal(decode_brush(stream, *shape), mask)
    assert len(stream) <= 7 + 27 * (1 + mask.size * 4 // 65_536) / 8 + 1


def test_any_non_zero_pixel_is_inside_and_the_memory_order_does_not_matter() -> None:
    mask = np.asfortranarray([[0, 1, 255], [7, 0, 0]], np.uint8)
    assert decode_brush(encode_brush(mask), 2, 3).tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("mask", [np.zeros(4, bool), np.zeros((2, 2, 2), bool)])
def test_only_flat_pictures_can_be_written(mask: Any) -> None:
    with pytest.raises(MaskError, match="shape"):
        encode_brush(mask)


@needs_payloads
@pytest.mark.parametrize("name", ["brushlabels_manual_stroke", "brushlabels_prediction_changed"])
def test_masks_of_the_web_page_equal_the_server_package_s_reading(name: str) -> None:
    annotations = json.loads((PAYLOADS / f"ui_annotation_{name}.json").read_text())
    for region in annotations[0]["result"]:
        rle = region["value"]["rle"]
        assert np.array_equal(decode_brush(rle, 375, 500), sdk_alpha(rle, 375, 500) >= 128)


@needs_payloads
def test_a_thin_stroke_loses_its_fringe() -> None:
    """labelstudio: 1539 pixels are touched, 1361 are at least half opaque."""
    path = PAYLOADS / "ui_annotation_brushlabels_manual_stroke.json"
    rle = json.loads(path.read_text())[0]["result"][-1]["value"]["rle"]
    assert (sdk_alpha(rle, 375, 500) > 0).sum() == 1539
    assert decode_brush(rle, 375, 500).sum() == 1361


WHOLE = encode_brush(np.random.default_rng(0).random((20, 30)) < 0.2)


@given(st.integers(0, len(WHOLE) - 1))
@settings(deadline=None)
def test_a_stream_cut_short_is_refused(length: int) -> None:
    with pytest.raises(MaskError, match="short"):
        decode_brush(WHOLE[:length], 20, 30)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_damage_gives_a_mask_of_the_right_size_or_an_error(data: st.DataObject) -> None:
    damaged = list(WHOLE)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(WHOLE) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MaskError):
        assert decode_brush(damaged, 20, 30).shape == (20, 30)


@given(st.binary(max_size=60), st.integers(-3, 9), st.integers(-3, 9))
@settings(deadline=None, max_examples=300)
def test_anything_else_is_an_error(data: bytes, height: int, width: int) -> None:
    with suppress(MaskError):
        assert decode_brush(list(data), height, width).shape == (height, width)


@pytest.mark.parametrize(
    "stream",
    [None, 5, 10**9, "AAAA", [1.5], ["1"], [None], [[0]], [256], [-1], {"0": 1}, [10**30], []],
)
def test_what_is_no_list_of_bytes_is_refused(stream: Any) -> None:
    with pytest.raises(MaskError):
        decode_brush(stream, 20, 30)


@pytest.mark.parametrize("size", [(30, 20), (20, 31), (600, 2), (0, 0), (-20, -30)])
def test_a_mask_of_another_size_is_refused_with_both_sizes(size: tuple[int, int]) -> None:
    if size == (30, 20):  # as many pixels: only the caller can know
        assert decode_brush(WHOLE, *size).shape == size
        return
    with pytest.raises(MaskError, match=rf"600 pixels, the picture {size[1]}x{size[0]}|600 pixels"):
        decode_brush(WHOLE, *size)


def test_what_follows_the_last_pixel_must_be_filling() -> None:
    assert decode_brush([*WHOLE, 0, 0], 20, 30).any()
    with pytest.raises(MaskError, match="after its last pixel"):
        decode_brush([*WHOLE, 0, 4], 20, 30)


def test_other_word_sizes_are_refused() -> None:
    stream = list(WHOLE)
    stream[4] = 15 << 3 | stream[4] & 7
    with pytest.raises(MaskError, match="16 bits"):
        decode_brush(stream, 20, 30)


def test_a_stream_that_claims_too_much_costs_nothing() -> None:
    """4 billion values in a few bytes, and blocks that each claim the longest literal."""
    claim = [255] * 4 + WHOLE[4:]
    literals = WHOLE[:7] + [0x7F, 0xFF] * 5000

    def refuse_all() -> None:
        for stream in (claim, literals):
            with pytest.raises(MaskError):
                decode_brush(stream, 20, 30)
        with pytest.raises(MaskError):
            decode_brush(claim, 32_768, 32_767)

    assert calls(refuse_all) < 5000
    tracemalloc.start()
    refuse_all()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20e6


def test_a_mask_of_noise_takes_no_minutes() -> None:
    """A step for each run of pixels, which are half as many; `benchmarks/` has the time."""
    mask = np.random.default_rng(1).random((1500, 2000)) < 0.5
    stream = encode_brush(mask)
    assert np.array_equal(decode_brush(stream, *mask.shape), mask)
    part = mask[:150, :200]
    few = encode_brush(part)
    assert calls(lambda: encode_brush(part)) < 1000
    assert calls(lambda: decode_brush(few, *part.shape)) < 0.6 * part.size
