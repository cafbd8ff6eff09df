"""Rows of jobs and items: to and from the domain, and the moves that all stores make in the same way.

Every move locks the job's row first, see ``models.db.jobs``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from models.db.job_events import tell
from models.db.tables import ItemRow, JobRow
from models.domain.errors import NotFound
from models.domain.jobs import FINISHED, Item, Job, State, check_item_move, check_job_move, derived_state, summary
from models.domain.requests import JobHead, TransferRequest
from models.domain.webhooks import Event

_BEGUN = frozenset({State.IN_PROGRESS, State.CANCELING})
_UNENDED = (State.IN_PROGRESS, State.PENDING)


def is_due(now: datetime) -> ColumnElement[bool]:
    """Whether an item can be taken up: it waits and its time has come, or its worker let the lease run out."""
    return or_(waits_no_longer(now), is_abandoned(now))


def waits_no_longer(now: datetime) -> ColumnElement[bool]:
    return and_(ItemRow.state == State.PENDING, or_(ItemRow.not_before_at.is_(None), ItemRow.not_before_at <= now))


def is_abandoned(now: datetime) -> ColumnElement[bool]:
    return and_(ItemRow.state == State.IN_PROGRESS, ItemRow.lease_until_at <= now)


def counts_of(session: Session, job_id: int) -> Counter[State]:
    """How many items of a job are in which state."""
    by_state = select(ItemRow.state, func.count()).where(ItemRow.job_id == job_id).group_by(ItemRow.state)
    return Counter(dict(session.execute(by_state).all()))


def job_row(session: Session, job_id: int) -> JobRow:
    """The job's row; raises NotFound."""
    row = session.get(JobRow, job_id)
    if row is None:
        raise NotFound("There is no such job.")
    return row


def locked(session: Session, job_id: int) -> JobRow:
    """The job's row as it is now, or NotFound; no other transaction can change it before this one ends."""
    row = session.get(JobRow, job_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("There is no such job.")
    return row


def move_items(session: Session, chosen: ColumnElement[bool], old: State, new: State, values: dict[str, Any]) -> None:
    """Move many items of one state by one statement: a job may have ten thousand."""
    check_item_move(old, new)
    statement = update(ItemRow).where(chosen).values(state=new, **values)
    session.execute(statement, execution_options={"synchronize_session": False})


def move_item(row: ItemRow, state: State) -> None:
    """Move one item; raises WrongState for a move that is not in the table."""
    check_item_move(row.state, state)
    row.state = state


def move_job(row: JobRow, state: State) -> None:
    """Move a job; raises WrongState for a move that is not in the table."""
    check_job_move(row.state, state)
    row.state = state


def end(row: ItemRow, state: State, message: str, now: datetime) -> None:
    """End an attempt: the lease is given back."""
    move_item(row, state)
    row.message = message
    row.lease_token = row.lease_until_at = row.not_before_at = None
    row.ended_at = now if state in FINISHED else None


def derive(session: Session, job: JobRow, now: datetime) -> State:
    """Bring the job's state in line with its items and return it.

    A job that has begun stays as it is while any item waits or is at work, which costs less to know than the counts.
    """
    if job.state in _BEGUN and session.scalar(select(_has_unended(job.id))):
        return job.state
    counts = counts_of(session, job.id)
    state = derived_state(job.state, counts.elements())
    if state is job.state:
        return state
    if state in FINISHED:
        finish(session, job, state, counts, now)
    else:
        move_job(job, state)
    return state


def _has_unended(job_id: int) -> ColumnElement[bool]:
    """Whether an item waits or is at work; two looks into the index, whatever the number of items."""
    with_state = [exists().where(ItemRow.job_id == job_id, ItemRow.state == state) for state in _UNENDED]
    return or_(*with_state)


def finish(session: Session, job: JobRow, state: State, counts: Counter[State], now: datetime) -> None:
    """End a job, with a message that says what has become of its items, and let webhooks be told."""
    move_job(job, state)
    job.ended_at = now
    job.message = summary(counts.elements())
    tell(session, Event.CANCELED if state is State.CANCELED else Event.FINISHED, job, counts, now)


def new_job(owner: str, head: JobHead, scope_id: int | None, policy_digest: str, state: State, now: datetime) -> JobRow:
    """The row of a job that was accepted and has not begun."""
    return JobRow(
        **asdict(head),
        state=state,
        owner=owner,
        message="",
        linkage_scope_id=scope_id,
        policy_digest=policy_digest,
        flow_run_id="",
        created_at=now,
    )


def new_items(job_id: int, request: TransferRequest) -> list[dict[str, Any]]:
    """What ``insert_items`` takes for its items, one for each study."""
    return [
        new_item(
            job_id,
            position,
            source_id=request.source_id,
            destination_id=request.destination_id,
            patient_id=wish.patient_id,
            study_uid=wish.study_uid,
            series_uids=list(wish.series_uids),
            pseudonym=wish.pseudonym,
            lines=list(wish.lines),
            row_id=wish.row_id,
            planned_count=wish.planned_count,
        )
        for position, wish in enumerate(request.studies, start=1)
    ]


def new_item(job_id: int, position: int, **values: Any) -> dict[str, Any]:
    """The values of an item that waits; what is not told is empty."""
    known: dict[str, Any] = {"patient_id": "", "study_uid": "", "series_uids": [], "pseudonym": "", "lines": []}
    known |= {"row_id": "", "planned_count": None, "attempts": 0, "message": "", "error_code": ""}
    return {**known, "job_id": job_id, "position": position, "state": State.PENDING, **values}


def insert_items(session: Session, items: Sequence[Mapping[str, Any]]) -> None:
    """Write items down without an object for each: there may be ten thousand, while nobody else can write."""
    if items:
        session.execute(insert(ItemRow), items)


def job_of(row: JobRow) -> Job:
    """The job of a row."""
    return Job(
        id=row.id,
        kind=row.kind,
        state=row.state,
        owner=row.owner,
        urgent=row.urgent,
        message=row.message,
        trial_protocol_id=row.trial_protocol_id,
        trial_protocol_name=row.trial_protocol_name,
        linkage_scope_id=row.linkage_scope_id,
        flow_run_id=row.flow_run_id,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        run_requested_at=row.run_requested_at,
        profile=row.profile,
        policy_digest=row.policy_digest,
        keep_identity=row.keep_identity,
        send_finished_mail=row.send_finished_mail,
        project_name=row.project_name,
        project_description=row.project_description,
        ethics_application_id=row.ethics_application_id,
        generate_pseudonyms=row.generate_pseudonyms,
        checked_by_job_id=row.checked_by_job_id,
        emptied_at=row.emptied_at,
        convert_to_nifti=row.convert_to_nifti,
    )


def item_of(row: ItemRow) -> Item:
    """The item of a row."""
    return Item(
        id=row.id,
        job_id=row.job_id,
        position=row.position,
        state=row.state,
        source_id=row.source_id,
        destination_id=row.destination_id,
        patient_id=row.patient_id,
        study_uid=row.study_uid,
        series_uids=tuple(row.series_uids),
        pseudonym=row.pseudonym,
        attempts=row.attempts,
        message=row.message,
        error_code=row.error_code,
        not_before_at=row.not_before_at,
        lines=tuple(row.lines),
        row_id=row.row_id,
        planned_count=row.planned_count,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )
