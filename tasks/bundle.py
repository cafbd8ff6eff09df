"""Questions of one job to one server that one task run asks: how many are left, who asks them, how they are stopped."""

import threading
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from uuid import uuid4

from dicom.network import choose
from dicom.network.ports import Finder
from models.db.engine import Database
from models.db.slots import SlotStore
from models.domain.errors import AditError, Canceled, HeldBack, LeaseLost
from models.domain.jobs import Item, Job, Lease
from models.domain.nodes import Server
from models.settings import Settings
from services import budgets, holding, work
from services.beating import beating
from services.pulse import Pulse

SIZE = 100
"""Questions of one task run: a task run for each would cost Prefect more than the question costs the archive."""
BEAT_S = 1.0
HOLDS_FOR_S = 10.0
"""How long a place in a budget is kept before it is offered to others, where there is no other place."""
_LETS_OTHERS_IN_S = 1.0


class Asker:
    """One thread of a bundle. It keeps its places in budgets and its connections from question to question.

    It has a place exactly while it has a connection; ``stop`` may come from any thread and breaks what it waits for.
    """

    def __init__(self, bundle: "Bundle", servers: Mapping[Server, int], is_last_place: bool) -> None:
        self.holder = f"ask-{uuid4().hex}"
        self.lease: Lease | None = None
        self._bundle = bundle
        self._servers = servers
        self._is_last_place = is_last_place
        self._stack = ExitStack()
        self._finders: dict[int, Finder] = {}
        self._since = 0.0
        self._why: AditError | None = None
        self._stopped = threading.Event()
        self._changing = threading.Lock()

    def stop(self, why: AditError) -> None:
        """End the question at hand, and let none follow; the first reason counts."""
        with self._changing:
            self._why = self._why or why
            finders = list(self._finders.values())
        self._stopped.set()
        for finder in finders:
            finder.abort()

    def held_back(self, reasons: Mapping[int, HeldBack]) -> HeldBack | None:
        """Which of the reasons is that of a server which this thread asks, if one is."""
        return next((reasons[server.id] for server in self._servers if server.id in reasons), None)

    @property
    def is_stopped(self) -> bool:
        return self._why is not None

    def check(self) -> None:
        """Raise why the thread was stopped, if it was."""
        if self._why is not None:
            raise type(self._why)(self._why.message)

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until the thread is stopped."""
        self._stopped.wait(seconds)
        self.check()

    def finder(self, server: Server) -> Finder:
        """The connection to a server, with a place in its budget, for which this waits if need be."""
        self.check()
        if not self._finders:
            self._open()
        return self._finders[server.id]

    def rest(self) -> None:
        """Close connections whose place nobody else could have had for a while, and let others in.

        Where the budget has sunk in the meantime, the place is given back, too: it is had again when there is room.
        """
        if self._finders and any(budgets.is_exceeded(self._bundle.db, server) for server in self._servers):
            self.close()
        if self._is_last_place and self._finders and time.monotonic() - self._since > HOLDS_FOR_S:
            self.close()
            self._stopped.wait(_LETS_OTHERS_IN_S)

    def close(self) -> None:
        """Close the connections and give the places back."""
        with self._changing:
            self._finders = {}
        self._stack.close()

    @contextmanager
    def at_work(self, lease: Lease) -> Generator[None]:
        """Have the lease kept alive as long as the context is open."""
        self.lease = lease
        try:
            yield
        finally:
            self.lease = None

    def _open(self) -> None:
        bundle = self._bundle
        lease_for, urgent = bundle.settings.lease_for, bundle.job.urgent
        places = budgets.associations(bundle.db, self.holder, self._servers, self.check, lease_for, self._wait, urgent)
        with ExitStack() as stack:
            stack.enter_context(places)
            opened = {
                server.id: stack.enter_context(choose.asker(server, bundle.settings.calling_ae_title))
                for server in self._servers
            }
            with self._changing:
                self._finders = opened
            self._stack = stack.pop_all()
        self._since = time.monotonic()
        self.check()  # stopped in the meantime: nobody has broken these

    def _wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)


class Bundle:
    """Up to ``SIZE`` questions of one job to one server, shared by the threads that ask them.

    ``writing`` is held by who writes, of all bundles of the process: threads that wait for SQLite itself sleep longer
    and longer.

    A plain class, not a dataclass: Prefect takes dataclasses among a task's arguments apart to look for futures.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        job: Job,
        source_id: int,
        size: int = SIZE,
        writing: AbstractContextManager[object] | None = None,
    ) -> None:
        self.db = db
        self.settings = settings
        self.job = job
        self.source_id = source_id
        self.asked = 0
        self.writing = writing or threading.Lock()
        self._left = size
        self._askers: list[Asker] = []
        self._why: AditError | None = None
        self._changing = threading.Lock()

    @property
    def job_id(self) -> int:
        return self.job.id

    @contextmanager
    def asker(self, servers: Mapping[Server, int], is_last_place: bool) -> Generator[Asker]:
        """A thread that takes part in the bundle as long as the context is open; at its end it keeps nothing."""
        asker = Asker(self, servers, is_last_place)
        with self._changing:
            self._askers.append(asker)
        if self._why is not None:
            asker.stop(self._why)
        try:
            yield asker
        finally:
            asker.close()
            with self._changing:
                self._askers.remove(asker)

    def claim(self) -> tuple[Item, Lease] | None:
        """Take the next due question; None when there is none, enough were taken, or all have to stop."""
        with self._changing:
            if self._why is not None or not self._left:
                return None
            self._left -= 1
        with self.writing:
            claim = work.claim_next(self.db, self.job_id, self.settings.lease_for, source_id=self.source_id)
        with self._changing:
            if claim is None:
                self._left += 1
            else:
                self.asked += 1
        return claim

    def stop(self, why: AditError) -> None:
        """Have all threads end within moments; the first reason counts."""
        with self._changing:
            self._why = self._why or why
            askers = list(self._askers)
        for asker in askers:
            asker.stop(self._why)

    @contextmanager
    def beating(self) -> Generator[None]:
        """Keep leases and places alive as long as the context is open.

        Hears when somebody cancels the job, and when a server is stopped or closes.
        """
        pulse = Pulse()

        def beat() -> None:
            begun_at = time.monotonic()
            self._renew()
            pulse.renewed_at = begun_at

        with (
            beating(f"asking-{self.job_id}", BEAT_S, beat),
            pulse.watched(self.settings.lease_s, self.stop),
        ):
            yield

    def _renew(self) -> None:
        if work.is_canceling(self.db, self.job_id):
            self.stop(Canceled())
        with self._changing:
            askers = list(self._askers)
        slots, lease_for, reasons = SlotStore(self.db), self.settings.lease_for, holding.reasons(self.db)
        for asker in askers:
            if (reason := asker.held_back(reasons)) is not None:
                asker.stop(reason)
            lease = asker.lease
            is_lost = lease is not None and work.renew(self.db, lease, lease_for) is work.Signal.LOST
            has_no_place = not slots.renew(asker.holder, lease_for)
            if has_no_place or (is_lost and asker.lease is lease):  # else it has ended in the meantime
                asker.stop(LeaseLost())
