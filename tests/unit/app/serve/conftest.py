"""A trained colour segmenter, and a server of it for the tests of one file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from colour_segmenter import write_colour_run
from served import Running, serving

from app.serve.source import Source


@pytest.fixture(scope="session")
def colour_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_run(tmp_path_factory.mktemp("runs") / "seg-colour")


@pytest.fixture(scope="module")
def server(colour_run: Path) -> Iterator[Running]:
    with serving(Source.of_run(f"seg={colour_run}")) as running:
        yield running
