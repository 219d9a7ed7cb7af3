"""How fast the model server answers, on loopback: alone and together.

    python benchmarks/serving.py [--run RUN] [--requests 120] [--rounds 3]

Two models: `gpu` is simulated (20 ms for a batch and 1 ms for each image in it, as on a GPU), `cpu`
is a real small network of this machine, or the segmenter in RUN. Each is served twice at a
time in processes of their own, one picture at a time and in batches up to 16, and asked by 1, 4
and 16 clients in turns, so that a busy machine slows both alike; kept is the best round of each.
The result goes to benchmarks/results/serving.json. Aims: with 16 clients batching is at least
2 times as fast with the simulated model, and no slower on the CPU.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection  # a lighter client than httpx: the server is measured
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image as PillowImage

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
CLIENTS = (1, 4, 16)
AIMS = {"gpu": 2.0, "cpu": 1.0}
SIZE = (375, 500)
PATIENCE = 120  # seconds for what is not measured, while a network is loaded


class Simulated:
    """A segmenter of one part that takes 20 ms for a batch and 1 ms for each image."""

    def __init__(self) -> None:
        from partlab.config import Config
        from partlab.parts import Parts

        self.parts, self.config = Parts.of(["thing:part"]), Config()
        self.names, self.objects = self.parts.names, self.parts.objects

    def predict(self, images: Any, objects: Any = None, *, threshold: Any = None) -> Any:
        time.sleep(0.020 + 0.001 * len(images))
        return [found(image.shape[:2]) for image in images]


class SmallNetwork(Simulated):
    """A real convolutional network of a few milliseconds an image, on the CPU."""

    def __init__(self) -> None:
        import torch
        from torch import nn

        super().__init__()
        torch.set_num_threads(1)
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 5, 4), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(),
            nn.Conv2d(32, 32, 3), nn.AdaptiveAvgPool2d(1),
        ).eval()  # fmt: skip

    def predict(self, images: Any, objects: Any = None, *, threshold: Any = None) -> Any:
        import torch

        with torch.inference_mode():
            stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
            self.network(stacked)
        return [found(image.shape[:2]) for image in images]


def found(size: tuple[int, int]) -> Any:
    """One mask in the middle."""
    from partlab.masks import encode
    from segmenter.protocol import Detections

    mask = np.zeros(size, bool)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    one = np.ones(1, np.float32)
    box = np.array([[size[1] // 4, size[0] // 4, size[1] // 2, size[0] // 2]], np.float32)
    return Detections(box, np.zeros(1, np.int64), one, one[None], [encode(mask)])


def serve(model: str, images: int, run: str | None) -> None:
    """In a process of its own: one model, batches up to `images`."""
    from app.serve import ServeSettings, Source
    from app.serve.run import run_server
    from app.serve.segmenters import SegmenterModel
    from app.serve.settings import BatchLimits

    def load(name: str, settings: Any, told: Any) -> Any:
        made: Any = Simulated() if model == "gpu" else SmallNetwork()
        described = {"backend": model, "config": {}, "names": list(made.names), "inclusions": {}}
        return SegmenterModel(name, made, described, settings.batch, told)

    source = Source.of_run(f"cpu={run}") if run and model == "cpu" else Source(model, load)
    settings = ServeSettings(batch=BatchLimits(images=images))
    run_server([source], settings, port=0, started=lambda url: print(url, flush=True))


@contextmanager
def served(model: str, images: int, run: str | None) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a ready server, and its process."""
    words = [sys.executable, __file__, "--serve", model, "--images", str(images)]
    process = subprocess.Popen(
        words + (["--run", run] if run else []), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        while httpx.get(f"{url}/ready", timeout=PATIENCE).status_code != 200:
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def picture() -> bytes:
    """A photograph's worth of JPEG, about 60 KB."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (SIZE[0] // 5, SIZE[1] // 5, 3), np.uint8)
    held = BytesIO()
    PillowImage.fromarray(small).resize(SIZE[::-1], PillowImage.Resampling.BICUBIC).save(
        held, "JPEG", quality=90
    )
    return held.getvalue()


def load(server: tuple[str, psutil.Process], clients: int, requests: int) -> dict[str, float]:
    """Milliseconds of a request (median, 99th percentile), images a second, and what they cost.

    `model_ms_per_image` is how long the model was busy: its inverse is what the server can do where
    decoding is not the limit. That and the server's CPU depend little on other work here.
    """
    url, process = server
    data, headers = picture(), {"Content-Type": "image/jpeg"}

    def one(share: int) -> list[float]:
        taken = []
        with closing(HTTPConnection(url.removeprefix("http://"), timeout=120)) as wire:
            for _ in range(share):
                began = time.perf_counter()
                wire.request("POST", "/v1/segment", data, headers)
                answer = wire.getresponse()
                answer.read()
                assert answer.status == 200, answer.status
                taken.append(1000 * (time.perf_counter() - began))
        return taken

    share = max(requests // clients, 2)
    worked, before, began = model_seconds(url), cpu(process), time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        taken = [t for each in threads.map(one, [share] * clients) for t in each]
    seconds = time.perf_counter() - began
    return {
        "p50_ms": round(float(np.percentile(taken, 50)), 1),
        "p99_ms": round(float(np.percentile(taken, 99)), 1),
        "images_per_second": round(len(taken) / seconds, 1),
        "model_ms_per_image": round(1000 * (model_seconds(url) - worked) / len(taken), 1),
        "server_cpu_ms_per_image": round(1000 * (cpu(process) - before) / len(taken), 1),
    }


def model_seconds(url: str) -> float:
    """How long the server's only model has worked."""
    name = "partlab_model_seconds_total"
    lines = httpx.get(f"{url}/metrics", timeout=PATIENCE).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))


