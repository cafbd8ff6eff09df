"""Writes down who did what with identities, and shows it to those who may see it."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from models.db.audit import AuditStore
from models.db.engine import Database
from models.domain.audit import DONE, AuditAction, AuditEntry
from models.domain.errors import AditError, BadRequest, NotPermitted
from models.domain.people import Actor, Permission

_SHORTEST_REASON, _LONGEST_REASON = 10, 500


@dataclass(slots=True)
class Tried:
    """What the line about an action will say. ``subject`` is never what a person typed: that may be a patient."""

    subject: str
    reason: str


@contextmanager
def audited(
    db: Database, actor: Actor, action: AuditAction, permission: Permission, reason: str, subject: str = ""
) -> Generator[Tried]:
    """Do something in one transaction with the line about it; what fails is undone, and gets a line with its error.

    ``subject`` is known before, or told by the block. Raises NotPermitted, and BadRequest for a reason of fewer than 10
    or more than 500 characters; both leave a line.
    """
    tried = Tried(subject, " ".join(reason.split()))
    try:
        with db.transaction():
            _check(actor, permission, tried.reason)
            yield tried
            AuditStore(db).add(actor.name, action, tried.subject, tried.reason, DONE)
    except Exception as error:
        code = error.code if isinstance(error, AditError) else type(error).__name__
        AuditStore(db).add(actor.name, action, tried.subject, tried.reason[:_LONGEST_REASON], code)
        raise


def entries(db: Database, actor: Actor, limit: int = 100, offset: int = 0) -> tuple[AuditEntry, ...]:
    """The trail, newest first; raises NotPermitted."""
    if Permission.READ_AUDIT not in actor.permissions:
        raise NotPermitted("You may not read the audit trail.")
    return AuditStore(db).entries(limit, offset)


def _check(actor: Actor, permission: Permission, reason: str) -> None:
    if permission not in actor.permissions:
        raise NotPermitted(f"You do not have the right {permission.value}. Ask an administrator for it.")
    if len(reason) < _SHORTEST_REASON:
        raise BadRequest(f"reason: say in at least {_SHORTEST_REASON} characters why.")
    if len(reason) > _LONGEST_REASON:
        raise BadRequest(f"reason: at most {_LONGEST_REASON} characters.")
