"""Real servers for the tests that need one: Label Studio (skipped where it is not) and SPARQL."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from annotate.studio.api.client import Studio
from annotate.studio.server.environment import ENV_VARIABLE, default_environment, find_environment
from annotate.studio.server.start import Running, start_server
from partlab.errors import BackendUnavailableError

if "PYTEST_XDIST_WORKER" in os.environ:  # processes beside each other: a core for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # how long drawing examples takes is the machine's business

PLUGINS = Path(__file__).parent / "plugins"
if str(PLUGINS) not in sys.path:
    sys.path.insert(0, str(PLUGINS))

if TYPE_CHECKING:
    from sparql_engine import SparqlEngine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the server carry the marker `studio`."""
    for item in items:
        if "studio_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.studio)


@pytest.fixture(scope="session")
def studio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server for the whole run; it may show the pictures in every test's `tmp_path`."""
    try:
        env = find_environment()
    except BackendUnavailableError as error:
        pytest.skip(f"{error.message} ({ENV_VARIABLE})")
    if env is None:
        pytest.skip(f"no Label Studio: set {ENV_VARIABLE} or make {default_environment()}")
    root = tmp_path_factory.getbasetemp()
    with start_server(tmp_path_factory.mktemp("studio"), root=root, env=env, port=0) as running:
        yield running


@pytest.fixture
def studio(studio_server: Running) -> Iterator[Studio]:
    """A connection to that server as its administrator."""
    with studio_server.studio() as connection:
        yield connection


@pytest.fixture
def sparql_endpoint() -> "Iterator[SparqlEngine]":
    """A SPARQL engine on loopback with the examples of V-02 to V-08 in Wikidata's shape.

    `sparql_endpoint.url` is its address, `.triples.item(…)` adds to it.
    """
    from sparql_engine import running_engine

    with running_engine() as engine:
        yield engine
