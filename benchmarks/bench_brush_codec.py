"""Our brush codec against Label Studio's own and a Rust one, on the same masks in one run.

    python benchmarks/bench_brush_codec.py [--masks 40] [--repeats 5]

Masks: blobs (a part drawn by hand), noise (the worst case for run lengths), soft edges as the
web page writes them (literals), at 500x375 and 2000x1500 pixels. Every decoder's masks are
compared with ours before anything is timed. CPU time, the best of the repeats; the result,
with ratios, is written to results/brush_codec.json. The Rust package is timed where it is
installed (`pip install label-studio-brush-rle-rs`); it is not a dependency.
"""

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from label_studio_sdk.converter import brush as sdk
from pycocotools import mask as coco

from annotate.studio.spelling.codec import decode_brush, encode_brush

try:
    import label_studio_brush_rle_rs as rust
except ImportError:
    rust = None

Mask = Any


def blobs(rng: np.random.Generator, height: int, width: int) -> Mask:
    """A few overlapping ellipses, about as ragged as a part drawn by hand."""
    y, x = np.mgrid[:height, :width] / height
    mask = np.zeros((height, width), bool)
    for _ in range(3):
        centre_y, centre_x = rng.uniform(0.25, 0.75, 2)
        size, stretch = rng.uniform(0.05, 0.2), rng.uniform(0.5, 2)
        mask |= ((y - centre_y) * stretch) ** 2 + (x - centre_x * width / height) ** 2 < size**2
    return mask


def noise(rng: np.random.Generator, height: int, width: int) -> Mask:
    return rng.random((height, width)) < 0.5


def soft(mask: Mask) -> Mask:
    """Alpha of the mask with an edge as the web page's brush draws it."""
    padded = np.pad(mask, 1).astype(np.float32)
    mean = sum(np.roll(padded, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9
    return (mean[1:-1, 1:-1] * 255).astype(np.uint8)


def milliseconds(work: Callable[[Any], Any], inputs: list[Any], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = process_time()
        for each in inputs:
            work(each)
        best = min(best, (process_time() - start) / len(inputs))
    return round(best * 1e3, 3)


def alpha(values: Any, shape: tuple[int, int]) -> Mask:
    return np.asarray(values, np.uint8).reshape(*shape, 4)[..., 3] >= 128


def rgba(mask: Mask) -> Any:
    return np.repeat(mask.astype(np.uint8) * 255, 4)


def measure(name: str, masks: list[Mask], streams: list[list[int]], repeats: int) -> dict[str, Any]:
    shape = masks[0].shape
    ours = [decode_brush(stream, *shape) for stream in streams]
    decoders: dict[str, Callable[[list[int]], Any]] = {
        "ours": lambda stream: decode_brush(stream, *shape),
        "label_studio_sdk": lambda stream: alpha(sdk.decode_rle(stream), shape),
    }
    encoders: dict[str, Callable[[Mask], Any]] = {
        "ours": encode_brush,
        "label_studio_sdk": lambda mask: sdk.mask2rle(mask.astype(np.uint8) * 255),
    }
    if rust:
        decoders["rust"] = lambda stream: alpha(rust.decode_rle(stream, False), shape)
        encoders["rust"] = lambda mask: rust.encode_rle(rgba(mask), 8, [3, 4, 8, 16])
    equal = {
        who: all(np.array_equal(decode(s), m) for s, m in zip(streams, ours, strict=True))
        for who, decode in decoders.items()
    }
    encode = {who: milliseconds(work, masks, repeats) for who, work in encoders.items()}
    decode = {who: milliseconds(work, streams, repeats) for who, work in decoders.items()}
    return {
        "masks": name,
        "pixels": list(shape),
        "bytes per mask": round(np.mean([len(s) for s in streams])),
        "encode, ms": encode,
        "decode, ms": decode,
        "encode, times ours": {w: round(ms / encode["ours"], 1) for w, ms in encode.items()},
        "decode, times ours": {w: round(ms / decode["ours"], 1) for w, ms in decode.items()},
        "decodes to the same masks": equal,
    }


def coco_ms(masks: list[Mask], repeats: int) -> dict[str, float]:
    ordered = [np.asfortranarray(mask, np.uint8) for mask in masks]
    runs = [coco.encode(mask) for mask in ordered]
    return {
        "encode": milliseconds(coco.encode, ordered, repeats),
        "decode": milliseconds(coco.decode, runs, repeats),
    }


def literals(mask: Mask) -> list[int]:
    """The web page's way: white of changing alpha on nothing, literals along the edges."""
    channel = soft(mask).ravel()
    values = np.repeat((channel > 0) * np.uint8(255), 4).reshape(-1, 4)
    values[:, 3] = channel
    flat = values.ravel()
    same = np.flatnonzero(np.diff(flat) != 0) + 1
    starts = np.concatenate([[0], same])
    lengths = np.diff(starts, append=len(flat))
    bits, waiting = [f"{len(flat):032b}{7:05b}0010001101111111"], []
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        if length < 8:
            waiting += [int(flat[start])] * length
            continue
        _flush(bits, waiting)
        while length:
            part = min(length, 1 << 16)
            bits.append(f"111{part - 1:016b}{int(flat[start]):08b}")
            length -= part
    _flush(bits, waiting)
    joined = "".join(bits)
    joined += "0" * (-len(joined) % 8)
    return [int(joined[i : i + 8], 2) for i in range(0, len(joined), 8)]


def _flush(bits: list[str], waiting: list[int]) -> None:
    for start in range(0, len(waiting), 256):
        part = waiting[start : start + 256]
        bits.append(f"010{len(part) - 1:08b}" + "".join(f"{value:08b}" for value in part))
    waiting.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    small = [blobs(rng, 375, 500) for _ in range(asked.masks)]
    large = [blobs(rng, 1500, 2000) for _ in range(3)]
    grain = [noise(rng, 375, 500) for _ in range(2)]
    kinds = [
        ("blobs", small, [encode_brush(mask) for mask in small], asked.repeats),
        ("soft edges (web page)", small, [literals(mask) for mask in small], asked.repeats),
        ("large blobs", large, [encode_brush(mask) for mask in large], 2),
        ("noise", grain, [encode_brush(mask) for mask in grain], 1),
    ]
    result = {
        "cases": [measure(*kind) for kind in kinds],
        "pycocotools on the blobs, ms": coco_ms(small, asked.repeats),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    text = json.dumps(result, indent=2)
    (Path(__file__).parent / "results" / "brush_codec.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
