"""Databases for tests: an SQLite file, and a real PostgreSQL that lives as long as the test process."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import URL, Engine

from models.db import engine
from models.db.engine import Database
from tests.waiting import wait_until

_SERVERS = {int(found.parts[-3]): found.parent for found in Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin/initdb")}
POSTGRESQL_VERSION = max(_SERVERS, default=0)
"""Of the newest server that Debian installed; 0 where there is none."""

POSTGRESQL = _SERVERS.get(POSTGRESQL_VERSION, Path())
"""The folder of its programs."""

MASTER_KEY = Fernet.generate_key().decode()
_PREFIX = "adit-pg-"
_numbers = count(1)


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class ClockAhead:
    """Tells the real time plus what was added to it."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Cluster:
    """A PostgreSQL server that listens on a socket in its own directory, so no port is needed.

    With an address it listens there, too, for whoever comes from the same /24 network.
    """

    def __init__(self, address: str = "", port: int = 5432) -> None:
        self._port = port
        self._options = [f"listen_addresses={address}", f"port={port}"]
        _sweep()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        self._run("initdb", "-D", "data", "-U", "adit", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self._options += ["fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=60"]
        if address:
            with (self.directory / "data" / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {address}/24 trust\n")
        self.start()

    def start(self) -> None:
        """Start the server, also after a crash, and wait until it answers."""
        arguments = [part for option in self._options for part in ("-c", option)]
        self._process = subprocess.Popen(
            self._command("postgres", "-D", "data", "-k", str(self.directory), *arguments),
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def crash(self) -> None:
        """Stop it at once: whoever is connected loses what they have not committed."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(240)

    def new_database(self, template: str | None = None) -> str:
        """The URL of an empty database, or of a copy of another one, to which nobody is connected."""
        name = f"adit_{next(_numbers)}"
        self._create(name, _name(template) if template else "template1")
        return f"postgresql+psycopg://adit@/{name}?host={self.directory}"

    def drop(self, url: str) -> None:
        self.execute(f"DROP DATABASE {_name(url)} WITH (FORCE)")

    def replace(self, url: str, template: str) -> None:
        """Make a database a copy of another one, to which nobody is connected."""
        self.drop(url)
        self._create(_name(url), _name(template))

    def execute(self, statement: str) -> None:
        where = f"host={self.directory} port={self._port} user=adit dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement.encode())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(240)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _create(self, name: str, template: str) -> None:
        """Copying files is fastest; before version 15 nothing else was done, and nothing could be said about it."""
        strategy = " STRATEGY FILE_COPY" if POSTGRESQL_VERSION >= 15 else ""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}{strategy}")

    def _wait(self) -> None:
        def answers() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError("PostgreSQL ended at once")
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                return False
            return True

        wait_until(answers, "an answer of PostgreSQL")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(self._command(program, *arguments), cwd=self.directory, check=True, capture_output=True)

    @staticmethod
    def _command(program: str, *arguments: str) -> list[str]:
        """PostgreSQL refuses root; the kernel ends it when this process dies."""
        drop_root = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", "--pdeathsig", "INT", *drop_root, str(POSTGRESQL / program), *arguments]


@cache
def cluster() -> Cluster:
    """The PostgreSQL of this process, started when first needed."""
    started = Cluster()
    atexit.register(started.stop)
    _share_statements(f"postgresql+psycopg://adit@/postgres?host={started.directory}")
    return started


_sharing: dict[str, Engine] = {}
_create_engine = engine.create_engine


def _engine_that_shares(url: URL, **options: Any) -> Engine:
    """An engine that knows the statements that others of its kind have compiled.

    A test process opens thousands of databases, and each would compile every statement anew, which takes longer than
    asking the database.
    """
    made = _create_engine(url, **options)
    if shared := _sharing.get(url.get_backend_name()):
        made.dialect, made._compiled_cache = shared.dialect, shared._compiled_cache
    return made


def _share_statements(url: str) -> None:
    """Let all engines of the URL's kind share what is compiled; one connection tells of which version that kind is."""
    shared = _create_engine(url, query_cache_size=5000)
    shared.connect().close()
    shared.dispose()
    _sharing[shared.dialect.name] = shared


_share_statements("sqlite://")
engine.create_engine = _engine_that_shares


def _sweep() -> None:
    """Remove what test processes that were killed have left."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = left.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)


def need_postgresql() -> None:
    """Skip the test where no PostgreSQL is installed."""
    if not POSTGRESQL_VERSION:
        pytest.skip("PostgreSQL is not installed")


@contextmanager
def new_url(kind: str, directory: Path, has_tables: bool = False) -> Iterator[str]:
    """The URL of a database without tables; a PostgreSQL one may have them."""
    if kind == "sqlite":
        yield f"sqlite:///{directory / f'adit{next(_numbers)}.db'}"
        return
    need_postgresql()
    url = cluster().new_database(_postgresql_template() if has_tables else None)
    try:
        yield url
    finally:
        cluster().drop(url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def db(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    """A migrated SQLite database under a clock that the test moves, where the kind does not matter."""
    found = sqlite_database(tmp_path, clock)
    yield found
    found.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, once of each kind; a PostgreSQL one has them if the test asks for ``database`` too."""
    with new_url(request.param, tmp_path, has_tables="database" in request.fixturenames) as url:
        yield url


@pytest.fixture
def database(empty_url: str, clock: Clock) -> Iterator[Database]:
    """A migrated database under a clock that the test moves."""
    if empty_url.startswith("sqlite"):
        put_tables(empty_url)
    db = Database(empty_url, MASTER_KEY, clock)
    yield db
    db.close()


def sqlite_database(directory: Path, clock: Clock) -> Database:
    """A migrated SQLite database, for tests to which the kind does not matter."""
    url = f"sqlite:///{directory / 'adit.db'}"
    put_tables(url)
    return Database(url, MASTER_KEY, clock)


def put_tables(url: str) -> None:
    """Make an SQLite database for ``MASTER_KEY``, if there is none, by copying one: migrating takes much longer."""
    file = Path(url.removeprefix("sqlite:///"))
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        file.write_bytes(_sqlite_template())


def replace_by_copy(url: str, template: str) -> None:
    """Make a PostgreSQL database a copy of another one, to which nobody is connected."""
    cluster().replace(url, template)


@cache
def _sqlite_template() -> bytes:
    with tempfile.TemporaryDirectory(prefix="adit-sqlite-") as directory:
        file = Path(directory) / "template.db"
        _migrate(f"sqlite:///{file}")
        return file.read_bytes()


@cache
def _postgresql_template() -> str:
    url = cluster().new_database()
    _migrate(url)
    return url


def _migrate(url: str) -> None:
    db = Database(url, MASTER_KEY)
    db.migrate()
    db.close()


def _name(url: str) -> str:
    return url.split("@/")[1].split("?")[0]
