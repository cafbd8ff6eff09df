"""Translates what the operating system says about a folder into our errors, without the names of files.

Nor do our errors tell where the folder is: users read them. The log tells.
"""

import errno
import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from models.domain.errors import NoSpace, WriteFailed

log = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_SUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
"""What a file system answers that does not know what it is asked for."""


@contextmanager
def writing(root: Path, what: str) -> Generator[None]:
    """Raise NoSpace or WriteFailed for an OSError in the block; the text has ``what``, the log has ``root``, too.

    The OSError stays as the cause, but loses its file names: folders are named after patients.
    """
    try:
        yield
    except OSError as exc:
        exc.filename = exc.filename2 = None
        code = code_of(exc)
        log.warning("%s at %s: %s", what, root, code)
        if is_full(exc):
            raise NoSpace(f"The {what} has no space left. Free some, then retry.") from exc
        raise WriteFailed(
            f"The {what} cannot be read or written ({code}). Check that it exists and its permissions."
        ) from exc


def is_full(error: OSError) -> bool:
    """Whether a disk, or what somebody may use of it, has no room left."""
    return error.errno in _FULL


def code_of(error: OSError) -> str:
    """How the operating system calls an error: ``EROFS``."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)
