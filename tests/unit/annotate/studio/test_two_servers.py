"""Two servers, two works of one name: a wrong address takes nothing in and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_studio import FakeStudio
from fake_tasks import FakeTasks, drawn
from farm import FARM, hand_out, start

from annotate.studio.acts.pull import Pulled, pull
from annotate.studio.acts.push import Suggestion, push
from annotate.work import Work
from partlab.errors import StudioError

RAM = FARM.object("ram")


@pytest.fixture
def works(tmp_path: Path) -> Iterator[tuple[Work, Work]]:
    """Both called "farm", with the same numbers of pictures, tasks and projects."""
    with start(tmp_path / "ours") as ours, start(tmp_path / "theirs") as theirs:
        assert ours.settings.name == theirs.settings.name
        for work in (ours, theirs):
            hand_out(work)
        yield ours, theirs


@pytest.fixture
def servers(works: tuple[Work, Work]) -> tuple[FakeTasks, FakeTasks]:
    """Each has its own work; in both all is drawn."""
    made = FakeTasks(), FakeTasks()
    for work, server in zip(works, made, strict=True):
        server.add_round(work, "ram")
        for task in work.tasks("ram", 1):
            server.annotate(task.task_id or 0, drawn(RAM, head=(5, 5, 20, 20)))
    return made


def fetch(work: Work, server: FakeTasks) -> Pulled:
    with server.client() as studio:
        (told,) = pull(work, studio)
    return told


@pytest.mark.parametrize("described", [True, False])
def test_nothing_is_taken_in_from_the_other_server(
    works: tuple[Work, Work], servers: tuple[FakeTasks, FakeTasks], described: bool
) -> None:
    """Also when somebody wiped the description of the other project."""
    ours, other = works[0], servers[1]
    if not described:
        other.projects = dict.fromkeys(other.projects, "")
    told = fetch(ours, other)
    assert "does not belong to this work" in (told.trouble or "")
    assert (told.answers, told.flags, ours.flags()) == (0, 0, [])
    assert list(ours.answers("ram", 1)) == []
    assert fetch(ours, servers[0]).answers == 12


def test_our_own_project_is_known_by_its_tasks(
    works: tuple[Work, Work], servers: tuple[FakeTasks, FakeTasks]
) -> None:
    servers[0].projects = dict.fromkeys(servers[0].projects, "")
    assert fetch(works[0], servers[0]).answers == 12


def test_tasks_of_an_earlier_version_say_the_name(
    works: tuple[Work, Work], servers: tuple[FakeTasks, FakeTasks]
) -> None:
    """They count in a project that says whose it is, and in no other."""
    for work, server in zip(works, servers, strict=True):
        for task in server.tasks.values():
            task["data"]["partlab"] = work.settings.name
    assert fetch(works[0], servers[0]).answers == 12
    servers[1].projects = dict.fromkeys(servers[1].projects, "")
    told = fetch(works[1], servers[1])
    assert (told.answers, bool(told.trouble)) == (0, True)


def test_nothing_is_suggested_to_the_other_server(works: tuple[Work, Work]) -> None:
    ours, theirs = works
    other = FakeStudio(theirs, RAM, range(1001, 1013))
    with other.client() as studio, pytest.raises(StudioError, match="does not belong") as caught:
        push(ours, studio, lambda images: [Suggestion(i.id, ()) for i in images], model="m@1")
    assert "PARTLAB_STUDIO_URL" in (caught.value.hint or "")
    assert not [one for one in other.requests if not one.startswith("GET")]
    assert not any(task.pushed for task in ours.tasks("ram", 1))
