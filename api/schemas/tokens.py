"""Tokens, without their secrets but once."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import ConfigDict, Field

from api.schemas.shapes import Answer, Ids, Moment, Request, Text
from models.domain.tokens import Operation, Token, TokenWish


class TokenShown(Answer):
    """A token as it can be recognized; its secret cannot be seen again."""

    id: int
    beginning: str = Field(description="The first characters of its secret.", examples=["adit_4fGh"])
    description: str = Field(examples=["nightly export"])
    created_at: datetime
    expires_at: datetime | None = Field(description="null: never.")
    last_used_at: datetime | None = Field(description="May be some seconds old, like the counts.")
    operations: list[Operation] | None = Field(description="What it is limited to; null: no limit.")
    nodes: list[int] | None = Field(description="The nodes it is limited to; null: no limit.")
    request_count: int
    answered_bytes: int

    @classmethod
    def of(cls, token: Token) -> Self:
        """What is shown of a token."""
        return cls(
            id=token.id,
            beginning=token.beginning,
            description=token.description,
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
            operations=None if token.operations is None else sorted(token.operations),
            nodes=None if token.nodes is None else sorted(token.nodes),
            request_count=token.request_count,
            answered_bytes=token.answered_bytes,
        )


class TokenWished(Request):
    """A new token. Where it ends has to be said: null means never, which needs a right of its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "description": "nightly export",
                    "expires_at": "2027-01-31T00:00:00Z",
                    "operations": ["read", "transfer"],
                }
            ]
        }
    )

    description: Text = ""
    expires_at: Moment | None
    operations: Annotated[list[Operation], Field(fail_fast=True, max_length=20)] | None = Field(
        default=None, description="null: no limit."
    )
    nodes: Ids | None = Field(default=None, description="Ids of nodes; null: no limit.")

    def wish(self) -> TokenWish:
        """The same as services take it."""
        return TokenWish(
            self.description,
            self.expires_at,
            None if self.operations is None else frozenset(self.operations),
            None if self.nodes is None else frozenset(self.nodes),
        )


class TokenMade(Answer):
    """A token that has just been made. Keep the secret: nobody can see it again."""

    token: TokenShown
    secret: str = Field(examples=["adit_..."])


class TokenOfSomebody(Answer):
    """A token with the username of its owner."""

    token: TokenShown
    owner: str
