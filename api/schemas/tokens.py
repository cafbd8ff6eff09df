"""Tokens, without their secrets but once."""

from datetime import datetime
from typing import Self

from pydantic import Field

from api.schemas.shapes import Answer
from models.domain.tokens import Operation, Token


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
