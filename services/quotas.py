"""Quotas of folders: what is used, room for new jobs and for what workers write, and measuring.

A folder's usage is what the last walk has found, what was published since that walk began, and what is reserved for
items that have not ended. Jobs reserve what they expect when they are submitted; whoever writes has more reserved
before it writes more. So our own jobs never get past a quota, whatever number of them writes at the same time.
"""

import logging
import secrets
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from datetime import timedelta

from dicom.files.contents import Contents, count
from models.db.engine import Database
from models.db.quotas import QuotaStore
from models.db.slots import SlotStore
from models.domain.errors import NotFound, NotPermitted, WrongState
from models.domain.jobs import Job, Lease
from models.domain.people import Actor
from models.domain.quotas import Usage
from models.domain.requests import TransferRequest
from services import staging

log = logging.getLogger(__name__)

_WALK_LASTS = timedelta(minutes=2)
"""How long a walk that says nothing keeps others away: it may hang on a share that is gone."""
_SIGN_EVERY_S = 10.0
_LOOK_EVERY_S = 1.0


def usage(db: Database, actor: Actor, folder_id: int) -> Usage:
    """How full a folder is, for staff and for who may write to it; to others there is no such folder (NotFound)."""
    if not _may_see(actor, folder_id):
        raise NotFound("There is no such folder.")
    return QuotaStore(db).usage(folder_id)


def usages(db: Database, actor: Actor) -> tuple[Usage, ...]:
    """How full each folder is that the actor may see, by name."""
    return tuple(found for found in QuotaStore(db).usages() if _may_see(actor, found.folder_id))


def reserve(db: Database, job: Job, request: TransferRequest) -> None:
    """Reserve what a job that was just added expects to write; joins the transaction in which that happened.

    Raises OverQuota when the folder has no room for all of it, or is full. A server has no quota.
    """
    sizes = [max(wish.expected_bytes, 0) for wish in request.studies]
    QuotaStore(db).reserve(request.destination_id, job.id, sizes)


def reserved(db: Database, lease: Lease) -> int:
    """How many bytes are reserved for the item of a lease."""
    return QuotaStore(db).reserved(lease.item_id)


def cover(db: Database, lease: Lease, folder_id: int, needed_bytes: int) -> int:
    """See to it that at least so much is reserved for the item, and return how much is: so much it may write in all.

    Raises OverQuota, or LeaseLost when another worker has the item.
    """
    return QuotaStore(db).cover(lease, folder_id, needed_bytes)


def settle(db: Database, lease: Lease, published_bytes: int) -> None:
    """End the item's reservation, now that nothing is staged and so many bytes are published; may happen twice.

    Raises LeaseLost when another worker has the item.
    """
    QuotaStore(db).settle(lease, published_bytes)


def ended(db: Database, folder_id: int) -> frozenset[int]:
    """Ids of items that have ended without settling what was reserved for them: canceled, or their workers died."""
    return QuotaStore(db).ended(folder_id)


def drop(db: Database, folder_id: int, item_ids: Collection[int]) -> int:
    """End reservations of ended items, of which nothing is staged any more.

    Returns how many bytes stay counted until the next walk, which tells whether they are there.
    """
    return QuotaStore(db).drop(folder_id, item_ids)


def ensure_measured(
    db: Database, folder_id: int, check: Callable[[], None], pause: Callable[[float], None] = time.sleep
) -> None:
    """Measure a folder with a quota that nobody has measured yet, or wait for who does; ``check`` may end the wait.

    Raises WriteFailed when the folder cannot be read.
    """
    while True:
        known = QuotaStore(db).usage(folder_id)
        if known.quota_bytes is None or known.measured_at is not None:
            return
        check()
        try:
            measure(db, folder_id)
        except WrongState:
            pause(_LOOK_EVERY_S)


def measure_now(db: Database, actor: Actor, folder_id: int) -> Usage:
    """Walk through a folder and return its usage; may take minutes. Raises NotPermitted for others than staff."""
    if not actor.is_staff:
        raise NotPermitted("Only staff may have a folder measured.")
    return measure(db, folder_id)


def measure(db: Database, folder_id: int) -> Usage:
    """Walk through a folder, outside of any transaction, and return its usage.

    What is staged counts too, where no reservation covers it: it is another installation's, or of a deleted item.
    Raises NotFound, WriteFailed when the folder cannot be read, WrongState while somebody else measures it.
    """
    store = QuotaStore(db)
    store.usage(folder_id)  # raises NotFound
    with _sole_walker(db, folder_id) as sign:
        walk = store.begin_walk(folder_id)
        found = Contents()
        for contents in count(walk.path, walk.name, lambda key: _is_reserved(db, key)):
            sign()
            found = contents
        if found.unreadable:
            log.warning("%s folders below folder %s cannot be read and are not counted", found.unreadable, folder_id)
        store.end_walk(walk, found.size_bytes)
    return store.usage(folder_id)


@contextmanager
def _sole_walker(db: Database, folder_id: int) -> Generator[Callable[[], None]]:
    """Keep others from walking through the same folder; what is given is to be called again and again meanwhile.

    A place in the folder's budget of one, like those for associations, so that it runs out when its holder dies.
    """
    slots, holder = SlotStore(db), f"measure-{secrets.token_urlsafe(16)}"
    if not slots.try_acquire(holder, {folder_id: 1}, {folder_id: 1}, _WALK_LASTS):
        raise WrongState("The folder is being measured at this moment.")
    signed_at = time.monotonic()

    def sign() -> None:
        nonlocal signed_at
        if time.monotonic() - signed_at < _SIGN_EVERY_S:
            return
        signed_at = time.monotonic()
        if not slots.renew(holder, _WALK_LASTS):
            raise WrongState("Measuring the folder took a break for too long, and somebody else began.")

    try:
        yield sign
    finally:
        slots.release(holder)


def _is_reserved(db: Database, staging_key: str) -> bool:
    item = staging.staged_item(db, staging_key)
    return item is not None and QuotaStore(db).reserved(item.id) > 0


def _may_see(actor: Actor, folder_id: int) -> bool:
    return actor.is_staff or actor.access.may_write(folder_id)
