"""Keeps what batch jobs ask servers, the files the questions came from, and the answers; all of it encrypted.

Questions, answers and files name patients. Who may read them is for ``services`` to decide. They go with their job.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, or_, select

from models.db.engine import Database
from models.db.job_events import tell
from models.db.job_rows import insert_items, item_of, job_of, new_item, new_job
from models.db.leases import LeaseStore
from models.db.tables import AnswerRow, BatchFileRow, ItemRow, JobRow, QuestionRow, ReceiptRow
from models.domain.answers import Answer, CheckedStudy, RowVerdict, Tallies, Tally
from models.domain.batch_requests import BatchFile
from models.domain.errors import NotFound
from models.domain.jobs import FINISHED, Item, Job, Lease, State
from models.domain.receipts import Completeness
from models.domain.requests import JobHead
from models.domain.webhooks import Event

T = TypeVar("T")

_ANSWERS = TypeAdapter(Answer)
_CHECKED = TypeAdapter(CheckedStudy)


@dataclass(frozen=True, slots=True)
class Question:
    """One item to be: what one server is asked. ``content`` is kept encrypted."""

    source_id: int
    content: bytes
    destination_id: int | None = None
    lines: tuple[int, ...] = ()
    row_id: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """An item with its question as it was asked and, of a check, what it has found."""

    item: Item
    content: bytes
    checked: CheckedStudy | None = None


@dataclass(frozen=True, slots=True)
class SealedQuestion:
    """A question, ready to be written down."""

    question: Question
    ciphertext: bytes


class QuestionStore:
    """Jobs that only ask, their questions, files and answers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def sealed(self, questions: Iterable[Question]) -> Sequence[SealedQuestion]:
        """The questions encrypted, which is done before the transaction: SQLite has one writer at a time."""
        return [SealedQuestion(one, self._db.vault.encrypt(one.content)) for one in questions]

    def add(self, owner: str, head: JobHead, questions: Sequence[SealedQuestion], state: State = State.PENDING) -> Job:
        """Write an accepted request down as a job, pending or unverified, with one pending item per question."""
        with self._db.transaction() as session:
            job = new_job(owner, head, None, "", state, self._db.clock())
            session.add(job)
            session.flush()
            items = [_item(job.id, position, one.question) for position, one in enumerate(questions, start=1)]
            insert_items(session, items)
            ids = session.scalars(select(ItemRow.id).where(ItemRow.job_id == job.id).order_by(ItemRow.position)).all()
            told = zip(ids, questions, strict=True)
            sealed = [{"item_id": item_id, "content": one.ciphertext} for item_id, one in told]
            if sealed:
                session.execute(insert(QuestionRow), sealed)
            tell(session, Event.ACCEPTED, job, {State.PENDING: len(ids)}, job.created_at)
            return job_of(job)

    def content(self, item_id: int) -> bytes:
        """What an item asks; raises NotFound for one that moves something."""
        with self._db.reading() as session:
            sealed = session.scalar(select(QuestionRow.content).where(QuestionRow.item_id == item_id))
        if sealed is None:
            raise NotFound("There is no such question.")
        return self._db.vault.decrypt(sealed)

    def end(self, lease: Lease, state: State, message: str, answers: Sequence[Answer | CheckedStudy]) -> None:
        """End an attempt with these answers, instead of what an earlier one may have left; raises LeaseLost."""
        with self._db.transaction() as session:
            LeaseStore(self._db).end_attempt(lease, state, message)
            session.execute(delete(AnswerRow).where(AnswerRow.item_id == lease.item_id))
            session.add_all(self._answer(lease.item_id, position, one) for position, one in enumerate(answers, start=1))

    def results(
        self, job_id: int, limit: int | None = None, offset: int = 0, item_id: int | None = None
    ) -> Iterator[tuple[Item, bytes, Answer | None]]:
        """Yield each answer of a batch query with its item and question, in the order of the file.

        An item that has ended without an answer comes once, with None.
        """
        wanted = (
            select(ItemRow, QuestionRow.content, AnswerRow.content)
            .join(QuestionRow, QuestionRow.item_id == ItemRow.id)
            .outerjoin(AnswerRow, AnswerRow.item_id == ItemRow.id)
            .where(*_with_result(job_id, item_id))
            .order_by(ItemRow.position, AnswerRow.position)
        )
        with self._db.reading() as session:
            found = session.execute(wanted.limit(limit).offset(offset or None))
            rows = [(item_of(row), question, answer) for row, question, answer in found]
        for item, question, answer in rows:  # a large file takes longer than a transaction may stand still
            known = None if not answer else _ANSWERS.validate_json(self._db.vault.decrypt(answer))
            yield item, self._db.vault.decrypt(question), known

    def count_results(self, job_id: int, item_id: int | None = None) -> int:
        """How many ``results`` there are."""
        wanted = (
            select(func.count())
            .select_from(ItemRow)
            .join(QuestionRow, QuestionRow.item_id == ItemRow.id)
            .outerjoin(AnswerRow, AnswerRow.item_id == ItemRow.id)
            .where(*_with_result(job_id, item_id))
        )
        with self._db.reading() as session:
            return session.scalar(wanted) or 0

    def asked(
        self, job_id: int, verdict: RowVerdict | None = None, limit: int | None = None, offset: int = 0
    ) -> Iterator[Asked]:
        """Yield the items of a check with their questions and what they have found, in the order of the file."""
        wanted = (
            select(ItemRow, QuestionRow.content, AnswerRow.content)
            .join(QuestionRow, QuestionRow.item_id == ItemRow.id)
            .outerjoin(AnswerRow, AnswerRow.item_id == ItemRow.id)
            .where(ItemRow.job_id == job_id, *_of_verdict(verdict))
            .order_by(ItemRow.position)
        )
        with self._db.reading() as session:
            found = session.execute(wanted.limit(limit).offset(offset or None))
            rows = [(item_of(row), question, answer) for row, question, answer in found]
        for item, question, answer in rows:  # as in results
            checked = None if not answer else _CHECKED.validate_json(self._db.vault.decrypt(answer))
            yield Asked(item, self._db.vault.decrypt(question), checked)

    def count_asked(self, job_id: int, verdict: RowVerdict | None = None) -> int:
        """How many items of a check have this verdict; None counts all."""
        wanted = (
            select(func.count())
            .select_from(ItemRow)
            .join(QuestionRow, QuestionRow.item_id == ItemRow.id)
            .outerjoin(AnswerRow, AnswerRow.item_id == ItemRow.id)
            .where(ItemRow.job_id == job_id, *_of_verdict(verdict))
        )
        with self._db.reading() as session:
            return session.scalar(wanted) or 0

    def tallies(self, job_id: int) -> Tallies:
        """What a check has found so far, by one question and without reading any answer."""
        wanted = (
            select(
                AnswerRow.verdict,
                ItemRow.state,
                func.count(),
                func.count(AnswerRow.instance_count),
                func.sum(AnswerRow.instance_count),
                func.sum(AnswerRow.size_bytes),
            )
            .select_from(ItemRow)
            .join(QuestionRow, QuestionRow.item_id == ItemRow.id)
            .outerjoin(AnswerRow, AnswerRow.item_id == ItemRow.id)
            .where(ItemRow.job_id == job_id)
            .group_by(AnswerRow.verdict, ItemRow.state)
        )
        found: dict[RowVerdict, Tally] = {}
        waiting = 0
        with self._db.reading() as session:
            for verdict, state, count, counted, instances, size_bytes in session.execute(wanted):
                if not verdict and state not in FINISHED:
                    waiting += count
                    continue
                key = RowVerdict(verdict or RowVerdict.FAILED)
                tally = Tally(count, int(instances or 0), int(size_bytes or 0), count - counted)
                found[key] = _sum(found.get(key), tally)
        return Tallies(found, waiting)

    def delivered_before(
        self, destination_id: int, scope_id: int | None, study_uid: str, as_nifti: bool = False
    ) -> Item | None:
        """The last item that brought this study to a destination completely, in a linkage scope; None if none did.

        Without a scope it is one of a job that kept the identity; and one that brought it as NIfTI, or as DICOM.
        """
        same = JobRow.keep_identity.is_(True) if scope_id is None else JobRow.linkage_scope_id == scope_id
        wanted = (
            select(ItemRow)
            .join(JobRow, JobRow.id == ItemRow.job_id)
            .join(ReceiptRow, ReceiptRow.item_id == ItemRow.id)
            .where(ItemRow.study_uid == study_uid, ItemRow.destination_id == destination_id, same)
            .where(JobRow.convert_to_nifti.is_(as_nifti))
            .where(ReceiptRow.verdict == Completeness.COMPLETE, ItemRow.state.in_([State.SUCCESS, State.WARNING]))
            .order_by(ItemRow.id.desc())
            .limit(1)
        )
        with self._db.reading() as session:
            row = session.scalar(wanted)
            return None if row is None else item_of(row)

    def _answer(self, item_id: int, position: int, one: Answer | CheckedStudy) -> AnswerRow:
        codec, verdict, size_bytes = (
            (_CHECKED, one.verdict.value, one.size_bytes) if isinstance(one, CheckedStudy) else (_ANSWERS, "", 0)
        )
        return AnswerRow(
            item_id=item_id,
            position=position,
            verdict=verdict,
            instance_count=one.instance_count,
            size_bytes=size_bytes,
            content=self._db.vault.encrypt(codec.dump_json(one)),  # type: ignore[arg-type]
        )


