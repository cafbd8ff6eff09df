"""Which jobs somebody sees in lists, and what pages ask about many jobs at once."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.groups import GroupStore
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.db.tables import ReceiptRow
from models.domain.errors import NotFound, NotPermitted
from models.domain.jobs import Job, JobKind, State
from models.domain.people import Actor, Group, Permission
from models.domain.receipts import Completeness, Receipt
from services import jobs
from tests.people import a_user
from tests.samples import add_job, some_settings

STAFF = Actor("admin", is_staff=True)
VIEW = frozenset({Permission.VIEW_BATCH_TRANSFER})


@pytest.fixture
def group_ids(database: Database) -> tuple[int, int]:
    """A group of ada and grace that shows batch transfers, and one of ada and linus that shows nothing."""
    ada, grace, linus = (a_user(database, name).id for name in ("ada", "grace", "linus"))
    store = GroupStore(database)
    showing = store.add(Group("Showing", permissions=VIEW, members=frozenset({ada, grace})))
    silent = store.add(Group("Silent", members=frozenset({ada, linus})))
    return showing.id, silent.id


def ids(found: tuple[Job, ...]) -> list[int]:
    return [job.id for job in found]


def test_colleagues_see_what_their_common_group_shows(database: Database, group_ids: tuple[int, int]) -> None:
    showing, silent = group_ids
    batch = add_job(database, owner="ada")
    add_job(database, owner="ada", kind=JobKind.SELECTIVE_TRANSFER)
    own = add_job(database, owner="grace")
    foreign = add_job(database, owner="linus")
    grace = Actor("grace", permissions=VIEW, groups=frozenset({showing}))
    assert ids(jobs.list(database, grace)) == [own.id]
    assert ids(jobs.list(database, grace, of_groups=True)) == [own.id, batch.id]
    assert jobs.count(database, grace, of_groups=True) == 2
    assert ids(jobs.list(database, grace, owner="ada")) == [batch.id]
    assert ids(jobs.list(database, grace, owner="linus")) == []
    assert set(jobs.counts(database, grace, [batch.id, own.id, foreign.id])) == {batch.id, own.id}
    for hidden in (Actor("grace", groups=frozenset({showing})), Actor("grace", permissions=VIEW)):
        assert ids(jobs.list(database, hidden, of_groups=True)) == [own.id], "the right and the group are needed"
    ada = Actor("ada", permissions=VIEW, groups=frozenset({showing, silent}))
    assert foreign.id not in ids(jobs.list(database, ada, of_groups=True)), "rights do not leak between groups"
    with pytest.raises(NotFound):
        jobs.get(database, ada, foreign.id)
    superuser = replace(ada, is_superuser=True)
    assert jobs.get(database, superuser, foreign.id) == foreign, "to superusers every group of theirs shows all"


def test_who_leaves_the_group_sees_nothing_any_more(database: Database, group_ids: tuple[int, int]) -> None:
    showing, _ = group_ids
    job = add_job(database, owner="ada")
    grace = Actor("grace", permissions=VIEW, groups=frozenset({showing}))
    assert jobs.get(database, grace, job.id) == job
    store = GroupStore(database)
    group = store.get(showing)
    store.update(replace(group, members=group.members - {min(group.members)}))
    with pytest.raises(NotFound):
        jobs.get(database, grace, job.id)


def test_staff_sees_all_where_it_asks_for_it(database: Database, group_ids: tuple[int, int]) -> None:
    first, second = add_job(database, owner="ada"), add_job(database, owner="grace")
    own = add_job(database, owner="admin")
    assert ids(jobs.list(database, STAFF)) == [own.id]
    assert ids(jobs.list(database, STAFF, everybody=True)) == [own.id, second.id, first.id]
    assert ids(jobs.list(database, STAFF, everybody=True, owner="ada")) == [first.id]
    assert ids(jobs.list(database, STAFF, owner="ada")) == [first.id]
    assert ids(jobs.list(database, STAFF, of_groups=True)) == [own.id], "groups are not everybody"
    assert jobs.count(database, STAFF, everybody=True, states={State.PENDING}) == 3
    with pytest.raises(NotPermitted):
        jobs.count(database, Actor("ada"), everybody=True)


def test_lists_are_filtered_and_paged(database: Database) -> None:
    ada = Actor("ada")
    made = [add_job(database, trial_protocol_id=f"T{n % 2}") for n in range(4)]
    selective = add_job(database, kind=JobKind.SELECTIVE_TRANSFER)
    JobStore(database).cancel(made[0].id)
    assert ids(jobs.list(database, ada, trial="T1")) == [made[3].id, made[1].id]
    assert ids(jobs.list(database, ada, kinds={JobKind.SELECTIVE_TRANSFER})) == [selective.id]
    assert ids(jobs.list(database, ada, states={State.CANCELED})) == [made[0].id]
    assert ids(jobs.list(database, ada, text=" t0 ")) == [made[2].id, made[0].id]
    assert ids(jobs.list(database, ada, limit=2, offset=1)) == [made[3].id, made[2].id]
    assert jobs.count(database, ada) == 5


def test_the_overview_is_for_staff(database: Database) -> None:
    add_job(database)
    with pytest.raises(NotPermitted):
        jobs.overview(database, Actor("ada", permissions=frozenset(Permission)))
    overview = jobs.overview(database, STAFF)
    assert overview[JobKind.BATCH_TRANSFER] == {State.PENDING: 1}
    assert overview[JobKind.SELECTIVE_TRANSFER][State.PENDING] == 0


def test_receipts_are_counted_without_being_unpacked(database: Database) -> None:
    ada, job = Actor("ada"), add_job(database, studies=2)
    first, second = jobs.items(database, ada, job.id)
    assert jobs.receipt_summaries(database, ada, job.id) == {}
    _, lease = JobStore(database).claim_next(job.id, timedelta(seconds=20)) or pytest.fail("nothing was due")
    receipt = Receipt(expected={"1", "2", "3"}, received={"1", "2"}, stored={"1"}, held={"2": "pixels"})
    ReceiptStore(database).save(lease, receipt)
    with database.transaction() as session:
        session.get_one(ReceiptRow, first.id).content = b"not a receipt"
    (summary,) = jobs.receipt_summaries(database, ada, job.id).values()
    totals = jobs.receipt_totals(database, ada, job.id)
    assert (totals.stored, totals.held) == (summary.stored, summary.held)
    assert (summary.verdict, summary.expected, summary.received, summary.stored) == (Completeness.SHORT, 3, 2, 1)
    assert (summary.confirmed, summary.left_out, summary.held, summary.refused, summary.missing) == (0, 0, 1, 0, 2)
    assert set(jobs.receipt_summaries(database, ada, job.id, [first, second])) == {first.id}
    assert jobs.receipt_summaries(database, ada, job.id, [second]) == {}


def test_items_of_a_job_elsewhere_are_not_summed_up(database: Database) -> None:
    ada, job, other = Actor("ada"), add_job(database), add_job(database, owner="grace")
    _, lease = JobStore(database).claim_next(other.id, timedelta(seconds=20)) or pytest.fail("nothing was due")
    ReceiptStore(database).save(lease, Receipt())
    foreign = JobStore(database).items(other.id)
    assert jobs.receipt_summaries(database, ada, job.id, foreign) == {}


def test_the_page_of_a_flow_run_has_an_address_once_there_is_one(database: Database) -> None:
    settings, job = some_settings(Path("unused"), prefect_port=4201), add_job(database)
    assert jobs.flow_run_url(settings, job) == ""
    assert jobs.flow_run_url(settings, replace(job, flow_run_id="run-1")) == "http://127.0.0.1:4201/runs/flow-run/run-1"
