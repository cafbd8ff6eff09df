"""Where what arrives is put together: in memory, and when it grows large in a file that never has a name."""

import errno
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from dicom.mapping import mapped
from models.domain.errors import NoSpace, TargetError, WriteFailed

SPILL_BYTES = 8 << 20
"""What is larger than this is kept in a file instead of in memory."""
STEP_BYTES = 64 << 20
"""Between two looks whether a file may go on growing."""
_FILE_BUFFER_BYTES = 1 << 20


class ScratchBuffer:
    """Collects bytes in memory, and from ``spill_bytes`` on in a file without a name in ``scratch_dir``.

    The system removes the file when nobody uses it any more, also when the process is killed. ``check`` is called with
    the size so far before there is a file, and again for every 64 MiB, and ends the writing by raising. Without a
    directory all stays in memory: for who knows that it is short.
    """

    def __init__(
        self, scratch_dir: Path | None, spill_bytes: int = SPILL_BYTES, check: Callable[[int], None] | None = None
    ) -> None:
        self._scratch_dir = scratch_dir
        self._spill_bytes = spill_bytes
        self._check = check
        self._size = 0
        self._checked_size = 0
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    def write(self, data: memoryview) -> None:
        """Append the data; raises NoSpace or WriteFailed, and what the check raises."""
        self._size += len(data)
        if self._size <= self._spill_bytes or self._scratch_dir is None:
            self._memory += data
            return
        if self._check is not None and self._size > self._checked_size:
            self._check(self._size)
            self._checked_size = self._size + STEP_BYTES
        try:
            file = self._file or self._spill(self._scratch_dir)
            file.write(data)
        except OSError as exc:
            raise _scratch_error(exc) from exc

    def finish(self) -> memoryview:
        """All that was written, read-only and without a copy; nothing may be written any more.

        A file stays on disk for as long as the view is in use. Raises NoSpace or WriteFailed.
        """
        if self._file is None:
            return memoryview(self._memory).toreadonly()
        try:
            self._file.flush()
            return mapped(self._file)
        except OSError as exc:
            raise _scratch_error(exc) from exc

    def close(self) -> None:
        """Let go of the file; what ``finish`` returned stays valid."""
        if self._file is not None:
            with suppress(OSError):  # a full disk does not take what is still in the file's buffer, and nobody wants it
                self._file.close()

    def _spill(self, scratch_dir: Path) -> IO[bytes]:
        """Go on in a new file, which begins with what was in memory."""
        file = tempfile.TemporaryFile(dir=scratch_dir, buffering=_FILE_BUFFER_BYTES)  # noqa: SIM115 (closed by close)
        self._file = file
        file.write(self._memory)
        self._memory = bytearray()
        return file


def _scratch_error(exc: OSError) -> TargetError:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace("The scratch folder for instances in transit has no space left.")
    return WriteFailed("The scratch folder for instances in transit cannot be written.")
