"""A Ray cluster to work on (extra `ray`): one at an address, or one made on this machine.

Ray starts processes, hands work to them and replaces those that die; what the work is, it never
knows. Nothing is told to anybody outside: usage statistics are off.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from partlab.counts import counted
from partlab.errors import BackendUnavailableError, ConfigError

INSTALL = 'pip install "partlab[ray]"'
SECONDS = 10.0  # for somebody to answer at an address

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this environment, not one made anew
    "RAY_worker_niceness": "0",  # by default they give way to everything
    "RAY_DATA_LOG_LEVEL": "WARNING",
}

_TALKATIVE = (
    "ray._private.authentication",
    "ray.data._internal.progress",
    "ray.data._internal.execution.streaming_executor",
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process is connected to; `ray` is the module."""

    ray: Any

    @property
    def nodes(self) -> list[dict[str, float]]:
        """What each machine that is alive has to give: `CPU`, `GPU`, …"""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def total(self, resource: str) -> float:
        """`CPU` or `GPU` of all machines together."""
        return sum(node.get(resource, 0.0) for node in self.nodes)

    def fits(self, cpus: float, gpus: float) -> int:
        """How many workers of this size fit on the machines, each whole on one of them."""
        return sum(_on(node, cpus, gpus) for node in self.nodes)

    def workers(self, asked: int | None, cpus: float, gpus: float) -> int:
        """How many to start: as many as fit, or what was asked for if it fits.

        Raises:
            ConfigError: so many do not fit; Ray would wait for them for ever and say nothing.
        """
        room = self.fits(cpus, gpus)
        if room < (asked or 1):
            each = f"{cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
            machines = counted(len(self.nodes), "machine")
            raise ConfigError(
                f"{counted(asked or 1, 'worker')} with {each} each do not fit on this cluster: it "
                f"has {machines} with {self.total('CPU'):g} CPU and {self.total('GPU'):g} GPU",
                hint=f"ask for at most {room}" if room else "add machines, or use --engine local",
            )
        return asked or room


def _on(node: dict[str, float], cpus: float, gpus: float) -> int:
    room = [node.get(name, 0.0) // size for name, size in (("CPU", cpus), ("GPU", gpus)) if size]
    return int(min(room))


@contextmanager
def cluster(address: str | None = None) -> Iterator[Cluster]:
    """Connect; without an address to RAY_ADDRESS, else to a cluster made here and ended here.

    A connection that this process has already is used, and left open.

    Raises:
        BackendUnavailableError: Ray is not installed, or no cluster answers there.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise BackendUnavailableError("Ray is not installed", hint=INSTALL) from error
    if ray.is_initialized():
        yield Cluster(ray)
        return
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _need_answer(address)
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:
        own["runtime_env"] = {"worker_process_setup_hook": f"{__name__}.{quiet.__name__}"}
    try:
        ray.init(address=address, logging_level=logging.WARNING, **own)
    except Exception as error:  # one that starts too slowly has no class of its own
        raise _unreachable(address, str(error).splitlines()[0]) from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


def quiet() -> None:
    """Called in each process that Ray starts: what it says of itself stays in its own files."""
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)


def _need_answer(address: str) -> None:
    """Ray itself asks for minutes."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if address in {"local", "auto"}:
        return
    try:
        host, port = place.hostname, place.port
    except ValueError:
        host, port = None, None
    if host is None or port is None:
        raise ConfigError(
            f"{address!r} is no address of a Ray cluster",
            hint="write host:6379, ray://host:10001, auto, or leave it out for this machine",
        )
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def _unreachable(address: str, why: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"no Ray cluster answers at {address}: {why}",
        hint="is it running, or this machine too busy (ray status)? Without --ray-address one is "
        "made on this machine",
    )
