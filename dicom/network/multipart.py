"""Takes a multipart/related body apart while it arrives (RFC 2046 section 5.1, RFC 2387), in bounded memory.

Knows nothing of HTTP or DICOM. A part that grows large goes to a file that never has a name.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dicom.network.scratch import SPILL_BYTES, ScratchBuffer
from models.domain.errors import PeerError, PeerLied

_HEAD_LIMIT = 16 << 10
_PREAMBLE_LIMIT = 64 << 10
_PADDING_LIMIT = 256
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"((?:\\.|[^"\\])+)"|([^\s;,"]+))', re.IGNORECASE)
_CONTENT_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class HeadTooLong(PeerLied):
    """The head of a part of a multipart body is longer than any can sensibly be."""


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type header names; raises PeerLied when it names none."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise PeerLied("A multipart answer names no boundary.")
    return (re.sub(r"\\(.)", r"\1", found[1]) if found[1] else found[2]).encode("latin-1", "replace")


def parts(
    chunks: Iterable[bytes],
    boundary: bytes,
    scratch_dir: Path,
    spill_bytes: int = SPILL_BYTES,
    check: Callable[[int], None] | None = None,
) -> Iterator[memoryview]:
    """Yield the body of each part as soon as it is complete; how the chunks are cut makes no difference.

    Costs at most ``spill_bytes`` and a chunk of memory at a time. A Content-Length in the head of a part is obeyed;
    without one the part is searched for the boundary, once. Lines end as the first boundary line ends, in CRLF or LF.
    What follows the closing boundary is not read. ``check`` is that of each part's ScratchBuffer.

    Raises PeerError when the chunks end before the closing boundary, PeerLied when they are no multipart body,
    NoSpace or WriteFailed when ``scratch_dir`` cannot take a large part.
    """
    source = _Source(iter(chunks))
    eol = _skip_preamble(source, boundary)
    delimiter = eol + b"--" + boundary
    is_last = _is_closing(source)
    while not is_last:
        length = _announced_length(_read_head(source, eol))
        body = ScratchBuffer(scratch_dir, spill_bytes, check)
        try:
            if length is None:
                is_last = _copy_until(source, delimiter, body)
            else:
                _copy(source, length, body)
                is_last = _expect(source, delimiter)
            content = body.finish()
        finally:
            body.close()
        yield content


@dataclass(slots=True)
class _Mark:
    """A boundary found in the buffer: where it begins, where what follows begins, how its line ends."""

    start: int
    end: int
    line_end: bytes
    is_closing: bool


class _Source:
    """The bytes that have arrived and are not used yet."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.buffer = bytearray()
        self.is_at_end = False

    def more(self) -> None:
        """Append the next chunk, or note that there is none."""
        chunk = next(self._chunks, None)
        if chunk is None:
            self.is_at_end = True
        else:
            self.buffer += chunk

    def need(self) -> None:
        """Append the next chunk; raises PeerError when there is none."""
        if self.is_at_end:
            raise PeerError("The answer ended in the middle of a part.")
        self.more()

    def drop(self, count: int) -> None:
        del self.buffer[:count]

    def move(self, count: int, target: ScratchBuffer) -> None:
        """Hand the first bytes on."""
        if count > 0:
            with memoryview(self.buffer) as view, view[:count] as piece:
                target.write(piece)
            self.drop(count)


def _skip_preamble(source: _Source, boundary: bytes) -> bytes:
    """Go to the first boundary line and return how lines end; the boundary's own line end stays in the buffer."""
    dashes = b"--" + boundary
    position = 0
    while True:
        start = source.buffer.find(dashes, position)
        if start < 0 and not source.is_at_end:
            if len(source.buffer) > _PREAMBLE_LIMIT:
                raise PeerLied("A multipart answer does not begin with its boundary.")
            position = max(0, len(source.buffer) - len(dashes))
            source.more()
            continue
        if start < 0:
            raise PeerError("The answer ended before its first part.")
        mark = _mark_at(source, start, len(dashes)) if start == 0 or source.buffer[start - 1] == 0x0A else None
        if mark is not None:
            source.drop(mark.start + len(dashes))
            return mark.line_end
        position = start + 1


def _mark_at(source: _Source, start: int, length: int) -> _Mark | None:
    """The boundary at ``start`` of the buffer, reading on until it is clear; None when the line goes on otherwise."""
    while True:
        rest = bytes(source.buffer[start + length : start + length + _PADDING_LIMIT])
        is_closing = rest.startswith(b"--")
        after = rest[2:] if is_closing else rest
        line = after.lstrip(b" \t")
        end = start + length + (2 if is_closing else 0) + len(after) - len(line)
        if line.startswith(b"\r\n"):
            return _Mark(start, end + 2, b"\r\n", is_closing)
        if line.startswith(b"\n"):
            return _Mark(start, end + 1, b"\n", is_closing)
        is_open = not line or line == b"\r" or (not is_closing and line == b"-")
        if is_closing and is_open and source.is_at_end:
            return _Mark(start, len(source.buffer), b"\r\n", True)
        if not is_open or len(rest) == _PADDING_LIMIT:
            return None
        source.need()


def _is_closing(source: _Source) -> bool:
    """Read the rest of a boundary line, and tell whether the boundary was the last."""
    mark = _mark_at(source, 0, 0)
    if mark is None:
        raise PeerLied("A boundary of a multipart answer is broken.")
    source.drop(mark.end)
    return mark.is_closing


def _read_head(source: _Source, eol: bytes) -> bytes:
    """Take the header lines of a part off the buffer, with the empty line behind them."""
    while True:
        if source.buffer.startswith(eol):
            source.drop(len(eol))
            return b""
        end = source.buffer.find(eol + eol)
        if end > _HEAD_LIMIT or (end < 0 and len(source.buffer) > _HEAD_LIMIT):
            raise HeadTooLong
        if end >= 0:
            head = bytes(source.buffer[:end])
            source.drop(end + 2 * len(eol))
            return head
        source.need()


def _announced_length(head: bytes) -> int | None:
    found = _CONTENT_LENGTH.search(head)
    return int(found[1]) if found else None


def _copy(source: _Source, length: int, body: ScratchBuffer) -> None:
    while length > 0:
        if not source.buffer:
            source.need()
        count = min(length, len(source.buffer))
        source.move(count, body)
        length -= count


def _expect(source: _Source, delimiter: bytes) -> bool:
    """Take the delimiter off the buffer, and tell whether it was the last; raises PeerLied when it is not there."""
    while len(source.buffer) < len(delimiter) and delimiter.startswith(source.buffer):
        source.need()
    if not source.buffer.startswith(delimiter):
        raise PeerLied("A part of a multipart answer is not as long as it says.")
    source.drop(len(delimiter))
    return _is_closing(source)


def _copy_until(source: _Source, delimiter: bytes, body: ScratchBuffer) -> bool:
    """Copy the body up to the delimiter, take that off too, and tell whether it was the last."""
    position = 0
    while True:
        start = source.buffer.find(delimiter, position)
        if start < 0:
            source.move(len(source.buffer) - len(delimiter) + 1, body)
            position = 0
            source.need()
            continue
        mark = _mark_at(source, start, len(delimiter))
        if mark is not None:
            source.move(mark.start, body)
            source.drop(mark.end - mark.start)
            return mark.is_closing
        position = start + 1
