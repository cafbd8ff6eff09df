"""Tends the folders, each in a thread of its own: one that hangs, such as a share that is gone, holds up nothing."""

import logging
import threading
import time

from models.db.engine import Database
from models.domain.errors import AditError
from models.domain.nodes import Folder
from services import housekeeping

log = logging.getLogger(__name__)

_TEND_EVERY_S = 60.0
_MEASURE_EVERY_S = 600.0
_LARGEST_SHARE = 0.1
"""Of the time that may be spent with measuring one folder."""


class FolderKeeper:
    """Has every folder swept once a minute, and measured every ten minutes; one that takes long, less often."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._threads: dict[int, threading.Thread] = {}
        self._tend_at: dict[int, float] = {}
        self._measure_at: dict[int, float] = {}

    def look(self) -> None:
        """Begin with every folder whose time has come and at which nobody is any more; takes no time itself."""
        for folder in housekeeping.folders(self._db):
            thread = self._threads.get(folder.id)
            is_at_work = thread is not None and thread.is_alive()
            if not is_at_work and time.monotonic() >= self._tend_at.get(folder.id, 0.0):
                name = f"folder-{folder.id}"
                self._threads[folder.id] = thread = threading.Thread(target=self._tend, args=(folder,), name=name)
                thread.daemon = True
                thread.start()

    def _tend(self, folder: Folder) -> None:
        begin = time.monotonic()
        try:
            if housekeeping.tend_folder(self._db, folder, is_due=begin >= self._measure_at.get(folder.id, 0.0)):
                end = time.monotonic()
                self._measure_at[folder.id] = end + max(_MEASURE_EVERY_S, (end - begin) / _LARGEST_SHARE)
        except AditError as error:
            log.warning("folder %s could not be tended: %s", folder.id, error.code)
        except Exception as error:  # its text may name a file
            log.warning("folder %s could not be tended: %s", folder.id, type(error).__name__)
        self._tend_at[folder.id] = time.monotonic() + _TEND_EVERY_S
