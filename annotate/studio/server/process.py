"""Label Studio as a process of its own: a clean environment, a journal, and an end with ours."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from annotate.studio.server.environment import python_of

COUNT_ONLY_WHAT_CAME = "fflag_fix_back_4620_memory_efficient_predictions_import_08012025_short"
"""Label Studio's own switch: without it, it counts a whole project after every import of
suggestions, so that a push takes the square of the project's size (ADR 0010)."""
COUNT_THE_QUEUE = "fflag_fix_all_optic_79_task_count_is_wrong_short"
"""Another switch of its own: beside a picture stands which it is of those that were left, "2 of 8",
not of those that the page has opened, "1 of 1"."""
# Runs inside the server's environment: ends with its parent, then is `label-studio ARGUMENTS`.
_PROGRAM = """
import os, sys, threading, time
parent = int(sys.argv[1])
def watch():
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
sys.argv[:2] = ["label-studio"]
from label_studio.server import main
main()
"""


def quiet_variables(data: Path) -> dict[str, str]:
    """A clean environment in which nothing is told to anybody."""
    return {
        "HOME": str(data),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",  # empty switches it off; the default is a real address
        "FRONTEND_SENTRY_DSN": "",
        "FEATURE_FLAGS_OFFLINE": "true",
        COUNT_ONLY_WHAT_CAME: "true",
        COUNT_THE_QUEUE: "true",
        "LOG_LEVEL": "WARNING",
    }


@contextmanager
def run_label_studio(
    env: Path, arguments: list[str], variables: Mapping[str, str], journal: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Label Studio as a process; Ctrl-C reaches us first, and then stops it in order."""
    program = [str(python_of(env)), "-I", "-u", "-X", "utf8", "-c", _PROGRAM, str(os.getpid())]
    with journal.open("ab") as output:
        child = subprocess.Popen(
            [*program, *arguments],
            env=dict(variables),
            cwd=journal.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def last_line(journal: Path) -> str:
    """The last thing a journal says."""
    with suppress(OSError):
        lines = journal.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no message")
    return "no message"
