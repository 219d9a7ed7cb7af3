"""The plan for 1.3 and 100 million images (docs/guide/scale.md), and a simulation that checks it.

    python benchmarks/scale_simulation.py measure   # service times of this machine, CPU seconds
    python benchmarks/scale_simulation.py check     # real runs, killed at random beside replays
    python benchmarks/scale_simulation.py plan      # the plan, replayed with what goes wrong

`measure` times decoding, the network, flattening and writing, image by image. `plan` draws the work
of each shard from those times, scaled to a machine of the plan, and lets simpy run the workers of
one job: pictures are fetched a shard ahead over a line that the workers of a machine share, workers
die and come back and lose the shard under way, some machines are slow, and the job ends with its
last shard. Shards are dealt as `pseudolabel.job` deals them (every n-th) or one by one, as by Ray.
`check` kills real runs of the engine, whose segmenter waits instead of reckoning so that a busy
machine does not matter, and simulates the same kills. Everything goes to
benchmarks/results/scale_simulation.json, piece by piece.
"""

import argparse
import json
import math
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import simpy

if sys.path[0] == str(Path(__file__).resolve().parent):
    del sys.path[0]  # it holds pseudolabel.py, which is not the room of that name

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "scale_simulation.json"
PLUGINS = ROOT / "tests" / "plugins"


# --- what one image costs here -------------------------------------------------------------


