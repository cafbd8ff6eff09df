"""Writes down who did what, and shows it to those who may see it.

A line costs one question and one insert. From its line on, a transaction keeps everybody else from writing theirs, so
record late: after the work and after all other locks, right before the transaction ends.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from models.db.audit import AuditStore
from models.db.engine import Database
from models.domain.audit import DONE, EVERYTHING, AuditAction, AuditEntry, AuditFilter
from models.domain.errors import AditError, BadRequest, NotPermitted
from models.domain.people import Actor, Permission

_SHORTEST_REASON, _LONGEST_REASON = 10, 500


@dataclass(slots=True)
class Tried:
    """What the line about an action will say. ``subject`` is never what a person typed: that may be a patient."""

    subject: str
    reason: str


def record(
    db: Database,
    actor: Actor | str,
    action: AuditAction,
    subject: str,
    outcome: str = DONE,
    details: Mapping[str, str] | None = None,
    address: str = "",
) -> None:
    """Write a line down, in the transaction that is open, if one is: then it stands or falls with it.

    What is to be seen of a try that failed has to be recorded after its transaction. ``actor`` may be the name of
    somebody who is not signed in. ``subject`` never names a patient; what may, such as the keys of a search, goes into
    ``details``, which are encrypted. The address is the actor's unless given.
    """
    name, place = (actor, "") if isinstance(actor, str) else (actor.name, actor.address)
    AuditStore(db).add(name, action, subject, "", outcome, address or place, details)


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
            AuditStore(db).add(actor.name, action, tried.subject, tried.reason, DONE, actor.address)
    except Exception as error:
        code = error.code if isinstance(error, AditError) else type(error).__name__
        AuditStore(db).add(actor.name, action, tried.subject, tried.reason[:_LONGEST_REASON], code, actor.address)
        raise


@contextmanager
def refusals_recorded(db: Database, actor: Actor, action: AuditAction, subject: str) -> Generator[None]:
    """Record the try when the block raises NotPermitted. What succeeds, or fails otherwise, the block records itself.

    Put it around the transaction, not into one: the line about a refusal must not be undone with it.
    """
    try:
        yield
    except NotPermitted as error:
        record(db, actor, action, subject, error.code)
        raise


def entries(
    db: Database, actor: Actor, wanted: AuditFilter = EVERYTHING, limit: int = 100, offset: int = 0
) -> tuple[AuditEntry, ...]:
    """The trail as far as it matches, newest first; raises NotPermitted."""
    _check_may_read(actor)
    return AuditStore(db).entries(wanted, limit, offset)


def count(db: Database, actor: Actor, wanted: AuditFilter = EVERYTHING) -> int:
    """How many entries match; raises NotPermitted."""
    _check_may_read(actor)
    return AuditStore(db).count(wanted)


def details(db: Database, actor: Actor, entry_id: int, reason: str) -> Mapping[str, str]:
    """What an entry keeps encrypted, empty for most. Looking is itself recorded, with its reason.

    Raises NotPermitted, BadRequest (as ``audited`` does) or NotFound.
    """
    with audited(db, actor, AuditAction.READ_DETAILS, Permission.READ_AUDIT, reason, f"entry {entry_id}"):
        return AuditStore(db).details(entry_id)


def _check_may_read(actor: Actor) -> None:
    if Permission.READ_AUDIT not in actor.permissions:
        raise NotPermitted("You may not read the audit trail.")


def _check(actor: Actor, permission: Permission, reason: str) -> None:
    if permission not in actor.permissions:
        raise NotPermitted(f"You do not have the right {permission.value}. Ask an administrator for it.")
    if len(reason) < _SHORTEST_REASON:
        raise BadRequest(f"reason: say in at least {_SHORTEST_REASON} characters why.")
    if len(reason) > _LONGEST_REASON:
        raise BadRequest(f"reason: at most {_LONGEST_REASON} characters.")