class BatchFileStore:
    """The files of batch jobs as they were uploaded."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def sealed(self, file: BatchFile) -> bytes:
        """The file encrypted with its name, which is done before the transaction."""
        heading = json.dumps({"name": file.name, "sheet": file.sheet}).encode()
        return self._db.vault.encrypt(heading + b"\n" + file.content)

    def keep(self, job_id: int, sealed: bytes) -> None:
        """Keep the file of a job; joins the transaction that adds the job."""
        with self._db.transaction() as session:
            session.add(BatchFileRow(job_id=job_id, content=sealed, created_at=self._db.clock()))

    def load(self, job_id: int) -> BatchFile:
        """The file of a job; raises NotFound when it came without one."""
        with self._db.reading() as session:
            row = session.get(BatchFileRow, job_id)
            if row is None:
                raise NotFound("This job was not made of a file.")
            heading, _, content = self._db.vault.decrypt(row.content).partition(b"\n")
        told: dict[str, str] = json.loads(heading)
        return BatchFile(told["name"], content, told["sheet"])

    def has(self, job_id: int) -> bool:
        """Whether the job was made of a file."""
        with self._db.reading() as session:
            return bool(session.scalar(select(exists().where(BatchFileRow.job_id == job_id))))


def _item(job_id: int, position: int, question: Question) -> dict[str, Any]:
    return new_item(
        job_id,
        position,
        source_id=question.source_id,
        destination_id=question.destination_id,
        lines=list(question.lines),
        row_id=question.row_id,
    )


def _with_result(job_id: int, item_id: int | None) -> list[ColumnElement[bool]]:
    found = [ItemRow.job_id == job_id, ItemRow.state.in_(FINISHED)]
    return found if item_id is None else [*found, ItemRow.id == item_id]


def _of_verdict(verdict: RowVerdict | None) -> list[ColumnElement[bool]]:
    if verdict is None:
        return []
    if verdict is RowVerdict.FAILED:
        without = and_(AnswerRow.id.is_(None), ItemRow.state.in_(FINISHED))
        return [or_(AnswerRow.verdict == verdict.value, without)]
    return [AnswerRow.verdict == verdict.value]


def _sum(first: Tally | None, second: Tally) -> Tally:
    if first is None:
        return second
    return Tally(
        first.studies + second.studies,
        first.instances + second.instances,
        first.size_bytes + second.size_bytes,
        first.uncounted + second.uncounted,
    )
