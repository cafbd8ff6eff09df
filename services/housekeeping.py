"""Clears away what dead workers have left at folder destinations."""

import logging
import re

from dicom.files.folder import sweep_staging
from models.db.engine import Database
from models.db.jobs import JobStore
from models.db.nodes import NodeStore
from models.domain.errors import AditError, NotFound
from models.domain.jobs import FINISHED, Item, Job
from models.domain.nodes import Folder

log = logging.getLogger(__name__)

_KEY = re.compile(r"item-(?P<item>\d+)-(?P<created>\d+)")


def staging_key(job: Job, item: Item) -> str:
    """Names the staged study of an item; the job's time keeps two installations apart that share a folder."""
    return f"item-{item.id}-{job.created_at:%Y%m%d%H%M%S%f}"


def sweep_folders(db: Database) -> int:
    """Remove staged studies of items that have ended, and return how many; those of other installations stay.

    A folder that cannot be reached is logged and left for the next time.
    """
    removed = 0
    for node in NodeStore(db).list():
        if isinstance(node, Folder):
            try:
                removed += sweep_staging(node.path, lambda key: not _has_ended(db, key))
            except AditError as error:
                log.warning("folder %s could not be swept: %s", node.id, error.code)
    return removed


def _has_ended(db: Database, key: str) -> bool:
    found = _KEY.fullmatch(key)
    if found is None:
        return False
    jobs = JobStore(db)
    try:
        item = jobs.item(int(found["item"]))
    except NotFound:
        return False
    return item.state in FINISHED and staging_key(jobs.get(item.job_id), item) == key
