"""The environment of the Label Studio server: its own, never ours (it pins much of Django)."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from partlab.errors import BackendUnavailableError
from partlab.files import cache_folder, exclusive, write_text

log = logging.getLogger(__name__)

VERSION = "1.23.2"
ENV_VARIABLE = "PARTLAB_STUDIO_ENV"
_REQUIREMENT = f"label-studio=={VERSION}"
_PATIENCE = 1800.0  # seconds for another run to fetch and install it
_WAITING = "another run installs Label Studio: waiting for it (800 MB, some minutes)"
_READY = "partlab-ready"  # written last, so a half-made environment is made again


def default_environment() -> Path:
    """The environment that all servers of this user share when none is named."""
    return cache_folder() / f"label-studio-{VERSION}"


def find_environment(named: str | Path | None = None) -> Path | None:
    """The environment to use: the named one, PARTLAB_STUDIO_ENV's, or the default if it is there.

    Raises:
        BackendUnavailableError: the one that was named has no Label Studio.
    """
    named = named or os.environ.get(ENV_VARIABLE)
    if named is None or not str(named):
        default = default_environment()
        return default if (default / _READY).is_file() else None
    found = Path(named).expanduser().absolute()
    version = installed_version(found)
    if version is None:
        raise BackendUnavailableError(
            f"{found} is not an environment with label-studio",
            hint=f"install {_REQUIREMENT} there, or name none: then partlab makes one of its own",
        )
    if version != VERSION:
        log.warning("%s has label-studio %s; partlab is tested with %s", found, version, VERSION)
    return found


def environment(named: str | Path | None = None) -> Path:
    """Like `find_environment`, and makes the default one when there is none (about 800 MB).

    Raises:
        BackendUnavailableError: it cannot be made; the hint says how to do so by hand.
        BusyError: another process is making it, for longer than half an hour.
    """
    found = find_environment(named)
    if found is None:
        found = default_environment()
        making = found.with_name(f"{found.name}.making")
        with exclusive(making, patience=_PATIENCE, told=_WAITING):
            if not (found / _READY).is_file():
                _make(found)
    return found


def python_of(env: Path) -> Path:
    """The environment's Python."""
    return env / "bin" / "python"


def installed_version(env: Path) -> str | None:
    """The version of label-studio an environment holds, if any; starts no process."""
    if not python_of(env).exists():
        return None
    found = sorted(env.glob("lib/python3*/site-packages/label_studio-*.dist-info"))
    return (
        found[-1].name.removeprefix("label_studio-").removesuffix(".dist-info") if found else None
    )


def _make(env: Path) -> None:
    log.info("making an environment for %s in %s (about 800 MB, once)", _REQUIREMENT, env)
    for command in _commands(env, uv=_uv_works()):
        log.info("  %s", " ".join(command))
        _run(command, env)
    write_text(env / _READY, f"{_REQUIREMENT}\n")


def _commands(env: Path, *, uv: bool) -> list[list[str]]:
    python = str(python_of(env))
    if uv:
        install = ["uv", "pip", "install", "--python", python, "--compile-bytecode", _REQUIREMENT]
        return [["uv", "venv", "--clear", "--python", sys.executable, str(env)], install]
    return [
        [sys.executable, "-m", "venv", "--clear", str(env)],
        [python, "-m", "pip", "install", "--quiet", _REQUIREMENT],
    ]


def _uv_works() -> bool:
    """Whether there is a uv that runs; a name on the path may be an empty shim."""
    if shutil.which("uv") is None:
        return False
    return subprocess.run(["uv", "--version"], capture_output=True, check=False).returncode == 0


def _run(command: list[str], env: Path) -> None:
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT_ENVIRONMENT")
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    env.parent.mkdir(parents=True, exist_ok=True)
    # Elsewhere than here: uv would apply the version pins of a project we stand in.
    done = subprocess.run(
        command, capture_output=True, text=True, env=clean, cwd=env.parent, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise BackendUnavailableError(
            f"cannot make the environment of Label Studio: {lines[-1].strip()[:300]}",
            hint=_by_hand(env),
        )


def _by_hand(env: Path) -> str:
    made = f"python -m venv {env} && {python_of(env)} -m pip install {_REQUIREMENT}"
    return f"make one with: {made} ; then name it with --env or {ENV_VARIABLE}"
