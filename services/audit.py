"""Writes down who did what, and shows it to those who may see it.

A line costs one question and one insert. From its line on, a transaction keeps everybody else from writing theirs, so
record late: after the work and after all other locks, right before the transaction ends.
"""

import csv
import io
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

from models.db.audit import AuditStore
from models.db.engine import Database
from models.domain.audit import DONE, EVERYTHING, AuditAction, AuditEntry, AuditFilter, Verdict
from models.domain.errors import AditError, BadRequest, NotPermitted
from models.domain.people import Actor, Permission
from services.formula_guard import guarded

_SHORTEST_REASON, _LONGEST_REASON = 10, 500
_COLUMNS = ("id", "at", "actor", "action", "subject", "reason", "outcome", "address", "has_details", "digest")
_PIECE_LENGTH = 64_000
_ABOUT_PATIENTS = frozenset({AuditAction.LOOK_UP_IDENTITY, AuditAction.RELEASE_HELD, AuditAction.REJECT_HELD})
"""Whose reasons are likely to say something of a patient, whatever was asked of those who give them."""


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
    ``details``, which are encrypted. The address is the actor's unless given, with the token that a script has shown.
    """
    name, place = (actor, "") if isinstance(actor, str) else (actor.name, _place(actor))
    AuditStore(db).add(name, action, subject, "", outcome, address or place, details)


@contextmanager
def audited(
    db: Database, actor: Actor, action: AuditAction, permission: Permission, reason: str, subject: str = ""
) -> Generator[Tried]:
    """Do something in one transaction with the line about it; what fails is undone, and gets a line with its error.

    ``subject`` is known before, or told by the block. The reason of what fails, or is about patients, is kept encrypted
    in the details of the line, and else beside them. Raises NotPermitted, and BadRequest for a reason of fewer than 10
    or more than 500 characters; both leave a line.
    """
    tried = Tried(subject, " ".join(reason.split()))
    try:
        with db.transaction():
            _check(actor, permission, tried.reason)
            yield tried
            _record_tried(db, actor, action, tried, DONE)
    except Exception as error:
        code = error.code if isinstance(error, AditError) else type(error).__name__
        _record_tried(db, actor, action, tried, code)
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


def may_read(actor: Actor) -> bool:
    """Whether somebody may read the trail; asked again while a long file of it is sent."""
    return Permission.READ_AUDIT in actor.permissions


def entries(
    db: Database, actor: Actor, wanted: AuditFilter = EVERYTHING, limit: int = 100, offset: int = 0
) -> tuple[AuditEntry, ...]:
    """The trail as far as it matches, newest first; raises NotPermitted."""
    _check_may_read(actor)
    return AuditStore(db).entries(wanted, limit, offset)


def get(db: Database, actor: Actor, entry_id: int) -> AuditEntry:
    """One entry of the trail; raises NotPermitted or NotFound."""
    _check_may_read(actor)
    return AuditStore(db).get(entry_id)


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


def export(db: Database, actor: Actor, wanted: AuditFilter = EVERYTHING) -> Iterator[str]:
    """The entries that match now, oldest first, as pieces of one CSV file (RFC 4180); who exports is recorded first.

    Cells that a spreadsheet would take for a formula begin with an apostrophe. What is kept encrypted is not in it.
    Raises NotPermitted at once.
    """
    with refusals_recorded(db, actor, AuditAction.EXPORT_AUDIT, ""):
        number = count(db, actor, wanted)
    found = AuditStore(db).oldest_first(wanted)
    sought = {name: str(value) for name, value in asdict(wanted).items() if value}
    record(db, actor, AuditAction.EXPORT_AUDIT, f"{number} entries", details=sought)
    return _rows(found)


def verify(db: Database, expected: str = "", last: int | None = None) -> Verdict:
    """Whether every entry, or so many of the last, is as it was written, in its place, and none is missing between.

    That entries are missing at the end cannot be seen from within: ``expected`` is a digest that somebody kept
    elsewhere, of an entry that must still be there.
    """
    total = older = 0
    newest, broken_at, has_expected = "", None, not expected
    for link in AuditStore(db).links(last):
        total += 1
        older += link.digest is None and link.fits
        newest = link.digest or newest
        has_expected = has_expected or link.digest == expected.lower()
        if broken_at is None and not link.fits:
            broken_at = link.id
    return Verdict(total, older, newest, broken_at, has_expected)


def _rows(entries: Iterator[AuditEntry]) -> Iterator[str]:
    line = io.StringIO(newline="")
    rows = csv.writer(line)
    rows.writerow(_COLUMNS)
    for entry in entries:
        rows.writerow([_cell(getattr(entry, name)) for name in _COLUMNS])
        if line.tell() > _PIECE_LENGTH:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _cell(value: object) -> str:
    text = value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)
    return guarded(text)


def _record_tried(db: Database, actor: Actor, action: AuditAction, tried: Tried, outcome: str) -> None:
    """A reason in the clear is one that was looked at: what fails may never get so far."""
    reason = tried.reason[:_LONGEST_REASON]
    is_plain = outcome == DONE and action not in _ABOUT_PATIENTS
    details = {"reason": reason} if reason and not is_plain else None
    AuditStore(db).add(actor.name, action, tried.subject, reason if is_plain else "", outcome, _place(actor), details)


def _place(actor: Actor) -> str:
    """Where somebody was, and which token a script of theirs has shown: ``192.0.2.7, token 12``."""
    token = f"token {actor.token.id}" if actor.token else ""
    return ", ".join(filter(None, (actor.address, token)))


def _check_may_read(actor: Actor) -> None:
    if not may_read(actor):
        raise NotPermitted("You may not read the audit trail.")


def _check(actor: Actor, permission: Permission, reason: str) -> None:
    if permission not in actor.permissions:
        raise NotPermitted(f"You do not have the right {permission.value}. Ask an administrator for it.")
    if len(reason) < _SHORTEST_REASON:
        raise BadRequest(f"reason: say in at least {_SHORTEST_REASON} characters why.")
    if len(reason) > _LONGEST_REASON:
        raise BadRequest(f"reason: at most {_LONGEST_REASON} characters.")
