"""The pseudo-label engine: speed beside the bare network, memory, and the store's own cost.

    python benchmarks/pseudolabel.py speed --run runs/seg --images photos [--count 200]
    python benchmarks/pseudolabel.py memory            2,000 and 20,000 images
    python benchmarks/pseudolabel.py store             100,000 images in a store
    python benchmarks/pseudolabel.py detectron2 --images photos    where it is installed

`speed`: images/s of `label_images` over images/s of the same segmenter's `predict` on the same
batches, decoded beforehand; both in one process, taken in turns, the median ratio counts.
`detectron2`: the command with a detectron2 network against detectron2's own `DefaultPredictor`
called image by image; the same untrained weights in both. Aims: speed at least 0.90
on CPU, detectron2 at least 2, memory within 10 %. Results: benchmarks/results/pseudolabel.json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "pseudolabel.json"
# This script is called like the package it measures; its own folder must not be looked in first.
sys.path = [p for p in sys.path if Path(p or ".").resolve() != HERE]
sys.path.insert(0, str(HERE.parent / "tests" / "plugins"))


def measured(work: Any, *args: Any) -> dict[str, Any]:
    """Run `work(*args)` in a process of its own; adds its seconds and peak memory."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, work, args))
    process.start()
    sender.close()
    found: dict[str, Any] = receiver.recv()
    process.join()
    return found


def _measure(sender: Any, work: Any, args: Any) -> None:
    start = time.perf_counter()
    found = work(*args) or {}
    own, workers = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    seconds = round(time.perf_counter() - start, 1)
    peaks = {"peak_mib": round(own, 1), "largest_worker_peak_mib": round(workers, 1)}
    sender.send(found | {"seconds": seconds} | peaks)


# --- speed -----------------------------------------------------------------------------------


def speed(options: argparse.Namespace) -> dict[str, Any]:
    from pseudolabel.engine import label_images
    from pseudolabel.inputs import find_inputs
    from pseudolabel.loading import batches, plan
    from pseudolabel.settings import Settings
    from segmenter.runs import load_segmenter

    settings = Settings(batch_size=options.batch_size, shard_size=64)
    segmenter = load_segmenter(options.run, device=options.device)
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "list.csv"
        inputs = find_inputs(options.images)
        entries = list(islice(inputs, options.count))
        listed.write_text(
            "".join(f'"{inputs.root.resolve() / e.path}",{e.object}\n' for e in entries)
        )
        shards = [entries[i : i + 64] for i in range(0, len(entries), 64)]
        plans = [batch for shard in shards for batch in plan(shard, inputs.root, settings)]
        decoded = [
            ([s.pixels for s in batch], [s.entry.object for s in batch])
            for batch in batches(plans, inputs.root, 0)
        ]
        segmenter.predict(*decoded[0])
        bare, whole = [], []
        for turn in range(options.turns):
            start = time.perf_counter()
            for images, objects in decoded:
                segmenter.predict(images, objects)
            bare.append(len(entries) / (time.perf_counter() - start))
            done = label_images(
                listed,
                options.run,
                Path(folder) / f"out{turn}",
                settings,
                workers=options.workers,
                device=options.device,
            )
            assert done is not None
            whole.append(done.images / done.seconds)
    ratios = [round(w / b, 3) for w, b in zip(whole, bare, strict=True)]
    return {
        "images": len(entries),
        "batches": len(plans),
        "workers": options.workers,
        "bare_images_per_second": [round(each, 3) for each in bare],
        "command_images_per_second": [round(each, 3) for each in whole],
        "ratio_each_turn": ratios,
        "ratio": float(np.median(ratios)),
        "aim": "at least 0.90 on CPU, 0.80 on a GPU",
    }


# --- memory ----------------------------------------------------------------------------------


