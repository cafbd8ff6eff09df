"""Webhooks and what they are told."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from api.schemas.shapes import Answer, Flag, Request, Text, Version
from models.domain.webhooks import JOB_EVENTS, Event, NoticeState, Webhook, WebhookWish
from services.webhooks.administration import NewSecret

Events = Annotated[
    list[Event],
    Field(
        default_factory=lambda: list(JOB_EVENTS),
        fail_fast=True,
        max_length=len(Event),
        description="Of what it is told; left out: of every event of jobs.",
    ),
]
Url = Annotated[
    str,
    Field(
        max_length=2000,
        pattern=r"^[^\x00]*$",
        description="Begins with https://, but for this machine and hosts that operators allow.",
    ),
]


class WebhookWished(Request):
    """An address that is to be told of events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://board.example.org/adit", "description": "The board", "events": ["job.finished"]}
            ]
        }
    )

    url: Url
    description: Text = ""
    events: Events
    is_active: Flag = True

    def wish(self) -> WebhookWish:
        """What is asked for."""
        return WebhookWish(self.url, self.description, frozenset(self.events), self.is_active)


class WebhookChanged(WebhookWished):
    """A webhook as it should be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://board.example.org/adit",
                    "description": "The board",
                    "events": ["job.finished", "job.canceled"],
                    "is_active": True,
                    "version": 1,
                }
            ]
        }
    )

    version: Version


class WebhookShown(Answer):
    """A webhook. ``failing_since_at`` is null as long as the last notice has arrived."""

    id: int
    url: str
    description: str
    events: list[Event]
    is_active: bool
    created_by: str
    created_at: datetime
    failing_since_at: datetime | None
    old_secret_until_at: datetime | None = Field(
        description="Until when requests are signed with the secret before the last one, too."
    )
    version: int

    @classmethod
    def of(cls, webhook: Webhook) -> Self:
        """What is shown of a webhook."""
        return cls(
            id=webhook.id,
            url=webhook.url,
            description=webhook.description,
            events=sorted(webhook.events),
            is_active=webhook.is_active,
            created_by=webhook.created_by,
            created_at=webhook.created_at,
            failing_since_at=webhook.failing_since_at,
            old_secret_until_at=webhook.old_secret_until_at,
            version=webhook.version,
        )


class WebhookSecret(Answer):
    """A webhook with its new secret, which nobody can see again."""

    webhook: WebhookShown
    secret: str = Field(description="By which the listener checks signatures.", examples=["whsec_MfKQ9r8GKYqrTwjU..."])

    @classmethod
    def of(cls, made: NewSecret) -> Self:
        """What is shown once."""
        return cls(webhook=WebhookShown.of(made.webhook), secret=made.secret)


class NoticeShown(Answer):
    """One event that a webhook is told, and how far that is."""

    id: int
    event_id: str
    event: Event
    job_id: int | None
    state: NoticeState
    attempts: int
    status: int | None = Field(description="Of the last answer; null as long as there was none.")
    trouble: str
    created_at: datetime
    not_before_at: datetime
    sent_at: datetime | None