def measure(images: int) -> dict[str, Any]:
    """CPU seconds of one thread, per image, each stage by itself."""
    import torch

    torch.set_num_threads(1)
    pictures = list(photographs(images))
    network = mask_rcnn()
    return {
        "images": images,
        "kilobytes": round(mean(len(data) for data, _ in pictures) / 1000, 1),
        "decode": each(lambda item: decoded(item[0]), pictures),
        "network": each(lambda item: network(item[1]), pictures[: max(images // 8, 4)]),
        "write": each(written, range(images)),
    }


def each(stage: Callable[[Any], object], items: Any) -> list[float]:
    """CPU seconds of every item but the first two, which warm up."""
    taken = []
    for item in items:
        start = time.process_time()
        stage(item)
        taken.append(round(time.process_time() - start, 6))
    return taken[2:]


def photographs(count: int) -> Iterator[tuple[bytes, Any]]:
    """Crops of photographs that come with scikit-learn, as JPEG of 500 x 375, and their pixels."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    draw = random.Random(0)
    sources = [Image.fromarray(one) for one in load_sample_images().images]
    for _ in range(count):
        whole = draw.choice(sources)
        scale = draw.uniform(0.6, 1.0)
        wide, high = int(whole.width * scale), int(whole.width * scale * 0.6)
        left, top = draw.randrange(whole.width - wide + 1), draw.randrange(whole.height - high + 1)
        picture = whole.crop((left, top, left + wide, top + high)).resize((500, 375))
        file = BytesIO()
        picture.save(file, "JPEG", quality=92)
        yield file.getvalue(), np.asarray(picture)


def decoded(data: bytes) -> object:
    from partlab.images import load_image

    return load_image(data)


def mask_rcnn() -> Callable[[Any], object]:
    """Mask R-CNN on ResNet-50, untrained; all 100 detections are kept, so this is its upper end."""
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    model = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=41, box_score_thresh=0.0
    ).eval()

    def run(pixels: Any) -> object:
        with torch.inference_mode():
            return model([torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255])

    return run


def written(number: int) -> object:
    """Four masks as run lengths, as one image of a store."""
    import numpy as np

    from partlab.masks import area, bbox, encode

    masks = np.zeros((4, 375, 500), bool)
    for at in range(4):
        masks[at, 50 + number % 50 : 200, 100 * at : 100 * at + 80] = True
    return [(area(rle), bbox(rle)) for rle in map(encode, masks)]


# --- the plan ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A job of the plan. Seconds, bytes a second, hours between failures of one worker."""

    images: int
    shard: int
    workers: int
    per_machine: int
    network: float  # seconds an image in the network, per worker
    cores: int  # that decode and write for one worker
    line: float = 1.25e9  # of a machine to the object store
    latency: float = 0.03  # of a request; 64 are under way together
    between_failures: float = 100.0
    restart: float = 120.0
    slow_share: float = 0.05  # of machines
    slow_factor: float = 2.0
    dealt: str = "static"


def stage_seconds(job: Job, measured: dict[str, Any]) -> dict[str, float]:
    """Seconds that each stage would take alone for one image of one worker."""
    size = 1000 * measured["kilobytes"]
    return {
        "network": job.network,
        "decode and write": (mean(measured["decode"]) + mean(measured["write"])) / job.cores,
        "line": size * job.per_machine / job.line,
        "requests": job.latency / 64,
    }


def planned(job: Job, measured: dict[str, Any]) -> dict[str, Any]:
    """On paper: the slowest stage is the pace, and failures and stragglers come on top."""
    stages = stage_seconds(job, measured)
    slowest = max(stages, key=lambda name: stages[name])
    shard = job.shard * stages[slowest]
    perfect = job.images / job.workers * stages[slowest] / 3600
    lost = (shard / 2 + job.restart) / (3600 * job.between_failures)
    slow = _slowness(job)
    return {
        "bottleneck": slowest,
        "stages, ms an image": {name: round(1000 * one, 3) for name, one in stages.items()},
        "hours without trouble": round(perfect, 2),
        "hours": round(perfect * slow * (1 + lost), 2),
    }


def slow_machines(job: Job) -> int:
    """Of several machines at least one is slow."""
    machines = -(-job.workers // job.per_machine)
    return max(round(job.slow_share * machines), 1) if machines > 1 else 0


def _slowness(job: Job) -> float:
    """Dealt beforehand, all wait for the slow ones; one by one, the fast ones do more."""
    share = slow_machines(job) * job.per_machine / job.workers
    if job.dealt == "static":
        return job.slow_factor if share else 1.0
    return 1 / (1 - share + share / job.slow_factor)


# --- the simulation ------------------------------------------------------------------------


class Simulation:
    """One job, replayed."""

    def __init__(self, job: Job, measured: dict[str, Any], seed: int) -> None:
        self.job, self.measured, self.draw = job, measured, random.Random(seed)
        self.clock = simpy.Environment()
        self.shards = -(-job.images // job.shard)
        self.queue = iter(range(self.shards))
        self.done = self.failures = 0
        self.lost = 0.0
        self.ended: list[float] = []
        variation = [one / mean(measured["network"]) for one in measured["network"]]
        self.spread = math.sqrt(mean((one - 1) ** 2 for one in variation) / job.shard)
        self.stages = stage_seconds(job, measured)

    def run(self) -> dict[str, float]:
        slow = range(slow_machines(self.job))
        for worker in range(self.job.workers):
            factor = self.job.slow_factor if worker // self.job.per_machine in slow else 1.0
            self.clock.process(self.worker(worker, factor))
        self.clock.run()
        assert self.done == self.shards, "every shard is made once"
        return {
            "hours": self.clock.now / 3600,
            "failures": self.failures,
            "work lost": self.lost / (self.clock.now * self.job.workers),
            "idle at the end": 1 - mean(self.ended) / self.clock.now,
        }

    def share(self, worker: int) -> Iterator[int]:
        if self.job.dealt == "static":
            return iter(range(worker, self.shards, self.job.workers))
        return self.queue

    def worker(self, worker: int, factor: float) -> Iterator[Any]:
        fails = self.failure_after(0.0)
        fetched = 0.0  # when the pictures of the next shard are here
        for shard in self.share(worker):
            while True:
                start = max(self.clock.now, fetched)
                end = start + self.seconds(shard) * factor
                if end < fails:
                    break
                self.failures += 1
                self.lost += fails - self.clock.now + self.job.restart
                yield self.clock.timeout(fails - self.clock.now + self.job.restart)
                fails = self.failure_after(self.clock.now)
                fetched = self.clock.now + self.fetching(shard)
            fetched = start + self.fetching(shard)  # the next one comes while this is labelled
            yield self.clock.timeout(end - self.clock.now)
            self.done += 1
        self.ended.append(self.clock.now)

    def failure_after(self, now: float) -> float:
        return now + self.draw.expovariate(1 / (3600 * self.job.between_failures))

    def images(self, shard: int) -> int:
        return min(self.job.shard, self.job.images - shard * self.job.shard)

    def seconds(self, shard: int) -> float:
        """Of a shard in the network or in decoding, whichever is slower; no two are alike."""
        pace = max(self.stages["network"], self.stages["decode and write"])
        return self.images(shard) * pace * max(self.draw.gauss(1, self.spread), 0.5)

    def fetching(self, shard: int) -> float:
        return self.images(shard) * (self.stages["line"] + self.stages["requests"])


def plan(measured: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Every job on paper and replayed."""
    found = {}
    for name, job in jobs(measured).items():
        paper = planned(job, measured)
        runs = [Simulation(job, measured, seed).run() for seed in range(seeds)]
        hours = [run["hours"] for run in runs]
        found[name] = {
            "job": job.__dict__,
            "plan": paper,
            "simulated": {key: round(mean(run[key] for run in runs), 4) for key in runs[0]},
            "simulated, least and most hours": [round(min(hours), 2), round(max(hours), 2)],
            "off by": round(paper["hours"] / mean(hours) - 1, 4),
            "stored, GiB": round(job.images * 840 / 2**30, 1),
            "pictures, GiB": round(job.images * measured["kilobytes"] * 1000 / 2**30),
        }
        print(name, json.dumps({k: v for k, v in found[name].items() if k != "job"}))
    return found


def jobs(measured: dict[str, Any]) -> dict[str, Job]:
    """1.3 and 100 million images on cores alone, on GPUs of a published speed and of an assumed."""
    core = mean(measured["network"])
    gpu = 0.043  # s an image: detectron2's model zoo, Mask R-CNN R50-FPN 3x on a V100
    small = {"images": 1_300_000, "shard": 256}
    large = {"images": 100_000_000, "shard": 2048}
    on_gpus = {"per_machine": 8, "network": gpu, "cores": 7}
    return {
        "1.3 M, 256 cores": Job(workers=256, per_machine=32, network=core, cores=1, **small),
        "1.3 M, 8 GPUs": Job(workers=8, **on_gpus, **small),
        "1.3 M, 32 GPUs": Job(workers=32, **on_gpus, **small),
        "1.3 M, 32 GPUs, dealt one by one": Job(workers=32, **on_gpus, **small, dealt="queue"),
        "100 M, 64 GPUs": Job(workers=64, **on_gpus, **large),
        "100 M, 64 GPUs, dealt one by one": Job(workers=64, **on_gpus, **large, dealt="queue"),
        "100 M, 512 GPUs, dealt one by one": Job(workers=512, **on_gpus, **large, dealt="queue"),
        "100 M, 64 GPUs of 4 ms, 1 Gbit/s, dealt one by one": Job(
            workers=64, **on_gpus | {"network": 0.004}, **large, line=1.25e8, dealt="queue"
        ),
    }


# --- the check -----------------------------------------------------------------------------


SHARD, PAUSE = 16, 0.08  # images, seconds an image


def check(images: int, every: float, turns: int) -> dict[str, Any]:
    """Real runs killed at random moments beside simulated ones with the same moments."""
    sys.path.insert(0, str(PLUGINS))
    from colour_segmenter import draw_folder, write_colour_run

    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        photos, run = draw_folder(home / "photos", images), write_colour_run(home / "run")
        quiet = killed_run(photos, run, home / "quiet", [])
        rows = []
        for turn in range(turns):
            draw = random.Random(turn)
            moments = [draw.expovariate(1 / every) for _ in range(100)]
            real = killed_run(photos, run, home / f"turn{turn}", moments)
            told = replayed(quiet, real, -(-images // SHARD), moments)
            rows.append({"kills": real["kills"], "real, s": real["seconds"], "simulated, s": told})
            print(rows[-1])
    off = [row["simulated, s"] / row["real, s"] - 1 for row in rows]
    return {
        "images": images,
        "turns": rows,
        "start, s": quiet["start"],
        "off by": [min(off), max(off)],
    }


def killed_run(photos: Path, run: Path, out: Path, moments: list[float]) -> dict[str, Any]:
    """Seconds until a run is done that is killed after each of these times, and begun again."""
    words = [sys.executable, str(PLUGINS / "partlab_with_colour.py"), "pseudolabel", photos]
    words += ["--segmenter", run, "--out", out, "--workers", 0, "--set", f"shard_size={SHARD}"]
    began, waits, kills, starts = time.time(), iter(moments), 0, []
    while True:
        start, before = time.time(), len(times(out))
        process = subprocess.Popen(
            list(map(str, words)),
            env=os.environ | {"COLOUR_SEGMENTER_PAUSE": str(PAUSE)},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            ended = process.wait(next(waits, None))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills, ended = kills + 1, None
        if made := times(out)[before:]:
            starts.append(made[0] - start - SHARD * PAUSE)
        if ended is not None:
            assert ended == 0
            shards = [b - a for a, b in pairwise(made)]
            about = {"kills": kills, "seconds": round(time.time() - began, 1), "shards": shards}
            tail = time.time() - made[-1] if made else 0.0
            return about | {"start": round(mean(starts), 2), "tail": tail}


def times(out: Path) -> list[float]:
    return sorted(path.stat().st_mtime for path in out.glob("shards/part-*.parquet"))


def replayed(
    quiet: dict[str, Any], real: dict[str, Any], shards: int, moments: list[float]
) -> float:
    """The same kills, with the shards' times of the quiet run and this run's time to begin."""
    clock = simpy.Environment()
    draw, waits = random.Random(0), iter(moments)
    done = 0

    def life() -> Iterator[Any]:
        nonlocal done
        with suppress(simpy.Interrupt):
            yield clock.timeout(real["start"])
            while done < shards:
                yield clock.timeout(draw.choice(quiet["shards"]))
                done += 1
            yield clock.timeout(quiet["tail"])
            return True
        return False

    def lives() -> Iterator[Any]:
        while True:
            living = clock.process(life())
            yield living | clock.timeout(next(waits, 1e9))
            if living.is_alive:
                living.interrupt()
            if (yield living):
                return

    clock.run(clock.process(lives()))
    return round(clock.now, 1)


def results() -> dict[str, Any]:
    """What is there already."""
    return json.loads(RESULT.read_text()) if RESULT.is_file() else {}


def main() -> None:
    """Run one part, and put its result beside the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["measure", "check", "plan"])
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    if given.part == "measure":
        found = measure(given.images or 160)
    elif given.part == "check":
        found = check(given.images or 400, 30.0, given.turns)
    else:
        found = plan(results()["measure"], given.seeds)
    names = ("numpy", "pillow", "simpy", "torch", "torchvision")
    known = results() | {
        given.part: found,
        f"{given.part}, how": {
            "command": " ".join(["python", "benchmarks/scale_simulation.py", *sys.argv[1:]]),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores, {platform.system()}",
            "load": round(os.getloadavg()[0], 1),
            "versions": {"python": platform.python_version(), **{n: version(n) for n in names}},
        },
    }
    RESULT.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
