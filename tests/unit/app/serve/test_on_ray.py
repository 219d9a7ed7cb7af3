"""The server as replicas of Ray Serve on a cluster of this machine (extra `ray`)."""

import importlib.util
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from served import Running, drawing, grey

from app.serve.on_ray import build
from partlab.errors import BackendUnavailableError, ConfigError

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray Serve is missing: uv run --extra ray …")


@dataclass(frozen=True)
class Cluster:
    """Ray Serve on this machine; requests go to `url`."""

    serve: Any
    url: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # the environment that runs this
        import ray
        from ray import serve

    here = Path(__file__).resolve()
    paths = os.pathsep.join([str(here.parents[4]), str(here.parents[3] / "plugins")])
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={
            "env_vars": {"PYTHONPATH": paths},
            "worker_process_setup_hook": "colour_segmenter.ColourBackend",  # registers itself
        },
    )
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield Cluster(serve, f"http://127.0.0.1:{port}")
    serve.shutdown()
    ray.shutdown()


@needs_ray
@pytest.mark.slow
def test_replicas_answer_as_the_server_does_and_a_dead_one_is_replaced(
    cluster: Cluster, colour_run: Path, server: Running, tmp_path: Path
) -> None:
    alone = {"batch": {"images": 1}}  # in a batch this segmenter's scores are others
    application = build(
        {"runs": f"seg={colour_run}", "replicas": 2, "cpus": 0.5, "settings": alone}
    )
    cluster.serve.run(application, name="partlab", route_prefix="/")
    data, path = drawing(tmp_path), "/v1/segment?object=cat"
    expected = server.post(path, data).json()
    with httpx.Client(base_url=cluster.url, timeout=120) as client:
        assert client.get("/ready").json() == server.client.get("/ready").json()

        def ask(_: int) -> httpx.Response:
            return client.post(path, content=data, headers={"Content-Type": "image/png"})

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(40)))
        assert [each.status_code for each in answers] == [200] * 40
        for each in answers:
            assert each.json() == expected
        wrong = client.post(path.replace("cat", "caat"), content=grey())
        assert wrong.status_code == 415
        wrong = client.post(
            path.replace("cat", "caat"), content=grey(), headers={"Content-Type": "image/png"}
        )
        assert wrong.status_code == 422
        assert "did you mean cat" in wrong.json()["error"]["hint"]

        first = replicas()
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        until = time.monotonic() + 120
        while len(replicas()) < 2 or first[0] in replicas():
            assert time.monotonic() < until
            time.sleep(0.5)
        assert ask(0).json() == expected


@needs_ray
@pytest.mark.slow
def test_a_run_that_cannot_be_loaded_is_said_by_the_deployment(
    cluster: Cluster, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError):
        cluster.serve.run(
            build({"runs": [str(tmp_path / "none")]}), name="broken", route_prefix="/no"
        )
    told = str(cluster.serve.status().applications["broken"])
    assert "none" in told
    cluster.serve.delete("broken")


def replicas() -> list[int]:
    """Processes that hold a replica of the server; what was killed has no words any more."""
    mine = psutil.Process().children(recursive=True)
    return [each.pid for each in mine if "ServeReplica:partlab" in " ".join(words_of(each))]


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; none of one that has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # or a zombie, which is one of these
        return []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "runs"),
        ({"runs": []}, "runs"),
        ({"runs": "a", "replica": 2}, "replica"),
        ({"runs": "a", "replicas": 0}, "replicas"),
        ({"runs": "a", "settings": {"jobs": "jobs"}}, "bulk jobs belong to one process"),
    ],
)
def test_arguments_that_are_none_are_told(args: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build(args)


@pytest.mark.skipif(HAS_RAY, reason="Ray Serve is installed")
def test_without_ray_the_line_that_gets_it_is_told() -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        build({"runs": "a"})
    assert 'pip install "partlab[ray]"' in str(caught.value.hint)
