"""Questions, answers and batch files: kept encrypted, found page by page, gone with their job."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import inspect, text

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.questions import BatchFileStore, Question, QuestionStore
from models.db.receipts import ReceiptStore
from models.domain.answers import Answer, CheckedStudy, RowVerdict, Tally
from models.domain.batch_requests import BatchFile
from models.domain.errors import LeaseLost, NotFound
from models.domain.jobs import Job, JobKind, Lease, State
from models.domain.receipts import Receipt
from models.domain.refs import SeriesFound, StudyFound
from models.domain.requests import JobHead
from tests.databases import Clock
from tests.samples import add_job, add_nodes

LEASE = timedelta(seconds=20)
STUDY = StudyFound("1.2.3", "P1", "Doe^Jane", "19700101", "A1", "20240312", "101500", "Thorax", ("CT",), 1, 3)
SERIES = SeriesFound("1.2.3", "1.2.3.1", "CT", "1", "Lung", 3)


def add(db: Database, count: int = 1, kind: JobKind = JobKind.BATCH_QUERY) -> Job:
    source, folder = add_nodes(db)
    destination = folder if kind is JobKind.BATCH_CHECK else None
    questions = [
        Question(source, b"row %d" % number, destination, (number + 1,), f"R{number}") for number in range(1, count + 1)
    ]
    store = QuestionStore(db)
    return store.add("ada", JobHead(kind, project_name="Lungs"), store.sealed(questions))


def keep_file(db: Database, job: Job, file: BatchFile) -> None:
    files = BatchFileStore(db)
    files.keep(job.id, files.sealed(file))


def claimed(db: Database, job: Job) -> Lease:
    claim = JobStore(db).claim_next(job.id, LEASE)
    assert claim is not None
    return claim[1]


def end(db: Database, job: Job, *answers: Answer | CheckedStudy, state: State = State.SUCCESS) -> None:
    QuestionStore(db).end(claimed(db, job), state, "told", answers)


def everything_in(db: Database, *tables: str) -> str:
    with db.reading() as session:
        return " ".join(str(row) for table in tables for row in session.execute(text(f"SELECT * FROM {table}")))


def test_a_job_that_asks_has_its_questions_as_items(database: Database) -> None:
    job = add(database, 2)
    assert (job.kind, job.state, job.project_name, job.linkage_scope_id) == (
        JobKind.BATCH_QUERY,
        State.PENDING,
        "Lungs",
        None,
    )
    first, second = JobStore(database).items(job.id)
    assert (first.lines, first.row_id, first.destination_id) == ((2,), "R1", None)
    assert QuestionStore(database).content(second.id) == b"row 2"
    with pytest.raises(NotFound):
        QuestionStore(database).content(JobStore(database).items(add_job(database).id)[0].id)


def test_nothing_of_a_patient_can_be_read_in_the_tables(database: Database) -> None:
    job = add(database)
    end(database, job, Answer(STUDY, SERIES))
    keep_file(database, job, BatchFile("Doe.csv", b"PatientID\nP1\n", "Doe"))
    kept = everything_in(database, "questions", "answers", "batch_files", "items", "jobs")
    assert not any(word in kept for word in ("row 1", "Doe^", "Doe.csv", "1.2.3", "Thorax", "PatientID"))


def test_answers_come_back_in_the_order_of_the_file_page_by_page(database: Database) -> None:
    job, questions = add(database, 3), QuestionStore(database)
    end(database, job, Answer(STUDY), Answer(STUDY, SERIES))
    end(database, job, state=State.FAILURE)
    assert [(item.position, content, answer) for item, content, answer in questions.results(job.id)] == [
        (1, b"row 1", Answer(STUDY)),
        (1, b"row 1", Answer(STUDY, SERIES)),
        (2, b"row 2", None),
    ]
    assert questions.count_results(job.id) == 3, "the third row has not ended"
    assert [answer for *_, answer in questions.results(job.id, 1, 1)] == [Answer(STUDY, SERIES)]
    second = JobStore(database).items(job.id)[1]
    assert [item.id for item, *_ in questions.results(job.id, item_id=second.id)] == [second.id]
    assert questions.count_results(job.id, second.id) == 1


@pytest.mark.parametrize(
    ("kind", "read", "found"),
    [
        (JobKind.BATCH_QUERY, QuestionStore.results, Answer(STUDY)),
        (JobKind.BATCH_CHECK, QuestionStore.asked, CheckedStudy(RowVerdict.FOUND, "found", STUDY, (SERIES,), 3, 1)),
    ],
)
def test_no_transaction_stands_still_while_somebody_writes_what_was_found(
    database: Database, kind: JobKind, read: Callable[[QuestionStore, int], Iterator[object]], found: Answer
) -> None:
    """PostgreSQL ends one after a minute, which a large file takes longer to write than."""
    job = add(database, 2, kind)
    end(database, job, found)
    end(database, job, found)
    open_ones = [database._reader.pool.checkedout() for _line in read(QuestionStore(database), job.id)]  # type: ignore[attr-defined]
    assert open_ones == [0, 0]


def test_answers_replace_those_of_an_earlier_attempt(database: Database) -> None:
    job, questions = add(database), QuestionStore(database)
    end(database, job, Answer(STUDY), Answer(STUDY))
    (item,) = JobStore(database).items(job.id)
    JobStore(database).reset_item(item.id)
    assert questions.count_results(job.id) == 0
    end(database, job, Answer(STUDY, SERIES))
    assert [answer for *_, answer in questions.results(job.id)] == [Answer(STUDY, SERIES)]


def test_who_has_lost_the_lease_leaves_no_answer(database: Database, clock: Clock) -> None:
    job, questions = add(database), QuestionStore(database)
    late = claimed(database, job)
    clock.pass_by(21)
    end(database, job, Answer(STUDY))
    with pytest.raises(LeaseLost):
        questions.end(late, State.SUCCESS, "late", [Answer(STUDY), Answer(STUDY)])
    assert questions.count_results(job.id) == 1


def test_a_check_is_counted_without_reading_it(database: Database) -> None:
    job, questions = add(database, 6, JobKind.BATCH_CHECK), QuestionStore(database)
    found = CheckedStudy(RowVerdict.FOUND, "3 instances", STUDY, (SERIES,), 3, 1_500_000_000_000)
    end(database, job, found)
    end(database, job, found)
    end(database, job, CheckedStudy(RowVerdict.FOUND, "unknown", STUDY, (SERIES,), None, 5))
    end(database, job, CheckedStudy(RowVerdict.NOT_FOUND, "none"), state=State.WARNING)
    end(database, job, state=State.FAILURE)
    tallies = questions.tallies(job.id)
    assert tallies.waiting == 1
    assert tallies.of == {
        RowVerdict.FOUND: Tally(3, 6, 3_000_000_000_005, 1),
        RowVerdict.NOT_FOUND: Tally(1, 0, 0, 1),
        RowVerdict.FAILED: Tally(1, 0, 0, 1),
    }
    counts = {verdict: questions.count_asked(job.id, verdict) for verdict in RowVerdict}
    assert {verdict: count for verdict, count in counts.items() if count} == {
        RowVerdict.FOUND: 3,
        RowVerdict.NOT_FOUND: 1,
        RowVerdict.FAILED: 1,
    }
    assert questions.count_asked(job.id) == 6
    assert [asked.item.position for asked in questions.asked(job.id, RowVerdict.FAILED)] == [5]
    assert [asked.checked for asked in questions.asked(job.id, limit=2, offset=3)] == [
        CheckedStudy(RowVerdict.NOT_FOUND, "none"),
        None,
    ]


def test_a_file_comes_back_as_it_was(database: Database) -> None:
    job, files = add(database), BatchFileStore(database)
    file = BatchFile("Doe.xlsx", bytes(range(256)) * 10 + b"\n\n", "Tabelle 1")
    assert not files.has(job.id)
    keep_file(database, job, file)
    assert files.has(job.id) and files.load(job.id) == file
    with pytest.raises(NotFound):
        files.load(add(database).id)


def test_all_of_it_goes_with_the_job(database: Database) -> None:
    job = add(database)
    keep_file(database, job, BatchFile("a.csv", b"x"))
    JobStore(database).delete(job.id)
    assert everything_in(database, "questions", "answers", "batch_files") == ""


def test_of_a_check_one_transfer_is_known(database: Database) -> None:
    job, jobs = add(database, kind=JobKind.BATCH_CHECK), JobStore(database)
    assert jobs.made_of(job.id) is None
    made = add_job(database, checked_by_job_id=job.id)
    assert jobs.made_of(job.id) == made
    with pytest.raises(NotFound):
        jobs.made_of(4711)


def test_due_questions_are_counted_and_claimed_by_their_source(database: Database, clock: Clock) -> None:
    job, jobs = add(database, 3), JobStore(database)
    (source,) = {item.source_id for item in jobs.items(job.id)}
    assert jobs.due_sources(job.id) == {source: 3}
    assert jobs.claim_next(job.id, LEASE, source + 1) is None
    assert jobs.claim_next(job.id, LEASE, source) is not None
    assert jobs.due_sources(job.id) == {source: 2}
    clock.pass_by(21)
    assert jobs.due_sources(job.id) == {source: 3}
    claim = jobs.claim_next(job.id, LEASE, source)
    assert claim is not None and claim[0].position == 1, "what a dead worker left goes first, as it stands first"


def test_what_was_delivered_before_is_known_by_scope_and_destination(database: Database) -> None:
    job, jobs = add_job(database, studies=1), JobStore(database)
    _, folder = add_nodes(database)
    questions = QuestionStore(database)
    claim = jobs.claim_next(job.id, LEASE)
    assert claim is not None
    item, lease = claim
    assert questions.delivered_before(folder, job.linkage_scope_id, item.study_uid) is None
    everything = {"expected": {"1"}, "received": {"1"}, "stored": {"1"}, "confirmed": {"1"}}
    ReceiptStore(database).save(lease, Receipt(**everything))
    jobs.end_attempt(lease, State.SUCCESS, "done")
    known = questions.delivered_before(folder, job.linkage_scope_id, item.study_uid)
    assert known is not None and known.id == item.id
    for destination, scope, study in (
        (folder + 1, job.linkage_scope_id, item.study_uid),
        (folder, None, item.study_uid),
        (folder, job.scope_id + 1, item.study_uid),
        (folder, job.linkage_scope_id, "1.2.9"),
    ):
        assert questions.delivered_before(destination, scope, study) is None


def test_what_was_delivered_before_is_not_looked_for_in_all_that_was_ever_delivered(database: Database) -> None:
    indexes = [one["column_names"] for one in inspect(database._engine).get_indexes("items")]
    assert ["study_uid", "destination_id"] in indexes


def test_a_job_of_questions_ends_with_its_last_item(database: Database) -> None:
    job = add(database, 3)
    for expected in (State.IN_PROGRESS, State.IN_PROGRESS, State.SUCCESS):
        end(database, job)
        assert JobStore(database).get(job.id).state is expected
