"""`partlab doctor`: present or missing, the line that gets it, and what the exit code says."""

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from annotate.studio.server.start import Running
from app import doctor
from app.cli.main import app

OPTIONAL = {
    "GPU", "detectron2", "Label Studio", "PostgreSQL", "ONNX", "Ray Serve", "corruptions",
    "part models", "duplicates", "SAM", "chromium",
}  # fmt: skip


def part(name: str) -> doctor.Part:
    return next(part for part in doctor.examine() if part.name == name)


@pytest.fixture(autouse=True)
def no_studio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARTLAB_STUDIO_URL", raising=False)
    monkeypatch.delenv("PARTLAB_STUDIO_TOKEN", raising=False)


def test_the_tested_environment_is_healthy() -> None:
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(answer.stdout)
    assert answer.exit_code == 0
    assert found["healthy"] is True
    assert {p["name"] for p in found["parts"] if not p["required"]} == OPTIONAL
    assert all(p["get"] for p in found["parts"] if p["state"] != "present")
    assert all(p["get"] is None for p in found["parts"] if p["state"] == "present")


def test_the_table_is_aligned_and_says_how_to_get_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    text = CliRunner().invoke(app, ["doctor"]).stdout
    rows = [line for line in text.splitlines() if line.startswith("  ")]
    wide = max(map(len, [*OPTIONAL, *doctor._REQUIRED]))
    row = re.compile(rf"  (.{{{wide}}})  (present|missing|broken |get it:)  \S")
    assert all(row.match(line) for line in rows)
    assert {line[2 : 2 + wide].strip() for line in rows} == {*OPTIONAL, *doctor._REQUIRED, ""}
    assert "get it:  apt-get install chromium" in text


def test_without_torch_it_still_answers_and_ends_with_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # makes `import torch` fail
    answer = CliRunner().invoke(app, ["doctor"])
    assert answer.exit_code == 4
    assert "something required is missing" in answer.stdout
    assert "Traceback" not in answer.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no-such-distribution>=1", "no-such-distribution is not installed"),
        ("numpy>=999", ">=999 is needed"),
    ],
)
def test_a_dependency_that_is_missing_or_too_old(
    monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    monkeypatch.setattr(doctor, "requires", lambda name: [line, 'absent; extra == "other"'])
    found = part("packages")
    assert (found.state, said in found.detail) == ("missing", True)
    assert not doctor.healthy([found])


def test_another_distribution_with_our_package_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second `train` package on the path is a real danger of short import names."""
    assert part("package names").state == "present"
    info = tmp_path / "other_trainer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-trainer\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("train\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = part("package names")
    assert (found.state, found.required) == ("broken", True)
    assert "train (other-trainer)" in found.detail


def test_label_studio_up(monkeypatch: pytest.MonkeyPatch, studio_server: Running) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url + "/")
    assert "PARTLAB_STUDIO_TOKEN is not set" in part("Label Studio").detail
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    found = part("Label Studio")
    assert (found.state, "knows us as admin@" in found.detail) == ("present", True)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", "0" * 40)
    found = part("Label Studio")
    assert (found.state, "token" in found.detail) == ("missing", True)


def test_the_secrets_of_label_studio_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", "s3cret")
    monkeypatch.setenv("PARTLAB_STUDIO_URL", "http://me:passw0rd@127.0.0.1:1")
    shown = doctor.as_text(doctor.examine())
    assert "s3cret" not in shown
    assert "passw0rd" not in shown


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "not a url", "http://", "http://h:port"])
def test_label_studio_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", "0" * 40)
    found = part("Label Studio")
    assert found.state == "missing"
    assert found.detail


def test_a_broken_part_is_reported_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode() -> doctor.Found:
        raise RuntimeError("bad build")

    monkeypatch.setitem(doctor._OPTIONAL, "detectron2", explode)
    found = part("detectron2")
    assert (found.state, found.detail) == ("broken", "RuntimeError: bad build")
    assert doctor.healthy(doctor.examine())
