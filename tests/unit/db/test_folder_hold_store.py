"""Folders that take nothing: one item at a time tries them again, and the others wait."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.folder_holds import FolderHoldStore
from models.db.holding import HoldingStore
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.db.questions import Question, QuestionStore
from models.db.runs import RunStore
from models.db.scopes import ScopeStore
from models.domain.errors import FolderFull, FolderGone
from models.domain.holding import again_at
from models.domain.jobs import Job, JobKind, State
from models.domain.nodes import Stop
from models.domain.requests import JobHead
from tests.databases import Clock
from tests.samples import a_folder, a_request, a_server

FULL = FolderFull("The disk of the folder research has no room left.")
LEASE, LONG = timedelta(seconds=20), timedelta(hours=1)


class Site:
    """Two jobs to one folder, and one to another."""

    def __init__(self, db: Database) -> None:
        self.db, self.jobs, self.holds = db, JobStore(db), FolderHoldStore(db)
        self.source = NodeStore(db).add(a_server("PACS"))
        self.folder = NodeStore(db).add(a_folder("research", "/srv/research"))
        other = NodeStore(db).add(a_folder("other", "/srv/other"))
        self.first, self.second, self.elsewhere = (self.job(to.id) for to in (self.folder, self.folder, other))

    def job(self, folder_id: int) -> Job:
        return self.jobs.add("ada", a_request(self.source.id, folder_id, studies=2), ScopeStore(self.db).new())

    def meet(self, job: Job, needed_bytes: int = 0) -> int:
        """Have an item of the job meet that the folder is full; its id."""
        claim = self.jobs.claim_next(job.id, LEASE)
        assert claim is not None
        item, lease = claim
        self.holds.hold(self.folder.id, item.id, FULL, "adit1", needed_bytes)
        self.jobs.end_attempt(lease, State.PENDING, FULL.message, FULL.code, is_counted=False)
        return item.id

    def claimed(self, job: Job) -> int | None:
        claim = self.jobs.claim_next(job.id, LEASE)
        return None if claim is None else claim[0].id


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    yield Site(database)


def test_a_full_folder_holds_back_all_that_goes_there_and_nothing_else(site: Site) -> None:
    site.meet(site.first)
    assert set(HoldingStore(site.db).reasons()) == {site.folder.id}
    assert set(site.jobs.due_jobs()) == {site.elsewhere.id}
    assert site.claimed(site.first) is None
    assert site.claimed(site.second) is None
    assert site.claimed(site.elsewhere) is not None
    found = HoldingStore(site.db).of_jobs([site.first.id, site.second.id, site.elsewhere.id])
    assert {job_id: [reason.code for reason in of_job] for job_id, of_job in found.items()} == {
        site.first.id: ["FolderFull"],
        site.second.id: ["FolderFull"],
    }


def test_one_item_tries_it_at_its_time_and_the_others_follow_when_it_got_there(site: Site, clock: Clock) -> None:
    item_id = site.meet(site.second)
    site.holds.appoint()
    assert site.claimed(site.second) is None, "its time has not come"
    clock.now += LONG
    site.holds.appoint()
    assert set(site.jobs.due_jobs()) == {site.second.id, site.elsewhere.id}
    assert RunStore(site.db).waiting([JobKind.SELECTIVE_TRANSFER, JobKind.BATCH_TRANSFER]) == {}
    assert site.claimed(site.first) is None
    assert site.claimed(site.second) == item_id
    site.holds.appoint()
    assert site.claimed(site.second) is None, "somebody is at it"
    site.holds.end(site.folder.id, item_id + 1)
    assert site.holds.of_folder(site.folder.id) is not None, "another item that got there began before"
    site.holds.end(site.folder.id, item_id)
    assert site.holds.of_folder(site.folder.id) is None
    assert site.claimed(site.first) is not None


def test_who_tries_it_and_dies_is_followed_by_whoever_takes_the_item_up(site: Site, clock: Clock) -> None:
    item_id = site.meet(site.first)
    clock.now += LONG
    site.holds.appoint()
    assert site.claimed(site.first) == item_id
    clock.now += LONG
    site.holds.appoint()
    assert site.claimed(site.first) == item_id


def test_when_the_source_of_the_one_is_stopped_another_tries_it(site: Site, clock: Clock) -> None:
    site.meet(site.first)
    HoldingStore(site.db).stop(site.source.id, Stop("eve", clock.now))
    pacs = NodeStore(site.db).add(a_server("PACS2"))
    third = site.jobs.add("ada", a_request(pacs.id, site.folder.id), ScopeStore(site.db).new())
    clock.now += LONG
    site.holds.appoint()
    assert set(site.jobs.due_jobs()) == {third.id}


def test_a_check_neither_waits_for_a_folder_nor_tries_it_since_it_writes_nothing(site: Site, clock: Clock) -> None:
    questions = QuestionStore(site.db)
    asked = questions.sealed([Question(site.source.id, b"row", destination_id=site.folder.id)])
    check = questions.add("ada", JobHead(JobKind.BATCH_CHECK), asked)
    site.meet(site.first)
    assert set(site.jobs.due_jobs()) == {check.id, site.elsewhere.id}
    assert site.claimed(check) is not None
    site.jobs.cancel(site.first.id)
    site.jobs.cancel(site.second.id)
    clock.now += LONG
    site.holds.appoint()
    assert site.holds.list() == ()


def test_what_nobody_waits_for_is_forgotten(site: Site, clock: Clock) -> None:
    site.meet(site.first)
    site.jobs.cancel(site.second.id)
    clock.now += LONG
    site.holds.appoint()
    assert site.holds.of_folder(site.folder.id) is not None
    site.jobs.cancel(site.first.id)
    site.holds.appoint()
    assert site.holds.list() == ()


def test_how_much_room_an_item_needs_is_known_until_it_has_got_there(site: Site) -> None:
    item_id = site.meet(site.first, needed_bytes=5_000_000_000)
    site.holds.hold(site.folder.id, item_id, FolderGone(), "adit2", 0)
    assert site.holds.needed_bytes(site.folder.id, item_id) == 5_000_000_000
    assert site.holds.needed_bytes(site.folder.id, item_id + 1) == 1
    (hold,) = site.holds.list()
    assert (hold.code, hold.machine) == ("FolderGone", "adit2")
    site.holds.end(site.folder.id)
    assert site.holds.needed_bytes(site.folder.id, item_id) == 1


def test_staff_need_not_wait_for_its_time(site: Site) -> None:
    assert not site.holds.try_now(site.folder.id)
    item_id = site.meet(site.first)
    assert site.holds.try_now(site.folder.id)
    site.holds.appoint()
    assert site.claimed(site.first) == item_id


def test_it_is_tried_the_more_seldom_the_longer_it_lasts(site: Site, clock: Clock) -> None:
    since = clock.now
    minutes = [0, 2, 10, 25, 600]
    waits = [again_at(since, now := since + timedelta(minutes=each)) - now for each in minutes]
    assert waits == [timedelta(minutes=each) for each in (2, 2, 10, 25, 30)]
    site.meet(site.first)
    clock.now += timedelta(minutes=5)
    site.holds.hold(site.folder.id, 1, FULL, "adit1", 0)
    (hold,) = site.holds.list()
    assert (hold.since, hold.again_at) == (since, clock.now + timedelta(minutes=5))


def test_a_folder_that_is_deleted_takes_its_hold_with_it(database: Database, tmp_path: Path) -> None:
    folder = NodeStore(database).add(a_folder("research", str(tmp_path)))
    FolderHoldStore(database).hold(folder.id, 1, FULL, "adit1", 0)
    NodeStore(database).delete(folder.id)
    assert FolderHoldStore(database).list() == ()
