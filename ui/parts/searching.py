"""Questions to servers that go on while the page is drawn again and again: a thread asks, the page looks at answers.

The thread never touches Streamlit. It stops when it is told to, and when nobody has looked for a while, because a
closed tab says no goodbye. One process asks a bounded number of questions at once.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Generic, TypeVar

import streamlit as st

from models.domain.errors import AditError, Bug, PeerBusy
from ui import faults, session

Answer = TypeVar("Answer")
_AT_ONCE = 12
_ROOM_WITHIN_S = 20.0
_UNWATCHED_S = 15.0
_LOOK_EVERY_S = 0.5
_room = threading.BoundedSemaphore(_AT_ONCE)


class Progress(StrEnum):
    """How far a question has come."""

    RUNNING = "running"
    DONE = "done"
    CANCELED = "canceled"
    FAILED = "failed"


class Search(Generic[Answer]):
    """One question and the answers so far. ``ask`` is called in the thread; what it returns is closed at the end."""

    def __init__(self, ask: Callable[[], Iterable[Answer]]) -> None:
        self.error: AditError | None = None
        """What went wrong, if anything did."""
        self.progress = Progress.RUNNING
        self._answers: list[Answer] = []
        self._watched_at = time.monotonic()
        self._canceled = threading.Event()
        self._ended = threading.Event()
        threading.Thread(target=self._run, args=(ask,), daemon=True, name="search").start()

    @property
    def is_running(self) -> bool:
        return self.progress is Progress.RUNNING

    def answers(self) -> Sequence[Answer]:
        """What has come in so far; the thread goes on only as long as somebody looks."""
        self._watched_at = time.monotonic()
        return tuple(self._answers)

    def settle(self, seconds: float) -> None:
        """Wait a moment for the end, so that what is quick is drawn only once."""
        self._ended.wait(seconds)

    def cancel(self) -> None:
        """Stop asking. What has come in stays; what is still on its way is thrown away."""
        if self.is_running:
            self.progress = Progress.CANCELED
        self._canceled.set()

    def _run(self, ask: Callable[[], Iterable[Answer]]) -> None:
        try:
            if _room.acquire(timeout=_ROOM_WITHIN_S):
                self._ask_in_room(ask)
            else:
                self._fail(PeerBusy("Too many people are searching at this moment. Try again in a minute."))
        finally:
            self._ended.set()

    def _ask_in_room(self, ask: Callable[[], Iterable[Answer]]) -> None:
        try:
            self._collect(ask)
        except AditError as error:
            self._fail(error)
        except Exception as error:
            self._fail(Bug(faults.apology(faults.record(error))))
        finally:
            _room.release()

    def _collect(self, ask: Callable[[], Iterable[Answer]]) -> None:
        answers = ask()
        try:
            for answer in answers:
                if self._canceled.is_set() or self._is_unwatched:
                    self.cancel()
                    return
                self._answers.append(answer)
            if self.is_running:
                self.progress = Progress.DONE
        finally:
            close: Callable[[], None] | None = getattr(answers, "close", None)
            if close:
                close()

    @property
    def _is_unwatched(self) -> bool:
        return time.monotonic() - self._watched_at > _UNWATCHED_S

    def _fail(self, error: AditError) -> None:
        if self.is_running:
            self.error, self.progress = error, Progress.FAILED


def watch(search: Search[Answer], draw: Callable[[Sequence[Answer]], None]) -> None:
    """Draw the answers as they come in, and the whole page once when the search has ended.

    What is drawn here should only be looked at: every half second it is drawn anew.
    """

    @st.fragment(run_every=_LOOK_EVERY_S)
    def look() -> None:
        session.actor()
        draw(search.answers())
        if not search.is_running:
            st.rerun()

    look()
