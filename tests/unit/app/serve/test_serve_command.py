"""`partlab serve` as a process: it starts, it ends, and what cannot be served is told."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from colour_segmenter import write_colour_run
from served import grey
from typer.testing import CliRunner

from app.cli.main import app
from app.serve.keys import read_keys
from app.serve.models import Models
from app.serve.settings import ServeSettings
from app.serve.source import Source
from partlab.errors import ConfigError

LAUNCHER = Path(__file__).parents[3] / "plugins" / "partlab_with_colour.py"


def command(*words: object) -> list[str]:
    return [sys.executable, str(LAUNCHER), "serve", *map(str, words)]


def environment(pause: float = 0.0) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLOUR_SEGMENTER_PAUSE": str(pause)}


@pytest.fixture
def process(colour_run: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A server whose model takes two seconds; its log goes to a file, for a pipe would fill."""
    with open(tmp_path / "log", "w") as log:
        words = command(f"seg={colour_run}", "--port", 0, "--json")
        started = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(2.0)
        )
        yield started
        started.kill()
        started.wait()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_sigterm_finishes_what_was_accepted_and_takes_nothing_new(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    """SV-23."""
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    assert url.startswith("http://127.0.0.1:")
    client = httpx.Client(base_url=url, timeout=60, headers={"Content-Type": "image/png"})
    until(lambda: client.get("/ready").status_code == 200)
    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(client.post, "/v1/segment", content=grey()) for _ in range(3)]
        until(lambda: "partlab_requests_inside 4.0" in client.get("/metrics").text)  # and this one
        process.send_signal(signal.SIGTERM)
        assert [each.result().status_code for each in asked] == [200] * 3
    assert process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        client.get("/health")
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert sum(line["path"] == "/v1/segment" for line in lines) == 3


def test_a_load_that_fails_ends_the_server_with_the_error(colour_run: Path, tmp_path: Path) -> None:
    """SV-13: a server without its models is none, whatever port it holds."""
    broken = write_colour_run(tmp_path / "broken")
    (broken / "best.safetensors").write_bytes(b"no weights")
    done = subprocess.run(
        command(f"seg={colour_run}", broken, "--port", 0),
        capture_output=True, text=True, env=environment(), timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "is damaged" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("folder", "says"),
    [("nowhere", "there is no folder"), ("empty", "is no run and no exported model")],
)
def test_a_folder_that_is_no_model_is_told_once(tmp_path: Path, folder: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        command(tmp_path / folder, "--port", 0),
        capture_output=True, text=True, env=environment(), timeout=180, check=False,
    )  # fmt: skip
    said = " ".join(done.stderr.split())
    assert done.returncode == 3, done.stderr
    assert said.count(says) == 1
    assert "partlab segmenter train" in said
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("folder", "code", "says"),
    [
        ("nowhere", 3, "there is no folder"),
        ("empty", 5, "holds no model"),
        ("vit", 5, "'vit', which is not SAM"),
        ("without transformers", 4, "pip install 'partlab[sam]'"),
    ],
)
def test_a_sam_that_cannot_answer_ends_the_server_with_the_error(
    colour_run: Path, tmp_path: Path, folder: str, code: int, says: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text('{"model_type": "vit"}')
    env = environment()
    if folder == "without transformers":
        (tmp_path / "transformers.py").write_text("raise ImportError('not installed')")
        env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env.get("PYTHONPATH", "")])
    done = subprocess.run(
        command(f"seg={colour_run}", "--sam", tmp_path / folder, "--port", 0),
        capture_output=True, text=True, env=env, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_sam_without_a_segmenter_is_refused(tmp_path: Path) -> None:
    class Sam:
        called = "sam@1"

    models = Models((), ServeSettings(), lambda *_: None)
    models.sam = Sam()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="none is served"):
        models.load()


def test_a_taken_port_is_told(colour_run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(f"seg={colour_run}", "--port", port),
            capture_output=True, text=True, env=environment(), timeout=180, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["serve", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("{run}", "--host", "0.0.0.0"), 2, "--keys"),
        (("{run}", "--keys", "{tmp}/none.json"), 3, "partlab serve key"),
        (("{run}", "--root", "{tmp}/none"), 3, "no folder"),
        (("{run}", "--proxy", "proxy.lab"), 2, "is no address"),
        (("{run}", "--set", "batch.imags=3"), 2, "batch.images"),
        (("{run}", "--set", "batch.images=0"), 2, "batch.images"),
        (("a/b=c",), 2, "cannot be a model's name"),
        (("key", "me", "--keys", "{tmp}/k.json", "--role", "root"), 2, "unknown role"),
    ],
)
def test_what_is_wrong_with_the_words_is_told_before_anything_is_loaded(
    colour_run: Path, tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    answer = run(*(word.format(run=colour_run, tmp=tmp_path) for word in words))
    assert answer.exit_code == code, answer.output
    assert says in answer.output


def test_a_key_is_printed_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    answer = run("key", "lab", "--keys", file, "--role", "attack")
    assert answer.exit_code == 0
    key = answer.stdout.strip()
    assert key.startswith("pl_")
    assert key not in file.read_text()
    assert [(each.name, each.role) for each in read_keys(file)] == [("lab", "attack")]
    assert run("key", "lab", "--keys", file).exit_code == 1


@pytest.mark.parametrize(
    ("words", "name"), [("runs/seg", "seg"), ("x=runs/seg", "x"), ("./seg/", "seg")]
)
def test_a_model_is_called_like_its_folder_or_as_one_says(words: str, name: str) -> None:
    assert Source.of_run(words).name == name


@pytest.mark.parametrize("words", ["=x", "a@b=x", "a b/c=x", "/"])
def test_a_name_that_no_address_could_hold_is_refused(words: str) -> None:
    with pytest.raises(ConfigError):
        Source.of_run(words)


def test_the_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from app.cli.main import app\n"
        "try: app(['serve', '--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('torch', 'fastapi', 'uvicorn', 'prometheus_client') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--jobs" in done.stdout