def cpu(process: psutil.Process) -> float:
    """Seconds that it has worked."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(model: str, run: str | None, requests: int, rounds: int) -> dict[str, Any]:
    """Both ways in turns; of each number of clients the best round."""
    best: dict[str, dict[str, Any]] = {"one at a time": {}, "batches": {}}
    with served(model, 1, run) as alone, served(model, 16, run) as together:
        for clients in CLIENTS:
            for _ in range(rounds):
                for way, server in zip(best, (alone, together), strict=True):
                    told, old = load(server, clients, requests), best[way].get(str(clients))
                    if old is None or told["images_per_second"] > old["images_per_second"]:
                        best[way][str(clients)] = told
    batched, single = best["batches"]["16"], best["one at a time"]["16"]
    gain = batched["images_per_second"] / single["images_per_second"]
    busy = single["model_ms_per_image"] / batched["model_ms_per_image"]
    return {**best, "batching_gain_at_16": round(gain, 2), "model_gain_at_16": round(busy, 2)}


def main() -> None:
    """Measure, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", help="a segmenter's run folder instead of the small network")
    parser.add_argument("--requests", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "serving.json")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, default=16, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.images, given.run)
        return
    found: dict[str, Any] = {
        "command": f"python benchmarks/serving.py --requests {given.requests} "
        f"--rounds {given.rounds}" + (f" --run {given.run}" if given.run else ""),
        "machine": {
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "machine": platform.machine(),
            "python": platform.python_version(),
            "load_before": [round(each, 1) for each in os.getloadavg()],
            **{name: version(name) for name in ("fastapi", "uvicorn", "torch")},
        },
        "picture": {"size": list(SIZE), "bytes": len(picture())},
        "requests": given.requests,
        "rounds": given.rounds,
        "cpu_model": "the segmenter in --run" if given.run else "a small convolutional network",
    }
    for model in AIMS:
        found[model] = measure(model, given.run, given.requests, given.rounds)
        print(model, json.dumps(found[model], indent=1))
    found["aims_met"] = {
        model: found[model]["batching_gain_at_16"] >= aim for model, aim in AIMS.items()
    }
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(given.out, found["aims_met"])


if __name__ == "__main__":
    main()
