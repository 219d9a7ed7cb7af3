"""Pseudo labels on a Ray cluster: the local engine's rows, whatever dies (extra `ray`)."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from colour_segmenter import draw_folder

from partlab.cluster import Cluster
from partlab.errors import BackendUnavailableError, ConfigError
from pseudolabel.engine import label_images
from pseudolabel.on_ray import RayEngine
from pseudolabel.settings import Settings
from pseudolabel.store import Row, Store

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is missing: uv run --extra ray …")
PLUGINS = Path(__file__).parents[2] / "plugins"
IMAGES, SHARD, BATCH = 2000, 50, 8


def environment(pause: float = 0.0) -> dict[str, str]:
    """That of a command whose workers know the colour segmenter, which can be slow."""
    told = {
        "env_vars": {"PYTHONPATH": str(PLUGINS), "COLOUR_SEGMENTER_PAUSE": str(pause)},
        "worker_process_setup_hook": "colour_segmenter.ColourBackend",  # importing registers it
    }
    return os.environ | {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": told})}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 drawings, and one file that is no picture."""
    folder = draw_folder(tmp_path_factory.mktemp("many"), IMAGES - 1)
    (folder / "cat" / "no picture.jpg").write_text("hello")
    return folder


@pytest.fixture(scope="module")
def local(many: Path, colour_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """What the local engine makes of them."""
    out = tmp_path_factory.mktemp("local") / "out"
    label_images(many, colour_run, out, Settings(shard_size=SHARD, batch_size=BATCH))
    return list(Store.open(out).rows())


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """A real cluster: a head and a second machine, each with processes and a CPU of its own."""
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    from ray.cluster_utils import Cluster as Machines

    found = Machines(initialize_head=True, head_node_args={"num_cpus": 1})
    found.add_node(num_cpus=1)
    yield found
    found.shutdown()


def started(
    machines: Any, images: Path, run: Path, out: Path, *more: str, pause: float = 0.0
) -> "subprocess.Popen[str]":
    """The command, at work on the cluster."""
    words = ["pseudolabel", images, "--segmenter", run, "--out", out, "--batch-size", BATCH]
    words += ["--engine", "ray", "--ray-address", machines.address]
    words += ["--set", f"shard_size={SHARD}", *more]
    return subprocess.Popen(
        [sys.executable, str(PLUGINS / "partlab_with_colour.py"), *map(str, words)],
        env=environment(pause),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(command: "subprocess.Popen[str]") -> str:
    """What it said, when it has come to a good end."""
    said, _ = command.communicate(timeout=300)
    assert command.returncode == 0, said
    return said


def shards(out: Path) -> int:
    return len(list(out.glob("shards/part-*.parquet")))


def wait_for(moment: Callable[[], bool]) -> None:
    until = time.monotonic() + 180
    while not moment():
        assert time.monotonic() < until, "the moment never came"
        time.sleep(0.02)


def workers() -> list[psutil.Process]:
    """The processes that hold the segmenter."""
    found = psutil.process_iter(["cmdline"])
    return [each for each in found if "ShardWorker" in " ".join(each.info["cmdline"] or [])]


@needs_ray
@pytest.mark.slow
def test_a_worker_is_killed_and_the_rows_are_those_of_the_local_engine(
    machines: Any, many: Path, colour_run: Path, local: list[Row], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = started(machines, many, colour_run, out, pause=0.004)
    wait_for(lambda: shards(out) >= 4)
    victim = workers()[0]
    victim.send_signal(signal.SIGKILL)
    said = ended(command)
    assert "2 workers on 2 machines" in said
    assert "1 unreadable" in said
    assert list(Store.open(out).rows()) == local


@needs_ray
@pytest.mark.slow
def test_the_command_is_killed_and_goes_on(
    machines: Any, many: Path, colour_run: Path, local: list[Row], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = started(machines, many, colour_run, out, pause=0.004)
    wait_for(lambda: shards(out) >= 4)
    command.kill()
    command.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("shards/part-*")}
    assert 4 <= len(before) < IMAGES // SHARD
    said = ended(started(machines, many, colour_run, out))
    assert f"{IMAGES - SHARD * len(before)} of them labelled now" in said
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert list(Store.open(out).rows()) == local


@needs_ray
@pytest.mark.slow
def test_a_machine_leaves(
    machines: Any, many: Path, colour_run: Path, local: list[Row], tmp_path: Path
) -> None:
    third = machines.add_node(num_cpus=1)
    out = tmp_path / "out"
    command = started(machines, many, colour_run, out, pause=0.03)
    wait_for(lambda: shards(out) >= 4 and len(workers()) == 3)
    machines.remove_node(third, allow_graceful=False)
    assert "3 workers on 3 machines" in ended(command)
    assert list(Store.open(out).rows()) == local


@needs_ray
@pytest.mark.slow
def test_a_worker_that_cannot_work_says_why(machines: Any, many: Path, tmp_path: Path) -> None:
    from colour_segmenter import write_colour_run

    run = write_colour_run(tmp_path / "run")
    (run / "best.safetensors").write_bytes(b"damaged")
    command = started(machines, many, run, tmp_path / "out")
    said, _ = command.communicate(timeout=120)
    assert command.returncode == 5
    assert "best.safetensors is damaged" in said
    assert "Traceback" not in said


@needs_ray
@pytest.mark.slow
def test_more_workers_than_fit_are_refused(
    machines: Any, many: Path, colour_run: Path, tmp_path: Path
) -> None:
    command = started(machines, many, colour_run, tmp_path / "out", "--ray-workers", "9")
    said, _ = command.communicate(timeout=60)
    assert command.returncode == 2
    assert "9 workers with 1 CPU each do not fit" in said
    assert "ask for at most 2" in said
    assert not (tmp_path / "out").exists()


@dataclass
class Ray:
    """What of the module is asked about machines."""

    resources: list[dict[str, float]]

    def nodes(self) -> list[dict[str, Any]]:
        gone = {"Alive": False, "Resources": {"CPU": 64.0}}
        return [gone, *({"Alive": True, "Resources": each} for each in self.resources)]


def test_a_worker_fits_whole_on_one_machine() -> None:
    found = Cluster(Ray([{"CPU": 3.0}, {"CPU": 1.0}, {"CPU": 8.0, "GPU": 2.0}]))
    assert found.fits(2, 0) == 5
    assert found.workers(None, 1, 0) == 12
    assert found.workers(None, 1, 1) == 2
    assert found.workers(1, 1, 1) == 1
    with pytest.raises(ConfigError, match="3 workers with 1 CPU and 1 GPU each do not fit"):
        found.workers(3, 1, 1)
    with pytest.raises(ConfigError) as refused:
        found.workers(None, 9, 0)
    assert "--engine local" in str(refused.value.hint)


def ready(engine: RayEngine, run: Path) -> None:
    from segmenter.origin import origin_of

    with engine.ready(origin_of(run), Settings(), None):
        pass


@needs_ray
@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        ("127.0.0.1:9", BackendUnavailableError, "no Ray cluster answers at 127.0.0.1:9"),
        ("ray://127.0.0.1:9", BackendUnavailableError, "no Ray cluster answers at ray://"),
        ("head", ConfigError, "'head' is no address"),
        ("head:port", ConfigError, "'head:port' is no address"),
    ],
)
def test_an_address_without_a_cluster_is_told_at_once(
    colour_run: Path, address: str, error: type[Exception], says: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(error, match=says):
        ready(RayEngine(address=address), colour_run)
    assert time.monotonic() - begun < 60


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_line_that_gets_it_is_told(colour_run: Path) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        ready(RayEngine(), colour_run)
    assert 'pip install "partlab[ray]"' in str(caught.value.hint)


def test_torchrun_and_ray_are_not_joined(colour_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun"):
        ready(RayEngine(), colour_run)
