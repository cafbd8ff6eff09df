"""One run of one item: what its steps share while they work at the same time in one process."""

import threading
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from pydicom import Dataset

from dicom.deid.engine import Deidentifier
from dicom.deid.identity import check_identity
from dicom.deid.policy import Policy
from dicom.network.choose import Local
from dicom.network.ports import Port
from models.db.engine import Database
from models.domain.errors import Bug, Canceled, LeaseLost
from models.domain.instances import EncodedInstance
from models.domain.jobs import Item, Job, Lease
from models.domain.nodes import Node, Server
from models.domain.plans import Plan
from models.domain.receipts import Receipt
from models.settings import Settings
from services import budgets, holding, work
from services.converting import StagedSeries
from services.streams import Stream
from tasks.room import Room

P = TypeVar("P", bound=Port)


class Attempt:
    """The shared state of one run of one item.

    A plain class, not a dataclass: Prefect takes dataclasses among a task's arguments apart to look for futures.
    ``receipt`` begins with what earlier attempts have proven; ``record`` guards it, since several threads write. Nobody
    who has it waits for the database: ``_saving`` is taken before, by who saves.
    ``handed_on`` are the source's SOP Instance UIDs that this attempt has put on the stream, or need not fetch again.
    ``is_cut_short`` says that the retrieval failed for good, so what came may be half of the study. ``policy`` is None
    exactly when the job keeps the identity. ``room`` counts what is written to a folder; archives keep their own count.
    """

    def __init__(
        self,
        *,
        db: Database,
        settings: Settings,
        job: Job,
        item: Item,
        lease: Lease,
        source: Server,
        destination: Node,
        local: Local,
        receipt: Receipt,
        retrieved: Stream,
        pseudonymized: Stream,
        policy: Policy | None,
    ) -> None:
        self.db = db
        self.settings = settings
        self.job = job
        self.item = item
        self.lease = lease
        self.source = source
        self.destination = destination
        self.local = local
        self.receipt = receipt
        self.retrieved = retrieved
        self.pseudonymized = pseudonymized
        self.policy = policy
        self.room = Room(db, lease, destination)
        self.handed_on: set[str] = set()
        self.is_cut_short = False
        self.places: Mapping[int, int] = {}
        self._series: StagedSeries | None = None
        self.record = threading.Lock()
        self._saving = threading.RLock()
        self._stopping = threading.Lock()
        self._plan: Plan | None = None
        self._deidentifier: Deidentifier | None = None
        self._treating = threading.Lock()
        self._error: BaseException | None = None
        self._ports: list[Port] = []
        self._is_dirty = False
        self._steps_at_work = 0
        self._step_ended = threading.Condition()

    @property
    def item_id(self) -> int:
        return self.item.id

    @property
    def has_plan(self) -> bool:
        return self._plan is not None

    @property
    def plan(self) -> Plan:
        """What to move; made by the step ``query``."""
        if self._plan is None:
            raise Bug("A step asked for the plan before there was one.")
        return self._plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self._plan = plan

    @property
    def keeps_identity(self) -> bool:
        """Whether everything passes as it is, which somebody had the right to ask for."""
        return self.policy is None

    @property
    def series(self) -> StagedSeries:
        """Where instances wait for their conversion to NIfTI."""
        if self._series is None:
            raise Bug("A step asked for the series of a job that converts nothing.")
        return self._series

    def stage_in(self, series: StagedSeries) -> None:
        """Stage there what is to be converted."""
        self._series = series

    def pseudonymize_with(self, deidentifier: Deidentifier) -> None:
        """Treat everything with this from now on; made by the step ``query``, which knows whose the study is."""
        self._deidentifier = deidentifier

    def treated(self, instance: EncodedInstance) -> EncodedInstance:
        """The instance as it may leave; see ``Deidentifier.instance`` for what is raised.

        IdentityConflict is also raised for an instance that keeps its identity, when it is not of the plan's study, or
        not the one that it claims to be.
        """
        if self.keeps_identity:
            check_identity(instance, self.plan.ref)
            return instance
        with self._treating:
            return self._needed_deidentifier.instance(instance)

    def treated_dataset(self, dataset: Dataset) -> Dataset:
        """Some attributes as they may leave."""
        if self.keeps_identity:
            return dataset
        with self._treating:
            return self._needed_deidentifier.dataset(dataset)

    def target_uid(self, source_uid: str) -> str:
        """The UID that an object of the source has at the destination."""
        return source_uid if self.keeps_identity else self._needed_deidentifier.uid(source_uid)

    def check_name(self, name: str) -> None:
        """Raise ResidueFound when the name of a file or folder tells who the patient is, as far as is known by now."""
        if not self.keeps_identity:
            with self._treating:
                self._needed_deidentifier.check_name(name)

    def check_values(self, texts: Collection[tuple[str, bool]]) -> None:
        """Raise ResidueFound when a text of a file that was made of the instances tells who the patient is.

        Each comes with whether it is the version of a program.
        """
        if not self.keeps_identity:
            with self._treating:
                self._needed_deidentifier.check_values(texts)

    @property
    def _needed_deidentifier(self) -> Deidentifier:
        """Never None: without one, nothing of a pseudonymized item may pass."""
        if self._deidentifier is None:
            raise Bug("A step asked for the de-identification before there was one.")
        return self._deidentifier

    @property
    def error(self) -> BaseException | None:
        """Why the attempt was stopped, or None while it goes on."""
        return self._error

    def check(self) -> None:
        """Raise what stopped this attempt, if anything did."""
        if self._error is not None:
            raise self._error

    def check_now(self) -> None:
        """Raise what would stop this attempt at its next beat; else the item is ours for a whole lease from now on."""
        self.beat()
        self.check()

    def stop(self, error: BaseException) -> None:
        """End every step within moments: streams raise the error, connections are broken. The first error counts."""
        with self._stopping:
            self._error = self._error or error
            ports = list(self._ports)
        self.retrieved.stop(error)
        self.pseudonymized.stop(error)
        for port in ports:
            port.abort()

    @contextmanager
    def working(self) -> Generator[None]:
        """Count a step as being at work. In a stopped attempt none begins: raises Canceled, which is never retried."""
        with self._step_ended:
            if self._error is not None:
                raise Canceled("The attempt was stopped.")
            self._steps_at_work += 1
        try:
            yield
        finally:
            with self._step_ended:
                self._steps_at_work -= 1
                self._step_ended.notify_all()

    def is_quiet_within(self, timeout_s: float) -> bool:
        """Wait for the steps of a stopped attempt to end; one that waits for its next try is not at work."""
        with self._step_ended:
            return self._step_ended.wait_for(lambda: not self._steps_at_work, timeout_s)

    @contextmanager
    def connection(self, port: P) -> Generator[P]:
        """Use a port so that ``stop`` breaks it; what the break raises inside becomes the attempt's own error."""
        with self._stopping:
            self.check()
            self._ports.append(port)
        try:
            with port:
                yield port
        except Canceled:
            self.check()
            raise
        finally:
            with self._stopping:
                self._ports.remove(port)

    @contextmanager
    def associations(self, wanted: Mapping[Server, int]) -> Generator[None]:
        """Hold places in the servers' association budgets, waiting for them if need be.

        All that are needed at a time are taken together, so that two attempts never wait for each other. ``places``
        tells meanwhile how many there are at each server: the budget of the hour may be smaller than what was wanted.
        """
        lease_for, urgent = self.settings.lease_for, self.job.urgent
        taken = budgets.associations(self.db, self.lease.token, wanted, self.check, lease_for, urgent=urgent)
        with taken as self.places:
            try:
                yield
            finally:
                self.places = {}

    def touch(self) -> None:
        """Say that the receipt has changed, so that it is saved with the next heartbeat."""
        self._is_dirty = True

    def save_receipt(self) -> None:
        """Save the receipt as it is now; steps go on meanwhile, for which the database may take its time."""
        with self._saving:
            with self.record:
                receipt, self._is_dirty = self.receipt.copied(), False
            try:
                work.save_receipt(self.db, self.lease, receipt)
            except BaseException:
                self.touch()
                raise

    def save_changes(self) -> None:
        """Save the receipt when it has changed since it was saved."""
        with self._saving:
            if self._is_dirty:
                self.save_receipt()

    @contextmanager
    def ending(self) -> Generator[None]:
        """One transaction for the receipt and what becomes of the item; rolled back, it has saved no receipt.

        Who saves is named before the database is asked, as everywhere: the heartbeat may be saving, too.
        """
        with self._saving:
            try:
                with self.db.transaction():
                    yield
            except BaseException:
                self.touch()
                raise

    def beat(self) -> None:
        """Renew the lease, save what has changed in the receipt, and stop when somebody or a server's window says so.

        Every beat, a second after the other, looks anew: an administrator who stops a server is obeyed at once. A
        folder that others find full stops nobody: whoever is at work there sees for himself.
        """
        match work.renew(self.db, self.lease, self.settings.lease_for):
            case work.Signal.KEEP_GOING:
                self.save_changes()
                server_id = self.item.target_id if isinstance(self.destination, Server) else None
                if (reason := holding.held_back(self.db, self.item.source_id, server_id)) is not None:
                    self.stop(reason)
            case work.Signal.CANCEL:
                self.stop(Canceled())
            case work.Signal.LOST:
                self.stop(LeaseLost())
