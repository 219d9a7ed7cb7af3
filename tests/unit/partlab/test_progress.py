"""Who listens hears of counted work and events; without a listener work is silent."""

import asyncio
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from partlab.progress import event, listening, track


class Ear:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def track(self, items: Iterable[Any], what: str, total: int | None = None) -> Iterator[Any]:
        for item in items:
            self.heard.append((what, total))
            yield item

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        self.heard.append((name, dict(facts)))


def work(name: str = "x") -> list[int]:
    event("metrics", loss=0.5)
    return list(track(iter([1, 2]), name, total=2))


def test_without_a_listener_everything_passes_and_nothing_is_said() -> None:
    assert work() == [1, 2]


def test_a_listener_hears_counts_and_events_and_only_inside_its_block() -> None:
    ear = Ear()
    with listening(ear):
        assert work() == [1, 2]
    work()
    assert ear.heard == [("metrics", {"loss": 0.5}), ("x", 2), ("x", 2)]


def test_the_inner_listener_hears_instead_of_the_outer_one() -> None:
    outer, inner = Ear(), Ear()
    with listening(outer):
        with listening(inner):
            work()
        work("later")
    assert [what for what, _ in inner.heard] == ["metrics", "x", "x"]
    assert [what for what, _ in outer.heard] == ["metrics", "later", "later"]


def test_a_plain_thread_does_not_tell_somebody_elses_listener() -> None:
    ear = Ear()
    with listening(ear):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert ear.heard == []


def test_two_requests_at_once_have_a_listener_each() -> None:
    async def request(name: str) -> Ear:
        with listening(ear := Ear()):
            await asyncio.gather(*(asyncio.to_thread(work, name) for _ in range(3)))
        return ear

    async def both() -> list[Ear]:
        return await asyncio.gather(request("a"), request("b"))

    for ear, name in zip(asyncio.run(both()), "ab", strict=True):
        assert [what for what, _ in ear.heard if what != "metrics"] == [name] * 6
