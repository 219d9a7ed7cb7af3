"""A step of PGD-2 adversarial training: ours against a plain loop, MPM against vanilla, one run.

    python benchmarks/adversarial_training.py [--scenes small_64 …] [--device cpu|cuda]

`plain` is a loop as the released code of PartImageNet++ is described to do it, written from that
description: pictures in NCHW, an attack that calls backward() on the model it trains, so that all
weights get gradients which are thrown away, the bypass's first layers computed in every attack,
one more forward pass to keep the better iterate, dense part targets, an average of the weights
tensor by tensor. `ours` is `train.trainer`, same model, loss and number of attack steps. A step is
attack, forward, backward, optimizer and average, on random pictures that are in memory already.

Every form runs in a process of its own, on one thread of a CPU or on a GPU; forms take turns over
`--rounds`, and the least time of a step counts. Ratios are of processor time on a CPU, which other
work on the machine disturbs less, and of wall time on a GPU. The result goes to
benchmarks/results/adversarial_training.json (…_cuda.json).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

HERE = Path(__file__).resolve().parent
FORMS = ("vanilla plain", "vanilla ours", "mpm plain", "mpm ours")
EPS = 4 / 255


class Scene(NamedTuple):
    """One size of model, picture, batch and K; `layout` is ours."""

    backbone: str
    size: int
    batch: int
    classes: int
    parts: int
    device: str = "cpu"
    channels_last: bool = False


SCENES = {
    "small_64": Scene("small_resnet16", 64, 32, 14, 50),
    "resnet50_64": Scene("resnet50", 64, 16, 1000, 3310),
    "resnet50_128": Scene("resnet50", 128, 8, 1000, 3310),
    "resnet50_224": Scene("resnet50", 224, 4, 1000, 3310),
    "gpu_224": Scene("resnet50", 224, 256, 1000, 3310, "cuda", True),
}
AIMS = {
    "resnet50_64": {"mpm plain / ours": (1.3, None)},
    "resnet50_128": {"mpm plain / ours": (1.3, None)},
    "small_64": {"ours mpm / vanilla": (None, 1.15)},
    "resnet50_224": {"ours mpm / vanilla": (None, 1.2)},
    "gpu_224": {"mpm plain / ours": (2.5, None)},
}

Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--scenes", nargs="*", choices=SCENES, help="all of the device, if none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="timed in a round")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    if args.child:
        child(*args.child, steps=args.steps)
        return
    names = args.scenes or [name for name, one in SCENES.items() if one.device == args.device]
    found = {name: measured(name, args.rounds, args.steps) for name in names}
    write(args, found)


def measured(name: str, rounds: int, steps: int) -> dict[str, Any]:
    """Least times of each form of a scene, and the ratios."""
    runs: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
    for _ in range(rounds):
        for form in FORMS:
            runs[form].append(_run(name, form, steps))
    least = {form: {key: min(run[key] for run in each) for key in each[0]}
             for form, each in runs.items()}  # fmt: skip
    key = "seconds" if SCENES[name].device == "cuda" else "cpu_seconds"
    took = {form: times[key] for form, times in least.items()}
    ratios = {
        "vanilla plain / ours": took["vanilla plain"] / took["vanilla ours"],
        "mpm plain / ours": took["mpm plain"] / took["mpm ours"],
        "ours mpm / vanilla": took["mpm ours"] / took["vanilla ours"],
    }
    scene = SCENES[name]
    return {
        **scene._asdict(),
        "step": {form: _rounded(times) for form, times in least.items()},
        "pictures_per_second": {form: round(scene.batch / t["seconds"], 1)
                                for form, t in least.items()},
        "ratios": {what: round(ratio, 2) for what, ratio in ratios.items()},
        "aims": {what: _judged(ratios[what], *aim) for what, aim in AIMS.get(name, {}).items()},
    }  # fmt: skip


def _rounded(times: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in times.items()}


def _judged(ratio: float, least: float | None, most: float | None) -> dict[str, Any]:
    aim = f"at least {least}" if least else f"at most {most}"
    return {"aim": aim, "met": ratio >= least if least else ratio <= (most or 0)}


def _run(name: str, form: str, steps: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--steps", str(steps), "--child", name, form]
    one = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=one)
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, {form}: {times}", flush=True)
    return times


# --- one form, in its own process -----------------------------------------------------------


def child(name: str, form: str, *, steps: int) -> None:
    """Time the steps; the last line of stdout is JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scene = SCENES[name]
    kind, how = form.split()
    step = (ours if how == "ours" else plain)(scene, kind)
    step()  # the first one also makes what is kept
    times = [_timed(step, scene.device) for _ in range(steps)]
    wall, cpu = (min(each) for each in zip(*times, strict=True))
    print(json.dumps({"seconds": wall, "cpu_seconds": cpu}))


def _timed(step: Step, device: str) -> tuple[float, float]:
    started, cpu = time.perf_counter(), time.process_time()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - cpu


def _settings(scene: Scene, kind: str) -> Any:
    from train.recipes import changed, pinpp_at

    return changed(
        pinpp_at("code"),
        [
            f"model.kind={kind}",
            f"model.backbone={scene.backbone}",
            "model.weights=none",
            "attack.best=last",
            "attack.warmup_epochs=0",
            f"data.size={scene.size}",
            "data.jitter=0",
            f"train.batch_size={scene.batch}",
            f"train.channels_last={str(scene.channels_last).lower()}",
            f"train.amp={'bf16' if scene.device == 'cuda' else 'off'}",
        ],
    )


