"""Who may submit what, and to whom a job exists."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom.files import nifti
from models.db.audit import AuditStore
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.errors import AppLocked, BadRequest, NotFound, NotPermitted, UnderMaintenance, WrongState
from models.domain.jobs import Job, JobKind, State
from models.domain.people import EVERY_NODE, Actor, NodeAccess, Permission, operator
from models.domain.project import App, AppState
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from services import jobs, project
from tests.samples import a_request, a_server, add_nodes, some_settings, wishes

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
    with pytest.raises(BadRequest, match="source: a folder") as raised:
        submit(database, ADA, swapped)
    assert list(raised.value.problems) == ["source"]


def test_nodes_must_exist_and_be_able_to(database: Database, request_: TransferRequest) -> None:
    mute = NodeStore(database).add(a_server("MUTE", study_root_get_support=False, store_scp_support=False)).id
    with pytest.raises(BadRequest, match=r"source: .*retrieve.* destination: there is no") as raised:
        submit(database, ADA, replace(request_, source_id=mute, destination_id=4711))
    assert list(raised.value.problems) == ["source", "destination"]
    with pytest.raises(BadRequest, match=r"destination: .*store"):
        submit(database, ADA, replace(request_, destination_id=mute))


def test_only_a_folder_gets_nifti(database: Database, request_: TransferRequest) -> None:
    server = NodeStore(database).add(a_server("RESEARCH")).id
    with pytest.raises(BadRequest) as raised:
        submit(database, ADA, replace(request_, destination_id=server, convert_to_nifti=True))
    assert dict(raised.value.problems) == {"convert_to_nifti": "only for a folder as destination."}
    job = submit(database, ADA, replace(request_, convert_to_nifti=True))
    assert job.convert_to_nifti and jobs.get(database, ADA, job.id).convert_to_nifti
    assert not submit(database, ADA, request_).convert_to_nifti


def test_a_machine_that_does_everything_and_cannot_convert_refuses_at_once(
    database: Database, request_: TransferRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti, "PROGRAM", str(tmp_path / "missing"))
    settings = some_settings(tmp_path)
    with pytest.raises(BadRequest, match="convert_to_nifti: This machine has no"):
        jobs.submit(database, settings, ADA, replace(request_, convert_to_nifti=True))
    elsewhere = settings.model_copy(update={"database_url": "postgresql+psycopg://adit@db/adit"})
    assert jobs.submit(database, elsewhere, ADA, replace(request_, convert_to_nifti=True)).convert_to_nifti


def test_a_node_that_one_may_not_use_looks_like_none(database: Database, request_: TransferRequest) -> None:
    """Else who may use nothing could find out by trying which nodes there are."""
    source, destination = frozenset({request_.source_id}), frozenset({request_.destination_id})
    allowed = replace(ADA, access=NodeAccess(source, destination))
    assert submit(database, allowed, request_).id

    def refusal(actor: Actor, wished: TransferRequest) -> dict[str, str]:
        with pytest.raises(BadRequest) as raised:
            submit(database, actor, wished)
        return dict(raised.value.problems)

    said = "there is no such node, or you may not use it."
    swapped = replace(ADA, access=NodeAccess(destination, source))
    for actor in (replace(ADA, access=NodeAccess()), swapped, replace(STAFF, access=NodeAccess())):
        assert refusal(actor, request_) == {"source": said, "destination": said}
    assert refusal(ADA, replace(request_, source_id=4711)) == {"source": said}
    assert refusal(allowed, replace(request_, destination_id=4711)) == {"destination": said}
    assert refusal(replace(ADA, access=NodeAccess(source)), request_) == {"destination": said}


def test_a_selective_transfer_has_a_limit_unless_staff_asks_for_it(
    database: Database, request_: TransferRequest
) -> None:
    selective = replace(ADA, permissions=frozenset(Permission))
    ten, eleven = (replace(request_, kind=JobKind.SELECTIVE_TRANSFER, studies=wishes(count)) for count in (10, 11))
    assert submit(database, selective, ten).id
    with pytest.raises(BadRequest, match="at most 10") as raised:
        submit(database, selective, eleven)
    assert list(raised.value.problems) == ["studies"]
    assert submit(database, STAFF, eleven).id
    assert submit(database, ADA, replace(eleven, kind=JobKind.BATCH_TRANSFER)).id


def test_jobs_of_users_wait_to_be_verified_where_the_settings_say_so(
    database: Database, request_: TransferRequest
) -> None:
    settings = some_settings(Path("unused"), start_unverified=False)
    waiting = jobs.submit(database, settings, ADA, request_)
    assert waiting.state is State.UNVERIFIED
    assert jobs.submit(database, settings, STAFF, request_).state is State.PENDING
    with pytest.raises(NotPermitted):
        jobs.verify(database, ADA, waiting.id)
    assert jobs.verify(database, STAFF, waiting.id).state is State.PENDING
    with pytest.raises(WrongState):
        jobs.verify(database, STAFF, waiting.id)


def test_nothing_new_gets_through_a_closed_door(database: Database, request_: TransferRequest) -> None:
    settings = project.update(database, STAFF, "", True, 1)
    with pytest.raises(UnderMaintenance):
        submit(database, ADA, request_)
    assert submit(database, STAFF, request_).id
    project.update(database, STAFF, "", False, settings.version)
    project.set_app(database, STAFF, AppState(App.BATCH_TRANSFER, locked=True))
    for actor in (ADA, replace(ADA, name="grace", is_staff=True)):
        with pytest.raises(AppLocked):
            submit(database, actor, request_)
    assert submit(database, STAFF, request_).id, "a superuser may"
    project.set_app(database, STAFF, AppState(App.BATCH_TRANSFER, suspended=True))
    assert submit(database, ADA, request_).state is State.PENDING, "it waits until the application goes on"


def test_a_mail_at_the_end_is_asked_for_with_the_request(database: Database, request_: TransferRequest) -> None:
    assert not submit(database, ADA, request_).send_finished_mail
    assert submit(database, ADA, replace(request_, send_finished_mail=True)).send_finished_mail


def test_the_trail_tells_who_submitted_what_and_names_no_patient(database: Database, request_: TransferRequest) -> None:
    actor = replace(ADA, permissions=frozenset(Permission), address="192.0.2.7")
    series = StudyWish("1.2.3.9", "P9", ("1.2.3.9.1", "1.2.3.9.2"))
    first = submit(database, actor, request_)
    second = submit(database, actor, replace(request_, studies=(series,), keep_identity=True))
    with pytest.raises(NotPermitted):
        submit(database, replace(ADA, permissions=frozenset()), request_)
    entries = [(entry.actor, entry.address, entry.subject, entry.outcome) for entry in AuditStore(database).entries()]
    assert entries == [
        ("ada", "", "batch_transfer", "NotPermitted"),
        (
            "ada",
            "192.0.2.7",
            f"job {second.id}: batch_transfer from PACS to research, 1 study (2 chosen series) with identity",
            "done",
        ),
        ("ada", "192.0.2.7", f"job {first.id}: batch_transfer from PACS to research, 2 studies", "done"),
    ]


def test_for_strangers_a_job_does_not_exist(database: Database, request_: TransferRequest) -> None:
    job = submit(database, ADA, request_)
    (item, _) = jobs.items(database, ADA, job.id)
    for action in (jobs.get, jobs.items, jobs.progress, jobs.receipts, jobs.receipt_summaries, jobs.nodes, jobs.cancel,
                   jobs.resume, jobs.retry, jobs.restart, jobs.delete, jobs.verify, jobs.hurry):  # fmt: skip
        with pytest.raises(NotFound):
            action(database, EVE, job.id)
    for action in (jobs.receipt, jobs.item, jobs.reset_item, jobs.delete_item):
        with pytest.raises(NotFound):
            action(database, EVE, item.id)
    assert jobs.list(database, EVE) == ()
    assert jobs.counts(database, EVE, [job.id]) == {}
    assert jobs.actions(database, EVE, job) == frozenset()
    with pytest.raises(NotPermitted):
        jobs.list(database, EVE, everybody=True)
    assert jobs.get(database, ADA, job.id).state is State.PENDING


def test_staff_may_act_on_every_job(database: Database, request_: TransferRequest) -> None:
    job = submit(database, ADA, request_)
    assert jobs.list(database, STAFF) == ()
    assert jobs.list(database, STAFF, everybody=True) == (job,)
    assert jobs.cancel(database, STAFF, job.id).state is State.CANCELED
    assert jobs.resume(database, STAFF, job.id).state is State.PENDING
    assert jobs.receipts(database, STAFF, job.id) == [(item, Receipt()) for item in jobs.items(database, STAFF, job.id)]


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
