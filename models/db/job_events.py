"""Writes down what webhooks are told of jobs, in the transaction in which it happens: no event is lost, none invented.

A notice names the job by its number, its owner by username, and counts items. It holds nothing of the job's patients.
"""

import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.db.tables import JobRow, NoticeRow, WebhookRow
from models.domain.jobs import State
from models.domain.webhooks import Event, NoticeState

GIVE_UP_AFTER = timedelta(days=1)


def tell(session: Session, event: Event, job: JobRow, counts: Mapping[State, int], now: datetime) -> None:
    """Write a notice down for each active webhook that is told of such events.

    Call it after the job was moved: its state is part of the notice. Costs one small question where there are none.
    """
    wanted = select(WebhookRow.id, WebhookRow.events).where(WebhookRow.is_active)
    kept = wanted.with_for_update(read=True, key_share=True)  # or deleting one would undo what happens to the job
    told = [row.id for row in session.execute(kept) if event.value in row.events]
    if not told:
        return
    content = {"job": _job(job, counts)}
    notice = new_notice(event, content, now, job.id)
    session.add_all(NoticeRow(webhook_id=webhook_id, **notice) for webhook_id in told)


def new_notice(event: Event, content: Mapping[str, Any], now: datetime, job_id: int | None = None) -> dict[str, Any]:
    """What the rows of one event have in common, for each webhook that is told of it."""
    event_id = f"evt_{secrets.token_hex(16)}"
    occurred_at = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    body = json.dumps({"id": event_id, "type": event.value, "occurred_at": occurred_at, **content})
    return {
        "event_id": event_id,
        "event": event,
        "job_id": job_id,
        "body": body,
        "state": NoticeState.WAITING,
        "attempts": 0,
        "trouble": "",
        "created_at": now,
        "not_before_at": now,
        "give_up_at": now + GIVE_UP_AFTER,
    }


def _job(job: JobRow, counts: Mapping[State, int]) -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind.value,
        "state": job.state.value,
        "owner": job.owner,
        "urgent": job.urgent,
        "items": {state.value: count for state, count in counts.items() if count},
    }
