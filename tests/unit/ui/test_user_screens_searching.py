"""A search in a thread ends when it is done, told to stop, wrong, or nobody looks any more."""

import threading
import time
from collections.abc import Iterator

import pytest

from models.domain.errors import BadRequest, Bug
from ui.parts import searching
from ui.parts.searching import Progress, Search


def test_answers_come_in_while_it_runs() -> None:
    go_on = threading.Event()

    def answers() -> Iterator[int]:
        yield 1
        go_on.wait(5)
        yield 2

    search = Search(answers)
    wait_until(lambda: search.answers() == (1,))
    assert search.is_running
    go_on.set()
    search.settle(5)
    assert (search.answers(), search.progress) == ((1, 2), Progress.DONE)


def test_a_canceled_search_keeps_what_came_and_closes_the_connection() -> None:
    closed, go_on = threading.Event(), threading.Event()

    def answers() -> Iterator[int]:
        try:
            yield 1
            go_on.wait(5)
            yield 2
        finally:
            closed.set()

    search = Search(answers)
    wait_until(lambda: search.answers() == (1,))
    search.cancel()
    go_on.set()
    assert closed.wait(5)
    assert (search.answers(), search.progress) == ((1,), Progress.CANCELED)


def test_canceling_ends_a_source_that_can_be_closed_at_once() -> None:
    class Endless:
        def __init__(self) -> None:
            self.closed = threading.Event()

        def __iter__(self) -> Iterator[int]:
            self.closed.wait(5)
            return iter(())

        def close(self) -> None:
            self.closed.set()

    search = Search(Endless)
    wait_until(lambda: search.source is not None)
    search.cancel()
    search.settle(1)
    assert search.progress is Progress.CANCELED


def test_a_search_nobody_looks_at_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_UNWATCHED_S", 0.05)

    def answers() -> Iterator[int]:
        while True:
            time.sleep(0.01)
            yield 1

    search = Search(answers)
    search.settle(5)
    assert search.progress is Progress.CANCELED


def test_our_errors_keep_what_they_say_about_fields() -> None:
    def answers() -> Iterator[int]:
        raise BadRequest.of({"study_uid": "not a DICOM UID."})
        yield 1

    search = Search(answers)
    search.settle(5)
    assert isinstance(search.error, BadRequest)
    assert search.error.problems == {"study_uid": "not a DICOM UID."}


def test_errors_of_libraries_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def answers() -> Iterator[int]:
        raise ValueError("no such patient: Doe^John")
        yield 1

    search = Search(answers)
    search.settle(5)
    assert isinstance(search.error, Bug)
    assert "Doe" not in search.error.message + caplog.text


def wait_until(is_so: "object") -> None:
    limit = time.monotonic() + 5
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < limit
        time.sleep(0.005)
