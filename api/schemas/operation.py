"""Settings for everybody, applications, the overview, the audit trail and broadcasts."""

from datetime import datetime
from typing import Self

from pydantic import ConfigDict, Field

from api.schemas.shapes import Answer, Flag, Ids, LongText, Request, Text, Version
from models.domain.audit import AuditAction
from models.domain.chores import ChoreOutcome
from models.domain.jobs import JobKind, State
from models.domain.mails import Broadcast, MailState
from models.domain.project import App


class ProjectShown(Answer):
    """What administrators set for everybody."""

    announcement: str = Field(description="Clean HTML; empty for none.")
    maintenance: bool
    version: int


class ProjectChanged(Request):
    """The settings as they should be. Maintenance closes the API for everybody, also for staff."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"announcement": "<p>New disks on Friday.</p>", "maintenance": False, "version": 1}]
        }
    )

    announcement: LongText
    maintenance: Flag
    version: Version


class AppShown(Answer):
    """An application: locked it takes nothing new, suspended its jobs wait."""

    app: App
    locked: bool
    suspended: bool


class AppChanged(Request):
    """How an application should stand."""

    locked: Flag = False
    suspended: Flag = False


class AlarmShown(Answer):
    """Something that is wrong with the whole. ``told_at`` is when administrators got a mail; null: none is sent."""

    name: str = Field(examples=["standstill"])
    since_at: datetime
    title: str
    text: str
    told_at: datetime | None


class Overview(Answer):
    """How many jobs of each kind are in each state, and how many items workers have now."""

    jobs: dict[JobKind, dict[State, int]]
    at_work: int


class AuditShown(Answer):
    """One try of somebody to do something."""

    id: int
    at: datetime
    actor: str
    action: AuditAction
    subject: str
    reason: str
    outcome: str
    address: str
    has_details: bool
    digest: str | None


class Reason(Request):
    """Why somebody looks at what is kept encrypted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Complaint of 2026-03-01, ticket 4711"}]})

    reason: Text = Field(description="10 to 500 characters; it stands in the audit trail.")


class Details(Answer):
    """What an entry keeps encrypted."""

    details: dict[str, str]


class BroadcastWished(Request):
    """A mail to users, one for each."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"subject": "Maintenance", "message": "ADIT rests on Friday.", "user_ids": None}]
        }
    )

    subject: Text
    message: LongText
    user_ids: Ids | None = Field(default=None, description="null: everybody who has an active account.")


class ChoreRunShown(Answer):
    """One run of scheduled work; without an outcome it is at work."""

    started_at: datetime
    ended_at: datetime | None
    outcome: ChoreOutcome | None
    message: str


class ChoreListed(Answer):
    """Work that the installation does by itself. ``trouble`` is empty where nothing is wrong."""

    name: str = Field(examples=["backup"])
    title: str
    purpose: str
    when: str = Field(
        description="Empty when it is done only when asked for, or prefect.yaml cannot be understood.",
        examples=["every day at 01:30"],
    )
    last: ChoreRunShown | None
    is_at_work: bool
    next_at: datetime | None
    trouble: str


class ChoreStarted(Answer):
    """The flow run in Prefect that does a chore."""

    flow_run_id: str


class BroadcastShown(Answer):
    """A broadcast, and how far it is."""

    id: int
    subject: str
    message: str
    sender: str
    created_at: datetime
    waiting: int
    sent: int
    failed: int

    @classmethod
    def of(cls, broadcast: Broadcast) -> Self:
        """What is shown of a broadcast."""
        return cls.model_validate(broadcast)


class DeliveryShown(Answer):
    """What became of one mail."""

    recipient: str
    state: MailState
    attempts: int
    error: str
    sent_at: datetime | None
