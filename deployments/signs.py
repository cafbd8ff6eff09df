"""Lets a long-running program give signs of life in the database, so that others see whether it is there."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version

from models.db.engine import Database
from models.db.signs import SignStore
from models.domain.errors import AditError

EVERY_S = 10.0
"""Seconds between two signs of one program."""


@contextmanager
def given(db: Database, program: str, is_going: Callable[[], bool] = lambda: True) -> Generator[None]:
    """Give signs as long as the context is open, from a thread of its own; the last one is taken back at the end.

    None is given while ``is_going`` says that the program is stuck. A database that does not answer is not waited for:
    that is for the program itself to say.
    """
    started_at, ended = db.clock(), threading.Event()
    thread = threading.Thread(target=_give, args=(db, program, started_at, ended, is_going), name="signs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(EVERY_S)
        with suppress(AditError):
            SignStore(db).withdraw(program, _machine(), started_at)


def _give(
    db: Database, program: str, started_at: datetime, ended: threading.Event, is_going: Callable[[], bool]
) -> None:
    while True:
        with suppress(AditError):
            if is_going():
                SignStore(db).give(program, _machine(), version("adit"), started_at)
        if ended.wait(EVERY_S):
            return


def _machine() -> str:
    return socket.gethostname()
