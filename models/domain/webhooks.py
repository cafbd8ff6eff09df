"""Webhooks: where programs of others are told what becomes of jobs, and what they are told."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Event(StrEnum):
    """What a webhook can be told."""

    ACCEPTED = "job.accepted"
    STARTED = "job.started"
    FINISHED = "job.finished"
    CANCELED = "job.canceled"
    DELETED = "job.deleted"
    TEST = "webhook.test"
    """That an administrator tries whether it arrives; nothing has happened."""

    @property
    def is_chosen(self) -> bool:
        """Whether administrators choose if a webhook is told of it; a test always is."""
        return self is not Event.TEST


JOB_EVENTS = tuple(event for event in Event if event.is_chosen)


class NoticeState(StrEnum):
    """How far a notice has come."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WebhookWish:
    """What administrators enter."""

    url: str
    description: str = ""
    events: frozenset[Event] = frozenset(JOB_EVENTS)
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of events. ``failing_since_at`` is None as long as the last notice has arrived.

    ``old_secret_until_at`` is when the signature with the secret before this one ends; None when there is none.
    """

    id: int
    url: str
    description: str
    events: frozenset[Event]
    is_active: bool
    created_by: str
    created_at: datetime
    failing_since_at: datetime | None
    old_secret_until_at: datetime | None
    version: int

    @property
    def is_failing(self) -> bool:
        """Whether it is to be told, and does not take what it is told."""
        return self.is_active and self.failing_since_at is not None


@dataclass(frozen=True, slots=True)
class Notice:
    """One event that one webhook is told. ``status`` is the last answer's, None as long as there was none.

    ``not_before_at`` is when it is tried next, as long as it waits. ``event_id`` stays the same however often it is
    sent, so that its reader can tell.
    """

    id: int
    webhook_id: int
    event_id: str
    event: Event
    job_id: int | None
    state: NoticeState
    attempts: int
    status: int | None
    trouble: str
    created_at: datetime
    not_before_at: datetime
    sent_at: datetime | None
