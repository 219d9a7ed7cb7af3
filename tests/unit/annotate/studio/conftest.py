"""A farm that is handed out, and a server in memory that has its tasks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_tasks import FakeTasks
from farm import hand_out, start

from annotate.work import Work


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with start(tmp_path / "work") as work:
        hand_out(work)
        yield work


@pytest.fixture
def server(work: Work) -> FakeTasks:
    server = FakeTasks()
    server.add_round(work, "ram")
    return server
