"""The server's environment: found, made when missing, said how when it cannot be made."""

from pathlib import Path

import pytest

from annotate.studio.server.environment import (
    VERSION,
    default_environment,
    environment,
    find_environment,
    installed_version,
)
from annotate.studio.server.start import start_server
from partlab.errors import (
    BackendUnavailableError,
    ConfigError,
    NotFoundError,
    OutputExistsError,
)
from partlab.files import cache_folder


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PARTLAB_STUDIO_ENV", raising=False)


def fake_environment(folder: Path, version: str = VERSION) -> Path:
    packages = folder / "lib" / "python3.12" / "site-packages"
    (packages / f"label_studio-{version}.dist-info").mkdir(parents=True)
    (packages / "label_studio_sdk-2.1.2.dist-info").mkdir()
    (folder / "bin").mkdir()
    (folder / "bin" / "python").touch()
    return folder


def tools(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Programs that stand for uv and the like; nothing else is on the path."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_named_one_goes_before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_environment() is None
    assert default_environment() == tmp_path / "cache" / "partlab" / f"label-studio-{VERSION}"
    first, second = fake_environment(tmp_path / "first"), fake_environment(tmp_path / "second")
    monkeypatch.setenv("PARTLAB_STUDIO_ENV", str(first))
    assert find_environment() == first
    assert environment(second) == second
    assert installed_version(first) == VERSION


def test_an_environment_without_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="not an environment") as caught:
        find_environment(tmp_path)
    assert f"label-studio=={VERSION}" in str(caught.value.hint)
    assert caught.value.exit_code == 4


def test_another_version_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    env = fake_environment(tmp_path / "old", "1.20.0")
    assert find_environment(env) == env
    assert "has label-studio 1.20.0" in caplog.text


def test_it_is_made_once_and_a_half_made_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = tmp_path / "calls"
    tools(tmp_path / "bin", monkeypatch, uv=f'echo "$@ in $PWD" >> {calls}')
    env = environment()
    # Never from here, where uv would find the version pins of a project.
    assert all(line.endswith(f" in {env.parent}") for line in calls.read_text().splitlines()[1:])
    assert [line.split()[0] for line in calls.read_text().splitlines()] == [
        "--version",
        "venv",
        "pip",
    ]
    assert environment() == find_environment() == env
    assert len(calls.read_text().splitlines()) == 3
    (env / "partlab-ready").unlink()
    assert find_environment() is None
    environment()
    assert len(calls.read_text().splitlines()) == 6


def test_no_network_is_one_sentence_and_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = 'case "$1" in pip) echo "trying"; echo "error: no route to host" >&2; exit 2;; esac'
    tools(tmp_path / "bin", monkeypatch, uv=broken)
    with pytest.raises(
        BackendUnavailableError, match="environment of Label Studio: error: no route"
    ):
        environment()
    assert find_environment() is None


def test_a_shim_that_does_not_run_is_no_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then Python's own venv and pip are used; this pip finds no index."""
    tools(tmp_path / "bin", monkeypatch, uv="exit 127")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BackendUnavailableError, match="label-studio"):
        environment()
    assert (default_environment() / "bin" / "pip").exists()
    assert cache_folder().is_dir()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"host": "0.0.0.0"}, ConfigError, "reachable from other machines"),
        ({"root": "/"}, ConfigError, "the whole disk"),
        ({"root": "/no/such/folder"}, NotFoundError, "no folder"),
        ({"email": "not an email"}, ConfigError, "not an email address"),
        ({"template": "nothing", "root": "."}, NotFoundError, "label_studio.sqlite3"),
    ],
)
def test_what_a_server_cannot_do_is_said_at_once(
    tmp_path: Path, settings: dict[str, str], error: type[Exception], words: str
) -> None:
    env = fake_environment(tmp_path / "env")
    with (
        pytest.raises(error, match=words),
        start_server(tmp_path / "studio", env=env, port=0, **settings),  # type: ignore[arg-type]
    ):
        pass


@pytest.mark.parametrize("login", ["", "[]", "{}", '{"email": "a@b", "password": "", "token": 5}'])
def test_a_damaged_login_is_said(tmp_path: Path, login: str) -> None:
    env, folder = fake_environment(tmp_path / "env"), tmp_path / "studio"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "label_studio.sqlite3").touch()
    (folder / "login.json").write_text(login)
    with (
        pytest.raises(ConfigError, match=r"login\.json"),
        start_server(folder, env=env, port=0, root=tmp_path),
    ):
        pass


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    mode = tmp_path.stat().st_mode
    with pytest.raises(OutputExistsError, match="holds no server of ours"), start_server(tmp_path):
        pass
    assert tmp_path.stat().st_mode == mode
