"""Large instances as files mapped into memory: they can be read like bytes, and need not stay in memory for that."""

import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import IO

from models.domain.instances import Bytes

SLICE_BYTES = 1 << 20


class _Mapping(mmap.mmap):
    """A whole file, mapped read-only and shared with the page cache, so that no page of it is ever the only copy."""


def mapped(file: IO[bytes]) -> memoryview:
    """The bytes of a file that is not empty and that nobody changes any more; the file may be closed and removed.

    Raises OSError.
    """
    return memoryview(_Mapping(file.fileno(), 0, access=mmap.ACCESS_READ))


def give_back(buffers: Iterable[Bytes]) -> None:
    """Take what these buffers view of mapped files, and those files as a whole, out of this process's memory.

    For who has read megabytes of one. Whoever reads on gets the pages from the page cache again (``man 2 madvise``,
    MADV_DONTNEED). Buffers that view no mapped file are left alone.
    """
    viewed = (buffer.obj for buffer in buffers if isinstance(buffer, memoryview))
    for mapping in {owner for owner in viewed if isinstance(owner, _Mapping)}:
        with suppress(OSError):  # pages that cannot be given back stay
            mapping.madvise(mmap.MADV_DONTNEED)


def in_slices(buffers: Iterable[Bytes]) -> Iterator[memoryview]:
    """Yield the bytes of the buffers in slices of at most 1 MiB, each given back when the next one is asked for."""
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        for begin in range(0, len(view), SLICE_BYTES):
            yield view[begin : begin + SLICE_BYTES]
            give_back((view,))
