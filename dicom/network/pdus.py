"""Protocol data units (PS3.8 section 9.3) on a connected socket: read and written by one thread, without queues.

Reads what a peer sends as little as it can: heads here, values straight to where they are kept.
"""

import os
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Protocol

from dicom.mapping import give_back
from dicom.network.association import acknowledge_at_once
from models.domain.instances import Bytes

ASSOCIATE_ACCEPT, ASSOCIATE_REJECT, P_DATA, RELEASE_REQUEST, RELEASE_RESPONSE, ABORT = 2, 3, 4, 5, 6, 7
RELEASE_REQUEST_PDU = b"\x05\0\0\0\0\x04\0\0\0\0"
RELEASE_RESPONSE_PDU = b"\x06\0\0\0\0\x04\0\0\0\0"
ABORT_PDU = b"\x07\0\0\0\0\x04\0\0\0\0"
HEAD_BYTES = 6
IS_COMMAND, IS_LAST = 1, 2
"""Bits of the message control header (PS3.8 section E.2)."""

_HEAD = struct.Struct(">BxI")
_VALUE_HEAD = struct.Struct(">IBB")
_DATA_HEAD = struct.Struct(">BxIIBB")
_BUFFER_BYTES = 256 << 10
_LEAST_BYTES = 64 << 10
"""What any peer can send in the silence that is allowed within a message."""
_BATCH_BYTES, _BATCH_BUFFERS = 1 << 20, 512
"""Of one system call; IOV_MAX of Linux is 1024."""


class ConnectionEnded(Exception):  # noqa: N818
    """The peer has closed the connection."""


class Target(Protocol):
    """Something that takes bytes, like a file."""

    def write(self, data: memoryview, /) -> object:
        """Append the bytes; they are valid during the call only."""
        ...


