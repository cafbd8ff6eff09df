"""Keeps webhooks with their secrets, and notices on their way to them.

A sender claims one notice at a time by putting off when it is due again, as with mails: one that dies keeps a notice
back for a while, and no two send the same one at the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.job_events import GIVE_UP_AFTER, new_notice
from models.db.tables import NoticeRow, WebhookRow
from models.domain.errors import NotFound, Outdated
from models.domain.webhooks import Event, Notice, NoticeState, Webhook, WebhookWish


@dataclass(frozen=True, slots=True)
class NoticeClaim:
    """The right to send one notice until a given time; ``attempts`` counts this one and tells later claims apart."""

    notice_id: int
    webhook_id: int
    attempts: int
    event_id: str
    body: str
    created_at: datetime


class WebhookStore:
    """Webhooks by id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def list(self) -> tuple[Webhook, ...]:
        """All webhooks, the oldest first; there are few."""
        with self._db.reading() as session:
            return tuple(map(_webhook, session.scalars(select(WebhookRow).order_by(WebhookRow.id))))

    def get(self, webhook_id: int) -> Webhook:
        """The webhook; raises NotFound."""
        with self._db.reading() as session:
            return _webhook(_row(session, webhook_id))

    def secrets(self, webhook_id: int) -> tuple[bytes, ...]:
        """The secrets to sign with now, the newest first."""
        with self._db.reading() as session:
            row = _row(session, webhook_id)
            is_old_good = row.old_secret_until_at is not None and row.old_secret_until_at > self._db.clock()
            kept = (row.secret, row.old_secret) if is_old_good else (row.secret,)
            return tuple(map(self._db.vault.decrypt, kept))

    def add(self, wish: WebhookWish, secret: bytes, created_by: str) -> Webhook:
        """A new webhook; it is told of what happens from now on."""
        row = WebhookRow(
            secret=self._db.vault.encrypt(secret),
            old_secret=b"",
            created_by=created_by[:150],
            created_at=self._db.clock(),
            version=1,
        )
        _fill(row, wish)
        with self._db.transaction() as session:
            session.add(row)
            session.flush()
            return _webhook(row)

    def update(self, webhook_id: int, wish: WebhookWish, version: int) -> Webhook:
        """Replace what administrators enter; a webhook whose address was out of reach is tried at once.

        Raises NotFound or Outdated.
        """
        with self._db.transaction() as session:
            row = _locked(session, webhook_id)
            if row.version != version:
                raise Outdated
            _fill(row, wish)
            row.rests_until_at = None
            row.version += 1
            session.flush()
            return _webhook(row)

    def renew_secret(self, webhook_id: int, secret: bytes, old_until: datetime) -> Webhook:
        """Sign with a new secret, and with the one before it, too, until the given time; raises NotFound."""
        with self._db.transaction() as session:
            row = _locked(session, webhook_id)
            row.secret, row.old_secret = self._db.vault.encrypt(secret), row.secret
            row.old_secret_until_at = old_until
            session.flush()
            return _webhook(row)

    def remove(self, webhook_id: int) -> None:
        """Delete a webhook with its notices; raises NotFound."""
        with self._db.transaction() as session:
            _locked(session, webhook_id)
            session.execute(delete(WebhookRow).where(WebhookRow.id == webhook_id))


