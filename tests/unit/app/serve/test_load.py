"""Many clients at once: batches, a full queue, deadlines, clients that go away, failures."""

import gc
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psutil
import pytest
from served import PacedSegmenter, Running, grey, serving, source_of

SEGMENT = "/v1/segment"


def at_once(server: Running, count: int, **how: object) -> list:
    with ThreadPoolExecutor(count) as threads:
        asked = [threads.submit(server.post, SEGMENT, grey(), **how) for _ in range(count)]
        return [each.result() for each in asked]


def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def test_what_waits_is_looked_at_together_within_the_limit() -> None:
    paced = PacedSegmenter(batch=0.2)
    with serving(source_of(paced), batch={"images": 4}) as server:
        assert {each.status_code for each in at_once(server, 12)} == {200}
        assert max(paced.batches) <= 4
        assert len(paced.batches) - 1 < 12  # one is the warm-up
        assert sum(paced.batches) == 13
        assert server.metric("partlab_batch_images_sum", model="seg") == 12


def test_a_lone_request_waits_for_nobody() -> None:
    """SV-15: the wait is for batches that are begun, not for who comes to an empty queue."""
    paced = PacedSegmenter()
    with serving(source_of(paced), batch={"wait_ms": 1000}) as server:
        began = time.monotonic()
        for _ in range(5):
            assert server.post(SEGMENT, grey()).status_code == 200
        assert time.monotonic() - began < 4.5  # five waits would be more


def test_batches_are_limited_in_pixels_too() -> None:
    paced = PacedSegmenter(batch=0.2)
    with serving(source_of(paced), batch={"pixels": 2 * 24 * 32}) as server:
        assert {each.status_code for each in at_once(server, 8)} == {200}
        assert max(paced.batches) <= 2


def test_pictures_asked_at_different_thresholds_are_not_mixed() -> None:
    paced = PacedSegmenter(batch=0.1)
    with serving(source_of(paced)) as server, ThreadPoolExecutor(8) as threads:
        wanted = [f"{SEGMENT}?threshold={0.1 * (n % 2 + 1)}" for n in range(8)]
        answers = list(threads.map(lambda path: server.post(path, grey()), wanted))
        for path, answer in zip(wanted, answers, strict=True):
            assert str(answer.json()["answers"][0]["threshold"]) in path


def test_a_full_queue_turns_away_and_says_when_to_come_again() -> None:
    paced = PacedSegmenter(batch=1.0)
    with serving(source_of(paced), batch={"images": 1, "queue": 2}) as server:
        answers = at_once(server, 8)
        states = [each.status_code for each in answers]
        assert states.count(200) >= 3
        refused = [each for each in answers if each.status_code == 503]
        assert len(refused) == 8 - states.count(200) > 0
        for each in refused:
            assert 1 <= int(each.headers["Retry-After"]) <= 60
            assert "busy" in each.json()["error"]["cause"]
        assert server.post(SEGMENT, grey()).status_code == 200


def test_more_requests_than_may_be_inside_are_turned_away() -> None:
    paced = PacedSegmenter(batch=1.0)
    with serving(source_of(paced), requests=2) as server:
        answers = at_once(server, 6)
        refused = [each for each in answers if each.status_code == 503]
        assert refused
        assert {each.headers["Retry-After"] for each in refused} == {"1"}


def test_health_answers_while_the_model_works() -> None:
    """SV-04: within a second, each of ten times."""
    paced = PacedSegmenter(batch=3.0)
    with serving(source_of(paced)) as server, ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(server.post, SEGMENT, grey()) for _ in range(4)]
        until(lambda: len(paced.batches) > 1)
        for _ in range(10):
            assert server.client.get("/health", timeout=1.0).json()["status"] == "UP"
        assert not all(each.done() for each in busy)
        assert {each.result().status_code for each in busy} == {200}


