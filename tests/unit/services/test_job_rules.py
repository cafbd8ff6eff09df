"""Who may submit what, and who may do what to a job."""

from dataclasses import replace

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.errors import BadRequest, NotFound, NotPermitted, WrongState
from models.domain.jobs import JobKind, State
from models.domain.people import Actor, Permission, operator
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from services import jobs
from tests.samples import a_request, a_server, add_nodes

STAFF = operator("admin")
ADA = Actor("ada", permissions=frozenset({Permission.ADD_BATCH_TRANSFER}))
EVE = replace(ADA, name="eve")


@pytest.fixture
def request_(database: Database) -> TransferRequest:
    return a_request(*add_nodes(database), studies=2)


def test_a_submitted_job_waits_in_the_name_of_its_owner(database: Database, request_: TransferRequest) -> None:
    job = jobs.submit(database, ADA, request_)
    assert (job.owner, job.state) == ("ada", State.PENDING)
    assert [item.pseudonym for item in jobs.items(database, ADA, job.id)] == ["ANON1", "ANON2"]
    assert jobs.progress(database, ADA, job.id).counts == {State.PENDING: 2}


def test_jobs_of_one_trial_share_a_scope_and_others_do_not(database: Database, request_: TransferRequest) -> None:
    trial = replace(request_, trial_protocol_id="T1")
    scopes = [jobs.submit(database, ADA, wished).linkage_scope_id for wished in (trial, trial, request_, request_)]
    assert scopes[0] == scopes[1]
    assert len(set(scopes)) == 3


def test_a_request_that_contradicts_itself_leaves_nothing_behind(database: Database, request_: TransferRequest) -> None:
    with pytest.raises(BadRequest, match="study_uid"):
        jobs.submit(database, ADA, replace(request_, studies=(StudyWish("no uid", pseudonym="X"),)))
    assert JobStore(database).list() == ()


@pytest.mark.parametrize(
    ("right", "change"),
    [
        (Permission.ADD_SELECTIVE_TRANSFER, {"kind": JobKind.SELECTIVE_TRANSFER}),
        (Permission.BATCH_URGENT, {"urgent": True}),
        (Permission.BATCH_UNPSEUDONYMIZED, {"studies": (StudyWish("1.2.3"),)}),
    ],
)
def test_each_right_is_needed_for_what_it_allows(
    database: Database, request_: TransferRequest, right: Permission, change: dict[str, object]
) -> None:
    wished = replace(request_, **change)  # type: ignore[arg-type]
    with pytest.raises(NotPermitted):
        jobs.submit(database, ADA, wished)
    assert jobs.submit(database, replace(ADA, permissions=ADA.permissions | {right}), wished).id


def test_one_study_without_pseudonym_is_enough_to_refuse(database: Database, request_: TransferRequest) -> None:
    mixed = replace(request_, studies=(*request_.studies, StudyWish("9.9")))
    with pytest.raises(NotPermitted, match=r"studies 3\)"):
        jobs.submit(database, ADA, mixed)


def test_a_folder_is_never_a_source(database: Database, request_: TransferRequest) -> None:
    swapped = replace(request_, source_id=request_.destination_id, destination_id=request_.source_id)
    with pytest.raises(BadRequest, match="source: a folder"):
        jobs.submit(database, ADA, swapped)


def test_nodes_must_exist_and_be_able_to(database: Database, request_: TransferRequest) -> None:
    mute = NodeStore(database).add(a_server("MUTE", study_root_get_support=False, store_scp_support=False)).id
    with pytest.raises(BadRequest, match=r"source: .*retrieve.* destination: there is no"):
        jobs.submit(database, ADA, replace(request_, source_id=mute, destination_id=4711))
    with pytest.raises(BadRequest, match=r"destination: .*store"):
        jobs.submit(database, ADA, replace(request_, destination_id=mute))


def test_for_strangers_a_job_does_not_exist(database: Database, request_: TransferRequest) -> None:
    job = jobs.submit(database, ADA, request_)
    (item, _) = jobs.items(database, ADA, job.id)
    for action in (jobs.get, jobs.items, jobs.progress, jobs.receipts, jobs.cancel, jobs.resume, jobs.retry,
                   jobs.restart, jobs.delete):  # fmt: skip
        with pytest.raises(NotFound):
            action(database, EVE, job.id)
    with pytest.raises(NotFound):
        jobs.receipt(database, EVE, item.id)
    assert jobs.list(database, EVE) == ()
    with pytest.raises(NotPermitted):
        jobs.list(database, EVE, everybody=True)
    assert jobs.get(database, ADA, job.id).state is State.PENDING


def test_staff_may_act_on_every_job(database: Database, request_: TransferRequest) -> None:
    job = jobs.submit(database, ADA, request_)
    assert jobs.list(database, STAFF) == ()
    assert jobs.list(database, STAFF, everybody=True) == (job,)
    assert jobs.cancel(database, STAFF, job.id).state is State.CANCELED
    assert jobs.resume(database, STAFF, job.id).state is State.PENDING
    assert jobs.receipts(database, STAFF, job.id) == {
        item.id: Receipt() for item in jobs.items(database, STAFF, job.id)
    }


def test_the_owner_may_do_all_but_restart(database: Database, request_: TransferRequest) -> None:
    job = jobs.submit(database, ADA, request_)
    jobs.cancel(database, ADA, job.id)
    with pytest.raises(NotPermitted):
        jobs.restart(database, ADA, job.id)
    assert jobs.restart(database, STAFF, job.id).state is State.PENDING
    with pytest.raises(WrongState):
        jobs.retry(database, ADA, job.id)
    jobs.delete(database, ADA, job.id)
    with pytest.raises(NotFound):
        jobs.get(database, ADA, job.id)