def _model(scene: Scene, config: Any) -> Any:
    from train.models.build import build_model

    classes = [f"class {number}" for number in range(scene.classes)]
    parts = [f"class 0:part {number}" for number in range(scene.parts)]
    return build_model(config.model, classes, parts, size=scene.size).to(scene.device)


def _batch(scene: Scene, side: int) -> Any:
    """Random pictures, with label maps that are in blocks, as parts are."""
    from train.pictures import HUMAN
    from train.samples import Batch

    draw = torch.Generator().manual_seed(0)
    shape = (scene.batch, 3, scene.size, scene.size)
    coarse = torch.randint(0, scene.parts + 1, (scene.batch, side // 4, side // 4), generator=draw)
    labels = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2).roll((1, 1), (1, 2))
    return Batch(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw),
        torch.randint(0, scene.classes, (scene.batch,), generator=draw),
        labels.int(),
        torch.full((scene.batch,), HUMAN, dtype=torch.uint8),
    )


def ours(scene: Scene, kind: str) -> Step:
    """What `partlab train run` does at each step."""
    from partlab.training.amp import autocast
    from train.averages import Average
    from train.optimizers import make_optimizer
    from train.trainer import Trainer

    config = _settings(scene, kind)
    network = _model(scene, config).train()
    if scene.channels_last:
        network.to(memory_format=torch.channels_last)
    device = torch.device(scene.device)
    optimizer = make_optimizer(network, config.train)
    average = Average(network, config.train.ema)
    trainer = Trainer(network, network, config, device, 100, scene.parts)
    batch = _batch(scene, scene.size // network.finest_stride)

    def step() -> None:
        with autocast(device, config.train.amp):
            losses = trainer.step(batch, 0)
            total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        average.update(network)

    return step


def plain(scene: Scene, kind: str) -> Step:
    """The loop of the description; see the top of this file."""
    from partlab.training.amp import autocast

    config = _settings(scene, kind)
    network = _model(scene, config).train()
    twin = {key: value.clone() for key, value in network.state_dict().items()}
    device = torch.device(scene.device)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True
    )
    batch = _batch(scene, scene.size // network.finest_stride).to(scene.device)

    def step() -> None:
        images = batch.pixels.float() / 255
        with autocast(device, config.train.amp):
            attacked = _plain_attack(network, images, batch.classes)
            outputs = network(attacked, parts=True)
            loss = F.cross_entropy(outputs.logits, batch.classes, label_smoothing=0.1)
            if outputs.parts:
                loss = loss + _dense_loss(outputs.parts, batch.labels.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for key, value in network.state_dict().items():
                twin[key].copy_(0.9998 * twin[key] + 0.0002 * value)

    return step


def _plain_attack(network: Any, images: Tensor, classes: Tensor) -> Tensor:
    network.eval()
    point = images + torch.empty_like(images).uniform_(-EPS, EPS)
    point = point.clamp(0, 1).detach()
    best, worst = point, None
    for _ in range(2):
        point = point.detach().requires_grad_()
        loss = F.cross_entropy(_attacked_logits(network, point), classes, label_smoothing=0.1)
        loss.backward()
        best, worst = _better(best, worst, point.detach(), loss.detach())
        assert point.grad is not None
        moved = point.detach() + EPS * point.grad.sign()
        point = torch.min(torch.max(moved, images - EPS), images + EPS).clamp(0, 1)
    with torch.no_grad():
        last = F.cross_entropy(_attacked_logits(network, point), classes, label_smoothing=0.1)
    best, _ = _better(best, worst, point, last)
    network.train()
    return best


def _better(best: Tensor, worst: Tensor | None, point: Tensor, loss: Tensor) -> Any:
    return (point, loss) if worst is None or loss > worst else (best, worst)


def _attacked_logits(network: Any, point: Tensor) -> Any:
    """Class logits; of MPM the bypass's first layers are computed too, as described."""
    pixels = network.normalise(point)
    if network.kind == "vanilla":
        return network.backbone(pixels)
    last, maps = network.maps(pixels)
    for compact, each in zip(network.bypass.compact, maps[-network.levels :], strict=True):
        compact(each)
    return network.backbone.forward_head(last)


def _dense_loss(outputs: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    from part_loss import dense

    total: Tensor = dense(outputs, labels, torch.ones(len(labels), device=labels.device))[0]
    return total


def write(args: argparse.Namespace, found: dict[str, Any]) -> None:
    suffix = "" if args.device == "cpu" else "_cuda"
    out = HERE / "results" / f"adversarial_training{suffix}.json"
    known = json.loads(out.read_text())["scenes"] if out.is_file() else {}
    gpu = f", {torch.cuda.get_device_name()}" if args.device == "cuda" else ""
    record = {
        "command": f"python benchmarks/adversarial_training.py --device {args.device} "
        f"--rounds {args.rounds} --steps {args.steps}",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores (one used), "
        f"{platform.system()}{gpu}",
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "scenes": {**known, **found},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n")
    for name, one in found.items():
        print(name, one["ratios"], one["aims"])


if __name__ == "__main__":
    main()
