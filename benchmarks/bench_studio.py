"""Push and pull against a real Label Studio: speed, CPU and memory of both sides.

    python benchmarks/bench_studio.py [--tasks 1000 5000] [--slice 500] [--out FILE]

Starts a server of its own (the environment that PARTLAB_STUDIO_ENV names, or the one in the
cache) on SQLite, makes one project per size with 4 masks of 500x375 pixels in every task, and
measures `push` and `pull`, each in a process of its own, so that peak memory is its own. On a
slice the same is done with label_studio_sdk alone: its masks, its calls, its codec (its import,
2 s of CPU, is not counted there). Server CPU and peak memory are the server process's. The
result, with ratios, is written to results/studio.json, or to FILE.
"""

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from annotate.studio.acts.pull import pull
from annotate.studio.acts.push import Suggestion, push
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import Fields, description_of, make_project
from annotate.studio.server.start import Running, start_server
from annotate.studio.spelling.labelconfig import label_config
from annotate.studio.spelling.uniting import PartMask
from annotate.studio.spelling.writing import regions_of
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Image, Work
from partlab.masks import decode, encode

WIDTH, HEIGHT, PICTURES = 500, 375, 32
RAM = ObjectParts(name="ram", parts=tuple(Part(name=n) for n in ("head", "horn", "body", "leg")))
MODEL = "benchmark@000000000000"


@cache
def pool() -> list[tuple[PartMask, ...]]:
    """The masks of a few pictures, used in turn: blobs as ragged as parts drawn by hand."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
    found = []
    for _ in range(PICTURES):
        masks = []
        for part in RAM.ids:
            mask = np.zeros((HEIGHT, WIDTH), bool)
            for _ in range(3):
                top, left = rng.uniform(0.25, 0.75, 2)
                size, stretch = rng.uniform(0.05, 0.2), rng.uniform(0.5, 2)
                mask |= ((y - top) * stretch) ** 2 + (x - left * WIDTH / HEIGHT) ** 2 < size**2
            masks.append(PartMask(part, 1, encode(mask)))
        found.append(tuple(masks))
    return found


def suggest(images: Sequence[Image]) -> Iterator[Suggestion]:
    for image in images:
        yield Suggestion(image.id, pool()[image.id % PICTURES], 0.5)


# --- what is measured -------------------------------------------------------------------------


def ours_push(folder: Path, url: str, token: str) -> dict[str, Any]:
    with Work.open(folder) as work, Studio(url, token, timeout=600) as studio:
        (told,) = push(work, studio, suggest, model=MODEL)
    return {"tasks": told.sent, "masks": told.masks}


def ours_push_again(folder: Path, url: str, token: str) -> dict[str, Any]:
    with Work.open(folder) as work, Studio(url, token, timeout=600) as studio:
        (told,) = push(work, studio, suggest, model=MODEL)
    return {"tasks": told.unchanged, "sent": told.sent}


def ours_pull(folder: Path, url: str, token: str) -> dict[str, Any]:
    with Work.open(folder) as work, Studio(url, token, timeout=600) as studio:
        (told,) = pull(work, studio)
        first = next(work.answers("ram", 1))
    assert [m["rle"] for m in first.masks] == [m.rle for m in pool()[first.image_id % PICTURES]]
    raw = sum(file.stat().st_size for file in folder.rglob("*.jsonl.gz"))
    return {"tasks": told.masks, "raw_export_bytes_per_task": round(raw / max(told.masks, 1))}


def sdk_push(project: int, tasks: list[int], url: str, token: str) -> dict[str, Any]:
    from label_studio_sdk import LabelStudio
    from label_studio_sdk.converter.brush import mask2rle

    client = LabelStudio(base_url=url, api_key=token, timeout=600)
    head = {"to_name": "image", "from_name": "brush", "type": "brushlabels", "image_rotation": 0}
    head |= {"original_width": WIDTH, "original_height": HEIGHT}
    created = 0
    for start in range(0, len(tasks), 250):
        request = []
        for task in tasks[start : start + 250]:
            result = [
                {**head, "id": f"r{i}", "value": {"format": "rle", "brushlabels": [mask.part],
                 "rle": mask2rle(decode(mask.rle).astype(np.uint8) * 255)}}
                for i, mask in enumerate(pool()[task % PICTURES])
            ]  # fmt: skip
            request.append({"task": task, "result": result, "model_version": MODEL, "score": 0.5})
        created += client.projects.import_predictions(id=project, request=request).created
    return {"tasks": created}


def sdk_pull(project: int, url: str, token: str) -> dict[str, Any]:
    from label_studio_sdk import LabelStudio
    from label_studio_sdk.converter.brush import decode_rle

    client = LabelStudio(base_url=url, api_key=token, timeout=600)
    tasks = client.projects.exports.as_json(project_id=project)
    for task in tasks:
        for region in task["annotations"][0]["result"]:
            alpha = decode_rle(region["value"]["rle"]).reshape(HEIGHT, WIDTH, 4)[..., 3]
            encode(alpha >= 128)
    return {"tasks": len(tasks)}


# --- measuring --------------------------------------------------------------------------------


def _child(sender: Any, work: Callable[[], dict[str, Any]], warm: bool) -> None:
    pool()
    if warm:
        import label_studio_sdk.converter.brush
        import label_studio_sdk.label_interface  # noqa: F401
    cpu, start = time.process_time(), time.perf_counter()
    found = work()
    found["seconds"] = round(time.perf_counter() - start, 2)
    found["client_cpu_s"] = round(time.process_time() - cpu, 2)
    sender.send({**found, "client_peak_mib": _peak_mib(os.getpid())})


def measured(
    server: Running, work: Callable[[], dict[str, Any]], *, warm: bool = False
) -> dict[str, Any]:
    """Run it in a process of its own, and watch both sides.

    `warm` imports label_studio_sdk first (2 s of CPU), so that it is not counted.
    """
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # its peak starts from here
    before = _cpu(server.pid)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, warm))
    process.start()
    sender.close()
    found: dict[str, Any] = receiver.recv()
    process.join()
    found["server_cpu_s"] = round(_cpu(server.pid) - before, 2)
    found["server_peak_mib"] = _peak_mib(server.pid)
    if found["seconds"] and found["tasks"]:
        found["tasks_per_s"] = round(found["tasks"] / found["seconds"], 1)
    return found


def _peak_mib(pid: int) -> float:
    """Not getrusage's, which a process inherits from the one that started it."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(peak) / 1024, 1)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- works and projects -----------------------------------------------------------------------


