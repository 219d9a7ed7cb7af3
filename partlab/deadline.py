"""A bound on what may never come back, such as a picture on a disk that does not answer."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def within(seconds: float, function: Callable[..., T], *args: Any) -> T:
    """The function's result, or its error, if it comes in time.

    It runs in a thread of its own. One that does not come back is left behind, waiting: nothing
    can end it, and it does not keep the process from ending.

    Raises:
        TimeoutError: it did not come in time.
    """
    answer: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(function(*args))
        except BaseException as error:  # handed to the caller
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not answer:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return answer[0]
