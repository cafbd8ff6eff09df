"""Associations that peers open to us (PS3.8 chapter 7): listens, negotiates, and gives each one a thread of its own.

A blocking socket for each thread, no queue and no copy. What a peer does wrong ends its association and no other one;
no silence makes a thread wait for ever, and nothing that is sent makes it grow without bound.
"""

import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Protocol, TypeVar

from dicom.network.assembly import Assembly
from dicom.network.association import acknowledge_at_once, send_at_once
from dicom.network.commands import Message, encoded
from dicom.network.contexts import Context, accepted
from dicom.network.negotiation import (
    ASSOCIATE_REQUEST,
    AssociateRequest,
    Refusal,
    acceptance,
    decoded_request,
    rejection,
)
from dicom.network.pdus import HEAD_BYTES, ConnectionEnded, PduSocket, Target, data_pdus
from models.domain.errors import PeerLied

log = logging.getLogger(__name__)

MOST_ASSOCIATIONS = 100
_MOST_CONNECTIONS = 200
"""Those beyond the associations are being negotiated, rejected or ended. From here on each newcomer takes the place of
the oldest stranger, whose thread may need a moment to end: of threads there are never more than twice as many."""
_NEGOTIATION_S = 30.0
"""For the whole request of a peer; the ARTIM timer of PS3.8 section 9.1.5."""
_IDLE_S = 600.0
_SILENCE_S = 60.0
"""Within a message in all until 64 KiB have come, and for a peer that takes no response."""
_PARTING_S = 2.0
_STOPPED_WITHIN_S = 5.0
_PAUSE_S = 0.2
_LARGEST_REQUEST_BYTES = 256 << 10
"""128 contexts with all transfer syntaxes there are have a quarter of it."""
_ABORT_BY_PROVIDER = b"\x07\0\0\0\0\x04\0\0\x02\0"
_CALLER_UNKNOWN, _VERSION_UNKNOWN = rejection(1, 1, 3), rejection(1, 2, 2)
_NOT_NOW, _TOO_MANY = rejection(2, 3, 1), rejection(2, 3, 2)

T = TypeVar("T", bound=Target)


class Admission(Enum):
    """Whether a caller may have an association. NOT_NOW asks it to try again soon."""

    YES = "yes"
    UNKNOWN = "unknown"
    NOT_NOW = "not now"


class Service(Protocol):
    """What is offered to peers. Called by the threads of all associations at once."""

    def admits(self, calling_ae_title: str) -> Admission:
        """Whether the caller may have an association; must not raise."""
        ...

    def choose(self, abstract_syntax: str, transfer_syntaxes: Sequence[str]) -> str | Refusal:
        """The one of the proposed transfer syntaxes that is accepted for a context."""
        ...

    def serve(self, association: "AcceptedAssociation") -> None:
        """Exchange messages until one of the association's calls raises."""
        ...


class AcceptedAssociation:
    """An association that a peer has opened to us, for the thread that serves it."""

    def __init__(self, wire: PduSocket, contexts: dict[int, Context], peer_limit: int) -> None:
        self._wire = wire
        self._contexts = contexts
        self._peer_limit = peer_limit

    def context(self, context_id: int) -> Context:
        """The accepted context with this number; raises PeerLied when there is none."""
        return accepted(self._contexts, context_id, "The peer")

    def receive(self, begin_data_set: Callable[[Message, int], T]) -> tuple[Message, int, T | None]:
        """The next message, its context's number, and what its data set was written to, if there is one.

        ``begin_data_set`` gets the message and its context's number before the data set arrives. Raises ConnectionEnded
        when the peer has ended the association, PeerLied for nonsense, OSError for silence and a broken connection.
        """
        self._wire.socket.settimeout(_IDLE_S)
        self._wire.begin_message(_SILENCE_S)
        return Assembly("The peer", self.context, begin_data_set).read(self._wire)

    def respond(self, message: Message, context_id: int) -> None:
        """Send a message without a data set; raises OSError."""
        self._wire.socket.settimeout(_SILENCE_S)
        self._wire.write(data_pdus(context_id, encoded(message, False), None, self._peer_limit))


