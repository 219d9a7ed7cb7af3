"""Label Studio's first database: made once, however many runs need it at the same time."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from annotate.studio.server.template import DATABASE, default_template

# Stands for Label Studio: says that it has begun, and makes the database once it may.
SLOW = f"""#!/bin/sh
echo run >> "{{folder}}/runs"
until [ -e "{{folder}}/go" ]; do sleep 0.05; done
echo tables > "$LABEL_STUDIO_BASE_DATA_DIR/{DATABASE}"
"""


class _Lets(logging.Handler):
    """Lets the other run go on once something is said, and keeps what was said."""

    def __init__(self, go: Path) -> None:
        super().__init__()
        self.go, self.said = go, list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        self.go.touch()


def test_a_second_run_waits_for_the_first_and_uses_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    env = tmp_path / "env"
    (env / "bin").mkdir(parents=True)
    (env / "bin" / "python").write_text(SLOW.format(folder=tmp_path))
    (env / "bin" / "python").chmod(0o755)
    code = (
        "from pathlib import Path; from annotate.studio.server.template import default_template; "
        f"print(default_template(Path({str(env)!r})))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as first:
        while not (tmp_path / "runs").exists():
            assert first.poll() is None
        lets, log = _Lets(tmp_path / "go"), logging.getLogger("partlab.files")
        log.addHandler(lets)
        log.setLevel(logging.INFO)
        try:
            folder = default_template(env)
        finally:
            log.removeHandler(lets)
            log.setLevel(logging.NOTSET)
            (tmp_path / "go").touch()
        told, _ = first.communicate()
    assert lets.said == [
        "another run makes Label Studio's first database: waiting for it (about a minute)"
    ]
    assert told.strip() == str(folder)
    assert (folder / DATABASE).read_text() == "tables\n"
    assert (tmp_path / "runs").read_text() == "run\n"
