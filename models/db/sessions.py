"""Keeps signed-in browsers, links in mails, and tries of what is limited. Tokens are known by their digests only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.groups import Rights, rights_of
from models.db.people import account
from models.db.tables import LinkRow, TryRow, UserRow, WebSessionRow
from models.domain.errors import NotFound, TooManyTries
from models.domain.people import LinkPurpose, User, WebSession

_KEPT_FOR = timedelta(days=1)
"""How long tries are kept; no limit looks back further."""


@dataclass(frozen=True, slots=True)
class Found:
    """A session with whose it is and what that person may do now."""

    session: WebSession
    user: User
    rights: Rights


class SessionStore:
    """Sessions of signed-in browsers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, digest: str, user_id: int, address: str, agent: str) -> WebSession:
        """A new session for a token with this digest."""
        now = self._db.clock()
        with self._db.transaction() as session:
            row = WebSessionRow(
                token_digest=digest,
                user_id=user_id,
                created_at=now,
                seen_at=now,
                address=address[:64],
                agent=agent[:255],
            )
            session.add(row)
            session.flush()
            return _web_session(row)

    def find(self, digest: str, seen_after: datetime, created_after: datetime) -> Found | None:
        """The session with this digest that is not older, with its user and their rights, in three questions."""
        wanted = (
            select(WebSessionRow, UserRow)
            .join(UserRow, UserRow.id == WebSessionRow.user_id)
            .where(WebSessionRow.token_digest == digest)
            .where(WebSessionRow.seen_at > seen_after, WebSessionRow.created_at > created_after)
        )
        with self._db.reading() as session:
            row = session.execute(wanted).first()
            if row is None:
                return None
            rights = rights_of(session, row[1].id)
            return Found(_web_session(row[0]), replace(account(row[1]), groups=rights.groups), rights)

    def touch(self, session_id: int) -> None:
        """The browser has just been seen."""
        now = self._db.clock()
        with self._db.transaction() as session:
            session.execute(update(WebSessionRow).where(WebSessionRow.id == session_id).values(seen_at=now))

    def of_user(self, user_id: int) -> tuple[WebSession, ...]:
        """The sessions of one user, the last seen first."""
        wanted = select(WebSessionRow).where(WebSessionRow.user_id == user_id)
        with self._db.reading() as session:
            rows = session.scalars(wanted.order_by(WebSessionRow.seen_at.desc(), WebSessionRow.id.desc()))
            return tuple(_web_session(row) for row in rows)

    def end(self, digest: str) -> str:
        """End the session with this digest; the name of its user, empty when there was none."""
        with self._db.transaction() as session:
            ended = delete(WebSessionRow).where(WebSessionRow.token_digest == digest).returning(WebSessionRow.user_id)
            user_id = session.scalar(ended)
            return session.scalar(select(UserRow.username).where(UserRow.id == user_id)) or ""

    def end_one(self, user_id: int, session_id: int) -> None:
        """End one session of a user; raises NotFound when it is another's."""
        mine = WebSessionRow.id == session_id, WebSessionRow.user_id == user_id
        with self._db.transaction() as session:
            if session.scalar(delete(WebSessionRow).where(*mine).returning(WebSessionRow.id)) is None:
                raise NotFound("There is no such session.")

    def end_all(self, user_id: int, but: int = 0) -> int:
        """End the sessions of a user, perhaps but one, and return how many."""
        mine = WebSessionRow.user_id == user_id, WebSessionRow.id != but
        with self._db.transaction() as session:
            return len(session.execute(delete(WebSessionRow).where(*mine).returning(WebSessionRow.id)).all())

    def end_everybodys(self) -> int:
        """End the sessions of all users, and return how many."""
        with self._db.transaction() as session:
            return len(session.execute(delete(WebSessionRow).returning(WebSessionRow.id)).all())

    def sweep(self, seen_before: datetime, created_before: datetime) -> None:
        """Remove sessions that have ended by themselves."""
        is_over = or_(WebSessionRow.seen_at <= seen_before, WebSessionRow.created_at <= created_before)
        with self._db.transaction() as session:
            session.execute(delete(WebSessionRow).where(is_over))


