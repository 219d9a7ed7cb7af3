"""What the backend of one server remembers, and the threads that fetch its pictures."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from annotate.studio.api.connection import TOKEN_VARIABLE
from app.serve.settings import ServeSettings
from app.serve.studio.pictures import Homes, Pictures

_THREADS = 8  # they wait for other servers, so they must not be those that decode


class Desk:
    """Which Label Studio each project is in, and the way to its pictures.

    A token in the environment counts before those that Label Studio hands out, where the server
    was told which Label Studio it is for.
    """

    def __init__(self, settings: ServeSettings) -> None:
        own = os.environ.get(TOKEN_VARIABLE, "").strip() if settings.help.studio else ""
        self.homes = Homes(settings.help, own or None)
        self.pictures = Pictures(settings.help, settings.body_bytes)
        self._threads = ThreadPoolExecutor(_THREADS, "fetching")

    async def fetch(self, address: str, project: str) -> bytes:
        """The file of a picture; errors are those of `Pictures.read`."""
        loop, home_of = asyncio.get_running_loop(), partial(self.homes.of, project)
        return await loop.run_in_executor(self._threads, self.pictures.read, address, home_of)

    def close(self) -> None:
        """End the threads and the connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.pictures.close()
