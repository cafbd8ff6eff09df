"""What becomes of a job is written down for webhooks in the transaction in which it happens, without its patients."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.questions import Question, QuestionStore
from models.db.tables import NoticeRow
from models.db.webhooks import NoticeStore, WebhookStore
from models.domain.jobs import JobKind, State
from models.domain.requests import JobHead
from models.domain.webhooks import JOB_EVENTS, Event, WebhookWish
from tests.databases import Clock
from tests.samples import add_job, add_nodes

LEASE = timedelta(seconds=20)


@pytest.fixture
def webhook(database: Database) -> int:
    """A webhook that is told of everything."""
    return WebhookStore(database).add(WebhookWish("https://listener.example/"), b"secret", "root").id


def bodies(database: Database, webhook_id: int) -> list[dict[str, Any]]:
    """What a webhook is told, in the order in which it was written down."""
    with database.reading() as session:
        mine = select(NoticeRow.body).where(NoticeRow.webhook_id == webhook_id).order_by(NoticeRow.id)
        return [json.loads(body) for body in session.scalars(mine)]


def told(database: Database, webhook_id: int) -> list[tuple[str, str, dict[str, int]]]:
    """The type of each event, with the state of its job and the counts of its items."""
    found = bodies(database, webhook_id)
    return [(each["type"], each["job"]["state"], each["job"]["items"]) for each in found]


def end(database: Database, job_id: int, state: State = State.SUCCESS) -> None:
    claimed = JobStore(database).claim_next(job_id, LEASE)
    assert claimed is not None
    JobStore(database).end_attempt(claimed[1], state, "Patient P1 of ANON1 has 3 images", "NoSpace")


def test_a_job_is_told_of_from_acceptance_to_its_end_and_when_it_begins_again(database: Database, webhook: int) -> None:
    job_id = add_job(database, studies=2).id
    end(database, job_id)
    end(database, job_id, State.FAILURE)
    JobStore(database).retry_failed(job_id)
    end(database, job_id)
    assert told(database, webhook) == [
        ("job.accepted", "pending", {"pending": 2}),
        ("job.started", "in_progress", {"in_progress": 1, "pending": 1}),
        ("job.finished", "failure", {"success": 1, "failure": 1}),
        ("job.started", "in_progress", {"in_progress": 1, "success": 1}),
        ("job.finished", "success", {"success": 2}),
    ]


def test_canceling_is_told_of_when_the_last_worker_has_stopped(database: Database, webhook: int, clock: Clock) -> None:
    waiting, running = add_job(database).id, add_job(database, studies=2).id
    JobStore(database).cancel(waiting)
    assert JobStore(database).claim_next(running, LEASE)
    JobStore(database).cancel(running)
    assert told(database, webhook)[2:] == [
        ("job.canceled", "canceled", {"canceled": 1}),
        ("job.started", "in_progress", {"in_progress": 1, "pending": 1}),
    ]
    clock.pass_by(21)
    assert JobStore(database).finish_canceled() == (running,)
    assert told(database, webhook)[4:] == [("job.canceled", "canceled", {"canceled": 2})]


def test_a_job_that_nobody_begins_is_told_of_when_it_is_deleted(database: Database, webhook: int) -> None:
    job_id = add_job(database).id
    JobStore(database).delete(job_id)
    assert [body["type"] for body in bodies(database, webhook)] == ["job.accepted", "job.deleted"]
    assert {body["job"]["id"] for body in bodies(database, webhook)} == {job_id}


def test_batch_queries_are_jobs_too(database: Database, webhook: int) -> None:
    source, _ = add_nodes(database)
    head = JobHead(JobKind.BATCH_QUERY)
    store = QuestionStore(database)
    asked = store.sealed([Question(source, b"Doe^Jane", lines=(2,), row_id="1")] * 3)
    store.add("ada", head, asked, State.UNVERIFIED)
    (body,) = bodies(database, webhook)
    assert body["job"] | {"id": 0} == {
        "id": 0,
        "kind": "batch_query",
        "state": "unverified",
        "owner": "ada",
        "urgent": False,
        "items": {"pending": 3},
    }


def test_a_notice_says_who_and_when_and_counts_and_holds_nothing_of_patients(
    database: Database, webhook: int, clock: Clock
) -> None:
    job_id = add_job(database, owner="ada", urgent=True, trial_protocol_id="TRIAL-1").id
    clock.pass_by(0.5)
    end(database, job_id, State.FAILURE)
    found = bodies(database, webhook)
    assert [body["occurred_at"] for body in found] == [
        "2026-03-01T12:00:00.000000Z",
        "2026-03-01T12:00:00.500000Z",
        "2026-03-01T12:00:00.500000Z",
    ]
    assert len({body["id"] for body in found}) == 3
    assert all(set(body) == {"id", "type", "occurred_at", "job"} for body in found)
    assert {body["job"]["owner"] for body in found} == {"ada"}
    for secret in ("P1", "ANON1", "1.2.3", "TRIAL-1", "PACS", "research", "images"):
        assert secret not in json.dumps(found)
        assert secret not in str([asdict(notice) for notice in NoticeStore(database).list(webhook, 10, 0)])


def test_an_event_stands_or_falls_with_what_it_tells_of(database: Database, webhook: int) -> None:
    with pytest.raises(KeyError), database.transaction():
        add_job(database)
        raise KeyError
    assert bodies(database, webhook) == []


def test_each_webhook_is_told_what_it_wants_as_long_as_it_is_active_under_one_id(database: Database) -> None:
    store = WebhookStore(database)
    ends, every, silent = (
        store.add(WebhookWish("https://listener.example/", events=events, is_active=is_active), b"s", "root").id
        for events, is_active in (
            (frozenset({Event.FINISHED}), True),
            (frozenset(JOB_EVENTS), True),
            (frozenset(JOB_EVENTS), False),
        )
    )
    end(database, add_job(database).id)
    assert [body["type"] for body in bodies(database, ends)] == ["job.finished"]
    assert len(bodies(database, every)) == 3
    assert bodies(database, silent) == []
    assert bodies(database, ends)[0]["id"] == bodies(database, every)[2]["id"]


def test_a_webhook_that_is_deleted_meanwhile_does_not_undo_what_happens_to_a_job(
    database: Database, webhook: int
) -> None:
    """PostgreSQL would refuse a notice of a webhook that is gone by the end of the transaction."""
    job_id = add_job(database).id
    WebhookStore(database).remove(webhook)
    end(database, job_id)
    assert JobStore(database).get(job_id).state is State.SUCCESS
    assert NoticeStore(database).count(webhook) == 0
