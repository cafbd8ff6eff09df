"""The ids of what is worked on, which every line of the log carries along. Ids only: no name, UID or pseudonym.

They belong to the context (``contextvars``): a thread that is to know them is started by ``copy_context().run``.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_ids: ContextVar[Mapping[str, int]] = ContextVar("log_ids", default={})  # noqa: B039  (never changed in place)


@contextmanager
def carrying(**ids: int) -> Generator[None]:
    """Let lines that are logged inside carry these ids, such as ``job_id`` or ``item_id``, beside those from outside.

    Not for generators: their body would go on with the ids of whoever asks for the next value.
    """
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def carried() -> Mapping[str, int]:
    """The ids of what is worked on here."""
    return _ids.get()
