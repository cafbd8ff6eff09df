"""Whether this installation can take jobs, for programs that watch it: yes or no for each part, and no more."""

from collections.abc import Callable, Mapping

from models.db.engine import Database
from models.domain.errors import AditError
from models.settings import Settings
from services import prefect_status

Part = Callable[[Database, Settings], bool]


def _database(db: Database, _settings: Settings) -> bool:
    db.is_current()
    return True


def _migrations(db: Database, _settings: Settings) -> bool:
    return db.is_current()


def _prefect(_db: Database, settings: Settings) -> bool:
    prefect_status.check_is_ready(settings)
    return True


def _worker(_db: Database, settings: Settings) -> bool:
    return prefect_status.has_worker(settings)


PARTS: Mapping[str, Part] = {
    "database": _database,
    "migrations": _migrations,
    "prefect": _prefect,
    "worker": _worker,
}
"""What has to be there: the database, with the tables of this version, Prefect's API, and a worker it has heard of."""


def is_there(db: Database, settings: Settings, part: str) -> bool:
    """Whether one part is as it should be; why it is not, ``adit doctor`` says."""
    try:
        return PARTS[part](db, settings)
    except (AditError, OSError):
        return False
