"""Keeps API tokens. A secret is known by its digest only, which is keyed with what comes from the master key."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select, true, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.groups import Rights, rights_of
from models.db.people import account, is_of_standing
from models.db.tables import ApiTokenNodeRow, ApiTokenRow, UserRow
from models.domain.errors import BadRequest, NotFound
from models.domain.people import Standing, User
from models.domain.tokens import Operation, OwnedToken, Token, TokenWish, Use


@dataclass(frozen=True, slots=True)
class FoundToken:
    """A token with whose it is and what that person may do now."""

    token: Token
    user: User
    rights: Rights


class TokenStore:
    """API tokens by id, and by the digest of their secret."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # -- asking ---------------------------------------------------------------------------------------------------

    def find(self, secret: str) -> FoundToken | None:
        """The token with this secret that has not expired, with its user and their rights.

        Costs three questions, and one more for a token that is limited to nodes.
        """
        wanted = (
            select(ApiTokenRow, UserRow)
            .join(UserRow, UserRow.id == ApiTokenRow.user_id)
            .where(ApiTokenRow.digest == self._digest(secret), self._is_in_time())
        )
        with self._db.reading() as session:
            row = session.execute(wanted).first()
            if row is None:
                return None
            rights = rights_of(session, row[1].id)
            (token,) = _tokens(session, [row[0]])
            return FoundToken(token, replace(account(row[1]), groups=rights.groups), rights)

    def is_alive(self, token_id: int) -> bool:
        """Whether the token can still be used: neither revoked nor expired, its owner active."""
        wanted = (
            select(ApiTokenRow.id)
            .join(UserRow, UserRow.id == ApiTokenRow.user_id)
            .where(ApiTokenRow.id == token_id, self._is_in_time(), is_of_standing(Standing.ACTIVE))
        )
        with self._db.reading() as session:
            return session.scalar(wanted) is not None

    def of_user(self, user_id: int) -> tuple[Token, ...]:
        """The tokens of one user, newest first."""
        with self._db.reading() as session:
            mine = select(ApiTokenRow).where(ApiTokenRow.user_id == user_id).order_by(ApiTokenRow.id.desc())
            return tuple(_tokens(session, session.scalars(mine).all()))

    def list(self, user_id: int | None, limit: int, offset: int) -> tuple[OwnedToken, ...]:
        """Tokens of one user, or of everybody, newest first."""
        wanted = (
            select(ApiTokenRow, UserRow.username)
            .join(UserRow, UserRow.id == ApiTokenRow.user_id)
            .where(_is_of(user_id))
            .order_by(ApiTokenRow.id.desc())
        )
        with self._db.reading() as session:
            found = session.execute(wanted.limit(limit).offset(offset)).all()
            tokens = _tokens(session, [row for row, _ in found])
            return tuple(OwnedToken(token, name) for token, (_, name) in zip(tokens, found, strict=True))

    def count(self, user_id: int | None) -> int:
        """How many tokens the whole ``list`` has."""
        with self._db.reading() as session:
            return session.scalar(select(func.count()).select_from(ApiTokenRow).where(_is_of(user_id))) or 0

    def owners(self) -> dict[int, str]:
        """The usernames of those who have a token by their ids, in the order of the names."""
        wanted = (
            select(UserRow.id, UserRow.username)
            .where(UserRow.id.in_(select(ApiTokenRow.user_id)))
            .order_by(UserRow.username_key)
        )
        with self._db.reading() as session:
            return dict(session.execute(wanted).all())

    def get(self, token_id: int) -> OwnedToken:
        """The token with its owner; raises NotFound."""
        wanted = select(ApiTokenRow, UserRow.username).join(UserRow, UserRow.id == ApiTokenRow.user_id)
        with self._db.reading() as session:
            found = session.execute(wanted.where(ApiTokenRow.id == token_id)).first()
            if found is None:
                raise NotFound("There is no such token.")
            (token,) = _tokens(session, [found[0]])
            return OwnedToken(token, found[1])

    # -- changing -------------------------------------------------------------------------------------------------

    def add(self, user_id: int, secret: str, beginning: str, wish: TokenWish, most: int | None = None) -> Token:
        """A new token of a user; of the secret only the digest is kept.

        Raises BadRequest when the user has ``most`` already, also when several ask at the same moment.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.PEOPLE)
            if most is not None and self.count(user_id) >= most:
                raise BadRequest(f"You have {most} tokens. Revoke those that you no longer need.")
            row = ApiTokenRow(
                digest=self._digest(secret),
                user_id=user_id,
                beginning=beginning,
                description=wish.description,
                created_at=self._db.clock(),
                expires_at=wish.expires_at,
                operations=None if wish.operations is None else sorted(wish.operations),
                is_limited_to_nodes=wish.nodes is not None,
                request_count=0,
                answered_bytes=0,
            )
            session.add(row)
            session.flush()
            session.add_all(ApiTokenNodeRow(token_id=row.id, node_id=node_id) for node_id in sorted(wish.nodes or ()))
            session.flush()
            (token,) = _tokens(session, [row])
            return token

    def remove(self, token_id: int) -> None:
        """From now on the token is worth nothing; raises NotFound."""
        with self._db.transaction() as session:
            gone = delete(ApiTokenRow).where(ApiTokenRow.id == token_id).returning(ApiTokenRow.id)
            if session.scalar(gone) is None:
                raise NotFound("There is no such token.")

    def note_use(self, uses: Mapping[int, Use]) -> None:
        """Add to the usage of tokens, by their ids; those that have been revoked since are passed over."""
        with self._db.transaction() as session:
            for token_id, use in sorted(uses.items()):  # in one order for all, so that none waits for another in turn
                more: dict[str, Any] = {
                    "request_count": ApiTokenRow.request_count + use.requests,
                    "answered_bytes": ApiTokenRow.answered_bytes + use.bytes,
                    "last_used_at": use.at,
                }
                session.execute(update(ApiTokenRow).where(ApiTokenRow.id == token_id).values(more))

    def sweep(self, expired_before: datetime) -> int:
        """Remove tokens that expired before, and return how many."""
        with self._db.transaction() as session:
            stale = delete(ApiTokenRow).where(ApiTokenRow.expires_at < expired_before)
            return len(session.execute(stale.returning(ApiTokenRow.id)).all())

    def _is_in_time(self) -> ColumnElement[bool]:
        return or_(ApiTokenRow.expires_at.is_(None), ApiTokenRow.expires_at > self._db.clock())

    def _digest(self, secret: str) -> str:
        """A keyed hash needs no stretching: nobody can try 2^256 secrets, and without the key not even one."""
        key = self._db.vault.key_for("tokens")
        return hmac.new(key, secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _is_of(user_id: int | None) -> ColumnElement[bool]:
    return true() if user_id is None else ApiTokenRow.user_id == user_id


def _tokens(session: Session, rows: Iterable[ApiTokenRow]) -> list[Token]:
    rows = list(rows)
    limited = [row.id for row in rows if row.is_limited_to_nodes]
    nodes: dict[int, set[int]] = {token_id: set() for token_id in limited}
    if limited:
        for pair in session.scalars(select(ApiTokenNodeRow).where(ApiTokenNodeRow.token_id.in_(limited))):
            nodes[pair.token_id].add(pair.node_id)
    return [_token(row, frozenset(nodes[row.id]) if row.is_limited_to_nodes else None) for row in rows]


def _token(row: ApiTokenRow, nodes: frozenset[int] | None) -> Token:
    return Token(
        id=row.id,
        user_id=row.user_id,
        beginning=row.beginning,
        description=row.description,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        operations=None if row.operations is None else frozenset(map(Operation, row.operations)),
        nodes=nodes,
        request_count=row.request_count,
        answered_bytes=row.answered_bytes,
    )
