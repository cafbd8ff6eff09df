"""The database: SQLite in one file or PostgreSQL, its transactions, and the translation of its errors.

SQLite runs in WAL mode, and every transaction that may write begins IMMEDIATE: two writers wait for one another
instead of failing at the first write. PostgreSQL serializes by row locks and a few advisory locks.
"""

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, TimeoutError
from sqlalchemy.orm import Session

from models.db import revisions
from models.db.tables import SealRow
from models.db.vault import Vault
from models.domain.errors import AditError, Bug, NoSpace, PeerBusy, Unreachable, Unreadable, WrongVersion
from models.settings import Settings

T = TypeVar("T")

_BUSY_TIMEOUT_S = 30
_SEAL = b"adit"
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
    " -c tcp_user_timeout=20000 -c idle_in_transaction_session_timeout=60s"
    f" -c lock_timeout={_BUSY_TIMEOUT_S}s -c statement_timeout=300s",
}
"""PostgreSQL on another machine: both sides notice a cut line within 20 seconds. Else the locks of a machine that is
lost would hold everybody up for hours, and a worker without its database would wait for it as long. Nobody waits for
somebody else's lock longer than SQLite would have it, nor for an answer longer than any question of ours may take;
migrations and restores do, see ``models.db.schema``."""
_BUSY = frozenset({"25P03", "40001", "40P01", "53300", "55P03", "57014"})
"""Transactions that were given up for others or for their time, no more connections, and who has waited in vain."""
_AT_A_TIME = 400
"""How many values one statement compares with: older SQLites allow 999 parameters."""


class Lock(IntEnum):
    """Things only one transaction of all processes may do at a time; the numbers are PostgreSQL advisory locks."""

    MIGRATION = 0x41444954
    SLOTS = 0x41444955
    SCOPES = 0x41444956
    NODES = 0x41444957
    AUDIT = 0x41444958
    QUOTAS = 0x41444959
    PEOPLE = 0x4144495A
    TRIES = 0x4144495B
    CHORES = 0x4144495C
    ALARMS = 0x4144495D


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """One database and its vault. Threads share it; a forked child gets connections of its own.

    ``clock`` tells the time for leases and every ``..._at`` column, so that tests need not wait; ``zone`` is that in
    which the windows of servers are meant.
    """

    def __init__(self, url: str, master_key: str, clock: Callable[[], datetime] = utc_now, zone: tzinfo = UTC) -> None:
        self.vault = Vault(master_key)
        self.clock = clock
        self.zone = zone
        self._engine = _engine(make_url(url))
        self._reader = self._engine.execution_options(adit_begin="DEFERRED")
        self._open = threading.local()
        _databases.add(self)

    @contextmanager
    def transaction(self) -> Generator[Session]:
        """A session that is committed at the end, or rolled back when the block raises.

        Inside another transaction of the same thread it joins that one, so that several stores can write at once.
        Raises Unreachable, PeerBusy or NoSpace for the database's troubles.
        """
        outer: Session | None = getattr(self._open, "session", None)
        if outer is not None:
            yield outer
            return
        with _translated(), _session(self._engine) as session:
            self._open.session = session
            try:
                yield session
            finally:
                self._open.session = None

    def empty_log(self) -> bool:
        """Remove what SQLite's write-ahead log still holds of earlier states; False while somebody else reads from it.

        PostgreSQL keeps earlier states until its next VACUUM, which is not ours to run.
        """
        with self._reader.connect() as connection:
            if connection.dialect.name != "sqlite":
                return False
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").first()
            return busy is not None and not busy[0]

    @contextmanager
    def reading(self) -> Generator[Session]:
        """A session for questions; it never waits for writers. Inside a transaction it sees what that one wrote."""
        outer: Session | None = getattr(self._open, "session", None)
        if outer is not None:
            yield outer
            return
        with _translated(), _session(self._reader) as session:
            yield session

    def migrate(self) -> None:
        """Bring the tables to this version; processes that start at the same time wait for one another.

        Raises WrongVersion when they are of a newer one, NotPermitted when the master key is not the one that this
        database was first used with.
        """
        if not self.is_current():
            from models.db import schema  # with Alembic, which no program needs whose tables are current

            with _translated():
                schema.upgrade(self._engine, lambda connection: hold(connection, Lock.MIGRATION))
        self._check_seal()

    def is_current(self) -> bool:
        """Whether the tables are those of this program's version; raises WrongVersion when they are of a newer one."""
        with self.reading() as session:
            return revisions.is_current(session.connection())

    def check_is_current(self) -> None:
        """Raise WrongVersion unless the tables are those of this program's version, NotPermitted as ``check_key``."""
        if not self.is_current():
            raise WrongVersion(
                "The database is not of this version of ADIT yet. Run adit init, or start adit up, which migrate it."
            )
        self.check_key()

    @contextmanager
    def refilled(self, fill: Callable[[Connection], None]) -> Generator[None]:
        """A transaction that begins with other tables, which ``fill`` puts there, brought to this version.

        What the block does joins it. Raises WrongVersion, and NotPermitted when the master key is not theirs.
        """
        from models.db import schema  # as in migrate

        with self.transaction() as session:
            hold(session.connection(), Lock.MIGRATION)
            fill(session.connection())
            schema.upgrade_in_place(session.connection())
            self._check_seal()
            yield

    def server_time(self) -> datetime:
        """The time by the database's own clock, at this moment; SQLite has that of this machine."""
        with self.reading() as session:
            if session.connection().dialect.name == "sqlite":
                return self.clock()
            return session.execute(text("SELECT clock_timestamp()")).scalar_one().astimezone(UTC)

    def server_version(self) -> int:
        """The main version of PostgreSQL; 0 for SQLite."""
        with self.reading() as session:
            if session.connection().dialect.name == "sqlite":
                return 0
            return int(session.execute(text("SHOW server_version_num")).scalar_one()) // 10_000

    def close(self) -> None:
        """Close every pooled connection; the database can be used again afterwards."""
        self._engine.dispose()

    def forget_connections(self) -> None:
        """Leave the connections to the parent process, from which this one was forked."""
        _inherited.append(self._engine.pool)
        self._engine.dispose(close=False)
        self._open = threading.local()

    def check_key(self) -> None:
        """Raise NotPermitted when the master key is not the one that this database was first used with."""
        with self.reading() as session:
            if inspect(session.connection()).has_table(SealRow.__tablename__) and (seal := session.get(SealRow, 1)):
                self.vault.decrypt(seal.ciphertext)

    def _check_seal(self) -> None:
        with self.transaction() as session:
            hold(session.connection(), Lock.MIGRATION)
            seal = session.get(SealRow, 1)
            if seal is None:
                session.add(SealRow(id=1, ciphertext=self.vault.encrypt(_SEAL)))
            else:
                self.vault.decrypt(seal.ciphertext)


