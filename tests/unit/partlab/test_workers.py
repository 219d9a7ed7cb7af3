"""No worker outlives the process that started it."""

import subprocess
import sys
import time

import psutil

PROGRAM = """
import multiprocessing, os, time
from partlab.workers import end_with_parent

def work(pipe):
    end_with_parent()
    pipe.send(os.getpid())
    pipe.send(b"x" * (1 << 24))  # more than a pipe holds: waits for a reader for ever

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    context.Process(target=work, args=(theirs,)).start()
    print(ours.recv(), flush=True)
    time.sleep(600)
"""


def test_a_blocked_worker_ends_after_its_parent_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie"
