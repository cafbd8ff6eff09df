"""Questions to servers that go on while the page is drawn again and again: a thread asks, the page looks at answers.

The thread never touches Streamlit. It stops when it is told to, and when nobody has looked for a while, because a
closed tab says no goodbye. How many questions go on at once is bounded by the services.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Generic, TypeVar

import streamlit as st

from models.domain.errors import AditError, Bug
from services import faults
from ui import session

Answer = TypeVar("Answer")
_UNWATCHED_S = 15.0
_LOOK_EVERY_S = 0.5


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
        self.source: Iterable[Answer] | None = None
        """What the answers come from, as soon as the thread has begun to ask."""
        self._answers: list[Answer] = []
        self._watched_at = time.monotonic()
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
        """Stop asking, at once. What has come in stays; what is still on its way is thrown away."""
        if self.is_running:
            self.progress = Progress.CANCELED
        self._close()

    def _run(self, ask: Callable[[], Iterable[Answer]]) -> None:
        try:
            self._collect(ask)
        except AditError as error:
            self._fail(error)
        except Exception as error:
            self._fail(Bug(faults.apology(faults.record(error))))
        finally:
            self._close()
            self._ended.set()

    def _collect(self, ask: Callable[[], Iterable[Answer]]) -> None:
        self.source = ask()
        for answer in self.source:
            if not self.is_running:
                return
            self._answers.append(answer)
            if self._is_unwatched and not isinstance(self.source, Sequence):
                self.progress = Progress.CANCELED
                return
        if self.is_running:
            self.progress = Progress.DONE

    def _close(self) -> None:
        """Close what answers, as far as that can be done; a generator of another thread ends with its next answer."""
        close: Callable[[], None] | None = getattr(self.source, "close", None)
        if close:
            with suppress(ValueError):
                close()

    @property
    def _is_unwatched(self) -> bool:
        return time.monotonic() - self._watched_at > _UNWATCHED_S

    def _fail(self, error: AditError) -> None:
        if self.is_running:
            self.error, self.progress = error, Progress.FAILED


def watch(search: Search[Answer], draw: Callable[[Sequence[Answer]], object]) -> None:
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
