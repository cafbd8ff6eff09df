"""The versions of the tables: which they are of, and which this program needs. It knows them without Alembic."""

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from models.domain.errors import WrongVersion

MIGRATIONS = Path(__file__).parent / "migrations"


def revision_of(connection: Connection) -> str:
    """The version of the tables; empty where there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


@cache
def known() -> tuple[str, ...]:
    """All versions of the tables that this program knows, the oldest first: what the files' names begin with."""
    return tuple(sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")))


def head() -> str:
    """The version of the tables that this program needs."""
    return known()[-1]


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of this program's version; raises WrongVersion when they are of a newer one."""
    found = revision_of(connection)
    check_is_known(found)
    return found == head()


def check_is_known(found: str) -> None:
    """Raise WrongVersion for a revision to which only a newer program has the migrations."""
    if found and found not in known():
        raise WrongVersion(
            f"The database is of a newer version of ADIT (its tables are {found}, this program knows them up to "
            f"{head()}). Install that version, or restore a backup from before the update."
        )
