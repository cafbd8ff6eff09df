"""Who may submit what, and who may do what to a job."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.errors import BadRequest, NotFound, NotPermitted, WrongState
from models.domain.jobs import Job, JobKind, State
from models.domain.people import EVERY_NODE, Actor, Permission, operator
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from services import jobs
from tests.samples import a_request, a_server, add_nodes, some_settings

STAFF = operator("admin")
ADA = Actor("ada", permissions=frozenset({Permission.ADD_BATCH_TRANSFER}), access=EVERY_NODE)
EVE = replace(ADA, name="eve")


def submit(database: Database, actor: Actor, request: TransferRequest) -> Job:
    return jobs.submit(database, some_settings(Path("unused")), actor, request)


@pytest.fixture
def request_(database: Database) -> TransferRequest:
    return a_request(*add_nodes(database), studies=2)


def test_a_submitted_job_waits_in_the_name_of_its_owner(database: Database, request_: TransferRequest) -> None:
    job = submit(database, ADA, request_)
    assert (job.owner, job.state) == ("ada", State.PENDING)
    assert [item.pseudonym for item in jobs.items(database, ADA, job.id)] == ["ANON1", "ANON2"]
    assert jobs.progress(database, ADA, job.id).counts == {State.PENDING: 2}


def test_jobs_of_one_trial_share_a_scope_and_others_do_not(database: Database, request_: TransferRequest) -> None:
    trial = replace(request_, trial_protocol_id="T1")
    scopes = [submit(database, ADA, wished).linkage_scope_id for wished in (trial, trial, request_, request_)]
    assert scopes[0] == scopes[1]
    assert len(set(scopes)) == 3


def test_a_request_that_contradicts_itself_leaves_nothing_behind(database: Database, request_: TransferRequest) -> None:
    with pytest.raises(BadRequest, match="study_uid"):
        submit(database, ADA, replace(request_, studies=(StudyWish("no uid", pseudonym="X"),)))
    assert JobStore(database).list() == ()


@pytest.mark.parametrize(
    ("right", "change"),
    [
        (Permission.ADD_SELECTIVE_TRANSFER, {"kind": JobKind.SELECTIVE_TRANSFER}),
        (Permission.BATCH_URGENT, {"urgent": True}),
        (Permission.BATCH_UNPSEUDONYMIZED, {"studies": (StudyWish("1.2.3"),), "keep_identity": True}),
    ],
)
def test_each_right_is_needed_for_what_it_allows(
    database: Database, request_: TransferRequest, right: Permission, change: dict[str, object]
) -> None:
    wished = replace(request_, **change)  # type: ignore[arg-type]
    with pytest.raises(NotPermitted):
        submit(database, ADA, wished)
    assert submit(database, replace(ADA, permissions=ADA.permissions | {right}), wished).id


def test_a_study_without_pseudonym_is_never_taken_for_one_that_keeps_its_identity(
    database: Database, request_: TransferRequest
) -> None:
    staff = replace(ADA, permissions=frozenset(Permission))
    job = submit(database, staff, replace(request_, studies=(StudyWish("9.9"), StudyWish("9.8", "P1"))))
    assert not job.keep_identity
    unknown, known = jobs.items(database, staff, job.id)
    assert unknown.pseudonym == "", "whose it is only the source knows"
    assert len(known.pseudonym) == 12


def test_a_job_remembers_its_profile_and_its_rules(database: Database, request_: TransferRequest) -> None:
    chosen = submit(database, ADA, replace(request_, profile="basic"))
    default = submit(database, ADA, request_)
    assert (chosen.profile, default.profile) == ("basic", "research")
    assert len(chosen.policy_digest) == len(default.policy_digest) == 16
    assert chosen.policy_digest != default.policy_digest
    kept = submit(database, STAFF, replace(request_, studies=(StudyWish("9.9"),), keep_identity=True))
    assert (kept.profile, kept.policy_digest, kept.keep_identity) == ("", "", True)


@pytest.mark.parametrize("name", ["no-such-profile", "../etc", "Research"])
def test_a_profile_that_there_is_not_is_refused_by_name(
    database: Database, request_: TransferRequest, name: str
) -> None:
    with pytest.raises(BadRequest, match=r"^profile: "):
        submit(database, ADA, replace(request_, profile=name))
    assert JobStore(database).list() == ()


def test_a_broken_profile_of_the_site_is_refused_with_its_reason(
    database: Database, request_: TransferRequest, tmp_path: Path
) -> None:
    (tmp_path / "ours.yaml").write_text("extends: research\noptions: [retain_full_dates, retain_modified_dates]\n")
    settings = some_settings(tmp_path, profiles_dir=tmp_path)
    with pytest.raises(BadRequest, match=r"profile: .*ours.*retain_full_dates"):
        jobs.submit(database, settings, ADA, replace(request_, profile="ours"))
    (tmp_path / "ours.yaml").write_text("extends: research\n")
    assert jobs.submit(database, settings, ADA, replace(request_, profile="ours")).profile == "ours"


def test_a_folder_is_never_a_source(database: Database, request_: TransferRequest) -> None:
    swapped = replace(request_, source_id=request_.destination_id, destination_id=request_.source_id)
    with pytest.raises(BadRequest, match="source: a folder"):
        submit(database, ADA, swapped)


def test_nodes_must_exist_and_be_able_to(database: Database, request_: TransferRequest) -> None:
    mute = NodeStore(database).add(a_server("MUTE", study_root_get_support=False, store_scp_support=False)).id
    with pytest.raises(BadRequest, match=r"source: .*retrieve.* destination: there is no"):
        submit(database, ADA, replace(request_, source_id=mute, destination_id=4711))
    with pytest.raises(BadRequest, match=r"destination: .*store"):
        submit(database, ADA, replace(request_, destination_id=mute))


def test_for_strangers_a_job_does_not_exist(database: Database, request_: TransferRequest) -> None:
    job = submit(database, ADA, request_)
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
    job = submit(database, ADA, request_)
    assert jobs.list(database, STAFF) == ()
    assert jobs.list(database, STAFF, everybody=True) == (job,)
    assert jobs.cancel(database, STAFF, job.id).state is State.CANCELED
    assert jobs.resume(database, STAFF, job.id).state is State.PENDING
    assert jobs.receipts(database, STAFF, job.id) == {
        item.id: Receipt() for item in jobs.items(database, STAFF, job.id)
    }


def test_the_owner_may_do_all_but_restart(database: Database, request_: TransferRequest) -> None:
    job = submit(database, ADA, request_)
    jobs.cancel(database, ADA, job.id)
    with pytest.raises(NotPermitted):
        jobs.restart(database, ADA, job.id)
    assert jobs.restart(database, STAFF, job.id).state is State.PENDING
    with pytest.raises(WrongState):
        jobs.retry(database, ADA, job.id)
    jobs.delete(database, ADA, job.id)
    with pytest.raises(NotFound):
        jobs.get(database, ADA, job.id)
