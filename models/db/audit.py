"""Keeps the audit trail. It only grows: here is no way to change or delete a line, and the database refuses to.

Each line is sealed: its digest is an HMAC, with a key derived from the master key, over the digest before it and all
it says. Who changes the database without that key cannot make the lines after it fit again.
"""

import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Select, Table, func, insert, or_, select
from sqlalchemy.orm import Session

from models.db.engine import Database, Lock, hold
from models.db.tables import AuditRow
from models.domain.audit import EVERYTHING, AuditAction, AuditEntry, AuditFilter
from models.domain.errors import NotFound

_AT_A_TIME = 500
_ACTOR_LENGTH, _OUTCOME_LENGTH, _ADDRESS_LENGTH, _TEXT_LENGTH = 150, 64, 64, 20_000
_SEALED, _OLDER = "sealed", "older than seals"


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the chain; ``fits`` says whether its digest is what it should be."""

    id: int
    digest: str | None
    fits: bool


class AuditStore:
    """Who tried what, when, why and with which outcome."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._key = db.vault.key_for("audit trail")

    def add(
        self,
        actor: str,
        action: AuditAction,
        subject: str,
        reason: str,
        outcome: str,
        address: str = "",
        details: Mapping[str, str] | None = None,
    ) -> None:
        """Append a line, sealed. From here to the end of the transaction nobody else can append one.

        Texts that the table cannot take are shortened and cleaned: a line must not be lost for its wording.
        """
        with self._db.transaction() as session:
            hold(session.connection(), Lock.AUDIT)
            newest = session.execute(_NEWEST).first()
            before = _Line(*newest) if newest else None
            line = _Line(
                id=_next_id(session, before),
                at=self._db.clock().astimezone(UTC),
                actor=_plain(actor, _ACTOR_LENGTH),
                action=action,
                subject=_plain(subject, _TEXT_LENGTH),
                reason=_plain(reason, _TEXT_LENGTH),
                outcome=_plain(outcome, _OUTCOME_LENGTH),
                address=_plain(address, _ADDRESS_LENGTH),
                details=self._db.vault.encrypt(json.dumps(dict(details)).encode()) if details else b"",
                digest=None,
            )
            digest = self._seal(self._digest_of(session, before), line, _SEALED)
            session.execute(insert(_TABLE), [line._replace(digest=digest)._asdict()])

    def entries(self, wanted: AuditFilter = EVERYTHING, limit: int = 100, offset: int = 0) -> tuple[AuditEntry, ...]:
        """The trail, newest first."""
        found = _matching(_LINES, wanted).order_by(AuditRow.id.desc()).limit(limit).offset(offset)
        with self._db.reading() as session:
            return tuple(_Line(*row).entry for row in session.execute(found))

    def get(self, entry_id: int) -> AuditEntry:
        """One entry; raises NotFound."""
        with self._db.reading() as session:
            row = session.execute(_LINES.where(AuditRow.id == entry_id)).first()
        if row is None:
            raise NotFound("There is no such entry in the audit trail.")
        return _Line(*row).entry

    def count(self, wanted: AuditFilter = EVERYTHING) -> int:
        """How many entries match."""
        with self._db.reading() as session:
            return session.scalar(_matching(select(func.count(AuditRow.id)), wanted)) or 0

    def oldest_first(self, wanted: AuditFilter = EVERYTHING) -> Iterator[AuditEntry]:
        """What matches and is there at this moment, the oldest first, read some hundred at a time."""
        last = self._last_id()
        return (line.entry for lines in self._parts(wanted, last) for line in lines)

    def details(self, entry_id: int) -> dict[str, str]:
        """What an entry keeps encrypted; raises NotFound."""
        with self._db.reading() as session:
            kept = session.scalar(select(AuditRow.details).where(AuditRow.id == entry_id))
        if kept is None:
            raise NotFound("There is no such entry in the audit trail.")
        return dict(json.loads(self._db.vault.decrypt(kept))) if kept else {}

    def links(self, newest: int | None = None) -> Iterator[Link]:
        """Yield every entry that is there now, or so many of the newest, the oldest first, with whether its seal holds.

        After one that does not, the next are measured by what is written, so that each break shows once.
        """
        after, before = self._sealed_before(newest) if newest is not None else (0, "")
        has_seals = bool(before)
        for lines in self._parts(EVERYTHING, self._last_id(), after):
            for line in lines:
                has_seals = has_seals or line.digest is not None
                due = self._seal(before, line, _SEALED if has_seals else _OLDER)
                yield Link(line.id, line.digest, not has_seals or line.digest == due)
                before = line.digest or due

    def _sealed_before(self, newest: int) -> tuple[int, str]:
        """The id and digest of the sealed entry before the newest ones; of none where there are not so many."""
        sealed = select(AuditRow.id, AuditRow.digest).where(AuditRow.digest.is_not(None))
        with self._db.reading() as session:
            found = session.execute(sealed.order_by(AuditRow.id.desc()).offset(newest).limit(1)).first()
        return (found[0], found[1] or "") if found else (0, "")

    def _digest_of(self, session: Session, newest: "_Line | None") -> str:
        """What the next seal goes on from; the first one covers all entries that are older than seals."""
        if newest is None or newest.digest is not None:
            return newest.digest or "" if newest else ""
        digest = ""
        for row in session.execute(_LINES.order_by(AuditRow.id).execution_options(yield_per=_AT_A_TIME)):
            digest = self._seal(digest, _Line(*row), _OLDER)
        return digest

    def _seal(self, before: str, line: "_Line", label: str) -> str:
        """The digest of an entry. JSON tells where one value ends and the next begins.

        Entries that are older than details have a text there in SQLite, an empty one: the default of their column.
        """
        *said, details, _ = line
        content = json.dumps([before, label, *said, (details or b"").hex()], default=_spelled).encode()
        return hmac.digest(self._key, content, "sha256").hex()

    def _last_id(self) -> int:
        with self._db.reading() as session:
            return session.scalar(select(func.max(AuditRow.id))) or 0

    def _parts(self, wanted: AuditFilter, last: int, after: int = 0) -> Iterator[Sequence["_Line"]]:
        """Yield the lines after one and up to the last in parts; no transaction stays open between them."""
        while after < last:
            part = _LINES.where(AuditRow.id > after, AuditRow.id <= last).order_by(AuditRow.id).limit(_AT_A_TIME)
            with self._db.reading() as session:
                lines = [_Line(*row) for row in session.execute(_matching(part, wanted))]
            if not lines:
                return
            yield lines
            after = lines[-1].id