def make_work(folder: Path, studio: Studio, tasks: int, *, drawn: bool) -> int:
    """A work with one project of so many tasks; `drawn` also has an annotation in each."""
    me = studio.whoami()
    rows = [
        Image(id=i, object="ram", file_name=f"ram/{i:06d}.jpg", width=WIDTH, height=HEIGHT,
              shown=[WIDTH, HEIGHT], rank=i)
        for i in range(1, tasks + 1)
    ]  # fmt: skip
    with Work.create(folder, folder.name, Vocabulary(objects=(RAM,)), rows) as work:
        ids = [image.id for image in rows]
        planned = {"images": ids, "assignee": me["email"], "vocabulary_version": 1}
        work.record("planned", who="lead", object="ram", round=1, data=planned)
        batch = work.batch("ram")
        about = description_of(work, batch, "c" * 64)
        fields = Fields(f"{folder.name}/ram/annotate/r1", about, label_config(RAM), True)
        project = make_project(studio, work, ("ram", 1), fields)
        opened = {"project_id": project, "config_hash": "c" * 64}
        work.record("opened", who="lead", object="ram", data=opened)
        for start in range(0, tasks, 250):
            chunk = rows[start : start + 250]
            body = [_task(image, work, me["id"], drawn=drawn) for image in chunk]
            path = f"/api/projects/{project}/import"
            got = studio.post(path, body, return_task_ids="true")["task_ids"]
            known = {str(image.id): id for image, id in zip(chunk, got, strict=True)}
            work.record(
                "tasks", who="lead", object="ram", data={"project_id": project, "tasks": known}
            )
    return project


