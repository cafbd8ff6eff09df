"""Keeps the audit trail. It only grows: here is no way to change or delete a line, and the database refuses to."""

from sqlalchemy import select

from models.db.engine import Database
from models.db.tables import AuditRow
from models.domain.audit import AuditAction, AuditEntry


class AuditStore:
    """Who tried what, when, why and with which outcome."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, actor: str, action: AuditAction, subject: str, reason: str, outcome: str) -> None:
        """Append a line."""
        with self._db.transaction() as session:
            session.add(
                AuditRow(
                    at=self._db.clock(),
                    actor=actor,
                    action=action,
                    subject=subject,
                    reason=reason,
                    outcome=outcome,
                    address="",
                    details=b"",
                )
            )

    def entries(self, limit: int = 100, offset: int = 0) -> tuple[AuditEntry, ...]:
        """The trail, newest first."""
        wanted = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit).offset(offset)
        with self._db.reading() as session:
            return tuple(_entry(row) for row in session.scalars(wanted))


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(row.id, row.at, row.actor, row.action, row.subject, row.reason, row.outcome)
