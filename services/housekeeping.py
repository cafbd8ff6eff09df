"""Clears away what nobody needs any more, and keeps track of how full folders are.

That is what dead workers have left at folder destinations, idempotency keys, and tokens that expired long ago.
"""

from contextlib import suppress
from datetime import timedelta

from dicom.files.staging import sweep_staging
from models.db.engine import Database
from models.db.idempotency import IdempotencyStore
from models.db.nodes import NodeStore
from models.db.tokens import TokenStore
from models.domain.errors import WrongState
from models.domain.jobs import FINISHED
from models.domain.nodes import Folder
from services import quotas, staging

_KEYS_KEPT_FOR = timedelta(days=7)
_EXPIRED_TOKENS_KEPT_FOR = timedelta(days=30)
"""So long people still see in their list what has become of a token."""


def folders(db: Database) -> tuple[Folder, ...]:
    """All folders, by name."""
    return tuple(node for node in NodeStore(db).list(with_credentials=False) if isinstance(node, Folder))


def tend_folder(db: Database, folder: Folder, is_due: bool) -> bool:
    """Clear up a folder after items that have ended, and measure it if that is due; returns whether it was measured.

    Their staged studies are removed, those of other installations stay, and what was reserved for them is given up. A
    folder is also measured when it never was, and when dead workers leave doubts. Raises WriteFailed when it cannot be
    reached.
    """
    ended = quotas.ended(db, folder.id)
    sweep_staging(folder.path, lambda key: not _has_ended(db, key))
    doubtful_bytes = quotas.drop(db, folder.id, ended)
    if not (is_due or doubtful_bytes or folder.measured_at is None):
        return False
    with suppress(WrongState):  # somebody else is at it
        quotas.measure(db, folder.id)
    return True


def sweep(db: Database) -> None:
    """Forget idempotency keys after a week, and tokens a month after they have expired."""
    now = db.clock()
    IdempotencyStore(db).sweep(now - _KEYS_KEPT_FOR)
    TokenStore(db).sweep(now - _EXPIRED_TOKENS_KEPT_FOR)


def _has_ended(db: Database, key: str) -> bool:
    item = staging.staged_item(db, key)
    return item is not None and item.state in FINISHED
