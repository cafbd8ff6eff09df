"""Looks at the database: whether it answers, has this version and our key; at its clock, trail and accounts."""

import subprocess
from collections.abc import Iterator
from re import search
from shutil import which

from deployments.doctor.findings import Finding, Installation, ok, problem, warning
from models.db.engine import Database
from models.db.people import UserStore
from models.domain.errors import AditError, NotPermitted, WrongVersion
from models.domain.people import Standing
from models.settings import Settings
from services import audit

_CLOCKS_APART_S = 1.0
_NEWEST = 2_000
"""Lines of the audit trail that are looked at; ``adit audit verify`` looks at all."""


def is_missing(settings: Settings) -> bool:
    """Whether there is no SQLite file yet."""
    return settings.database_file is not None and not settings.database_file.exists()


def missing(settings: Settings) -> Finding:
    """What to say then."""
    words = f"There is no database at {settings.database_file}."
    return problem("Database", words, "Start adit up, or run adit init, which make it; or correct ADIT_DATA_DIR.")


def opened(settings: Settings, db: Database) -> Iterator[Finding]:
    """Look whether the database can be worked with at all; the last finding says so."""
    try:
        is_current = db.is_current()
        if is_current:
            db.check_key()
    except WrongVersion as error:
        remedy = "Install the version of ADIT that the database was last used with, or restore a backup from before."
        yield problem("Database", error.message, remedy)
    except NotPermitted as error:
        remedy = "Set ADIT_MASTER_KEY to the key this database was first used with; it is where you keep its copy."
        yield problem("Database", error.message, remedy)
    except AditError as error:
        remedy = "Start the database, and compare host, name, user and password in ADIT_DATABASE_URL with it."
        yield problem("Database", error.message, remedy)
    else:
        if is_current:
            yield ok("Database", f"{_kind(settings)}, of this version, and the master key is its own.")
        else:
            remedy = "Make a backup, then run adit init, or start adit up, which bring it to this version."
            yield problem("Database", "The database is of an earlier version than this program, or empty.", remedy)


def clock(here: Installation) -> Iterator[Finding]:
    """Look whether the clocks of this machine and of the database agree: leases are told by both."""
    apart_s = abs((here.db.server_time() - here.db.clock()).total_seconds())
    if apart_s > _CLOCKS_APART_S:
        words = f"The clocks of this machine and of the database are {apart_s:.0f} seconds apart."
        remedy = "Set both by NTP (chrony, systemd-timesyncd): work would be taken from living workers."
        yield (problem if apart_s > here.settings.lease_s / 2 else warning)("Clock", words, remedy)
    else:
        yield ok("Clock", "It agrees with that of the database.")


def trail(here: Installation) -> Iterator[Finding]:
    """Look whether the newest lines of the audit trail fit one another."""
    verdict = audit.verify(here.db, last=_NEWEST)
    if verdict.is_whole:
        yield ok("Audit trail", f"The newest {verdict.count} entries are as they were written.")
    else:
        words = f"Entry {verdict.broken_at} was changed, moved or put in, or one before it is gone."
        remedy = "Keep a copy of the database, run adit audit verify, and ask who had access to the database."
        yield problem("Audit trail", words, remedy)


def accounts(here: Installation) -> Iterator[Finding]:
    """Look whether anybody can administer this in the browser, and whether somebody waits to be let in."""
    if not UserStore(here.db).has_superuser():
        yield warning("Accounts", "There is no superuser, so nobody can administer anything.", "adit create-admin")
        return
    waiting = UserStore(here.db).count("", Standing.AWAITS_APPROVAL)
    told = f" {waiting} people wait to be let in." if waiting else ""
    yield ok("Accounts", f"There is a superuser.{told}")


def programs(here: Installation) -> Iterator[Finding]:
    """Look for what backing up and restoring PostgreSQL takes."""
    if not here.settings.url.startswith("postgresql"):
        return
    server = here.db.server_version()
    remedy = f"Install the package postgresql-client-{server}; backups and adit db-restore need it."
    for name in ("pg_dump", "pg_restore"):
        found = _version_of(name)
        if found is None:
            yield problem("PostgreSQL's programs", f"There is no {name} on this machine.", remedy)
        elif found < server:
            words = f"{name} is of version {found}, and refuses to read a server of version {server}."
            yield problem("PostgreSQL's programs", words, remedy)
        else:
            yield ok("PostgreSQL's programs", f"{name} is of version {found}.")


def _version_of(program: str) -> int | None:
    path = which(program)
    if path is None:
        return None
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    found = search(r" (\d+)", told)
    return int(found[1]) if found else None


def _kind(settings: Settings) -> str:
    return "PostgreSQL" if settings.url.startswith("postgresql") else "SQLite"
