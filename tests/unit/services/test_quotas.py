"""Room in folders: promised once, given back in the end, and never more of it used than there is."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dicom.files.staging import STAGING
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.quotas import QuotaStore
from models.db.slots import SlotStore
from models.domain.errors import LeaseLost, NotFound, NotPermitted, OverQuota, WriteFailed, WrongState
from models.domain.jobs import Job, JobKind, Lease, State
from models.domain.nodes import Folder
from models.domain.people import Actor, NodeAccess, operator
from models.domain.quotas import GB
from models.domain.requests import StudyWish, TransferRequest
from services import housekeeping, jobs, quotas, staging
from tasks.room import Room
from tests.databases import Clock
from tests.quota_writers import Ledger, write_study
from tests.samples import a_server, some_settings

TESTER = operator("tester")
LEASE = timedelta(seconds=20)
MB = 10**6
QUOTA = 10 * MB


class Site:
    """A database with a source and a folder that takes 10 MB."""

    def __init__(self, db: Database, directory: Path) -> None:
        self.db = db
        self.settings = some_settings(directory)
        self.path = directory / "research"
        self.path.mkdir()
        self.source = NodeStore(db).add(a_server())
        added = NodeStore(db).add(Folder("research", self.path, quota_gb=QUOTA / GB))
        assert isinstance(added, Folder)
        self.folder = added

    def submit(self, *expected_bytes: int, destination: int = 0) -> Job:
        studies = tuple(
            StudyWish(f"1.2.{number}", pseudonym=f"S{number}", expected_bytes=size)
            for number, size in enumerate(expected_bytes, start=1)
        )
        request = TransferRequest(JobKind.BATCH_TRANSFER, self.source.id, destination or self.folder.id, studies)
        return jobs.submit(self.db, self.settings, TESTER, request)

    def claim(self, job: Job) -> Lease:
        return (JobStore(self.db).claim_next(job.id, LEASE) or pytest.fail("nothing was due"))[1]

    def work(self, expected_bytes: int = 0) -> Lease:
        """The lease of an item that was just begun."""
        return self.claim(self.submit(expected_bytes))

    def end(self, lease: Lease, state: State) -> None:
        JobStore(self.db).end_attempt(lease, state, "")

    def fill(self, size_bytes: int, name: str = "file") -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size_bytes))

    def tend(self, is_due: bool = False) -> bool:
        (folder,) = housekeeping.folders(self.db)
        return housekeeping.tend_folder(self.db, folder, is_due)

    @property
    def parts(self) -> tuple[int, int, int]:
        """Measured, settled since, reserved."""
        usage = quotas.usage(self.db, TESTER, self.folder.id)
        return usage.measured_bytes, usage.settled_since_bytes, usage.reserved_bytes


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Site:
    return Site(database, tmp_path)


# -- jobs -----------------------------------------------------------------------------------------------------------


def test_a_job_reserves_what_it_expects(site: Site) -> None:
    site.submit(3 * MB, 0, 2 * MB)
    assert site.parts == (0, 0, 5 * MB)
    with pytest.raises(OverQuota, match=r"Folder research: needs about 5\.1 MB, has 5 MB of its quota of 10 MB left\."):
        site.submit(5 * MB + 1)
    site.submit(5 * MB)
    with pytest.raises(OverQuota, match="its quota of 10 MB is used up"):
        site.submit(0)


def test_a_refused_job_leaves_nothing_behind(site: Site) -> None:
    site.submit(MB)
    with pytest.raises(OverQuota):
        site.submit(6 * MB, 6 * MB)
    assert site.parts == (0, 0, MB)
    assert len(jobs.list(site.db, TESTER)) == 1


def test_jobs_to_servers_and_to_folders_without_a_quota_are_never_refused(site: Site) -> None:
    server = NodeStore(site.db).add(a_server("RESEARCH"))
    site.submit(10**15, destination=server.id)
    unbounded = NodeStore(site.db).add(Folder("open", site.path / "open"))
    site.submit(10**15, destination=unbounded.id)
    assert [usage.reserved_bytes for usage in quotas.usages(site.db, TESTER)] == [10**15, 0]


def test_room_of_canceled_jobs_that_had_not_begun_is_there_at_once(site: Site) -> None:
    job = site.submit(9 * MB)
    jobs.cancel(site.db, TESTER, job.id)
    site.submit(9 * MB)
    assert site.parts == (0, 0, 9 * MB)


def test_a_deleted_job_gives_its_room_back(site: Site) -> None:
    job = site.submit(9 * MB)
    jobs.delete(site.db, TESTER, job.id)
    assert site.parts == (0, 0, 0)


def test_two_jobs_that_come_at_once_never_get_the_same_room(site: Site) -> None:
    def is_accepted(size: int) -> int:
        try:
            site.submit(size)
        except OverQuota:
            return 0
        return size

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(is_accepted, [3 * MB] * 16))
    assert accepted == 9 * MB
    assert site.parts == (0, 0, 9 * MB)


# -- workers --------------------------------------------------------------------------------------------------------


def test_what_is_reserved_is_there_to_be_written(site: Site) -> None:
    lease = site.work(4 * MB)
    assert quotas.cover(site.db, lease, site.folder.id, 3 * MB) == 4 * MB
    assert site.parts == (0, 0, 4 * MB)


def test_a_reservation_grows_while_there_is_room_and_keeps_its_size_when_there_is_none(site: Site) -> None:
    lease, other = site.work(1 * MB), site.work(5 * MB)
    grown = quotas.cover(site.db, lease, site.folder.id, 2 * MB)
    assert 2 * MB <= grown < 3 * MB
    assert quotas.cover(site.db, lease, site.folder.id, 5 * MB) == 5 * MB
    with pytest.raises(OverQuota, match="the study needs more") as refusal:
        quotas.cover(site.db, lease, site.folder.id, 5 * MB + 1)
    assert "10 MB" in refusal.value.message
    assert quotas.reserved(site.db, lease) == quotas.reserved(site.db, other) == 5 * MB


def test_who_lost_the_item_neither_grows_nor_settles(site: Site, clock: Clock) -> None:
    job = site.submit(MB)
    late = site.claim(job)
    clock.pass_by(21)
    lease = site.claim(job)
    with pytest.raises(LeaseLost):
        quotas.cover(site.db, late, site.folder.id, 2 * MB)
    with pytest.raises(LeaseLost):
        quotas.settle(site.db, late, MB)
    assert quotas.reserved(site.db, lease) == MB


def test_an_item_settles_once_with_what_is_published(site: Site) -> None:
    lease = site.work(4 * MB)
    quotas.settle(site.db, lease, 3 * MB)
    quotas.settle(site.db, lease, 3 * MB)
    assert site.parts == (0, 3 * MB, 0)


def test_what_a_repeated_item_had_published_before_does_not_count_again(site: Site) -> None:
    lease = site.work()
    quotas.cover(site.db, lease, site.folder.id, 2 * MB)
    reserved = quotas.reserved(site.db, lease)
    quotas.settle(site.db, lease, 9 * MB)
    assert site.parts == (0, reserved, 0)


def test_a_failed_item_gives_all_back_and_one_that_is_repeated_keeps_its_room(site: Site, clock: Clock) -> None:
    job = site.submit(4 * MB)
    site.end(site.claim(job), State.PENDING)
    assert site.parts == (0, 0, 4 * MB)
    lease = site.claim(job)
    quotas.settle(site.db, lease, 0)
    site.end(lease, State.FAILURE)
    assert site.parts == (0, 0, 0)
    jobs.retry(site.db, TESTER, job.id)
    assert quotas.cover(site.db, site.claim(job), site.folder.id, MB) >= MB


def test_room_of_an_item_whose_worker_died_stays_with_the_item(site: Site, clock: Clock) -> None:
    job = site.submit(4 * MB)
    site.claim(job)
    clock.pass_by(21)
    site.tend()
    lease = site.claim(job)
    assert quotas.reserved(site.db, lease) == 4 * MB


def test_what_a_dead_worker_may_have_published_counts_until_somebody_has_looked(site: Site, clock: Clock) -> None:
    lease = site.work(4 * MB)
    site.tend(is_due=True)
    clock.pass_by(1)
    site.fill(3 * MB)
    site.end(lease, State.FAILURE)
    ended = quotas.ended(site.db, site.folder.id)
    assert quotas.drop(site.db, site.folder.id, ended) == 4 * MB
    assert site.parts == (0, 4 * MB, 0)
    quotas.measure(site.db, site.folder.id)
    assert site.parts == (3 * MB, 0, 0)


def test_tending_measures_at_once_where_dead_workers_left_doubts(site: Site, clock: Clock) -> None:
    lease = site.work(4 * MB)
    assert site.tend(is_due=True)
    assert not site.tend()
    site.end(lease, State.FAILURE)
    assert site.tend()
    assert site.parts == (0, 0, 0)


def test_an_item_that_was_taken_up_again_meanwhile_keeps_its_room(site: Site) -> None:
    job = site.submit(4 * MB)
    site.end(site.claim(job), State.FAILURE)
    ended = quotas.ended(site.db, site.folder.id)
    jobs.retry(site.db, TESTER, job.id)
    assert quotas.drop(site.db, site.folder.id, ended) == 0
    assert site.parts == (0, 0, 4 * MB)


# -- measuring ------------------------------------------------------------------------------------------------------


def test_a_walk_replaces_what_was_settled_before_it_began_and_keeps_what_came_during_it(
    site: Site, clock: Clock
) -> None:
    first, second = site.work(2 * MB), site.work(3 * MB)
    quotas.settle(site.db, first, 2 * MB)
    store = QuotaStore(site.db)
    walk = store.begin_walk(site.folder.id)
    quotas.settle(site.db, second, 3 * MB)
    clock.pass_by(60)
    assert store.end_walk(walk, 2 * MB + 7)
    assert site.parts == (2 * MB + 7, 3 * MB, 0)
    assert quotas.usage(site.db, TESTER, site.folder.id).measured_at == walk.at


def test_what_people_put_there_or_took_away_is_known_after_the_next_walk(site: Site, clock: Clock) -> None:
    site.fill(10 * MB)
    site.submit(MB)
    clock.pass_by(60)
    assert quotas.measure_now(site.db, TESTER, site.folder.id).left_bytes == 0
    with pytest.raises(OverQuota):
        site.submit(0)
    (site.path / "file").unlink()
    clock.pass_by(60)
    quotas.measure_now(site.db, TESTER, site.folder.id)
    assert site.parts == (0, 0, MB)


def test_what_is_staged_counts_once_by_its_reservation_or_else_by_the_walk(site: Site, clock: Clock) -> None:
    job = site.submit(4 * MB)
    lease = site.claim(job)
    (item,) = jobs.items(site.db, TESTER, job.id)
    key = staging.staging_key(job, item)
    site.fill(MB, f"{STAGING}/{key}/study/a")
    site.fill(2 * MB, f"{STAGING}/{key}0/of another installation")
    quotas.measure(site.db, site.folder.id)
    assert site.parts == (2 * MB, 0, 4 * MB)
    quotas.settle(site.db, lease, 0)
    clock.pass_by(60)
    quotas.measure(site.db, site.folder.id)
    assert site.parts == (3 * MB, 0, 0)


def test_a_walk_through_a_folder_that_was_moved_or_measured_meanwhile_is_worthless(site: Site, clock: Clock) -> None:
    store = QuotaStore(site.db)
    slow = store.begin_walk(site.folder.id)
    clock.pass_by(60)
    quotas.measure(site.db, site.folder.id)
    assert not store.end_walk(slow, 9 * MB)
    moved = store.begin_walk(site.folder.id)
    elsewhere = site.path.parent / "elsewhere"
    folder = NodeStore(site.db).get(site.folder.id)
    assert isinstance(folder, Folder)
    NodeStore(site.db).update(replace(folder, path=elsewhere))
    assert not store.end_walk(moved, 9 * MB)
    assert quotas.usage(site.db, TESTER, site.folder.id).measured_at is None


def test_nobody_walks_where_somebody_walks_until_that_one_has_died(site: Site, clock: Clock) -> None:
    assert SlotStore(site.db).try_acquire("a walker", {site.folder.id: 1}, {site.folder.id: 1}, timedelta(minutes=2))
    with pytest.raises(WrongState):
        quotas.measure(site.db, site.folder.id)
    assert site.tend(is_due=True)
    assert quotas.usage(site.db, TESTER, site.folder.id).measured_at is None
    clock.pass_by(121)
    quotas.measure(site.db, site.folder.id)


def test_an_unreachable_folder_is_reported_and_keeps_what_was_known(site: Site, clock: Clock) -> None:
    site.fill(MB)
    quotas.measure(site.db, site.folder.id)
    site.path.rename(site.path.parent / "away")
    clock.pass_by(60)
    with pytest.raises(WriteFailed):
        quotas.measure(site.db, site.folder.id)
    assert site.parts == (MB, 0, 0)
    (site.path.parent / "away").rename(site.path)
    quotas.measure(site.db, site.folder.id)


def test_a_worker_measures_a_folder_with_a_quota_that_nobody_has_measured(site: Site) -> None:
    site.fill(9 * MB)
    lease = site.work()
    Room(site.db, lease, site.folder).begin(lambda: None)
    assert site.parts == (9 * MB, 0, 0)


def test_a_worker_waits_for_who_measures_already_and_can_be_stopped(site: Site) -> None:
    slots = SlotStore(site.db)
    assert slots.try_acquire("a walker", {site.folder.id: 1}, {site.folder.id: 1}, timedelta(minutes=2))
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            slots.release("a walker")

    quotas.ensure_measured(site.db, site.folder.id, lambda: None, pause)
    assert len(waits) == 2
    quotas.ensure_measured(site.db, site.folder.id, lambda: pytest.fail("nothing to wait for"), pause)


# -- people ---------------------------------------------------------------------------------------------------------


def test_usage_is_for_staff_and_for_who_may_write_there(site: Site) -> None:
    writer = Actor("ada", access=NodeAccess(destinations=frozenset({site.folder.id})))
    reader = Actor("eve", access=NodeAccess(sources=frozenset({site.folder.id})))
    staff = Actor("sam", is_staff=True)
    for actor in (writer, staff):
        assert quotas.usage(site.db, actor, site.folder.id).folder_name == "research"
        assert len(quotas.usages(site.db, actor)) == 1
    with pytest.raises(NotFound):
        quotas.usage(site.db, reader, site.folder.id)
    assert quotas.usages(site.db, reader) == ()


def test_only_staff_may_have_a_folder_measured(site: Site) -> None:
    with pytest.raises(NotPermitted):
        quotas.measure_now(site.db, Actor("ada", access=NodeAccess(every=True)), site.folder.id)


def test_a_server_has_no_usage(site: Site) -> None:
    with pytest.raises(NotFound):
        quotas.usage(site.db, TESTER, site.source.id)
    with pytest.raises(NotFound):
        quotas.measure_now(site.db, TESTER, site.source.id)


# -- many at a time -------------------------------------------------------------------------------------------------


def test_many_writers_fill_a_folder_to_its_quota_and_never_past_it(site: Site, tmp_path: Path) -> None:
    """They stage, publish and fail as items do, while somebody walks through the folder all the time."""
    ledger = Ledger(tmp_path / "ledger")
    leases = [site.work(0 if number % 3 else MB // 2) for number in range(10)]
    quotas.measure(site.db, site.folder.id)

    def write(number: int) -> State:
        return write_study(site.db, site.folder, leases[number], ledger, files=8 + 8 * number)

    with ThreadPoolExecutor(11) as pool:
        stop = threading.Event()
        measuring = pool.submit(measure_until, stop, site)
        ends = list(pool.map(write, range(10)))
        stop.set()
        assert measuring.result() > 0
    assert State.FAILURE in ends, "together they want half as much again as there is"
    assert MB < ledger.most <= QUOTA
    assert ledger.now == sum(path.stat().st_size for path in site.path.rglob("[0-9]*/*"))
    assert site.parts[0] + site.parts[1] >= ledger.now
    quotas.measure(site.db, site.folder.id)
    assert site.parts == (ledger.now, 0, 0)


def measure_until(stop: threading.Event, site: Site) -> int:
    walks = 0
    while not stop.is_set():
        quotas.measure(site.db, site.folder.id)
        walks += 1
    return walks