class Acceptor:
    """Serves peers on a port, IPv4 where the host has such an address, from ``start`` to ``stop``."""

    def __init__(self, host: str, port: int, service: Service) -> None:
        """Take the port; raises OSError when it is not free, and UnicodeError or OSError for a host that is none."""
        self._service = service
        self._listener = _listener(host, port)
        self._room = threading.BoundedSemaphore(MOST_ASSOCIATIONS)
        self._lock = threading.Lock()
        self._threads: dict[PduSocket, threading.Thread] = {}
        self._strangers: dict[PduSocket, None] = {}
        """Those of whom nobody knows yet that they may have an association, in order of arrival."""
        self._is_stopping = threading.Event()
        self._listening = threading.Thread(target=self._listen, name="acceptor", daemon=True)

    def start(self) -> None:
        self._listening.start()

    def stop(self) -> None:
        """Abort all associations, stop listening, and wait for the threads."""
        self._is_stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that listens; closing does not
        if self._listening.ident is not None:
            self._listening.join(_STOPPED_WITHIN_S)
        self._listener.close()
        end = time.monotonic() + _STOPPED_WITHIN_S
        with self._lock:  # as in _forget
            threads = [*self._threads.values()]
            for wire in self._threads:
                wire.abort()
                wire.shut()
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))

    def _listen(self) -> None:
        while not self._is_stopping.is_set():
            try:
                sock, address = self._listener.accept()
            except OSError:  # too many open files, or a peer that is gone already
                self._is_stopping.wait(_PAUSE_S)
                continue
            try:
                self._take(PduSocket(sock, address[0]))
            except (RuntimeError, MemoryError):  # there is no thread to be had, or no memory: who is here goes on
                sock.close()

    def _take(self, wire: PduSocket) -> None:
        """Give a connection its thread. One too many is closed: to hear why, it would need a thread as well."""
        with self._lock:
            if len(self._threads) >= 2 * _MOST_CONNECTIONS:
                wire.close()
                return
            if len(self._threads) >= _MOST_CONNECTIONS:
                self._evict_a_stranger()
            thread = threading.Thread(target=self._run, args=(wire,), name="association", daemon=True)
            self._threads[wire] = thread
            self._strangers[wire] = None
        try:
            thread.start()
        except BaseException:
            self._forget(wire)
            raise

    def _evict_a_stranger(self) -> None:
        """Let the one who has been here longest make room, so that strangers keep nobody out who is known."""
        stranger = next(iter(self._strangers), None)
        if stranger is not None:
            del self._strangers[stranger]
            _tell(stranger, "there are too many, and it has not said who it is")
            stranger.shut()

    def _admit(self, wire: PduSocket) -> bool:
        """Whether there is room for one more association; this one is no stranger then."""
        if not self._room.acquire(blocking=False):
            return False
        with self._lock:
            self._strangers.pop(wire, None)
        return True

    def _forget(self, wire: PduSocket) -> None:
        with self._lock:  # nobody shuts it once its descriptor may be another's
            wire.close()
            self._strangers.pop(wire, None)
            self._threads.pop(wire, None)

    def _run(self, wire: PduSocket) -> None:
        """The whole life of one connection."""
        try:
            _part(wire.socket, self._last_words(wire))
        except Exception as error:  # a bug must not end the server; its text could tell of a patient
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error("an association ended with %s at %s:%s", type(error).__name__, where.filename, where.lineno)
        finally:
            self._forget(wire)

    def _last_words(self, wire: PduSocket) -> bytes:
        """Negotiate and serve; the PDU that is to be sent in the end, if any."""
        try:
            send_at_once(wire.socket)
            request = decoded_request(_request(wire.socket))
            refusal = self._refusal(wire, request)
            if refusal:
                return refusal
            try:
                self._service.serve(self._accept(wire, request))
            finally:
                self._room.release()
        except PeerLied:
            return _refused(wire, "what came is not what DICOM asks for", _ABORT_BY_PROVIDER)
        except (OSError, ConnectionEnded):
            pass
        return b""

    def _refusal(self, wire: PduSocket, request: AssociateRequest) -> bytes:
        """The PDU that rejects a request; empty when it is admitted, and has taken one of the places."""
        if not request.is_version_1:
            return _refused(wire, "it asks for another version of the protocol", _VERSION_UNKNOWN)
        admission = self._service.admits(request.calling_ae_title)
        if admission is Admission.UNKNOWN:
            why = "its calling AE title is that of no server; enter the title under which it sends"
            return _refused(wire, why, _CALLER_UNKNOWN)
        if admission is Admission.NOT_NOW:
            return _refused(wire, "it cannot be told whether it may send", _NOT_NOW)
        if not self._admit(wire):
            return _refused(wire, "there are too many", _TOO_MANY)
        return b""

    def _accept(self, wire: PduSocket, request: AssociateRequest) -> AcceptedAssociation:
        answers = [self._service.choose(asked.abstract_syntax, asked.transfer_syntaxes) for asked in request.contexts]
        contexts = {
            asked.context_id: Context(asked.abstract_syntax, answer)
            for asked, answer in zip(request.contexts, answers, strict=True)
            if not isinstance(answer, Refusal)
        }
        wire.socket.settimeout(_SILENCE_S)
        wire.write((acceptance(request, answers),))
        return AcceptedAssociation(wire, contexts, request.limit)


def _refused(wire: PduSocket, reason: str, last_words: bytes) -> bytes:
    """Tell the log why an association ends with these words."""
    _tell(wire, reason)
    return last_words


def _tell(wire: PduSocket, reason: str) -> None:
    """Tell the log, in which nothing of a peer's own words may stand, whose association is ended, and why."""
    log.warning("an association from %s was ended: %s", wire.peer_host, reason)


def _listener(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
    return socket.create_server(address, family=family, backlog=MOST_ASSOCIATIONS)  # type: ignore[arg-type]


def _request(sock: socket.socket) -> bytes:
    """The body of the peer's request; raises PeerLied when it sends something else, TimeoutError in the end."""
    end = time.monotonic() + _NEGOTIATION_S
    head = _exactly(sock, HEAD_BYTES, end)
    length = int.from_bytes(head[2:], "big")
    if head[0] != ASSOCIATE_REQUEST or length > _LARGEST_REQUEST_BYTES:
        raise PeerLied("The peer did not ask for an association.")
    return _exactly(sock, length, end)


def _exactly(sock: socket.socket, size: int, end: float) -> bytes:
    found = bytearray()
    while len(found) < size:
        sock.settimeout(max(end - time.monotonic(), 0.001))
        piece = sock.recv(size - len(found))
        if not piece:
            raise ConnectionEnded
        acknowledge_at_once(sock)
        found += piece
    return bytes(found)


def _part(sock: socket.socket, last_words: bytes) -> None:
    """Say the last words, and read on until the peer closes: closing first could take them from it (PS3.8, ARTIM)."""
    end = time.monotonic() + _PARTING_S
    with suppress(OSError):
        sock.settimeout(_PARTING_S)
        sock.sendall(last_words)
        if not last_words:
            sock.shutdown(socket.SHUT_WR)
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(1 << 16):
                return
