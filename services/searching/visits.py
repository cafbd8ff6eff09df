"""Visits to a server in the name of somebody who waits for the answer: searches, previews, tests, the DICOMweb gateway.

A visit has one connection at a time, and it counts in the server's association budget like those of the workers. It
ends soon when it is told to, when nobody takes its results any more, and when it has lost its place in the budget.
"""

import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

from dicom.network.ports import Port
from models.db.engine import Database
from models.db.slots import SlotStore
from models.domain.errors import OUT_OF_REACH, AditError, Canceled, PeerBusy, PeerError, Retry, ServerStopped, TimedOut
from models.domain.nodes import Server
from services import budgets, holding
from services.beating import beating
from services.pulse import Pulse

P = TypeVar("P", bound=Port)

AT_ONCE = 16
"""Visits of one process at the same time."""
PATIENCE = timedelta(seconds=20)
"""How long a person waits for a place before hearing that there is none."""
_LEASE = timedelta(seconds=30)
_BEAT_S = 2.0
_LONGEST_REST_S = 60.0
WAIT_BEFORE_SECOND_TRY_S = 1.0
_LOOK_EVERY_S = 0.25
_PLACE_LOST = "What was asked has lost its place among the connections to the server. Try again."
_places = threading.BoundedSemaphore(AT_ONCE)


class Stop:
    """Ends a visit from any thread, also one that is to begin only later."""

    def __init__(self) -> None:
        self._visit: Visit | None = None
        self._is_called = False

    def __call__(self) -> None:
        """End the visit."""
        self._is_called = True
        if self._visit is not None:
            self._visit.stop()

    def of(self, visit: "Visit") -> "Visit":
        """The visit that is to be ended, at once when that was said before."""
        self._visit = visit
        if self._is_called:
            visit.stop()
        return visit


class Visit:
    """One visit. One thread enters and uses it; ``stop`` may come from any other.

    Entering waits for a place and raises PeerBusy when there is none in time; once it is left it may be entered
    again. A server that is not kept (id 0) has no budget: nobody else can use it yet. ``has_place`` is for who counts
    visits in another way. A server that staff has stopped is entered by tests only, and all others leave it within
    moments: entering and using raise ServerStopped.
    """

    def __init__(
        self,
        db: Database,
        server: Server,
        patience: timedelta = PATIENCE,
        has_place: bool = False,
        longest: timedelta = timedelta.max,
        is_test: bool = False,
    ) -> None:
        self._db = db
        self._server = server
        self._has_place = has_place
        self._is_test = is_test
        self._holder = f"visit-{uuid4().hex}"
        self._patience_s = patience.total_seconds()
        self._longest_s = longest.total_seconds()
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._port: Port | None = None
        self._why: AditError | None = None
        self._stopped = threading.Event()
        self._resting_since: float | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._place())
            self._check_not_stopped()
            if self._server.id:
                stack.enter_context(self._slot())
                stack.enter_context(self._heartbeat())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def vacated(self) -> Generator[None]:
        """Let others have the place in the budget while the context is open, and then wait for one again.

        For whoever uses no connection for a time that others decide about. Raises like entering.
        """
        self._stack.close()
        yield
        self.__enter__()

    def stop(self, why: AditError | None = None) -> None:
        """Break the connection, from any thread; in the one that uses it ``why`` is raised, Canceled unless given."""
        with self._lock:
            self._why = self._why or why or Canceled("The search was stopped.")
            port = self._port
        self._stopped.set()
        if port is not None:
            port.abort()

    def check(self) -> None:
        """Raise why the visit was stopped, if it was."""
        if self._why is not None:
            raise type(self._why)(self._why.message)

    def pause_before_second_try(self, error: PeerError) -> None:
        """Wait a moment where asking once more may help; else raise the error, of which people should hear at once."""
        if error.retry is not Retry.SOON or isinstance(error, OUT_OF_REACH):
            raise error
        self.pause(WAIT_BEFORE_SECOND_TRY_S)

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until the visit is stopped."""
        self._stopped.wait(seconds)
        self.check()

    @contextmanager
    def using(self, port: P) -> Generator[P]:
        """Use a connection so that ``stop`` breaks it; the break is raised as what it was stopped for."""
        with self._lock:
            self._port = port
        try:
            self.check()
            with port:
                yield port
        except Canceled:
            self.check()
            raise
        finally:
            with self._lock:
                self._port = None

    @contextmanager
    def resting(self) -> Generator[None]:
        """Hand a result over: whoever takes more than a minute for it does not want any more."""
        self._resting_since = time.monotonic()
        try:
            yield
        finally:
            self._resting_since = None

    @contextmanager
    def _place(self) -> Generator[None]:
        if self._has_place:
            yield
            return
        end = time.monotonic() + self._patience_s
        while not _places.acquire(timeout=_LOOK_EVERY_S):
            self.check()
            if time.monotonic() > end:
                raise PeerBusy("Too many people are searching at this moment. Try again in a minute.")
        try:
            yield
        finally:
            _places.release()

    def _check_not_stopped(self) -> None:
        if self._server.id and not self._is_test:
            holding.check_not_stopped(self._db, self._server.id)

    @contextmanager
    def _slot(self) -> Generator[None]:
        end = time.monotonic() + self._patience_s

        def check() -> None:
            self.check()
            if time.monotonic() > end:
                budget = budgets.budget(self._db, self._server)
                raise PeerBusy(
                    f"All {budget} connections that the budget of {self._server.name} allows are in use by transfers "
                    "and searches. Try again in a minute."
                )

        def pause(seconds: float) -> None:
            self._stopped.wait(seconds)

        with budgets.associations(self._db, self._holder, {self._server: 1}, check, _LEASE, pause):
            yield

    @contextmanager
    def _heartbeat(self) -> Generator[None]:
        """Keep the place in the budget until the visit is stopped, which it is when it has to end.

        Also as soon as the place may have run out while a question to the database hangs.
        """
        pulse, end = Pulse(), time.monotonic() + self._longest_s

        def beat() -> None:
            begun_at = time.monotonic()
            why = self._renewed(end)
            if why is None:
                pulse.renewed_at = begun_at
            else:
                self.stop(why)

        with (
            beating(self._holder, _BEAT_S, beat, goes_on=lambda: self._why is None),
            pulse.watched(_LEASE.total_seconds(), lambda _: self.stop(PeerBusy(_PLACE_LOST))),
        ):
            yield

    def _renewed(self, end: float) -> AditError | None:
        """Renew the place, or say why the visit has to end: it is lost, takes too long, or nobody takes the results.

        Or staff has stopped the server, which shall be felt within five seconds.
        """
        if time.monotonic() > end:
            return TimedOut("The search took too long, so it was ended. Narrow it down by more keys.")
        since = self._resting_since
        if since is not None and time.monotonic() - since > _LONGEST_REST_S:
            return TimedOut("Nobody has taken the results for a minute, so the search was ended.")
        try:
            self._check_not_stopped()
        except ServerStopped as stopped:
            return stopped
        return None if SlotStore(self._db).renew(self._holder, _LEASE) else PeerBusy(_PLACE_LOST)
