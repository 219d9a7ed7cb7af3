"""The batcher by itself: order, keys, limits, cancelling, closing."""

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.serve.batcher import Batcher, QueueFullError, StoppingError
from app.serve.settings import BatchLimits


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def refuses(batcher: Batcher) -> bool:
    try:
        batcher.submit(9, pixels=1).cancel()
    except StoppingError:
        return True
    return False


class Gate:
    """Work that waits until it is let go; `seen` are the batches it got."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.seen: list[tuple[object, list[int]]] = []

    def __call__(self, key: object, brought: list[int]) -> list[int]:
        self.seen.append((key, list(brought)))
        self.entered.set()
        assert self.open.wait(30)
        return [-each for each in brought]


def held(limits: BatchLimits) -> tuple[Gate, Batcher]:
    """A batcher whose first batch, a task 0 of key "first", is held at the gate."""
    gate = Gate()
    batcher = Batcher("m", gate, limits)
    batcher.submit(0, pixels=1, key="first")
    assert gate.entered.wait(30)
    return gate, batcher


@settings(max_examples=30)
@given(
    tasks=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), min_size=1, max_size=20),
    images=st.integers(1, 6),
    pixels=st.integers(4, 20),
)
def test_every_task_has_its_answer_in_batches_of_one_key_within_the_limits(
    tasks: list[tuple[str, int]], images: int, pixels: int
) -> None:
    gate, batcher = held(BatchLimits(images=images, pixels=pixels, wait_ms=0))
    asked = [
        batcher.submit(number, pixels=size, key=key) for number, (key, size) in enumerate(tasks, 1)
    ]
    gate.open.set()
    assert [each.result(30) for each in asked] == [-n for n in range(1, len(tasks) + 1)]
    batcher.close(30)
    for key, numbers in gate.seen[1:]:
        assert {tasks[number - 1][0] for number in numbers} == {key}
        assert len(numbers) <= images
        assert sum(tasks[n - 1][1] for n in numbers) <= pixels or len(numbers) == 1
        assert numbers == sorted(numbers)
    firsts = [min(numbers) for _, numbers in gate.seen[1:]]
    assert firsts[0] == 1  # the first to come is never passed over


def test_a_full_queue_takes_no_more_and_a_cancelled_task_makes_room() -> None:
    gate, batcher = held(BatchLimits(queue=2))
    first, second = (batcher.submit(n, pixels=1) for n in (1, 2))
    with pytest.raises(QueueFullError) as full:
        batcher.submit(3, pixels=1)
    assert 1 <= full.value.retry_after <= 60
    assert first.cancel()
    third = batcher.submit(3, pixels=1)
    gate.open.set()
    assert (second.result(30), third.result(30)) == (-2, -3)
    batcher.close(30)
    assert 1 not in [number for _, numbers in gate.seen for number in numbers]


def test_the_queue_is_limited_in_pixels_but_one_picture_always_fits() -> None:
    gate, batcher = held(BatchLimits(queue_pixels=10))
    huge = batcher.submit(1, pixels=1000)
    with pytest.raises(QueueFullError):
        batcher.submit(2, pixels=1)
    gate.open.set()
    assert huge.result(30) == -1
    batcher.close(30)


def test_closing_finishes_what_waits_and_takes_nothing_new() -> None:
    gate, batcher = held(BatchLimits())
    waiting = [batcher.submit(n, pixels=1) for n in range(5)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    until(lambda: refuses(batcher))
    gate.open.set()
    closing.join(30)
    assert [each.result(0) for each in waiting] == [0, -1, -2, -3, -4]


def test_a_failure_is_of_who_caused_it() -> None:
    entered, go = threading.Event(), threading.Event()

    def work(_: object, brought: list[int]) -> list[int]:
        entered.set()
        assert go.wait(30)
        return [10 // each for each in brought]

    batcher = Batcher("m", work, BatchLimits())
    batcher.submit(1, pixels=1)
    assert entered.wait(30)
    asked = [batcher.submit(n, pixels=1) for n in (1, 0, 5)]
    go.set()
    assert (asked[0].result(30), asked[2].result(30)) == (10, 2)
    with pytest.raises(ZeroDivisionError):
        asked[1].result(30)
    after = batcher.submit(2, pixels=1)
    batcher.close(30)
    assert after.result(0) == 5
