"""Long work: told, one at a time, stopped at work and while it waits (SV-19)."""

import asyncio
import threading
import time
from typing import Any

import pytest

from app.web.work import CancelledError, Step, Work
from partlab.errors import ConfigError
from partlab.progress import event, track


async def done(work: Work, session: str, function: Any) -> list[Step[Any]]:
    return [step async for step in work.run(session, function)]


async def until(what: Any) -> None:
    for _ in range(500):
        if what():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to that")


def counted(to: int, pause: float = 0.0) -> int:
    for _ in track(range(to), "counting", to):
        time.sleep(pause)
    return to


def test_steps_are_told_and_the_last_has_the_result() -> None:
    def work() -> int:
        event("step", words="loading")
        time.sleep(0.4)
        return counted(20, 0.05)

    steps = asyncio.run(done(Work(), "a", work))
    assert steps[-1] == Step("done", 1.0, 20, done=True)
    told = [step.words for step in steps]
    assert "loading" in told
    assert any(words.startswith("counting: ") and words.endswith(" of 20") for words in told)
    shares = [step.share for step in steps if step.share is not None]
    assert shares == sorted(shares)


def test_errors_of_the_work_are_those_of_whoever_waits() -> None:
    def work() -> None:
        raise ConfigError("no such part")

    with pytest.raises(ConfigError, match="no such part"):
        asyncio.run(done(Work(), "a", work))


def test_work_at_work_is_cancelled() -> None:
    async def both() -> None:
        work, reached = Work(), []

        def long() -> None:
            for number in track(range(1000), "long", 1000):
                reached.append(number)
                time.sleep(0.01)

        doing = asyncio.ensure_future(done(work, "a", long))
        await until(lambda: reached)
        assert work.cancel("a")
        with pytest.raises(CancelledError):
            await doing
        await until(lambda: work.running == 0)
        assert len(reached) < 900
        assert not work.cancel("a")

    asyncio.run(both())


def test_who_waits_is_told_and_leaves_at_once() -> None:
    async def three() -> None:
        work, go = Work(), threading.Event()
        first = asyncio.ensure_future(done(work, "a", lambda: go.wait(30)))
        await until(lambda: work.running == 1)
        told: list[str] = []

        async def wait(session: str) -> None:
            async for step in work.run(session, lambda: counted(1)):
                told.append(step.words)

        second = asyncio.ensure_future(wait("b"))
        await until(lambda: work.waiting == 1)
        third = asyncio.ensure_future(wait("c"))
        await until(lambda: "waiting: 2 before you" in told)
        assert work.cancel("b")
        with pytest.raises(CancelledError, match="before it began"):
            await second
        assert work.waiting == 1  # the first still goes on, and nobody else has left
        go.set()
        await first
        await third
        assert (work.waiting, work.running) == (0, 0)

    asyncio.run(three())


def test_a_browser_that_goes_takes_its_work_along() -> None:
    async def gone() -> None:
        work = Work()
        steps = work.run("a", lambda: counted(1000, 0.01))
        await anext(steps)
        await steps.aclose()
        await until(lambda: work.running == 0)
        assert work.waiting == 0

    asyncio.run(gone())


def test_what_a_session_asks_now_takes_the_place_of_what_it_asked_before() -> None:
    async def twice() -> None:
        work, go = Work(), threading.Event()
        blocked = asyncio.ensure_future(done(work, "z", lambda: go.wait(30)))
        await until(lambda: work.running == 1)
        old = asyncio.ensure_future(done(work, "a", lambda: 1))
        await until(lambda: work.waiting == 1)
        new = asyncio.ensure_future(done(work, "a", lambda: 2))
        with pytest.raises(CancelledError):
            await old
        go.set()
        assert (await new)[-1].result == 2
        await blocked

    asyncio.run(twice())