class _Line(NamedTuple):
    """A row as it is sealed: the fields are the columns, in their order."""

    id: int
    at: datetime
    actor: str
    action: AuditAction
    subject: str
    reason: str
    outcome: str
    address: str
    details: bytes
    digest: str | None

    @property
    def entry(self) -> AuditEntry:
        return AuditEntry(
            self.id,
            self.at,
            self.actor,
            self.action,
            self.subject,
            self.reason,
            self.outcome,
            self.address,
            self.digest,
            bool(self.details),
        )


_TABLE = cast(Table, AuditRow.__table__)
_LINES: Select[Any] = select(*_TABLE.columns)
_NEWEST = _LINES.order_by(AuditRow.id.desc()).limit(1)


def _matching(query: Select[Any], wanted: AuditFilter) -> Select[Any]:
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    if wanted.action is not None:
        query = query.where(AuditRow.action == wanted.action)
    if wanted.who:
        query = query.where(AuditRow.actor.icontains(wanted.who, autoescape=True))
    if wanted.text:
        texts = (AuditRow.subject, AuditRow.reason, AuditRow.address)
        query = query.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in texts)))
    return query


def _next_id(session: Session, newest: _Line | None) -> int:
    """The number of the next entry; PostgreSQL gives it itself, or its sequence would lag behind."""
    if session.connection().dialect.name == "postgresql":
        return session.scalars(select(func.nextval("audit_entries_id_seq"))).one()
    return newest.id + 1 if newest else 1


def _plain(text: str, length: int) -> str:
    """The text without what PostgreSQL or UTF-8 cannot take, cut to the length."""
    printable = "".join(character if character.isprintable() else " " for character in text[: length + 1])
    return printable if len(printable) <= length else f"{printable[: length - 1]}…"


def _spelled(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