class NoticeStore:
    """Notices of webhooks, in the order in which they are due."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add_test(self, webhook_id: int) -> Notice:
        """A notice by which an administrator tries a webhook, also one that is not active; raises NotFound."""
        with self._db.transaction() as session:
            _locked(session, webhook_id).rests_until_at = None
            row = NoticeRow(webhook_id=webhook_id, **new_notice(Event.TEST, {}, self._db.clock()))
            session.add(row)
            session.flush()
            return _notice(row)

    def get(self, notice_id: int) -> Notice:
        """The notice; raises NotFound."""
        with self._db.reading() as session:
            return _notice(_notice_row(session, notice_id))

    def list(self, webhook_id: int, limit: int, offset: int) -> tuple[Notice, ...]:
        """Notices of a webhook, newest first."""
        mine = select(NoticeRow).where(NoticeRow.webhook_id == webhook_id).order_by(NoticeRow.id.desc())
        with self._db.reading() as session:
            return tuple(map(_notice, session.scalars(mine.limit(limit).offset(offset))))

    def count(self, webhook_id: int, state: NoticeState | None = None) -> int:
        """How many notices of a webhook there are, or are in a state."""
        mine = select(func.count(NoticeRow.id)).where(NoticeRow.webhook_id == webhook_id)
        with self._db.reading() as session:
            return session.scalar(mine if state is None else mine.where(NoticeRow.state == state)) or 0

    def due(self) -> Sequence[int]:
        """The ids of webhooks to which something could be sent now; a look into the index for each webhook."""
        of_webhook = exists().where(NoticeRow.webhook_id == WebhookRow.id, _is_due(self._db.clock()))
        with self._db.reading() as session:
            return session.scalars(select(WebhookRow.id).where(of_webhook).order_by(WebhookRow.id)).all()

    def claim(self, webhook_id: int, claim_for: timedelta) -> NoticeClaim | None:
        """Take the notice of a webhook that has been due for longest, or None when none is due."""
        now = self._db.clock()
        due = (
            select(NoticeRow)
            .join(WebhookRow, WebhookRow.id == NoticeRow.webhook_id)
            .where(NoticeRow.webhook_id == webhook_id, _is_due(now))
            .order_by(NoticeRow.not_before_at, NoticeRow.id)
            .limit(1)
            .with_for_update(skip_locked=True, of=NoticeRow)
        )
        with self._db.transaction() as session:
            row = session.scalar(due)
            if row is None:
                return None
            row.attempts += 1
            row.not_before_at = now + claim_for
            return NoticeClaim(row.id, webhook_id, row.attempts, row.event_id, row.body, row.created_at)

    def sent(self, claim: NoticeClaim, status: int) -> None:
        """Say that a claimed notice has arrived. Later claims are not disturbed."""
        with self._db.transaction() as session:
            webhook = _locked(session, claim.webhook_id)
            row = _held(session, claim)
            if row is not None:
                now = self._db.clock()
                row.state, row.status, row.trouble, row.sent_at = NoticeState.SENT, status, "", now
                webhook.failing_since_at = webhook.rests_until_at = None

    def not_sent(self, claim: NoticeClaim, status: int | None, trouble: str, wait: timedelta) -> NoticeState:
        """Say that a claimed notice has not arrived: it waits for its next attempt, or is given up after a day."""
        with self._db.transaction() as session:
            webhook = _locked(session, claim.webhook_id)
            row = _held(session, claim)
            if row is None:
                return NoticeState.WAITING
            now = self._db.clock()
            row.status, row.trouble = status, trouble
            row.not_before_at = now + wait
            webhook.failing_since_at = webhook.failing_since_at or now
            if row.not_before_at > row.give_up_at:
                row.state = NoticeState.FAILED
            return row.state

    def rest(self, webhook_id: int, wait: timedelta, trouble: str) -> None:
        """Send nothing to a webhook for a while: its listener is out of reach, and would cost each notice the time.

        What would wait for more than a day by then is given up.
        """
        with self._db.transaction() as session:
            webhook = _locked(session, webhook_id)
            webhook.rests_until_at = until = self._db.clock() + wait
            mine = and_(NoticeRow.webhook_id == webhook_id, NoticeRow.state == NoticeState.WAITING)
            late = update(NoticeRow).where(mine, NoticeRow.give_up_at < until)
            session.execute(
                late.values(state=NoticeState.FAILED, trouble=trouble),
                execution_options={"synchronize_session": False},
            )

    def send_again(self, notice_id: int) -> Notice:
        """Let a notice be due now, whatever has become of it, for another day at most; raises NotFound."""
        with self._db.transaction() as session:
            row = _notice_row(session, notice_id)
            _locked(session, row.webhook_id).rests_until_at = None
            session.refresh(row, with_for_update=True)
            now = self._db.clock()
            row.state, row.trouble, row.sent_at = NoticeState.WAITING, "", None
            row.not_before_at, row.give_up_at = now, now + GIVE_UP_AFTER
            session.flush()
            return _notice(row)

    def remove_ended(self, created_before: datetime) -> int:
        """Delete notices that were sent or given up; how many."""
        ended = and_(NoticeRow.state != NoticeState.WAITING, NoticeRow.created_at < created_before)
        with self._db.transaction() as session:
            return len(session.execute(delete(NoticeRow).where(ended).returning(NoticeRow.id)).all())

    def give_up_inactive(self) -> int:
        """Give up what has waited for a day at webhooks that are not active any more; how many notices."""
        inactive = select(WebhookRow.id).where(~WebhookRow.is_active)
        late = and_(NoticeRow.state == NoticeState.WAITING, NoticeRow.give_up_at < self._db.clock())
        given_up = update(NoticeRow).where(late, NoticeRow.webhook_id.in_(inactive))
        with self._db.transaction() as session:
            values = {"state": NoticeState.FAILED, "trouble": "The webhook was not active for a day."}
            return len(session.execute(given_up.values(values).returning(NoticeRow.id)).all())


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Whether a notice can be sent now; a test also while its webhook is not active."""
    waits = and_(NoticeRow.state == NoticeState.WAITING, NoticeRow.not_before_at <= now)
    is_open = and_(
        or_(WebhookRow.is_active, NoticeRow.event == Event.TEST),
        or_(WebhookRow.rests_until_at.is_(None), WebhookRow.rests_until_at <= now),
    )
    return and_(waits, is_open)