class PduSocket:
    """A connection with a buffer for what has arrived. Socket errors and time-outs leave it as they are.

    ``peer_host`` is the address from which a peer has come.
    """

    def __init__(self, sock: socket.socket, peer_host: str = "") -> None:
        self.socket = sock
        self.peer_host = peer_host
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        self._begin: int = 0
        self._end: int = 0
        self._silence_s: float | None = None
        self._is_begun = False
        self._waited_s = 0.0
        self._window_bytes = 0
        self.is_sending = False

    @property
    def has_unread(self) -> bool:
        """Whether something has arrived that nobody has asked for yet."""
        return self._begin < self._end

    def begin_message(self, silence_s: float) -> None:
        """Keep the peer to a pace in what comes from now on, until this is called again.

        Its first byte is waited for as long as the socket's time-out says. From then on the peer may be silent for
        ``silence_s`` in all until 64 KiB have come, and again until the next; otherwise whatever reads raises
        TimeoutError. What we do with the bytes takes none of its time. Sets the socket's time-out to ``silence_s``.
        """
        self._silence_s = silence_s
        self._is_begun = False
        if self.has_unread:
            self._begin_pace(silence_s)

    def head(self) -> tuple[int, int]:
        """Type and length of the next PDU."""
        kind, length = _HEAD.unpack(self._exactly(HEAD_BYTES))
        return kind, length

    def value_head(self) -> tuple[int, int, int]:
        """Length, context and control header of the next presentation data value; the length covers the latter two."""
        length, context_id, control = _VALUE_HEAD.unpack(self._exactly(6))
        return length, context_id, control

    def body(self, length: int) -> bytes:
        """The next bytes; for what is short."""
        body = BytesIO()
        self.pass_on(length, body)
        return body.getvalue()

    def pass_on(self, length: int, target: Target) -> None:
        """Append the next bytes to a target as they come; raises what that raises."""
        while length:
            if self._begin == self._end:
                self._fill()
            taken = min(length, self._end - self._begin)
            target.write(self._view[self._begin : self._begin + taken])
            self._begin += taken
            length -= taken

    def write(self, buffers: Iterable[Bytes]) -> None:
        """Send buffers one after the other, without joining them where the connection allows.

        Whatever they view of mapped files is given back on the way.
        """
        self.is_sending = True
        batch: list[Bytes] = []
        size = 0
        for buffer in buffers:
            batch.append(buffer)
            size += len(buffer)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_BUFFERS:
                self._send(batch)
                give_back(batch)
                batch, size = [], 0
        self._send(batch)
        acknowledge_at_once(self.socket)
        self.is_sending = False

    def shut(self) -> None:
        """Wake whoever is blocked in the socket, from any thread; it stays open."""
        with suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)  # SSLSocket's own would take its TLS object away

    def close(self) -> None:
        """Shut and close the socket; for the thread that uses it."""
        self.shut()
        with suppress(OSError):
            self.socket.close()

    def abort(self) -> None:
        """Send an A-ABORT if that is possible at this moment; from any thread."""
        if self.is_sending or isinstance(self.socket, ssl.SSLSocket):
            return
        with suppress(OSError):
            os.write(self.socket.fileno(), ABORT_PDU)  # the socket's own send waits for room as long as its time-out

    def _exactly(self, size: int) -> memoryview:
        """The next few bytes; the view is valid until the next call."""
        while self._end - self._begin < size:
            self._fill()
        begin, self._begin = self._begin, self._begin + size
        return self._view[begin : begin + size]

    def _fill(self) -> None:
        if not self._buffer:  # who never says anything costs none
            self._buffer = bytearray(_BUFFER_BYTES)
            self._view = memoryview(self._buffer)
        if self._begin == self._end:
            self._begin = self._end = 0
        elif self._end == len(self._buffer):
            left = self._end - self._begin
            self._buffer[:left] = self._buffer[self._begin : self._end]
            self._begin, self._end = 0, left
        began_at = time.monotonic()
        count = self.socket.recv_into(self._view[self._end :])
        if not count:
            raise ConnectionEnded
        acknowledge_at_once(self.socket)
        self._end += count
        if self._silence_s is not None:
            self._check_pace(self._silence_s, count, time.monotonic() - began_at)

    def _check_pace(self, silence_s: float, count: int, waited_s: float) -> None:
        """Raise TimeoutError for a peer that keeps us waiting, and hardly sends anything."""
        if not self._is_begun:
            self._begin_pace(silence_s)
            return
        self._window_bytes += count
        self._waited_s += waited_s
        if self._window_bytes >= _LEAST_BYTES:
            self._window_bytes, self._waited_s = 0, 0.0
        elif self._waited_s >= silence_s:
            raise TimeoutError("The peer hardly sends anything.")

    def _begin_pace(self, silence_s: float) -> None:
        self._is_begun = True
        self._window_bytes, self._waited_s = 0, 0.0
        self.socket.settimeout(silence_s)

    def _send(self, batch: Sequence[Bytes]) -> None:
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.sendall(b"".join(batch))
            return
        left = [memoryview(buffer).cast("B") for buffer in batch if len(buffer)]
        while left:
            sent = self.socket.sendmsg(left)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]


def data_pdus(context_id: int, command: bytes, parts: Iterable[Bytes] | None, limit: int) -> Iterator[Bytes]:
    """Yield the buffers of a message: its command set, and its data set where ``parts`` is not None.

    No PDU is longer than ``limit`` bytes behind its head, and all fragments are of even length, because DCMTK refuses
    odd ones; a data set of odd length, which only a deflated one may have, gets the NULL byte of PS3.5 section A.5.
    """
    room = (limit - HEAD_BYTES) & ~1
    yield from _fragments(context_id, IS_COMMAND, (command,), room)
    if parts is not None:
        yield from _fragments(context_id, 0, parts, room)


def _fragments(context_id: int, control: int, parts: Iterable[Bytes], room: int) -> Iterator[Bytes]:
    views = [memoryview(part).cast("B") for part in parts if len(part)]
    left = sum(map(len, views))
    is_odd = left % 2
    while True:
        size = min(room, left + is_odd)
        left -= size - (is_odd if size > left else 0)
        pieces, padding = _taken(views, size)
        yield _DATA_HEAD.pack(P_DATA, size + HEAD_BYTES, size + 2, context_id, control | (0 if left else IS_LAST))
        yield from pieces
        if padding:
            yield b"\0"
        if not left:
            return


def _taken(views: list[memoryview], size: int) -> tuple[list[memoryview], int]:
    """The next bytes of the views, which become shorter, and how many are missing."""
    pieces: list[memoryview] = []
    while size and views:
        piece = views[0][:size]
        pieces.append(piece)
        size -= len(piece)
        views[0] = views[0][len(piece) :]
        if not len(views[0]):
            views.pop(0)
    return pieces, size
