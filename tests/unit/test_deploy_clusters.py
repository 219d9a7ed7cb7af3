"""Slurm scripts and Kubernetes manifests: their own validators, and what they ask partlab to do."""

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
from colour_segmenter import draw_folder, write_colour_run
from ruamel.yaml import YAML

from app.cli.main import app
from pseudolabel.store import Store

HOME = Path(__file__).resolve().parents[2] / "docs" / "deploy"
SCRIPTS = sorted((HOME / "slurm").glob("*.sh"))
MANIFESTS = sorted((HOME / "kubernetes").glob("*.yaml"))
LAUNCHER = Path(__file__).resolve().parents[1] / "plugins" / "partlab_with_colour.py"


def documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path))


def valid(document: Any) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def pods(document: Any) -> list[Any]:
    """Every pod template of a manifest, of Kubernetes' own kinds and of KubeRay's."""
    spec = document["spec"]
    if document["kind"] == "Job":
        return [spec["template"]]
    if document["kind"] == "RayJob":
        cluster = spec["rayClusterSpec"]
        return [
            each["template"] for each in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        ]
    return []


def parsed(words: list[str]) -> dict[str, Any]:
    """What the program makes of this command line; nothing runs."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("partlab", list(words), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, rest)
        context = command.make_context(command.name, rest, parent=context)
    return dict(context.params)


def test_all_three_are_there_for_both() -> None:
    assert {path.stem for path in SCRIPTS} == {"pseudolabel", "train", "evaluate"}
    assert {path.stem for path in MANIFESTS} == {
        "pseudolabel",
        "train",
        "evaluate",
        "pseudolabel-ray",
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_passes_shellcheck(script: Path) -> None:
    checker = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([checker, script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_one_of_kubernetes(manifest: Path) -> None:
    """RayJob has its definition in KubeRay alone: of it, the pods are checked."""
    for document in documents(manifest):
        if document["apiVersion"] != "ray.io/v1":
            kubernetes_validate.validate(
                document, kubernetes_validate.latest_version(), strict=True
            )
        for pod in pods(document):
            about = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, **pod}
            valid(about)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_every_volume_that_is_mounted_is_there(manifest: Path) -> None:
    for pod in [pod for document in documents(manifest) for pod in pods(document)]:
        known = {volume["name"] for volume in pod["spec"]["volumes"]}
        used = {m["name"] for c in pod["spec"]["containers"] for m in c["volumeMounts"]}
        assert used == known


def test_the_numbers_of_processes_agree() -> None:
    job = documents(HOME / "kubernetes" / "pseudolabel.yaml")[0]["spec"]
    variables = {each["name"]: each.get("value") for each in _container(job)["env"]}
    assert int(variables["WORLD_SIZE"]) == job["completions"] == job["parallelism"]
    service, train = documents(HOME / "kubernetes" / "train.yaml")
    command = _container(train["spec"])["command"]
    assert int(command[command.index("--nnodes") + 1]) == train["spec"]["completions"]
    gpus = _container(train["spec"])["resources"]["limits"]["nvidia.com/gpu"]
    assert command[command.index("--nproc-per-node") + 1] == gpus
    host = command[command.index("--rdzv-endpoint") + 1].partition(":")[0]
    assert host == f"{train['metadata']['name']}-0.{service['metadata']['name']}"
    assert service["spec"]["selector"]["job-name"] == train["metadata"]["name"]
    assert train["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]


def _container(job: Any) -> Any:
    return job["template"]["spec"]["containers"][0]


def test_the_commands_of_manifests_are_commands() -> None:
    home = HOME / "kubernetes"
    for name in ("pseudolabel", "evaluate"):
        assert parsed(_container(documents(home / f"{name}.yaml")[0]["spec"])["args"])
    command = _container(documents(home / "train.yaml")[1]["spec"])["command"]
    assert parsed(command[command.index("partlab") + 1 :])["model"] == "mpm"
    entry = documents(home / "pseudolabel-ray.yaml")[0]["spec"]["entrypoint"]
    assert parsed(shlex.split(entry)[1:])["ray_address"] == "auto"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_commands_of_scripts_are_commands(script: Path) -> None:
    text = re.sub(r"\\\n\s*", "", script.read_text())
    line = next(each for each in text.splitlines() if re.search(r"\bpartlab \w+ .*--", each))
    words = shlex.split(line[line.index("partlab ") :].rstrip("'"))[1:]
    given = {"$IMAGES": "i", "$RUN": "r", "$STORE": "s", "$run": "r", "$DATA": "d", "$OUT": "o"}
    more = ["small_at"] if script.stem == "train" else []  # what "$@" brings
    filled = [given.get(word, "7" if word.startswith("${WORKERS") else word) for word in words]
    at = filled.index("$@")
    assert parsed([*filled[:at], *more, *filled[at + 1 :]])


SRUN = """#!/bin/bash
# Slurm's own, as far as it matters here: so many tasks at once, numbered.
shift # --kill-on-bad-exit=1
for ((n = 0; n < SLURM_NTASKS; n++)); do SLURM_PROCID=$n "$@" & done
wait
"""


@pytest.mark.slow  # starts three programs that load torch
def test_tasks_of_a_job_share_the_shards(tmp_path: Path) -> None:
    """The script itself, under an `srun` that starts two tasks here."""
    programs = tmp_path / "bin"
    programs.mkdir()
    launcher = f'#!/bin/bash\nexec "{sys.executable}" "{LAUNCHER}" "$@"\n'
    for name, text in {"srun": SRUN, "partlab": launcher}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    images = draw_folder(tmp_path / "photos", 30)
    run = write_colour_run(tmp_path / "run")
    given = {"IMAGES": images, "RUN": run, "STORE": tmp_path / "store", "WORKERS": 0}
    environment = os.environ | {name: str(value) for name, value in given.items()}
    environment |= {"SLURM_NTASKS": "2", "PATH": f"{programs}:{os.environ['PATH']}"}
    words = ["bash", str(HOME / "slurm" / "pseudolabel.sh"), "--set", "shard_size=7"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [row.image_id for row in Store.open(tmp_path / "store").rows()] == list(range(1, 31))
    assert sorted(path.name for path in (tmp_path / "store" / ".processes").iterdir()) == ["1"]
    missing = subprocess.run(words[:2], env=os.environ, capture_output=True, text=True, check=False)
    assert missing.returncode
    assert "IMAGES: a folder of pictures" in missing.stderr
