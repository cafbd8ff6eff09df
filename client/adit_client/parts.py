"""Multipart bodies (RFC 2046 section 5.1): taken apart while they arrive, and written while they are sent.

Knows nothing of HTTP or DICOM. Of what arrives it holds one part and what has not been looked at yet.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from adit_client.errors import BadAnswer, IncompleteDownload

_HEAD_LIMIT = 16 << 10
_PREAMBLE_LIMIT = 64 << 10
_PADDING_LIMIT = 256
_EOL = b"\r\n"
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"((?:\\.|[^"\\])+)"|([^\s;,"]+))', re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One part, with the names of its headers in lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """Its type without parameters, in lower case; empty where it names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type header names; raises BadAnswer when it names none."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadAnswer("A multipart answer names no boundary.")
    return (re.sub(r"\\(.)", r"\1", found[1]) if found[1] else found[2]).encode("latin-1", "replace")


class PartReader:
    """Gives the parts of a body that is fed to it piece by piece; how it was cut makes no difference.

    A Content-Length in the head of a part is obeyed; without one the part is searched for the boundary, once.
    """

    def __init__(self, boundary: bytes) -> None:
        self._dashes = b"--" + boundary
        # the first boundary has no line end before it; with one put there, all look alike
        self._buffer = bytearray(_EOL)
        self._position = 0
        self._headers: dict[str, str] | None = None
        self._length: int | None = None
        self._has_begun = False
        self._has_ended = False

    def feed(self, data: bytes) -> Iterator[Part]:
        """Take the next piece and yield each part that is complete now; exhaust it before the next piece."""
        if self._has_ended:
            return
        self._buffer += data
        while (self._has_begun or self._skip_preamble()) and not self._has_ended:
            if self._headers is None and not self._take_head():
                return
            part = self._take_body()
            if part is None:
                return
            yield part

    def end(self) -> None:
        """Raise IncompleteDownload unless the closing boundary has been seen."""
        if not self._has_ended:
            raise IncompleteDownload("The answer ended in the middle of a download.")

    def _skip_preamble(self) -> bool:
        found = self._next_boundary()
        if found is None:
            if len(self._buffer) > _PREAMBLE_LIMIT:
                raise BadAnswer("A multipart answer does not begin with its boundary.")
            return False
        self._has_begun = True
        del self._buffer[: found[1]]
        return True

    def _take_head(self) -> bool:
        if self._buffer.startswith(_EOL):
            end, behind = 0, len(_EOL)
        else:
            end = self._buffer.find(_EOL + _EOL)
            behind = end + 2 * len(_EOL)
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise BadAnswer("A part of a multipart answer has no end of its head.")
            return False
        self._headers = _headers(bytes(self._buffer[:end]))
        length = self._headers.get("content-length", "")
        self._length = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        del self._buffer[:behind]
        self._position = 0
        return True

    def _take_body(self) -> Part | None:
        if self._length is not None:
            if len(self._buffer) < self._length:
                return None
            self._position = self._length
        found = self._next_boundary()
        if found is None and not self._is_longer_than_said():
            return None
        if found is None or (self._length is not None and found[0] != self._length):
            raise BadAnswer("A part of a multipart answer is not as long as it says.")
        assert self._headers is not None
        part = Part(self._headers, bytes(memoryview(self._buffer)[: found[0]]))
        del self._buffer[: found[1]]
        self._position = 0
        self._headers = None
        return part

    def _is_longer_than_said(self) -> bool:
        """Whether something else than a boundary follows where a part should have ended."""
        if self._length is None:
            return False
        rest = bytes(self._buffer[self._length : self._length + len(_EOL) + len(self._dashes)])
        return not (_EOL + self._dashes).startswith(rest)

    def _next_boundary(self) -> tuple[int, int] | None:
        """Where the next boundary begins, with the line end before it, and where what follows begins.

        None as long as it is not clear; what was searched is not searched again. Notes when it was the last.
        """
        delimiter = _EOL + self._dashes
        while True:
            start = self._buffer.find(delimiter, self._position)
            if start < 0:
                self._position = max(self._position, len(self._buffer) - len(delimiter) + 1)
                return None
            self._position = start
            behind = start + len(delimiter)
            rest = bytes(self._buffer[behind : behind + _PADDING_LIMIT])
            if rest.startswith(b"--"):
                self._has_ended = True
                return start, behind + 2
            line = rest.lstrip(b" \t")
            if line.startswith(_EOL):
                return start, behind + len(rest) - len(line) + len(_EOL)
            if line in (b"", b"\r", b"-") and len(rest) < _PADDING_LIMIT:
                return None
            self._position = start + 1


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n"))
    return {name.strip().lower(): value.strip() for name, _, value in lines if name.strip()}


class PartWriter:
    """Writes a multipart/related body of DICOM instances (PS3.18 section 10.5)."""

    def __init__(self) -> None:
        self._boundary = secrets.token_hex(24)

    @property
    def content_type(self) -> str:
        return f'multipart/related; type="application/dicom"; boundary={self._boundary}'

    def part(self, body: bytes) -> bytes:
        """One instance with what goes before and behind it."""
        head = f"--{self._boundary}\r\nContent-Type: application/dicom\r\nContent-Length: {len(body)}\r\n\r\n"
        return b"".join((head.encode(), body, _EOL))

    def closing(self) -> bytes:
        """What ends the body."""
        return f"--{self._boundary}--\r\n".encode()
