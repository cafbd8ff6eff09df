"""Who asks for an identity leaves a trace, whatever the answer; what is forgotten is really gone."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.receipts import ReceiptStore
from models.db.tables import ScopeRow
from models.domain.audit import AuditAction
from models.domain.errors import AditError, BadRequest, NotFound, NotPermitted, WrongState
from models.domain.jobs import Job, JobKind, State
from models.domain.people import Actor, Permission, operator
from models.domain.receipts import Receipt
from models.domain.requests import StudyWish, TransferRequest
from services import audit, escrow, jobs
from tests.databases import MASTER_KEY, Clock, sqlite_database
from tests.samples import add_nodes, some_settings

TESTER = operator("tester")
TRUSTEE = Actor("trustee", permissions=frozenset({Permission.READ_ESCROW}))
OF_IDENTITIES = {AuditAction.LOOK_UP_IDENTITY, AuditAction.FORGET_SCOPE}
WHY = "incidental finding, the patient has to be told"


def a_trial(database: Database, tmp_path: Path) -> Job:
    wishes = (StudyWish("1.2.3", "PATIENT-77", (), "ANON"),)
    request = TransferRequest(JobKind.BATCH_TRANSFER, *add_nodes(database), wishes, "T1")
    return jobs.submit(database, some_settings(tmp_path, escrow=True), TESTER, request)


def trail(database: Database) -> list[tuple[str, AuditAction, str, str, str]]:
    """What the trail says of identities; submitting the trial has left lines, too."""
    found = [line for line in audit.entries(database, TESTER) if line.action in OF_IDENTITIES]
    return [(line.actor, line.action, line.subject, line.reason, line.outcome) for line in found]


def test_a_look_up_is_answered_and_written_down(database: Database, tmp_path: Path, clock: Clock) -> None:
    a_trial(database, tmp_path)
    assert escrow.look_up(database, TRUSTEE, "T1", "ANON", f"  {WHY}\n") == "PATIENT-77"
    assert trail(database) == [("trustee", AuditAction.LOOK_UP_IDENTITY, "trial T1, pseudonym ANON", "", "done")]
    assert kept_reason(database) == WHY
    assert audit.entries(database, TESTER)[0].at == clock.now


@pytest.mark.parametrize(
    ("actor", "place", "pseudonym", "reason", "error", "subject"),
    [
        (Actor("eve"), "T1", "ANON", WHY, NotPermitted, "trial T1"),
        (replace(TRUSTEE, is_staff=True, permissions=frozenset()), "T1", "ANON", WHY, NotPermitted, "trial T1"),
        (TRUSTEE, "T1", "ANON", "", BadRequest, "trial T1"),
        (TRUSTEE, "T1", "ANON", " too short ", BadRequest, "trial T1"),
        (TRUSTEE, "T1", "ANON", "x" * 501, BadRequest, "trial T1"),
        (TRUSTEE, "PATIENT-77", "ANON", WHY, NotFound, ""),
        (TRUSTEE, 4711, "ANON", WHY, NotFound, ""),
        (TRUSTEE, "T1", "PATIENT-77", WHY, NotFound, "trial T1"),
        (TRUSTEE, 1, "ANON", WHY, BadRequest, "job 1"),
        (TRUSTEE, "T1", "ANON", "is this patient-77 of ours?", BadRequest, "trial T1, pseudonym ANON"),
    ],
)
def test_a_look_up_that_is_refused_is_written_down_without_what_may_be_a_patient(
    database: Database,
    tmp_path: Path,
    actor: Actor,
    place: str | int,
    pseudonym: str,
    reason: str,
    error: type[AditError],
    subject: str,
) -> None:
    a_trial(database, tmp_path)
    with pytest.raises(error) as raised:
        escrow.look_up(database, actor, place, pseudonym, reason)
    ((who, action, about, why, outcome),) = trail(database)
    assert why == ""
    assert (who, action, about, outcome) == (actor.name, AuditAction.LOOK_UP_IDENTITY, subject, error.__name__)
    assert "PATIENT-77" not in f"{about} {raised.value.message}".upper()
    assert len(kept_reason(database)) <= 500


def test_a_reason_that_names_the_patient_is_nowhere_in_the_clear(tmp_path: Path, clock: Clock) -> None:
    database = sqlite_database(tmp_path, clock)
    a_trial(database, tmp_path)
    told = "the ward asks for Hans Umbrella"
    for pseudonym in ("ANON", "MISTYPED"):
        with suppress(NotFound):
            escrow.look_up(database, TRUSTEE, "T1", pseudonym, told)
        assert kept_reason(database) == told
    assert "Umbrella" not in "".join(audit.export(database, TESTER))
    database.close()
    assert all(b"Umbrella" not in file.read_bytes() for file in tmp_path.glob("adit.db*"))


def kept_reason(database: Database) -> str:
    """What the newest line about identities keeps encrypted."""
    newest = next(line for line in audit.entries(database, TESTER) if line.action in OF_IDENTITIES)
    return audit.details(database, TESTER, newest.id, WHY).get("reason", "")


def test_why_a_trial_was_forgotten_is_told_in_the_clear_and_why_it_was_tried_is_not(
    database: Database, tmp_path: Path
) -> None:
    job = a_trial(database, tmp_path)
    with pytest.raises(WrongState):
        escrow.forget(database, TESTER, "T1", WHY)
    assert (trail(database)[0][3], kept_reason(database)) == ("", WHY)
    jobs.cancel(database, TESTER, job.id)
    escrow.forget(database, TESTER, "T1", WHY)
    assert (trail(database)[0][3], kept_reason(database)) == (WHY, "")


def test_only_who_may_sees_the_trail_newest_first(database: Database, tmp_path: Path) -> None:
    a_trial(database, tmp_path)
    for _ in range(3):
        escrow.look_up(database, TRUSTEE, "T1", "ANON", WHY)
    with pytest.raises(NotPermitted):
        audit.entries(database, TRUSTEE)
    newest = audit.count(database, TESTER)
    numbers = [line.id for line in audit.entries(database, TESTER, limit=2)]
    assert numbers == [newest, newest - 1]


def test_forgetting_needs_its_own_right_and_is_written_down(database: Database, tmp_path: Path) -> None:
    job = a_trial(database, tmp_path)
    jobs.cancel(database, TESTER, job.id)
    with pytest.raises(NotPermitted):
        escrow.forget(database, TRUSTEE, "T1", WHY)
    escrow.forget(database, TESTER, "T1", WHY)
    with pytest.raises(WrongState, match="forgotten"):
        escrow.look_up(database, TRUSTEE, "T1", "ANON", WHY)
    outcomes = [(who, action.value, outcome) for who, action, _, _, outcome in trail(database)]
    assert outcomes == [
        ("trustee", "look_up_identity", "WrongState"),
        ("tester", "forget_scope", "done"),
        ("trustee", "forget_scope", "NotPermitted"),
    ]


def test_a_forgotten_trial_leaves_nothing_in_the_log_that_others_keep_open(tmp_path: Path, clock: Clock) -> None:
    """As `adit up` does while somebody forgets a trial."""
    database = sqlite_database(tmp_path, clock)
    other = Database(f"sqlite:///{tmp_path}/adit.db", MASTER_KEY, clock)
    job = a_trial(database, tmp_path)
    sealed = sealed_key(database)
    assert jobs.items(other, TESTER, job.id)
    jobs.cancel(database, TESTER, job.id)
    assert any(sealed in path.read_bytes() for path in tmp_path.glob("adit.db*"))
    assert escrow.forget(database, TESTER, "T1", WHY)
    assert not any(sealed in path.read_bytes() for path in tmp_path.glob("adit.db*"))


def sealed_key(database: Database) -> bytes:
    with database.reading() as session:
        return session.scalars(select(ScopeRow.key).where(ScopeRow.name == "T1")).one()


def test_a_forgotten_trial_leaves_nothing_that_leads_to_its_patients(tmp_path: Path, clock: Clock) -> None:
    database = sqlite_database(tmp_path, clock)
    job = a_trial(database, tmp_path)
    item, lease = JobStore(database).claim_next(job.id, timedelta(seconds=20)) or pytest.fail("nothing was due")
    ReceiptStore(database).save(lease, Receipt(stored={"1.2.3.4"}, digests={"1.2.3.4": "d1ge57"}))
    JobStore(database).end_attempt(lease, State.SUCCESS, "done")
    with database.reading() as session:
        (sealed_key,) = session.connection().exec_driver_sql("SELECT key FROM linkage_scopes").one()
        (sealed_id,) = session.connection().exec_driver_sql("SELECT ciphertext FROM escrow_entries").one()
        (patient,) = session.connection().exec_driver_sql("SELECT patient_digest FROM pseudonym_bindings").one()
    escrow.forget(database, TESTER, "T1", WHY)
    assert JobStore(database).item(item.id).pseudonym == ""
    receipt = ReceiptStore(database).load(item.id)
    assert (receipt.stored, receipt.digests) == ({"1.2.3.4"}, {})
    database.close()
    content = b"".join(file.read_bytes() for file in tmp_path.glob("adit.db*"))
    assert b"trial T1" in content
    for gone in (sealed_key, sealed_id, patient.encode(), b"ANON"):
        assert gone not in content


def test_a_job_without_trial_can_be_forgotten_alone(database: Database, tmp_path: Path) -> None:
    request = TransferRequest(JobKind.BATCH_TRANSFER, *add_nodes(database), (StudyWish("1.2.3", "P1", (), "ANON"),))
    job, other = (jobs.submit(database, some_settings(tmp_path), TESTER, request) for _ in range(2))
    for one in (job, other):
        jobs.cancel(database, TESTER, one.id)
    escrow.forget(database, TESTER, job.id, WHY)
    assert jobs.resume(database, TESTER, other.id).state is State.PENDING
    with pytest.raises(WrongState):
        jobs.resume(database, TESTER, job.id)