def memory(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _draw_many(place / "images", max(options.sizes))
        found = {
            str(n): measured(_label_some, place, n, options.workers) for n in sorted(options.sizes)
        }
    few, many = (found[str(n)] for n in (min(options.sizes), max(options.sizes)))
    growth = {
        key: round(many[key] / few[key] - 1, 4) for key in ("peak_mib", "largest_worker_peak_mib")
    }
    return {"images": found, "growth": growth, "aim": "within 10 %"}


def _draw_many(folder: Path, images: int) -> None:
    from colour_segmenter import draw

    for number in range(images):
        object = ("car", "cat")[number % 2]
        draw(folder / object / f"{number:06d}.png", object, number % 500, (32 + number % 3, 24))


def _label_some(place: Path, images: int, workers: int) -> dict[str, Any]:
    from colour_segmenter import write_colour_run

    from pseudolabel.engine import label_images

    run = write_colour_run(place / "run")
    listed = place / f"{images}.csv"
    every = sorted((place / "images").rglob("*.png"))[:images]
    listed.write_text("".join(f"{path},{path.parent.name}\n" for path in every))
    done = label_images(listed, run, place / f"out{images}", workers=workers)
    assert done is not None
    return {"stored": len(done.store), **done.store.manifest.counts}


# --- store -----------------------------------------------------------------------------------


def store(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "store"
        found = {"write": measured(_write, place, options.count)}
        size = sum(path.stat().st_size for path in place.rglob("*.parquet"))
        for name, work in (("open", _open), ("stream", _stream), ("random", _random)):
            found[name] = measured(work, place)
    return {"images": options.count, "masks_per_image": 4, "mib": round(size / 2**20, 1), **found}


def _masks(unique: int = 20_000) -> list[Any]:
    """Wavy blobs; so many that those of one shard are nearly all different."""
    from partlab.masks import area, bbox, from_segmentation
    from pseudolabel.store import StoredMask

    rng, masks = np.random.default_rng(0), []
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    for label in range(unique):
        wave = 1 + 0.2 * np.sin(angles * rng.integers(3, 12)) + rng.normal(0, 0.02, len(angles))
        radius = rng.uniform(15, 90, 2) * wave[:, None]
        points = rng.uniform((60, 60), (440, 310)) + radius * np.stack(
            [np.cos(angles), np.sin(angles)], 1
        )
        rle = from_segmentation([points.clip((0, 0), (500, 375)).ravel().tolist()], 375, 500)
        score = float(rng.random())
        masks.append(StoredMask(label % 400, score, area(rle), tuple(bbox(rle)), rle))
    return masks


def _rows(images: int) -> Iterator[Any]:
    from pseudolabel.store import Row

    masks, rng = _masks(), np.random.default_rng(1)
    for number in range(1, images + 1):
        some = tuple(masks[i] for i in sorted(rng.integers(0, len(masks), 4)))
        name = f"n{number % 1000:08d}/{number:08d}.JPEG"
        yield Row(number, name, "object", "folder", 375, 500, "labelled", None, some)


def _write(place: Path, images: int) -> dict[str, Any]:
    from pseudolabel.store import Manifest, write_manifest, write_shard

    manifest = Manifest(
        partlab=version("partlab"),
        run="none",
        backend="none",
        model_sha256="",
        config={},
        config_sha256="",
        names=tuple(f"object:{i}" for i in range(400)),
        image_root="/photos",
        inputs_sha256="",
        images=images,
        shard_size=256,
        state="done",
    )
    write_manifest(place, manifest)
    rows, start = _rows(images), time.perf_counter()
    for shard in range(manifest.shards):
        write_shard(place, shard, list(islice(rows, 256)), manifest.identity)
    return {"microseconds_per_image": round((time.perf_counter() - start) / images * 1e6, 1)}


def _open(place: Path) -> dict[str, Any]:
    from pseudolabel.store import Store

    start = time.perf_counter()
    images = len(Store.open(place))
    return {"images": images, "milliseconds": round((time.perf_counter() - start) * 1000, 1)}


def _stream(place: Path) -> dict[str, Any]:
    from pseudolabel.store import Store

    start = time.perf_counter()
    masks = sum(len(row.masks) for row in Store.open(place).rows())
    seconds = time.perf_counter() - start
    return {"masks": masks, "microseconds_per_mask": round(seconds / masks * 1e6, 1)}


def _random(place: Path) -> dict[str, Any]:
    from pseudolabel.store import Store

    opened, rng = Store.open(place), np.random.default_rng(2)
    wanted = rng.integers(0, len(opened), 1000).tolist()
    start = time.perf_counter()
    for position in wanted:
        assert opened.row(position).image_id == position + 1
    return {"milliseconds_per_read": round((time.perf_counter() - start), 3)}


# --- detectron2 ------------------------------------------------------------------------------


def detectron2(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from pseudolabel.engine import label_images
    from pseudolabel.inputs import find_inputs
    from pseudolabel.settings import Settings, Thresholds
    from segmenter.detectron2_backend import Detectron2ModelConfig, require_detectron2
    from segmenter.runs import write_run

    require_detectron2()
    from safetensors.torch import save_file

    from segmenter.detectron2_rcnn import Detectron2MaskRCNN

    inputs = find_inputs(options.images)
    entries = list(islice(inputs, options.count))
    objects = list(dict.fromkeys(e.object for e in entries))
    names = [f"{object}:part {i}" for object in objects for i in range(4)][:12]
    model = Detectron2ModelConfig(norm="FrozenBN")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        described = {"backend": "detectron2", "config": {"model": model.model_dump()}}
        write_run(run, described | {"names": names})
        network = Detectron2MaskRCNN(names, model, options.device).network
        save_file(network.state_dict(), run / "best.safetensors")
        listed = Path(folder) / "list.csv"
        listed.write_text(
            "".join(f'"{inputs.root.resolve() / e.path}",{e.object}\n' for e in entries)
        )
        settings = Settings(
            batch_size=options.batch_size,
            thresholds=Thresholds(default=0.0),
            category_filter=False,
            unite=False,
        )
        cpu = _cpu_seconds()
        done = label_images(
            listed,
            run,
            Path(folder) / "out",
            settings,
            workers=options.workers,
            device=options.device,
        )
        assert done is not None
        cpu = (_cpu_seconds() - cpu) / done.images
        masks = sum(len(row.masks) for row in done.store.rows())
    paths = [inputs.root / entry.path for entry in entries]
    weights = {
        name.replace("rpn.", "proposal_generator.", 1) if name.startswith("rpn.") else name: value
        for name, value in network.state_dict().items()
    }
    loops = {
        str(proposals): _predictor(paths, len(names), proposals, weights, options.device)
        for proposals in (1000, model.proposals)
    }
    own = done.images / done.seconds
    return {
        "images": len(entries),
        "partlab": {
            "images_per_second": round(own, 3),
            "cpu_seconds_per_image": round(cpu, 3),
            "masks": masks,
        },
        "default_predictor_by_proposals": loops,
        "times_faster_by_proposals": {
            key: round(own / value["images_per_second"], 2) for key, value in loops.items()
        },
        "aim": "at least 2 times detectron2's own loop, which keeps 1,000 proposals",
    }


def _predictor(
    paths: list[Path], parts: int, proposals: int, weights: dict[str, Any], device: str | None
) -> dict[str, Any]:
    """Images/s of detectron2's own loop: read, `DefaultPredictor`, masks as run lengths."""
    import torch
    from detectron2.config import get_cfg
    from detectron2.data.detection_utils import read_image
    from detectron2.engine import DefaultPredictor

    from partlab.masks import encode_many

    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = 1000
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = proposals
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = parts
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 2
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    cfg.MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
    cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = 4
    cfg.MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION = 14
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.WEIGHTS = ""
    cfg.INPUT.FORMAT = "RGB"
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 500, 500
    cfg.MODEL.DEVICE = device or ("cuda" if torch.cuda.is_available() else "cpu")
    predictor = DefaultPredictor(cfg)
    own = {"pixel_mean", "pixel_std"}
    assert set(predictor.model.load_state_dict(weights, strict=False).missing_keys) <= own
    predictor(read_image(str(paths[0]), "BGR"))
    start, cpu, masks = time.perf_counter(), _cpu_seconds(), 0
    for path in paths:
        found = predictor(read_image(str(path), "BGR"))["instances"].to("cpu")
        masks += len(encode_many(found.pred_masks.numpy()))
    speed = len(paths) / (time.perf_counter() - start)
    each = (_cpu_seconds() - cpu) / len(paths)
    return {
        "images_per_second": round(speed, 3),
        "cpu_seconds_per_image": round(each, 3),
        "masks": masks,
    }


def _cpu_seconds() -> float:
    """Of this process and of the workers that have ended; waiting for others does not count."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


# --- all -------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    names = ("numpy", "pillow", "pyarrow", "torch", "torchvision")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores, {gpu}, {platform.system()}",
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="part", required=True)
    for work in (speed, memory, store, detectron2):
        command = commands.add_parser(work.__name__)
        command.set_defaults(work=work)
        command.add_argument("--workers", type=int, default=1)
        command.add_argument("--device")
        if work in (speed, detectron2):
            command.add_argument("--images", type=Path, required=True)
            command.add_argument("--batch-size", type=int, default=8)
            command.add_argument("--count", type=int, default=200)
    commands.choices["speed"].add_argument("--run", type=Path, required=True)
    commands.choices["speed"].add_argument("--turns", type=int, default=5)
    commands.choices["memory"].add_argument("--sizes", type=int, nargs=2, default=[2000, 20000])
    commands.choices["store"].add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    before = os.getloadavg()[0]
    found = options.work(options)
    load = {"before": round(before, 1), "after": round(os.getloadavg()[0], 1)}
    words = " ".join(["python benchmarks/pseudolabel.py", *(Path(a).name for a in sys.argv[1:])])
    results = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    results[options.part] = {"command": words, **machine(), "load": load, **found}
    RESULT.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
