"""Evaluation folders as the report reads them, with planted outcomes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

CLASSES = ("heron", "tench <b>", "völva", "猫")


def image_names(n: int) -> list[str]:
    return [f"{CLASSES[k % len(CLASSES)]}/{k:05}.png" for k in range(n)]


def nested(n: int, shares: Mapping[tuple[str, str], float], seed: int = 0) -> dict[Any, Any]:
    """(threat, attack) -> right (n,), where what a milder threat breaks the harder break too."""
    hard = np.random.default_rng(seed).permutation(n) / n
    return {condition: hard < share for condition, share in shares.items()}


FOUR = {
    ("clean", "clean"): 0.8,
    ("linf-4/255", "autoattack"): 0.5,
    ("linf-8/255", "autoattack"): 0.2,
    ("l1-75", "autoattack"): 0.1,
    ("l2-2", "autoattack"): 0.4,
}


def write_folder(
    folder: Path,
    outcomes: Mapping[tuple[str, str], NDArray[np.bool_]],
    *,
    name: str = "mpm",
    weights: str | None = None,
    model: Mapping[str, Any] | None = None,
    listed: Mapping[str, Any] | None = None,
    bounds: Sequence[tuple[str, str]] = (),
    **facts: Any,
) -> Path:
    """An evaluation, as `partlab evaluate` keeps it."""
    folder.mkdir(parents=True)
    tables, rows = [], []
    for (threat, attack), right in outcomes.items():
        tables.append(_table(threat, attack, right))
        rows.append(_row(threat, attack, right, (threat, attack) in bounds))
    n = len(next(iter(outcomes.values())))
    card = {
        "name": name, "path": f"runs/{name}", "kind": "mpm", "classes": list(CLASSES),
        "parameters": 25_600_000, "flops": 8_200_000_000, "latency_ms": 12.5,
        "preprocessing": {"size": 64, "interpolation": "bicubic"},
        "weights_sha256": weights or f"{folder}", "training": None,
    }  # fmt: skip
    per_class = {one: len(range(k, n, len(CLASSES))) for k, one in enumerate(CLASSES)}
    list_facts = {"name": "val", "sha256": "ab" * 32, "images": n, "per_class": per_class,
                  "extra_data": None}  # fmt: skip
    whole = {
        "format": 1, "model": {**card, **(model or {})}, "list": {**list_facts, **(listed or {})},
        "rows": rows, "honesty": {"ok": True, "findings": []}, "versions": {"torch": "2.11"},
        "machine": "cpu", "partlab": "0.1.0", "settings": {"seed": 0, "batch": 8}, **facts,
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(whole), encoding="utf-8")
    parquet.write_table(pa.concat_tables(tables), folder / "outcomes.parquet", compression="zstd")
    return folder


def _table(threat: str, attack: str, right: NDArray[np.bool_]) -> pa.Table:
    n = len(right)
    images = image_names(n)
    order = np.random.default_rng(1).permutation(n)  # a reader may not count on any order
    labels = [CLASSES[k % len(CLASSES)] for k in range(n)]
    other = [CLASSES[(k + 1) % len(CLASSES)] for k in range(n)]
    return pa.table(
        {
            "image": images, "label": labels, "threat": [threat] * n, "attack": [attack] * n,
            "right": right,
            "prediction": [a if ok else b for a, b, ok in zip(labels, other, right, strict=True)],
            "margin": np.where(right, 1.0, -1.0).astype(np.float32),
            "broken_by": pa.array([None if ok else "apgd-ce" for ok in right], pa.string()),
            "steps": pa.array([None] * n, pa.int32()),
        }
    ).take(order)  # fmt: skip


def _row(threat: str, attack: str, right: NDArray[np.bool_], bound: bool) -> dict[str, Any]:
    share = float(right.mean())
    stages = []
    if attack == "autoattack":
        names = ("apgd-ce", "apgd-t", "fab-t", "square")
        stages = [{"name": s, "robust": share + 0.05 / 2**k} for k, s in enumerate(names[:-1])]
        stages.append({"name": "square", "robust": share})
    row = {"threat": threat, "attack": attack, "upper_bound": bound, "accuracy": share}
    return {**row, "images": len(right), "stages": stages, "disagreements": [], "seconds": 3.0}


def write_pictures(folder: Path, images: Sequence[str], threats: Sequence[str] = ()) -> None:
    """Clean, attacked and part pictures of these images."""
    rng = np.random.default_rng(0)
    index = []
    for k, image in enumerate(images):
        home = folder / "pictures" / f"{k:03}"
        home.mkdir(parents=True)
        clean = rng.integers(20, 230, (48, 64, 3))
        Image.fromarray(clean.astype(np.uint8)).save(home / "clean.png")
        for threat in threats:
            noise = rng.choice([-4, 4], clean.shape)
            attacked = Image.fromarray((clean + noise).astype(np.uint8))
            attacked.save(home / f"{threat.replace('/', '_')}-autoattack.png")
        Image.fromarray((clean > 120).astype(np.uint8) * 255).save(home / "clean.parts.png")
        index.append({"image": image, "key": home.name})
    (folder / "pictures" / "index.json").write_text(json.dumps(index), encoding="utf-8")