def test_a_deadline_is_of_the_request_and_what_is_late_is_not_looked_at() -> None:
    paced = PacedSegmenter(batch=1.0)
    with serving(source_of(paced), batch={"images": 1}) as server:
        with ThreadPoolExecutor(5) as threads:
            first = threads.submit(server.post, SEGMENT, grey())
            until(lambda: len(paced.batches) == 2)
            soon = {"X-Deadline-Seconds": "0.2"}
            late = [threads.submit(server.post, SEGMENT, grey(), headers=soon) for _ in range(4)]
            for each in late:
                assert each.result().status_code == 504
                assert "0.2 s" in each.result().json()["error"]["cause"]
            assert first.result().status_code == 200
        assert server.state.models.batchers[0].waiting == 0
        assert server.post(SEGMENT, grey()).status_code == 200
        assert len(paced.batches) == 3  # warm-up, the first, the last


def test_after_two_hundred_clients_went_away_a_hundred_of_a_hundred_are_answered() -> None:
    """SV-14."""
    paced = PacedSegmenter(batch=0.02)
    with serving(source_of(paced), batch={"queue": 300}, requests=300) as server:
        host, port = server.url.removeprefix("http://").split(":")
        head = (
            f"POST {SEGMENT} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            f"Content-Length: {len(grey())}\r\n\r\n"
        )
        for _ in range(200):
            with closing(socket.create_connection((host, int(port)))) as wire:
                wire.sendall(head.encode() + grey())
        with ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(lambda _: server.post(SEGMENT, grey()), range(100)))
        assert [each.status_code for each in answers] == [200] * 100
        until(lambda: server.state.inside == 0)
        assert server.state.models.batchers[0].waiting == 0


def test_who_goes_away_while_waiting_is_not_looked_at() -> None:
    paced = PacedSegmenter(batch=1.0)
    with serving(source_of(paced), batch={"images": 1}) as server:
        threading.Thread(target=server.post, args=(SEGMENT, grey())).start()
        until(lambda: len(paced.batches) == 2)
        host, port = server.url.removeprefix("http://").split(":")
        wire = socket.create_connection((host, int(port)))
        wire.sendall(
            f"POST {SEGMENT} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            f"Content-Length: {len(grey())}\r\n\r\n".encode()
            + grey()
        )
        batcher = server.state.models.batchers[0]
        until(lambda: batcher.waiting == 1)
        wire.close()
        until(lambda: batcher.waiting == 0)
        until(lambda: server.state.inside == 0)
        assert len(paced.batches) == 2
        assert (
            server.metric("partlab_requests_total", route=SEGMENT, method="POST", status="499") == 1
        )


def test_one_picture_that_breaks_the_network_spoils_no_other() -> None:
    paced = PacedSegmenter(batch=0.1)
    with serving(source_of(paced)) as server, ThreadPoolExecutor(8) as threads:
        pictures = [grey(13 if n % 2 else 100) for n in range(8)]
        answers = list(threads.map(lambda data: server.post(SEGMENT, data), pictures))
        assert [each.status_code for each in answers] == [200, 500] * 4
        error = answers[1].json()["error"]
        assert "breaks the network" not in answers[1].text  # a secret of the log
        assert error["request_id"] == answers[1].headers["x-request-id"]


def flat(requests: int) -> None:
    """Memory after many requests of which every second fails is what it was after a few."""
    with serving(source_of(PacedSegmenter()), repeats_bytes=0) as server:
        good, breaks, text = grey(size=(256, 256)), grey(13, (256, 256)), b"text"

        def ask(number: int) -> None:
            data = good if number % 2 == 0 else (breaks, text)[number // 2 % 2]
            expected = 200 if number % 2 == 0 else (500, 422)[number // 2 % 2]
            assert server.post(SEGMENT, data).status_code == expected

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(ask, range(requests // 4)))
            gc.collect()
            before = psutil.Process().memory_info().rss
            list(threads.map(ask, range(requests)))
        gc.collect()
        grown = psutil.Process().memory_info().rss - before
        assert grown < 40 << 20, f"{grown / 2**20:.0f} MiB more"  # 1,000 pictures are 190 MiB


@pytest.fixture
def no_log() -> Iterator[None]:
    """pytest keeps every record of a log, and those of failures keep the pictures."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("no_log")
def test_memory_is_flat_while_every_second_request_fails() -> None:
    """SV-16, shortened."""
    flat(400)


@pytest.mark.slow
@pytest.mark.usefixtures("no_log")
def test_memory_is_flat_over_five_thousand_requests() -> None:
    flat(5000)
