"""Jobs that ended long ago lose what names patients, and keep what proves what was delivered."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.questions import BatchFileStore, Question, QuestionStore
from models.db.receipts import ReceiptStore
from models.db.retention import RetentionStore
from models.db.tables import AnswerRow
from models.domain.answers import Answer
from models.domain.batch_requests import BatchFile
from models.domain.errors import NotFound, WrongState
from models.domain.jobs import Job, JobKind, State
from models.domain.receipts import Receipt
from models.domain.refs import StudyFound
from models.domain.requests import JobHead
from tests.databases import Clock
from tests.samples import add_job, add_nodes

LEASE = timedelta(seconds=20)
DAY = 86_400


@pytest.fixture
def retention(database: Database) -> RetentionStore:
    return RetentionStore(database)


def ended(db: Database, job: Job) -> Job:
    while (claim := JobStore(db).claim_next(job.id, LEASE)) is not None:
        ReceiptStore(db).save(claim[1], Receipt(expected={"1.2"}, stored={"1.2"}))
        JobStore(db).end_attempt(claim[1], State.SUCCESS, "1 instance.")
    return JobStore(db).get(job.id)


def a_query(db: Database, kind: JobKind = JobKind.BATCH_QUERY) -> Job:
    source, _ = add_nodes(db)
    questions, files = QuestionStore(db), BatchFileStore(db)
    job = questions.add("ada", JobHead(kind), questions.sealed([Question(source, b"Doe^Jane", row_id="JANE")]))
    files.keep(job.id, files.sealed(BatchFile("jane.csv", b"Doe^Jane")))
    claim = JobStore(db).claim_next(job.id, LEASE)
    assert claim is not None
    questions.end(claim[1], State.SUCCESS, "1 study.", [Answer(StudyFound("1.2.3", "P1"))])
    return JobStore(db).get(job.id)


def test_a_transfer_loses_its_patients_and_keeps_its_receipts(
    database: Database, retention: RetentionStore, clock: Clock
) -> None:
    job = ended(database, add_job(database, studies=2))
    clock.pass_by(DAY)
    assert retention.due(clock(), 10) == (job.id,)
    assert retention.empty(job.id, clock())
    items = JobStore(database).items(job.id)
    assert [(item.patient_id, item.row_id, item.state) for item in items] == [("", "", State.SUCCESS)] * 2
    assert all(item.study_uid and item.pseudonym for item in items)
    assert [ReceiptStore(database).load(item.id).stored for item in items] == [{"1.2"}] * 2
    assert JobStore(database).get(job.id).emptied_at == clock()


def test_a_query_loses_file_questions_and_answers(database: Database, retention: RetentionStore, clock: Clock) -> None:
    job = a_query(database)
    (item,) = JobStore(database).items(job.id)
    clock.pass_by(DAY)
    assert retention.empty(job.id, clock())
    with pytest.raises(NotFound):
        QuestionStore(database).content(item.id)
    assert not BatchFileStore(database).has(job.id)
    assert QuestionStore(database).count_results(job.id) == 0
    assert list(QuestionStore(database).results(job.id)) == []
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(AnswerRow)) == 0


def test_what_goes_on_or_ended_lately_keeps_everything(
    database: Database, retention: RetentionStore, clock: Clock
) -> None:
    waiting = add_job(database)
    old = ended(database, add_job(database))
    clock.pass_by(DAY)
    young = ended(database, add_job(database))
    before = clock()
    assert retention.due(before, 10) == (old.id,)
    assert not retention.empty(waiting.id, before)
    assert not retention.empty(young.id, before)
    JobStore(database).restart(old.id)
    assert not retention.empty(old.id, before), "somebody has begun it again since it was found"


def test_emptying_twice_changes_nothing(database: Database, retention: RetentionStore, clock: Clock) -> None:
    job = ended(database, add_job(database))
    clock.pass_by(DAY)
    before = clock()
    assert retention.empty(job.id, before)
    clock.pass_by(DAY)
    assert not retention.empty(job.id, before)
    assert retention.due(clock(), 10) == ()
    assert JobStore(database).get(job.id).emptied_at == before


def test_a_job_that_is_deleted_meanwhile_is_passed_over(
    database: Database, retention: RetentionStore, clock: Clock
) -> None:
    job = a_query(database)
    clock.pass_by(DAY)
    assert retention.due(clock(), 10) == (job.id,)
    JobStore(database).delete(job.id)
    assert not retention.empty(job.id, clock())


def test_a_check_stays_as_long_as_its_transfer(database: Database, retention: RetentionStore, clock: Clock) -> None:
    check = a_query(database, JobKind.BATCH_CHECK)
    clock.pass_by(DAY)
    transfer = add_job(database, checked_by_job_id=check.id)
    assert retention.due(clock(), 10) == ()
    ended(database, transfer)
    assert retention.due(clock(), 10) == ()
    clock.pass_by(DAY)
    assert set(retention.due(clock(), 10)) == {check.id, transfer.id}


def test_nothing_of_an_emptied_job_can_be_done_again(
    database: Database, retention: RetentionStore, clock: Clock
) -> None:
    job = ended(database, add_job(database))
    (item,) = JobStore(database).items(job.id)
    clock.pass_by(DAY)
    retention.empty(job.id, clock())
    jobs = JobStore(database)
    for again in (
        lambda: jobs.restart(job.id),
        lambda: jobs.resume(job.id),
        lambda: jobs.reset_item(item.id),
        lambda: jobs.reopen_item(item.id),
    ):
        with pytest.raises(WrongState, match="patient data was removed"):
            again()
