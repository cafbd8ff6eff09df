"""Which item, and which attempt of it, a staged study at a folder belongs to."""

import hashlib
import re

from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.errors import NotFound
from models.domain.jobs import Item, Job, Lease

_KEY = re.compile(r"item-(?P<item>\d{1,18})-(?P<created>\d+)")


def staging_key(job: Job, item: Item) -> str:
    """Names the staged study of an item; the job's time keeps two installations apart that share a folder."""
    return f"item-{item.id}-{job.created_at:%Y%m%d%H%M%S%f}"


def attempt_key(lease: Lease) -> str:
    """Names an attempt, other than any other of the same item; it does not tell the lease's token."""
    return hashlib.sha256(lease.token.encode()).hexdigest()[:16]


def staged_item(db: Database, key: str) -> Item | None:
    """The item of a key; None when it is not ours, or no more."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    jobs = JobStore(db)
    try:
        item = jobs.item(int(found["item"]))
        return item if staging_key(jobs.get(item.job_id), item) == key else None
    except NotFound:
        return None