def open_database(settings: Settings) -> Database:
    """The database of an installation; the data directory and an SQLite file are made for this user only."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    zone = ZoneInfo(settings.time_zone)
    return Database(settings.url, settings.master_key.get_secret_value(), zone=zone)


def hold(connection: Connection, lock: Lock) -> None:
    """Hold a lock until the transaction ends. SQLite needs none: it has one writer at a time."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(lock)})


def in_parts(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Yield the values in parts that are small enough for one statement."""
    left = iter(values)
    while some := list(islice(left, _AT_A_TIME)):
        yield some


@contextmanager
def _session(engine: Engine) -> Generator[Session]:
    """Commit at the end; after an error roll back and throw the connection away.

    A SELECT that was interrupted keeps SQLite's read transaction open beyond the rollback (Python 3.11 no longer
    resets statements), and the connection's next user would fail at once with SQLITE_BUSY_SNAPSHOT.
    """
    with engine.connect() as connection, Session(connection) as session:
        try:
            yield session
            session.commit()
        except BaseException:
            try:
                session.rollback()
            finally:
                connection.invalidate()
            raise


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=_PATIENCE)


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise Bug("SQLite in memory cannot be shared between threads and processes; name a file.")
    _make_private_file(Path(url.database))
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": _BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private_file(path: Path) -> None:
    """Make the file; SQLite gives the -wal and -shm files its mode.

    One that is there is not opened: closing it would give up the locks of every connection of this process, and
    another process would then remove the log that these go on writing to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")  # a linkage key that is forgotten must not stay in a free page


def _begin_sqlite(connection: Connection) -> None:
    kind = connection.get_execution_options().get("adit_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {kind}")


@contextmanager
def _translated() -> Generator[None]:
    """Translate errors of the driver. Their texts are dropped: PostgreSQL quotes whole rows, with patients in them."""
    try:
        yield
    except (DBAPIError, TimeoutError) as exc:
        raise _translation(exc) from None


def _translation(exc: DBAPIError | TimeoutError) -> AditError:
    if isinstance(exc, TimeoutError):
        return PeerBusy("No free connection to the database within 30 seconds.")
    code = _native_code(exc)
    if code in {"53100", "SQLITE_FULL"}:
        return NoSpace("The disk of the database is full. Free some space.")
    if code in {"SQLITE_NOTADB", "SQLITE_CORRUPT"}:
        return Unreadable("The file of the database is damaged. Restore a backup: adit db-restore.")
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or code in _BUSY:
        return PeerBusy(f"The database is busy ({code}).")
    if isinstance(exc, OperationalError | InterfaceError) and code != "SQLITE_ERROR":
        return Unreachable(f"The database does not answer ({code}). Check that it runs, and ADIT_DATABASE_URL.")
    kind = "constraint" if isinstance(exc, IntegrityError) else type(exc).__name__
    return Bug(f"The database refused a statement ({kind}, {code}).")


def _native_code(exc: DBAPIError) -> str:
    """SQLSTATE (PostgreSQL) or the name of the result code (SQLite)."""
    sqlstate = getattr(exc.orig, "sqlstate", None) or getattr(exc.orig, "sqlite_errorname", None)
    return str(sqlstate or "no code")


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_inherited: list[object] = []


def _after_fork_in_child() -> None:
    for database in list(_databases):
        database.forget_connections()


os.register_at_fork(after_in_child=_after_fork_in_child)