def _task(image: Image, work: Work, user: int, *, drawn: bool) -> dict[str, Any]:
    data = {"image": "/nowhere.jpg", "image_id": image.id, "object": "ram",
            "file_name": image.file_name, "width": WIDTH, "height": HEIGHT,
            "partlab": work.settings.name}  # fmt: skip
    if not drawn:
        return {"data": data}
    result = _result(image.id % PICTURES)
    annotation = {"result": result, "completed_by": user, "ground_truth": False, "lead_time": 60.0}
    return {"data": data, "annotations": [annotation]}


@cache
def _result(picture: int) -> list[dict[str, Any]]:
    return regions_of(pool()[picture], RAM, (WIDTH, HEIGHT))


# --- the whole --------------------------------------------------------------------------------


def run(server: Running, studio: Studio, folder: Path, sizes: list[int]) -> dict[str, Any]:
    login = (server.url, server.token)
    found: dict[str, Any] = {}
    for tasks in sizes:
        plain, drawn = folder / f"push-{tasks}", folder / f"pull-{tasks}"
        make_work(plain, studio, tasks, drawn=False)
        make_work(drawn, studio, tasks, drawn=True)
        steps = {
            "push": partial(ours_push, plain, *login),
            "push again": partial(ours_push_again, plain, *login),
            "pull": partial(ours_pull, drawn, *login),
            "pull again": partial(pull_again, drawn, *login),
        }
        for name, step in steps.items():
            found[f"{name}, {tasks} tasks"] = told = measured(server, step)
            print(name, tasks, told, flush=True)
    return found


def pull_again(folder: Path, url: str, token: str) -> dict[str, Any]:
    with Work.open(folder) as work, Studio(url, token, timeout=600) as studio:
        (told,) = pull(work, studio)
    return {"tasks": told.tasks, "answers": told.answers}


def beside_the_sdk(
    server: Running, studio: Studio, folder: Path, tasks: int
) -> dict[str, dict[str, Any]]:
    login = (server.url, server.token)
    plain, other, drawn = (folder / f"{name}-slice" for name in ("push", "sdk", "pull"))
    make_work(plain, studio, tasks, drawn=False)
    project = make_work(other, studio, tasks, drawn=False)
    with Work.open(other) as work:
        ids = [task.task_id for task in work.tasks("ram", 1) if task.task_id]
    exported = make_work(drawn, studio, tasks, drawn=True)
    steps = {
        "push, ours": partial(ours_push, plain, *login),
        "push, label_studio_sdk": partial(sdk_push, project, ids, *login),
        "pull, label_studio_sdk": partial(sdk_pull, exported, *login),
        "pull, ours": partial(ours_pull, drawn, *login),
    }
    found = {}
    for name, step in steps.items():
        found[name] = told = measured(server, step, warm=True)
        print(name, told, flush=True)
    return found


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """How many times as much label_studio_sdk takes as we do."""
    return {
        f"{what}, {key}": round(
            found[f"{what}, label_studio_sdk"][key] / found[f"{what}, ours"][key], 2
        )
        for what in ("push", "pull")
        for key in ("client_cpu_s", "server_cpu_s", "seconds")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--slice", type=int, default=500)
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results / "studio.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with (
            start_server(folder / "server", root=folder, port=0) as server,
            server.studio(timeout=600) as studio,
        ):
            sdk = beside_the_sdk(server, studio, folder, asked.slice)
            found = run(server, studio, folder, asked.tasks)
    masks = [len(region["value"]["rle"]) for i in range(PICTURES) for region in _result(i)]
    result = {
        "masks": f"4 a task, {WIDTH}x{HEIGHT}, {round(np.mean(masks))} bytes each on average",
        "ours": found,
        f"slice of {asked.slice} tasks": sdk,
        "label_studio_sdk over ours": ratios(sdk),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared by both sides, "
        f"Python {platform.python_version()}, Label Studio on SQLite",
    }
    text = json.dumps(result, indent=2)
    asked.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
