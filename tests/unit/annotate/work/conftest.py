"""Works to test with: on SQLite, and on a real PostgreSQL where it is installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import start

from annotate.work import Work


def _initdb() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    plain = shutil.which("initdb")
    return found[-1] if found else Path(plain) if plain else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL server that lives as long as the tests."""
    initdb = _initdb()
    if initdb is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    as_user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="partlab-pg-"))
    if as_user:
        os.chown(folder, pwd.getpwnam(as_user).pw_uid, -1)
    run = {"user": as_user, "cwd": folder, "stdout": subprocess.DEVNULL, "check": True}
    subprocess.run([initdb, "-D", folder / "db", "-A", "trust", "-U", "partlab"], **run)
    options = f"-p {port} -h 127.0.0.1 -k {folder}"
    ctl = [initdb.with_name("pg_ctl"), "-D", folder / "db", "-w"]
    subprocess.run([*ctl, "-o", options, "-l", folder / "log", "start"], **run)
    yield f"postgresql+psycopg://partlab@127.0.0.1:{port}/"
    subprocess.run([*ctl, "-m", "immediate", "stop"], **run)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Where the next work keeps its state."""
    if request.param == "sqlite":
        monkeypatch.delenv("PARTLAB_DB_URL", raising=False)
        return "sqlite"
    import psycopg

    server = request.getfixturevalue("postgres")
    name = f"work_{abs(hash(tmp_path)):x}"
    plain = server.replace("+psycopg", "")
    with psycopg.connect(plain + "postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    monkeypatch.setenv("PARTLAB_DB_URL", server + name)
    return "postgresql"


@pytest.fixture
def work(database: str, tmp_path: Path) -> Iterator[Work]:
    """A work of 12 rams and 3 hammers, nothing handed out yet."""
    with start(tmp_path / "work") as made:
        yield made
