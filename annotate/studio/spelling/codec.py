"""Label Studio's brush masks: a bit stream of run lengths of RGBA values, read and written fast.

The stream, big-endian: 32 bits number of values (height x width x 4), 5 bits word size - 1,
four times 4 bits field size - 1; then blocks: 1 bit "is a run", 2 bits choosing a field size,
length - 1 in that many bits, then one word (run) or `length` words (literal: what the web page's
encoder writes). Zero bits fill up the last byte. The mask is the last of the four channels.
Two encoders give different bytes for the same mask: compare masks, never bytes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from partlab.errors import MaskError
from partlab.masks import BoolMask

_Ints = NDArray[np.int64]
_Bits = NDArray[np.uint32]
_FIELDS = (3, 4, 8, 16)  # bits of a length; the sizes every known encoder uses
_HEADER = 32 + 5 + 4 * 4  # bits
_LONGEST = 1 << _FIELDS[-1]  # values in one block
_WORD = 8
_CHUNK = 1 << 16  # bytes looked at together; bounds the memory a long stream takes


def encode_brush(mask: NDArray[Any]) -> list[int]:
    """The stream of one (height, width) mask as a list of bytes, as `value.rle` holds it.

    Every non-zero pixel is inside and becomes opaque white, every other transparent black.

    Raises:
        MaskError: the mask is not two-dimensional, or has more pixels than the format can count.
    """
    if mask.ndim != 2 or mask.size * 4 >= 1 << 32:
        raise MaskError(f"a mask of shape {mask.shape} cannot be written as a brush mask")
    lengths, inside = _blocks(np.ravel(mask) != 0)
    field = np.searchsorted([1 << size for size in _FIELDS[:-1]], lengths)
    bits = np.array(_FIELDS)[field]
    words = (4 | field) << bits | lengths - 1  # "is a run", field, length - 1
    words = words << _WORD | np.where(inside, 255, 0)
    return _packed(
        np.concatenate([_header(mask.size * 4), words]),
        np.concatenate([[32, 5, 4, 4, 4, 4], 3 + bits + _WORD]),
    )


def _header(values: int) -> _Ints:
    return np.array([values, _WORD - 1, *(size - 1 for size in _FIELDS)], np.int64)


def _blocks(flat: BoolMask) -> tuple[_Ints, BoolMask]:
    """Run lengths in values, none longer than a block can be, and whether each is inside."""
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges]) if len(flat) else edges
    lengths = np.diff(starts, append=len(flat)) * 4
    pieces = -(-lengths // _LONGEST)
    split = np.full(int(pieces.sum()), _LONGEST, np.int64)
    split[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    return split, np.repeat(flat[starts], pieces)


def _packed(words: _Ints, bits: _Ints) -> list[int]:
    """The lowest `bits[i]` bits of each word, one after the other, as bytes."""
    ends = np.cumsum(bits)
    first = (ends - bits) >> 3  # the byte each word begins in; it reaches into 4 more at most
    aligned = words << 40 - (ends - first * 8)
    out = np.zeros(int(ends[-1] + 7 >> 3) + 4)
    for place in range(5):
        part = aligned >> 32 - 8 * place & 255
        out += np.bincount(first + place, part, len(out))  # no two words share a bit
    return list(out[:-4].astype(np.uint8).tobytes())


def decode_brush(rle: Sequence[int], height: int, width: int) -> BoolMask:
    """The (height, width) mask of a stream: every pixel with an alpha of at least 128.

    Strokes of the web page have soft edges; half opaque is where a person sees the edge.

    Raises:
        MaskError: the stream is damaged or cut short, or is that of another size.
    """
    data = _as_bytes(rle)
    values = height * width * 4
    fields = _checked_header(data, values, height, width)
    lengths, words = _runs(data, fields, values)
    ends = np.cumsum(lengths)
    if not len(ends) or ends[-1] != values:
        raise MaskError(f"the brush mask is cut short, or not one of {width}x{height} pixels")
    pixels = np.diff(ends >> 2, prepend=0)  # alpha values (every fourth) that fall into each run
    return np.repeat(words >= 128, pixels).reshape(height, width)


def _as_bytes(rle: Any) -> NDArray[np.uint8]:
    try:
        if not isinstance(rle, list | tuple | bytes):
            raise TypeError
        return np.frombuffer(bytes(rle), np.uint8)
    except (TypeError, ValueError):
        raise MaskError("the brush mask is not a list of bytes") from None


def _checked_header(data: NDArray[np.uint8], values: int, height: int, width: int) -> _Ints:
    if len(data) < 7:
        raise MaskError("the brush mask is cut short: it has no header")
    header = int.from_bytes(data[:7].tobytes(), "big") >> 7 * 8 - _HEADER
    stated, word = header >> 21, (header >> 16 & 31) + 1
    if stated != values or height < 1 or width < 1:
        raise MaskError(
            f"the brush mask holds {stated / 4:,.0f} pixels, the picture {width}x{height}"
        )
    if word != _WORD:
        raise MaskError(f"the brush mask has values of {word} bits; only {_WORD} are known")
    return np.array([(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)])


def _runs(data: NDArray[np.uint8], fields: _Ints, values: int) -> tuple[_Ints, _Bits]:
    """Lengths and words of all runs; a literal becomes runs of one value each."""
    windows = _windows(data)
    starts = np.fromiter(_block_starts(windows, fields), np.int64)
    _, lengths, _ = _heads(_at(windows, starts), fields)
    starts = starts[: np.searchsorted(np.cumsum(lengths), values) + 1]
    is_run, lengths, heads = _heads(_at(windows, starts), fields)
    words = np.where(is_run, 1, lengths)
    places = np.repeat(starts + heads, words) + _WORD * _counted(words)
    _check_end(data, int(places[-1]) + _WORD if len(places) else _HEADER)
    return np.repeat(np.where(is_run, lengths, 1), words), _at(windows, places) >> np.uint32(24)


def _windows(data: NDArray[np.uint8]) -> _Bits:
    """The 32 bits from each byte on, zeros beyond the end."""
    padded = np.concatenate([data, np.zeros(3, np.uint8)])
    return np.ascontiguousarray(sliding_window_view(padded, 4)).view(">u4")[:, 0].astype(np.uint32)


def _at(windows: _Bits, places: _Ints) -> _Bits:
    """At least 25 bits from each bit place on, at the top of a 32-bit number."""
    found: _Bits = windows[np.minimum(places >> 3, len(windows) - 1)]
    return found << (places & 7).astype(np.uint32)


def _heads(bits: _Bits, fields: _Ints) -> tuple[BoolMask, _Ints, _Ints]:
    """For blocks that begin at the top of `bits`: "is a run", length, bits before the words."""
    field = fields.astype(np.uint32)[bits >> 29 & 3]
    lengths = (bits << 3 >> 32 - field).astype(np.int64) + 1
    return bits >> 31 == 1, lengths, field.astype(np.int64) + 3


def _block_starts(windows: _Bits, fields: _Ints) -> Iterator[int]:
    """The bit at which each block begins, up to the end of the data.

    Where a block ends depends on the block before, so that this alone cannot be done on whole
    arrays; the length of the block that *would* begin at each bit is worked out beforehand.
    """
    place = _HEADER
    for low in range(0, len(windows), _CHUNK):
        part = windows[low : low + _CHUNK, None] << np.arange(8, dtype=np.uint32)
        is_run, lengths, heads = _heads(part.ravel(), fields)
        steps = memoryview(heads + _WORD * np.where(is_run, 1, lengths))
        place, end = place - 8 * low, len(steps)
        while place < end:
            yield place + 8 * low
            place += steps[place]
        place += 8 * low


def _counted(sizes: _Ints) -> _Ints:
    """0, 1, … size - 1 for each of the sizes, joined."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)


def _check_end(data: NDArray[np.uint8], end: int) -> None:
    if end > 8 * len(data):
        raise MaskError("the brush mask is cut short")
    rest = data[end >> 3 :]
    if len(rest) and (int(rest[0]) << (end & 7) & 255 or rest[1:].any()):
        raise MaskError("the brush mask goes on after its last pixel")
