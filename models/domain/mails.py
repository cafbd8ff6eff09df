"""Mails on their way out, and broadcasts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MailState(StrEnum):
    """How far a mail has come."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person. It may hold a link that signs in, so it is never shown."""

    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one mail; ``error`` is the mail server's complaint without addresses."""

    id: int
    recipient: str
    state: MailState
    attempts: int
    error: str
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A message to many people, one mail each; the counts say how far it is."""

    id: int
    subject: str
    message: str
    sender: str
    created_at: datetime
    flow_run_id: str
    waiting: int
    sent: int
    failed: int