class LinkStore:
    """Links that are good for one thing, once."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, digest: str, user_id: int, purpose: LinkPurpose, expires_at: datetime) -> None:
        """Keep a new link; those that have expired are removed."""
        with self._db.transaction() as session:
            session.execute(delete(LinkRow).where(LinkRow.expires_at <= self._db.clock()))
            session.add(LinkRow(token_digest=digest, user_id=user_id, purpose=purpose, expires_at=expires_at))

    def user_of(self, digest: str, purpose: LinkPurpose) -> int | None:
        """Whose link this is, if it is still good."""
        with self._db.reading() as session:
            return session.scalar(select(LinkRow.user_id).where(*self._is_good(digest, purpose)))

    def use(self, digest: str, purpose: LinkPurpose) -> int | None:
        """Whose link this was, if it was still good: from now on it is not, for whoever comes second."""
        with self._db.transaction() as session:
            return session.scalar(delete(LinkRow).where(*self._is_good(digest, purpose)).returning(LinkRow.user_id))

    def void(self, user_id: int, *purposes: LinkPurpose) -> None:
        """Make links of a user worthless, all of them when no purpose is named."""
        mine = [LinkRow.user_id == user_id, *([LinkRow.purpose.in_(purposes)] if purposes else [])]
        with self._db.transaction() as session:
            session.execute(delete(LinkRow).where(*mine))

    def sweep(self) -> None:
        """Remove links that have expired."""
        with self._db.transaction() as session:
            session.execute(delete(LinkRow).where(LinkRow.expires_at <= self._db.clock()))

    def void_all(self) -> None:
        """Make the links of all users worthless."""
        with self._db.transaction() as session:
            session.execute(delete(LinkRow))

    def _is_good(self, digest: str, purpose: LinkPurpose) -> tuple[ColumnElement[bool], ...]:
        return LinkRow.token_digest == digest, LinkRow.purpose == purpose, LinkRow.expires_at > self._db.clock()


@dataclass(frozen=True, slots=True)
class Limit:
    """How many tries with one subject are let through within a time. ``subject`` is a digest."""

    subject: str
    count: int
    within: timedelta


class TryStore:
    """Tries of what is limited."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, limits: Sequence[Limit]) -> tuple[int, ...]:
        """Note one try under each limit and return their ids; raises TooManyTries, and notes none, where one is full.

        A refusal writes nothing, so that a flood of tries costs one question each.
        """
        with self._db.reading() as session:
            self._check(session, limits)
        with self._db.transaction() as session:
            hold(session.connection(), Lock.TRIES)
            self._check(session, limits)
            now = self._db.clock()
            session.execute(delete(TryRow).where(TryRow.at < now - _KEPT_FOR))
            rows = [TryRow(subject=limit.subject, at=now) for limit in limits]
            session.add_all(rows)
            session.flush()
            return tuple(row.id for row in rows)

    def forgive(self, ids: Sequence[int], subject: str) -> None:
        """Forget these tries, which have succeeded, and all tries with one subject."""
        with self._db.transaction() as session:
            session.execute(delete(TryRow).where(or_(TryRow.id.in_(ids), TryRow.subject == subject)))

    def _check(self, session: Session, limits: Sequence[Limit]) -> None:
        for limit in limits:
            recent = TryRow.subject == limit.subject, TryRow.at > self._db.clock() - limit.within
            if (session.scalar(select(func.count()).select_from(TryRow).where(*recent)) or 0) >= limit.count:
                raise TooManyTries


def _web_session(row: WebSessionRow) -> WebSession:
    return WebSession(row.id, row.user_id, row.created_at, row.seen_at, row.address, row.agent)
