"""Copies a PostgreSQL database with its own programs, and puts a copy back in one transaction.

`pg_dump` and `pg_restore` get the password by a variable of their own process, so it stands in no list of processes.
What they or the server say about data is never repeated: it may quote a patient.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url

from models.domain.errors import BadRequest, Unreachable, Unreadable, WriteFailed, WrongState

_PIECE_BYTES = 1 << 20
_CONNECT_TIMEOUT_S = 10
_LOCK_TIMEOUT_MS = 10_000
_LONGEST_SAYING = 300
_DEPENDED_ON = "2BP01"
_LOCKED = "55P03"
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""
_TABLES = """
SELECT quote_ident(relname) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
"""
_FUNCTIONS = """
SELECT oid::regprocedure::text FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND pg_get_userbyid(proowner) = current_user AND NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
"""
_COPY = re.compile(rb"COPY .* FROM stdin;\n")
_FOR_PSQL = (b"\\restrict ", b"\\unrestrict ")
"""Lines that pg_restore writes for psql alone."""


def write(url: str, target: Path, check_room: Callable[[int], None]) -> str:
    """Copy our schema as it is at one moment into a new file for this user only; returns the revision of its tables.

    ``check_room`` is called before each megabyte. Raises BadRequest when pg_dump is missing or older than the server,
    Unreachable, NoSpace.
    """
    with _at_one_moment(url) as (connection, name):
        _check_client("pg_dump", connection)
        schema = connection.scalar(text("SELECT current_schema()"))
        revision = _revision(connection)
        options = ["--format=custom", "--no-password", f"--schema={schema}", f"--snapshot={name}"]
        with _private_file(target) as file, _running(["pg_dump", *options, _address(url)], url) as output:
            while piece := output.read(_PIECE_BYTES):
                check_room(len(piece))
                file.write(piece)
    _check_is_readable(target)
    return revision


def put_back(connection: Connection, dump: Path) -> None:
    """Replace all tables of our schema by those of a copy, in the transaction that is open on the connection.

    So nobody sees anything of it before the end, and nothing has happened when it fails. Raises WrongState when
    programs of ours are connected, or something that is not ours depends on our tables; WriteFailed.
    """
    if others := connection.scalar(text(_OTHERS)):
        raise WrongState(f"Others use the database ({others} connections). Stop all programs of ADIT first.")
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    driver.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}".encode())
    _drop_all(driver)
    schema = connection.scalar(text("SELECT current_schema()"))
    options = ["--no-owner", "--no-privileges", f"--schema={schema}", "--file=-"]
    with _running(["pg_restore", *options, str(dump)], "") as script:
        try:
            _play(driver, script)
        except psycopg.Error as exc:
            raise WriteFailed(f"PostgreSQL refused what is in the backup ({exc.sqlstate}).") from None
    driver.execute("RESET ALL")  # the script takes away the search path, among others


def _drop_all(driver: "psycopg.Connection[Any]") -> None:
    """Drop the tables in one statement, since they refer to one another, then the functions of their triggers."""
    try:
        for kind, found in (("TABLE", _TABLES), ("FUNCTION", _FUNCTIONS)):
            if names := [str(name) for (name,) in driver.execute(found.encode())]:
                driver.execute(f"DROP {kind} {', '.join(names)}".encode())
    except psycopg.Error as exc:
        if exc.sqlstate == _DEPENDED_ON:
            raise WrongState("Something else depends on the tables of ADIT, such as a view. Remove it first.") from None
        if exc.sqlstate == _LOCKED:
            raise WrongState("Somebody else works on the tables of ADIT. End that first.") from None
        raise WriteFailed(f"The tables could not be replaced ({exc.sqlstate}).") from None


def _play(driver: "psycopg.Connection[Any]", script: IO[bytes]) -> None:
    """Run a script of pg_restore: statements, and rows between a COPY and the line that ends it."""
    statements: list[bytes] = []
    for line in script:
        if _COPY.fullmatch(line):
            _run(driver, statements)
            with driver.cursor() as cursor, cursor.copy(line) as copy:
                for rows in _rows(script):
                    copy.write(rows)
        elif not line.startswith(_FOR_PSQL):
            statements.append(line)
    _run(driver, statements)


def _run(driver: "psycopg.Connection[Any]", statements: list[bytes]) -> None:
    if statements:
        driver.execute(b"".join(statements))
        statements.clear()


def _rows(script: IO[bytes]) -> Iterator[bytes]:
    """Yield the rows up to the end of a COPY, many at a time."""
    rows: list[bytes] = []
    size_bytes = 0
    for line in script:
        if line == b"\\.\n":
            break
        rows.append(line)
        size_bytes += len(line)
        if size_bytes > _PIECE_BYTES:
            yield b"".join(rows)
            rows, size_bytes = [], 0
    yield b"".join(rows)


@contextmanager
def _at_one_moment(url: str) -> Generator[tuple[Connection, str]]:
    """A connection whose transaction shows the database as it is at one moment, and the name of that moment."""
    engine = create_engine(
        url,
        hide_parameters=True,
        isolation_level="REPEATABLE READ",
        connect_args={"connect_timeout": _CONNECT_TIMEOUT_S},
    )
    try:
        with engine.connect() as connection:
            yield connection, str(connection.scalar(text("SELECT pg_export_snapshot()")))
    finally:
        engine.dispose()


def _revision(connection: Connection) -> str:
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


def _check_client(program: str, connection: Connection) -> None:
    """Raise unless the program is there and as new as the server, which an older one refuses to read."""
    server = int(connection.scalar(text("SHOW server_version_num")) or 0) // 10_000
    with _running([program, "--version"], "") as output:
        found = re.search(rb" (\d+)", output.read())
    if not found or int(found[1]) < server:
        raise BadRequest(
            f"{program} is older than the server, which is PostgreSQL {server}. "
            f"Install the package postgresql-client-{server}."
        )


def _check_is_readable(dump: Path) -> None:
    """Read a dump to its end, as a restore would."""
    with _running(["pg_restore", "--file=-", str(dump)], "") as output:
        while output.read(_PIECE_BYTES):
            pass


@contextmanager
def _running(command: list[str], url: str) -> Generator[IO[bytes]]:
    """The output of one of PostgreSQL's programs; raises BadRequest, or an error with its first words when it fails."""
    path = shutil.which(command[0])
    if path is None:
        raise BadRequest(f"{command[0]} is not installed. Install the package postgresql-client.")
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [path, *command[1:]], env=_environment(url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        try:
            yield cast("IO[bytes]", process.stdout)
        except BaseException:
            process.kill()
            raise
        finally:
            cast("IO[bytes]", process.stdout).close()
            status = process.wait()
        if status:
            raise _failure(command[0], said)


def _failure(program: str, said: IO[bytes]) -> Unreachable | Unreadable:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines() or ["no reason given"]
    kind = Unreachable if program == "pg_dump" else Unreadable
    return kind(f"{program} failed: {lines[0][:_LONGEST_SAYING]}")


def _environment(url: str) -> Mapping[str, str]:
    """What the program inherits: nothing of our own settings, and the password of the database."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ADIT_")}
    password = _parameters(make_url(url)).get("password") if url else None
    return {**inherited, **({"PGPASSWORD": password} if password else {}), "LC_ALL": "C"}


def _address(url: str) -> str:
    """All that says where the database is, without the password, as PostgreSQL's programs take it."""
    parameters = _parameters(make_url(url))
    parameters.pop("password", None)
    return f"--dbname={make_conninfo(**parameters, connect_timeout=_CONNECT_TIMEOUT_S)}"


def _parameters(url: URL) -> dict[str, Any]:
    """What SQLAlchemy would hand to the driver."""
    return dict(url.get_dialect()().create_connect_args(url)[1])


@contextmanager
def _private_file(path: Path) -> Generator[IO[bytes]]:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
