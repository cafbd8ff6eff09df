"""Tokens, with which a script does what its owner may do: what one is, what it is limited to, how much it was used."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Operation(StrEnum):
    """What a token can be limited to. None of them gives a right that its owner does not have."""

    READ = "read"
    """Look at the account, nodes, jobs, items and receipts."""
    SEARCH = "search"
    """Search servers, see what a transfer would take, QIDO-RS."""
    RETRIEVE = "retrieve"
    """Take studies out of servers: WADO-RS."""
    STORE = "store"
    """Put studies into servers: STOW-RS."""
    TRANSFER = "transfer"
    """Submit and steer jobs, review held instances."""
    ADMINISTER = "administer"
    """Act as the staff or superuser that the owner is."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. ``operations`` and ``nodes`` are None where there is no such limit.

    ``beginning`` is what people recognize it by. Its usage may be a few seconds old.
    """

    id: int
    user_id: int
    beginning: str
    description: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None
    operations: frozenset[Operation] | None = None
    nodes: frozenset[int] | None = None
    request_count: int = 0
    answered_bytes: int = 0

    @property
    def is_limited(self) -> bool:
        return self.operations is not None or self.nodes is not None

    def allows(self, operation: Operation) -> bool:
        return self.operations is None or operation in self.operations

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class TokenWish:
    """What somebody wants a new token to be; None means that it never expires, or that there is no such limit."""

    description: str = ""
    expires_at: datetime | None = None
    operations: frozenset[Operation] | None = None
    nodes: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class OwnedToken:
    """A token with the username of its owner."""

    token: Token
    owner: str


@dataclass(frozen=True, slots=True)
class Use:
    """How a token was used since the last time it was noted: requests, bytes of their answers, when last."""

    requests: int
    bytes: int
    at: datetime
