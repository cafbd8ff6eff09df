"""Who one is."""

from typing import Self

from pydantic import Field

from api.access import Caller
from api.schemas.shapes import Answer
from api.schemas.tokens import TokenShown
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


class ProfileShown(Answer):
    """A de-identification profile; ``discloses`` says what an output still tells."""

    name: str = Field(examples=["research"])
    title: str
    summary: str
    discloses: list[str]
