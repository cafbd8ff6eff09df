"""Mails on their way out, and broadcasts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from models.domain.jobs import State


class MailState(StrEnum):
    """How far a mail has come."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class JobMails(StrEnum):
    """About which ends of their jobs somebody wants a mail."""

    AS_ASKED = "as_asked"
    """Those for which they asked when they submitted the job."""
    ALWAYS = "always"
    TROUBLE = "trouble"
    NEVER = "never"

    def wants(self, state: State, was_asked: bool) -> bool:
        """Whether there is a mail about a job that has ended in this state."""
        match self:
            case JobMails.AS_ASKED:
                return was_asked
            case JobMails.TROUBLE:
                return state in {State.FAILURE, State.WARNING}
            case _:
                return self is JobMails.ALWAYS


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
