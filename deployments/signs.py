"""Lets a long-running program give signs of life in the database, so that others see whether it is there."""

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib.metadata import version

from models.db.engine import Database
from models.db.signs import SignStore
from models.domain.errors import AditError
from services.beating import beating

EVERY_S = 10.0
"""Seconds between two signs of one program."""


@contextmanager
def given(db: Database, program: str, is_going: Callable[[], bool] = lambda: True) -> Generator[None]:
    """Give signs as long as the context is open, from a thread of its own; the last one is taken back at the end.

    None is given while ``is_going`` says that the program is stuck. A database that does not answer is not waited for:
    that is for the program itself to say.
    """
    store, started_at = SignStore(db), db.clock()

    def give() -> None:
        with suppress(AditError):
            if is_going():
                store.give(program, _machine(), version("adit"), started_at)

    try:
        with beating("signs", EVERY_S, give, at_once=True):
            yield
    finally:
        with suppress(AditError):
            store.withdraw(program, _machine(), started_at)


def _machine() -> str:
    return socket.gethostname()
