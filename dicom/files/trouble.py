"""Translates what the operating system says about a folder into our errors, without the names of files."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from models.domain.errors import NoSpace, WriteFailed

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def writing(root: Path, kind: str) -> Generator[None]:
    """Raise NoSpace or WriteFailed for an OSError in the block; the text names ``kind``, ``root`` and the error code.

    The OSError stays as the cause, but loses its file names: folders are named after patients.
    """
    try:
        yield
    except OSError as exc:
        exc.filename = exc.filename2 = None
        if exc.errno in _FULL:
            raise NoSpace(f"The {kind} {root} has no space left. Free some, then retry.") from exc
        code = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
        raise WriteFailed(
            f"The {kind} {root} cannot be read or written ({code}). Check that it exists and its permissions."
        ) from exc
