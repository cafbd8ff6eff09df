"""Which directories ADIT keeps for itself: no folder may take studies there.

What lies in some of them is removed again and again, and who reads a folder would find keys, backups or data in transit
beside the studies.
"""

from collections.abc import Iterator
from pathlib import Path

from models.domain.errors import TimedOut
from models.settings import Settings
from services.patience import soon

_PATIENCE_S = 5.0


def problem(settings: Settings, path: Path) -> str:
    """Why no folder may be at a path, in a sentence; empty when one may. It need not exist; links are followed.

    Other directories within the data directory may be folders. A path that does not answer within 5 seconds is refused.
    """
    try:
        return soon(lambda: _problem(settings, path), _PATIENCE_S)
    except TimedOut as error:
        return error.message


def _problem(settings: Settings, path: Path) -> str:
    wanted, data = _real(path), _real(settings.data_dir)
    if wanted == data or wanted in data.parents:
        return "it is the data directory of ADIT, or lies around it. Take another directory."
    for what, own in _kept(settings):
        if wanted == own or wanted in own.parents or own in wanted.parents:
            return f"it is where ADIT keeps {what}, or lies in it or around it. Take another directory."
    return ""


def _kept(settings: Settings) -> Iterator[tuple[str, Path]]:
    """What there is, and where; some is in the data directory only unless it is set otherwise."""
    yield "data in transit", _real(settings.spool_dir)
    yield "backups", _real(settings.backups_dir)
    yield "what is Prefect's", _real(settings.prefect_dir)
    yield "temporary files", _real(settings.temporary_dir)
    yield "logs", _real(settings.logs_dir)
    if settings.profiles_dir is not None:
        yield "the profiles of this site", _real(settings.profiles_dir)
    if settings.database_file is not None:
        yield "its database", _real(settings.database_file)


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()
