"""Whatever happens to workers, what is on the disk is never more than is counted, and never more than the quota."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event

from dicom.files import folder as folder_files
from dicom.files import layout
from dicom.files.folder import StagedStudy
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.errors import AditError, OverQuota, WrongState
from models.domain.instances import EncodedInstance
from models.domain.jobs import FINISHED, Item, Job, JobKind, Lease, State
from models.domain.nodes import Folder
from models.domain.people import operator
from models.domain.quotas import GB
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from services import housekeeping, jobs, quotas, staging
from tasks.destination import FolderDestination
from tasks.room import Room
from tests.databases import Clock, sqlite_database
from tests.samples import a_server, some_settings
from tests.unit.files.test_folder import element

TESTER = operator("tester")
LEASE = timedelta(seconds=20)
QUOTA = 1_000_000
CLASS, EXPLICIT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.1.2.1"


EVENTS = (
    *("claim", "claim", "write", "write", "write", "write", "write", "finish", "finish", "fail", "repeat", "lose"),
    *("die", "die_publishing", "die_publishing", "cancel", "again", "again", "tend", "measure", "replay"),
)


class Killed(BaseException):
    """The process ends here."""


class Study:
    """What an item should move, and what its workers have written down about it."""

    def __init__(self, job: Job, item: Item, random: Random) -> None:
        self.job = job
        self.item = item
        self.instances = {f"1.2.{item.id}.{n}": self._instance(n, random.randrange(60_000, 120_000)) for n in range(3)}
        self.receipt = Receipt(expected=set(self.instances))

    def _instance(self, number: int, size: int) -> EncodedInstance:
        header = element(0x0020, 0x000E, b"UI", f"1.2.{self.item.id}".encode())
        return EncodedInstance(CLASS, f"1.2.{self.item.id}.{number}", EXPLICIT, (header, bytes(size)))


class Worker:
    """One attempt of one item, as the steps make it."""

    def __init__(self, db: Database, target: Folder, study: Study, lease: Lease) -> None:
        self.study = study
        self.lease = lease
        self.room = Room(db, lease, target)
        key = staging.staging_key(study.job, study.item)
        staged = StagedStudy(
            target.path,
            target.name,
            f"job-{study.job.id}",
            "patient",
            "study",
            key,
            lambda uid: layout.series_folder("1", "CT", "", uid),
            self.room.make,
            staging.attempt_key(lease),
        )
        attempt: Any = SimpleNamespace(
            room=self.room,
            plan=SimpleNamespace(series=()),
            is_cut_short=False,
            check=lambda: None,
            check_name=lambda _name: None,
            save_receipt=lambda: None,
            target_uid=lambda uid: uid,
        )
        self.destination = FolderDestination(attempt, staged)

    def begin(self) -> None:
        receipt = self.study.receipt
        present = self.destination.present(receipt)
        receipt.stored &= present
        receipt.digests = {uid: digest for uid, digest in receipt.digests.items() if uid in present}
        receipt.received = set(present)

    def write(self) -> None:
        receipt = self.study.receipt
        missing = sorted(self.study.instances.keys() - receipt.stored)
        if missing:
            outcome = self.destination.sender().send(self.study.instances[missing[0]])
            receipt.stored.add(outcome.sop_uid)
            receipt.received.add(outcome.sop_uid)
            receipt.digests[outcome.sop_uid] = outcome.digest


class Site:
    """Some items, all of which do not fit, and what may happen to them."""

    def __init__(self, directory: Path, random: Random, clock: Clock) -> None:
        self.random = random
        self.clock = clock
        self.db = sqlite_database(directory, clock)
        event.listen(self.db._engine, "connect", _trust_the_system)
        self.path = directory / "research"
        self.path.mkdir()
        added = NodeStore(self.db).add(Folder("research", self.path, quota_gb=QUOTA / GB))
        assert isinstance(added, Folder)
        self.folder = added
        source = NodeStore(self.db).add(a_server())
        settings = some_settings(directory)
        self.studies: dict[int, Study] = {}
        self.workers: dict[int, Worker] = {}
        for number in range(6):
            wish = StudyWish(f"1.2.{number}", pseudonym="S", expected_bytes=random.choice((0, 0, 60_000)))
            request = TransferRequest(JobKind.BATCH_TRANSFER, source.id, added.id, (wish,))
            job = jobs.submit(self.db, settings, TESTER, request)
            (item,) = jobs.items(self.db, TESTER, job.id)
            self.studies[item.id] = Study(job, item, random)
        quotas.measure(self.db, added.id)

    def check(self) -> None:
        """Every file counts once, whatever its names."""
        files = [path.lstat() for path in self.path.rglob("*") if path.is_file()]
        on_disk = sum({file.st_ino: file.st_size for file in files}.values())
        assert on_disk <= QUOTA
        assert on_disk <= quotas.usage(self.db, TESTER, self.folder.id).used_bytes

    def step(self, monkeypatch: pytest.MonkeyPatch) -> str:
        self.clock.pass_by(self.random.randrange(5))
        name = self.random.choice(EVENTS)
        with monkeypatch.context() as patch:
            getattr(self, name)(patch)
        self.check()
        return name

    def claim(self, _patch: pytest.MonkeyPatch) -> None:
        for study in self.studies.values():
            claimed = None
            if study.item.id not in self.workers:
                claimed = JobStore(self.db).claim_next(study.job.id, LEASE)
            if claimed is not None:
                self.workers[study.item.id] = worker = Worker(self.db, self.folder, study, claimed[1])
                self.attempt(worker, worker.begin)
                return

    def write(self, _patch: pytest.MonkeyPatch) -> None:
        if worker := self.anyone():
            self.attempt(worker, worker.write)
            self.check()
            if worker.study.item.id in self.workers:
                self.attempt(worker, worker.write)

    def finish(self, _patch: pytest.MonkeyPatch) -> None:
        worker = self.anyone()
        if worker and self.completes(worker):
            assert worker.destination.confirm(worker.study.receipt) == set(worker.study.instances)
            self.end(worker, State.SUCCESS)

    def completes(self, worker: Worker) -> bool:
        """Whether there is room for all that is missing."""
        for _ in worker.study.instances:
            if worker.study.item.id in self.workers:
                self.attempt(worker, worker.write)
        return worker.study.item.id in self.workers

    def fail(self, _patch: pytest.MonkeyPatch) -> None:
        if worker := self.anyone():
            worker.destination.discard()
            self.end(worker, State.FAILURE)

    def repeat(self, _patch: pytest.MonkeyPatch) -> None:
        """An attempt ends that will be made again; what is staged stays."""
        if worker := self.anyone():
            self.end(worker, State.PENDING)

    def lose(self, _patch: pytest.MonkeyPatch) -> None:
        """An attempt fails for good, and what is staged cannot be removed."""
        if worker := self.anyone():
            self.end(worker, State.FAILURE)

    def die(self, _patch: pytest.MonkeyPatch) -> None:
        if worker := self.anyone():
            del self.workers[worker.study.item.id]
            self.expire()

    def die_publishing(self, patch: pytest.MonkeyPatch) -> None:
        exchange = folder_files._exchange

        def die_after(one: Path, other: Path) -> bool:
            assert exchange(one, other)
            raise Killed

        patch.setattr(
            *self.random.choice(
                (
                    (folder_files, "_exchange", die_after),
                    (folder_files, "_flush_file_system", _die),
                    (Room, "settle", _die),
                )
            )
        )
        worker = self.anyone()
        if worker and self.completes(worker):
            try:
                worker.destination.confirm(worker.study.receipt)
            except Killed:
                del self.workers[worker.study.item.id]
                self.expire()
            else:
                self.end(worker, State.SUCCESS)

    def cancel(self, _patch: pytest.MonkeyPatch) -> None:
        study = self.random.choice(tuple(self.studies.values()))
        if study.item.id not in self.workers and self.state(study) in {State.PENDING, State.IN_PROGRESS}:
            with suppress(WrongState):  # it is being canceled already
                jobs.cancel(self.db, TESTER, study.job.id)
        JobStore(self.db).finish_canceled()

    def again(self, _patch: pytest.MonkeyPatch) -> None:
        for study in self.studies.values():
            if self.state(study) in FINISHED:
                action = self.random.choice((jobs.resume, jobs.retry, jobs.restart))
                try:
                    action(self.db, TESTER, study.job.id)
                except WrongState:
                    continue
                if action is jobs.restart:
                    study.receipt = Receipt(expected=set(study.instances))
                return

    def tend(self, patch: pytest.MonkeyPatch) -> None:
        """Now and then somebody else measures, so that doubts stay."""
        if self.random.randrange(2):
            patch.setattr(quotas, "measure", _is_busy)
        (known,) = housekeeping.folders(self.db)
        housekeeping.tend_folder(self.db, known, is_due=False)

    def measure(self, _patch: pytest.MonkeyPatch) -> None:
        self.clock.pass_by(1)
        quotas.measure(self.db, self.folder.id)

    def replay(self, _patch: pytest.MonkeyPatch) -> None:
        """A release of held instances, or a changed rule: the same item, published before, with other content."""
        for study in self.studies.values():
            if self.state(study) is State.SUCCESS:
                study.receipt.stored.discard(self.random.choice(sorted(study.instances)))
                JobStore(self.db).reopen_item(study.item.id)
                return

    def attempt(self, worker: Worker, call: Any) -> None:
        try:
            call()
        except OverQuota:
            worker.destination.discard()
            self.end(worker, State.FAILURE)

    def anyone(self) -> Worker | None:
        return self.random.choice(tuple(self.workers.values())) if self.workers else None

    def end(self, worker: Worker, state: State) -> None:
        del self.workers[worker.study.item.id]
        JobStore(self.db).end_attempt(worker.lease, state, "")

    def expire(self) -> None:
        """Let the leases of dead workers run out; the living renew theirs."""
        self.clock.pass_by(15)
        for worker in self.workers.values():
            assert JobStore(self.db).renew(worker.lease, LEASE)
        self.clock.pass_by(6)
        for worker in self.workers.values():
            assert JobStore(self.db).renew(worker.lease, LEASE)

    def state(self, study: Study) -> State:
        return JobStore(self.db).item(study.item.id).state


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, Random(1), Clock())
    yield site
    site.db.close()


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "copies"])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_on_the_disk_is_never_more_than_is_counted(
    tmp_path: Path, seed: int, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        monkeypatch.setattr(folder_files.os, "link", _refuse)
    site = Site(tmp_path, Random(seed), Clock())
    steps = [site.step(monkeypatch) for _ in range(150)]
    assert len(set(steps)) > 10
    for worker in tuple(site.workers.values()):
        site.end(worker, State.FAILURE)
    site.clock.pass_by(30)
    for study in site.studies.values():
        with suppress(WrongState):
            jobs.cancel(site.db, TESTER, study.job.id)
    JobStore(site.db).finish_canceled()
    site.tend(monkeypatch)
    monkeypatch.undo()
    site.measure(monkeypatch)
    usage = quotas.usage(site.db, TESTER, site.folder.id)
    files = [path.stat().st_size for path in site.path.rglob("*") if path.is_file()]
    assert (usage.used_bytes, usage.measured_bytes) == (sum(files), sum(files))
    site.db.close()


def published_by_a_dead_worker(site: Site, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study that appeared in the folder just before its worker died, and whose job was canceled then."""
    study = next(iter(site.studies.values()))
    site.claim(monkeypatch)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Room, "settle", _die)
        worker = site.workers.pop(study.item.id)
        for _ in study.instances:
            worker.write()
        worker.destination.confirm(study.receipt)
    site.clock.pass_by(21)
    jobs.cancel(site.db, TESTER, study.job.id)
    assert site.state(study) is State.CANCELED
    site.check()
    return study


