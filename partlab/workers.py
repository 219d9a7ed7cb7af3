"""Worker processes that end when the process that started them is gone, even by `kill -9`."""

import os
import signal
import threading
import time


def end_with_parent(_worker: int = 0) -> None:
    """Call first in a worker process (fits torch's `worker_init_fn`).

    Without it a worker that was handing over a picture when its parent was killed waits for
    ever, and holds its memory. Ctrl-C is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