def _held(session: Session, claim: NoticeClaim) -> NoticeRow | None:
    """The row, unless somebody else has claimed it since."""
    mine = (
        NoticeRow.id == claim.notice_id,
        NoticeRow.attempts == claim.attempts,
        NoticeRow.state == NoticeState.WAITING,
    )
    return session.scalar(select(NoticeRow).where(*mine).with_for_update())


def _row(session: Session, webhook_id: int) -> WebhookRow:
    row = session.get(WebhookRow, webhook_id)
    if row is None:
        raise NotFound("There is no such webhook.")
    return row


def _locked(session: Session, webhook_id: int) -> WebhookRow:
    """The row as it is now; jobs whose events are written down meanwhile do not wait for it."""
    row = session.get(WebhookRow, webhook_id, with_for_update={"key_share": True}, populate_existing=True)
    if row is None:
        raise NotFound("There is no such webhook.")
    return row


def _notice_row(session: Session, notice_id: int) -> NoticeRow:
    row = session.get(NoticeRow, notice_id)
    if row is None:
        raise NotFound("There is no such notice.")
    return row


def _fill(row: WebhookRow, wish: WebhookWish) -> None:
    row.url, row.description = wish.url, wish.description
    row.events = sorted(event.value for event in wish.events)
    row.is_active = wish.is_active


def _webhook(row: WebhookRow) -> Webhook:
    return Webhook(
        id=row.id,
        url=row.url,
        description=row.description,
        events=frozenset(map(Event, row.events)),
        is_active=row.is_active,
        created_by=row.created_by,
        created_at=row.created_at,
        failing_since_at=row.failing_since_at,
        old_secret_until_at=row.old_secret_until_at,
        version=row.version,
    )


def _notice(row: NoticeRow) -> Notice:
    return Notice(
        id=row.id,
        webhook_id=row.webhook_id,
        event_id=row.event_id,
        event=row.event,
        job_id=row.job_id,
        state=row.state,
        attempts=row.attempts,
        status=row.status,
        trouble=row.trouble,
        created_at=row.created_at,
        not_before_at=row.not_before_at,
        sent_at=row.sent_at,
    )