def test_what_a_dead_worker_published_is_not_written_over_its_room_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = published_by_a_dead_worker(site, monkeypatch)
    jobs.restart(site.db, TESTER, study.job.id)
    study.receipt = Receipt(expected=set(study.instances))
    site.claim(monkeypatch)
    for _ in study.instances:
        site.workers[study.item.id].write()
        site.check()


def test_what_a_dead_worker_published_counts_until_somebody_has_looked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_by_a_dead_worker(site, monkeypatch)
    monkeypatch.setattr(quotas, "measure", _is_busy)
    (known,) = housekeeping.folders(site.db)
    housekeeping.tend_folder(site.db, known, is_due=False)
    site.check()


def test_a_write_that_fails_takes_no_room(site: Site) -> None:
    study = next(iter(site.studies.values()))
    _, lease = JobStore(site.db).claim_next(study.job.id, LEASE) or pytest.fail("nothing was due")
    room = Room(site.db, lease, site.folder)
    for _ in range(20):
        with pytest.raises(AditError), room.make(QUOTA // 10):
            raise AditError


def _trust_the_system(connection: sqlite3.Connection, _record: object) -> None:
    """Nobody pulls the plug in a test, and waiting for the disk would take most of the time."""
    connection.execute("PRAGMA synchronous=OFF")


def _is_busy(*_: object) -> None:
    raise WrongState


def _refuse(*_: object) -> None:
    raise OSError(95, "Operation not supported")


def _die(*_: object) -> None:
    raise Killed
