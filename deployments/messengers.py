"""Sends notices of webhooks, to each in a thread of its own: a listener that hangs holds up nobody else's."""

import logging
import threading

from models.db.engine import Database
from models.domain.errors import AditError
from models.settings import Settings
from services.webhooks import sending

log = logging.getLogger(__name__)


class Messengers:
    """One thread for each webhook to which something is due, as long as there is something."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._threads: dict[int, threading.Thread] = {}

    def look(self) -> None:
        """Begin with every webhook to which something is due and at which nobody is; takes one question."""
        for webhook_id in sending.due(self._db):
            thread = self._threads.get(webhook_id)
            if thread is None or not thread.is_alive():
                name = f"webhook-{webhook_id}"
                self._threads[webhook_id] = thread = threading.Thread(target=self._send, args=(webhook_id,), name=name)
                thread.daemon = True
                thread.start()

    def _send(self, webhook_id: int) -> None:
        try:
            sending.send_due(self._db, self._settings, webhook_id)
        except AditError as error:
            log.warning("webhook %s could not be told: %s", webhook_id, error.code)
        except Exception as error:  # its text may quote the address
            log.error("webhook %s could not be told: %s", webhook_id, type(error).__name__)
