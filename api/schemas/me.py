"""Who one is."""

from typing import Self

from pydantic import ConfigDict, Field

from api.access import Caller
from api.schemas.shapes import Answer, Request
from api.schemas.tokens import TokenShown
from models.domain.mails import JobMails
from models.domain.people import Permission, User


class Me(Answer):
    """The owner of the token, and what it may do."""

    username: str = Field(examples=["mueller"])
    full_name: str = Field(examples=["Jana Müller"])
    email: str = Field(examples=["jana.mueller@example.org"])
    is_staff: bool = Field(description="Whether this token acts as staff: its owner is, and it allows to administer.")
    is_superuser: bool
    permissions: list[Permission]
    token: TokenShown

    @classmethod
    def of(cls, user: User, caller: Caller) -> Self:
        """What a caller is told of themselves."""
        actor = caller.actor
        return cls(
            username=user.username,
            full_name=user.full_name,
            email=user.profile.email,
            is_staff=actor.is_staff,
            is_superuser=actor.is_superuser,
            permissions=sorted(actor.permissions),
            token=TokenShown.of(caller.token),
        )


class MailsChosen(Request):
    """About which of their jobs somebody gets mails."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": "trouble"}]})

    jobs: JobMails = Field(
        description="as_asked: those for which they asked when submitting; trouble: failure, warning."
    )


class ProfileShown(Answer):
    """A de-identification profile; ``discloses`` says what an output still tells."""

    name: str = Field(examples=["research"])
    title: str
    summary: str
    discloses: list[str]
