"""Training by workers of a Ray cluster ends as `torchrun` on as many processes (extra `ray`)."""

import importlib.util
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import tiny_training
from tiny_training import same

from partlab.errors import BackendUnavailableError, ConfigError, DatasetError
from partlab.training.on_ray import RayTraining
from partlab.training.process import Process

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is missing: uv run --extra ray …")


@pytest.fixture(scope="module")
def two():
    """Two workers, on a cluster that is started once and has two CPUs, whatever the machine has."""
    os.environ.update(RAY_ENABLE_UV_RUN_RUNTIME_ENV="0", RAY_raylet_start_wait_time_s="120")
    import ray

    plugins = str(Path(tiny_training.__file__).parent)
    found = {"env_vars": {"PYTHONPATH": plugins}}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env=found)
    yield RayTraining(2)
    ray.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What torchrun makes of the tiny training."""
    run = tmp_path_factory.mktemp("torchrun") / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--master-port", "29644", tiny_training.__file__, run, "attack"]
    subprocess.run(launch, check=True, timeout=300)
    return run


def trained(run: Path, *, force: bool, mark: Path | None = None) -> str | None:
    """The tiny training; where there is no mark yet, the second process dies at step 9."""
    here = Process.current()
    dies = mark is not None and here.rank == 1 and not mark.exists()
    if dies:
        mark.touch()
    tiny_training.train(run, attack=True, die=9 if dies else None)
    return f"{here.world} processes, force {force}" if here.leads else None


@needs_ray
@pytest.mark.slow
def test_the_weights_are_those_of_torchrun(two: RayTraining, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert two(partial(trained, run), run, force=False) == "2 processes, force False"
    same(whole, run)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # nothing of Ray's stays


@needs_ray
@pytest.mark.slow
def test_a_lost_worker_resumes_exactly(two: RayTraining, whole: Path, tmp_path: Path) -> None:
    run, mark = tmp_path / "run", tmp_path / "died"
    two(partial(trained, run, mark=mark), run)
    assert mark.exists()
    same(whole, run)


def replaces(run: Path, mark: Path, *, force: bool) -> bool:
    """Writes a new run over the older, dies, and is told whether to do so again."""
    if Process.current().rank:
        return False
    (run / "config.json").unlink()
    (run / "config.json").write_text("{}")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return force


@needs_ray
@pytest.mark.slow
def test_an_older_run_is_replaced_once(two: RayTraining, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}")
    assert two(partial(replaces, run, tmp_path / "died"), run, force=True) is False


def refuses(mark: Path, *, force: bool) -> None:
    """One process has an error, for which the other waits."""
    with Process.current().joined() as group:
        if not group.process.leads:
            with mark.open("a") as file:
                file.write("x")
            raise DatasetError("cat.jpg is damaged", hint="get it again")
        group.wait()


@needs_ray
@pytest.mark.slow
def test_what_one_process_says_is_raised_here_and_not_tried_again(
    two: RayTraining, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"cat\.jpg is damaged") as caught:
        two(partial(refuses, tmp_path / "tried"), tmp_path / "run")
    assert caught.value.hint == "get it again"
    assert (tmp_path / "tried").read_text() == "x"


@needs_ray
@pytest.mark.slow
def test_more_workers_than_fit_are_refused(two: RayTraining, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 workers with 1 CPU each do not fit"):
        RayTraining(3)(print, tmp_path / "run")


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_line_that_gets_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        RayTraining()(print, tmp_path / "run")
    assert 'pip install "partlab[ray]"' in str(caught.value.hint)


def test_torchrun_and_ray_are_not_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun and --engine ray"):
        RayTraining()(print, tmp_path / "run")
