"""An index that is made in a process of its own: told, stopped, one at a time."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing import active_children
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest

import annotate.data.index as here
from annotate.data.index import read_index
from annotate.data.indexing import indexed
from partlab.coco import write_coco
from partlab.errors import PartlabError, SchemaError
from partlab.files import cache_folder
from partlab.progress import listening
from partlab.schema import Category, Dataset, Image

T = TypeVar("T")


class Told:
    """Keeps the words of all steps, and does something at each."""

    def __init__(self, does: Callable[[], None] = lambda: None) -> None:
        self.words, self.does = list[str](), does

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        yield from items

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        self.words.append(str(facts["words"]))
        self.does()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set whose index this process may not make."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refused(*_: Any) -> Any:
        raise AssertionError("it was read in this process")

    monkeypatch.setattr(here, "read_coco", refused)
    return written(tmp_path)


def written(folder: Path, images: int = 20) -> Path:
    found = [Image.new(n, f"{n}.png", (8, 8), object="ram") for n in range(1, images + 1)]
    data = Dataset(found, [], [Category.new(1, "ram", "horn")])
    return write_coco(data, folder / "annotations" / "all.json")


def left() -> list[Path]:
    folder = cache_folder() / "indexes"
    return list(folder.iterdir()) if folder.is_dir() else []


def test_it_is_made_elsewhere_and_told(file: Path) -> None:
    told = Told()
    with listening(told):
        assert list(indexed(file, small=0).ids) == [*range(1, 21)]
    assert told.words[0].startswith("reading all.json, 0 MB; once only")
    assert active_children() == []
    again = Told()
    with listening(again):
        assert len(indexed(file, small=0)) == 20
    assert again.words == []  # it is there


def test_what_is_wrong_with_the_file_is_said_here(file: Path) -> None:
    file.write_text('{"images": 3}')
    with pytest.raises(SchemaError, match="images"):
        indexed(file, small=0)
    assert left() == []


def test_whoever_stops_it_ends_the_process_and_leaves_nothing(file: Path) -> None:
    def stop() -> None:
        raise PartlabError("cancelled")

    with listening(Told(stop)), pytest.raises(PartlabError, match="cancelled"):
        indexed(file, small=0)
    assert active_children() == []
    assert left() == []
    assert len(indexed(file, small=0)) == 20  # nothing is held that the next would wait for


def test_a_process_that_is_killed_is_told(file: Path) -> None:
    def kill() -> None:
        for child in active_children():
            os.kill(child.pid or 0, signal.SIGKILL)

    with listening(Told(kill)), pytest.raises(PartlabError, match="killed, perhaps for want"):
        indexed(file, small=0)
    assert left() == []


def test_one_at_a_time(file: Path, tmp_path: Path) -> None:
    """The second waits and says so; of the same file it takes what the first has made."""
    most, words = [0], list[str]()

    def counted() -> None:
        most[0] = max(most[0], len(active_children()))

    def work(which: Path) -> None:
        told = Told(counted)
        with listening(told):
            indexed(which, small=0)
        words.extend(told.words)

    other = written(tmp_path / "other")
    threads = [Thread(target=work, args=(each,)) for each in (file, other, file)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1]
    assert any(each.startswith("waiting: another large file") for each in words)
    assert read_index(file) is not None
    assert read_index(other) is not None
