"""Associations with a server (PS3.8 chapter 7): what the ports over DIMSE need of one, and how they keep it.

There are two kinds: ``reactor`` works with pynetdicom, ``direct`` is for many bytes.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from dicom.network.commands import Message
from dicom.network.contexts import Context, Proposal, accepted
from models.domain.errors import Canceled, PeerError, PeerLied, Unreachable, Unsupported
from models.domain.instances import Bytes
from models.domain.nodes import Server, Tls

MAX_PDU_BYTES = 128 << 10
"""What we announce and send at most. More gains nothing and costs memory."""
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Association(Protocol):
    """An association with a server. One thread opens and uses it; ``abort`` may come from any other."""

    proposal: Proposal

    def __init__(self, server: Server, calling_ae_title: str, proposal: Proposal) -> None: ...

    @property
    def is_usable(self) -> bool:
        """Whether it is open, between two messages, and the server has not ended it in the meantime."""
        ...

    @property
    def name(self) -> str:
        """The server's name."""
        ...

    def open(self) -> None:
        """Connect and negotiate.

        Raises Unreachable, TimedOut, AssociationRejected with the server's reason, Unsupported when it accepts no
        context (as NoContextAccepted) or TLS fails, Canceled after ``abort``.
        """
        ...

    def context_id(self, context: Context) -> int | None:
        """The number of a context that the server accepted, or None."""
        ...

    def context(self, context_id: int) -> Context:
        """The accepted context with this number; raises PeerLied when there is none."""
        ...

    def accepts_any(self, sop_class_uids: Set[str]) -> bool:
        """Whether the server accepted at least one of the SOP classes, in any transfer syntax."""
        ...

    def request(self, message: Message, context: Context, parts: Iterable[Bytes] | None = None) -> None:
        """Send a request, and behind it the data set whose encoded bytes are the joined parts, if there is one.

        Gives the message its number. Raises Unsupported when the server did not accept the context.
        """
        ...

    def respond(self, message: Message, context_id: int) -> None:
        """Send the response to a request of the server."""
        ...

    def receive(
        self, timeout_s: float, scratch_dir: Path | None = None, check_room: Callable[[int], None] | None = None
    ) -> tuple[Message, int]:
        """The next message and its context's number.

        For who expects instances ``scratch_dir`` takes the large ones, in files without a name, where the kind of
        association can do that; otherwise data sets stay in memory. ``check_room`` is that of their ScratchBuffer.

        Raises TimedOut when nothing of it came for so long or, where the kind of association can tell, less than
        64 KiB and not the rest; PeerError when the association broke, NoSpace or WriteFailed when ``scratch_dir``
        cannot take a large data set, what ``check_room`` raises, Canceled after ``abort``.
        """
        ...

    def status_of(self, response: Message) -> int:
        """The status by which a message answers the last request; raises PeerLied when it answers another, or none."""
        ...

    def rest(self) -> None:
        """Say that the last request is answered completely, so that the association may be used again."""
        ...

    def close(self) -> None:
        """Release the association, or break it off where a request is not answered yet."""
        ...

    def break_off(self) -> None:
        """End it at once, whatever state it is in, and leave no thread behind."""
        ...

    def abort(self) -> None:
        """Break it off from another thread: the blocked call raises Canceled."""
        ...


class AcceptedContexts:
    """What both kinds of association keep alike: the accepted contexts, the last request, and whether it is busy."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_busy = False
        self._message_id = 0
        self._asked: Message | None = None
        self._accepted: dict[Context, int] = {}
        self._by_id: dict[int, Context] = {}

    @property
    def name(self) -> str:
        return self._server.name

    def accept(self, context: Context, context_id: int) -> None:
        """Remember a context that the server has accepted under this number."""
        self._accepted[context] = context_id
        self._by_id[context_id] = context

    def context_id(self, context: Context) -> int | None:
        """The number of a context that the server accepted, or None."""
        return self._accepted.get(context)

    def context(self, context_id: int) -> Context:
        """The accepted context with this number; raises PeerLied when there is none."""
        return accepted(self._by_id, context_id, self.name)

    def accepts_any(self, sop_class_uids: Set[str]) -> bool:
        """Whether the server accepted at least one of the SOP classes, in any transfer syntax."""
        return any(context.abstract_syntax in sop_class_uids for context in self._accepted)

    def status_of(self, response: Message) -> int:
        """The status by which a message answers the last request; raises PeerLied when it answers another, or none.

        A response names the number of its request, and need not name its instance (PS3.7 section 9.1.1.1).
        """
        asked = self._asked
        if (
            asked is None
            or response.status is None
            or (response.operation, response.number) != (asked.operation, asked.number)
            or (asked.sop_uid and response.sop_uid not in ("", asked.sop_uid))
        ):
            what = asked.operation.word if asked is not None else "nothing"
            raise PeerLied(f"{self.name} answered {what} with another message.")
        return response.status

    def rest(self) -> None:
        """Say that the last request is answered completely, so that the association may be used again."""
        self._is_busy = False

    def _begin(self, message: Message, context: Context) -> int:
        """Number a request and take the association for it; the context's number, or Unsupported without one."""
        context_id = self.context_id(context)
        if context_id is None:
            raise Unsupported(f"{self.name} does not accept the service that this needs.")
        self._message_id = self._message_id % 0xFFFF + 1
        message.number = self._message_id
        self._asked = message
        self._is_busy = True
        return context_id


class NoContextAccepted(Unsupported):
    """The server accepts none of the proposed services. Check its protocol settings."""


A = TypeVar("A", bound=Association)


class DimsePort(Generic[A]):
    """What the ports over DIMSE share: an association of one kind that is opened when first needed, and kept."""

    def __init__(self, server: Server, calling_ae_title: str, kind: type[A]) -> None:
        self._server = server
        self._calling_ae_title = calling_ae_title
        self._kind = kind
        self._association: A | None = None
        self._is_aborted = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def abort(self) -> None:
        """Break the connection from another thread; the blocked call and all later ones raise Canceled."""
        with self._lock:
            self._is_aborted = True
            association = self._association
        if association is not None:
            association.abort()

    def _associated(self, wanted: Proposal) -> A:
        """The open association when it covers the proposal, else a new one for what was proposed so far and this."""
        kept = self._association
        if kept is not None and kept.is_usable and kept.proposal.covers(wanted):
            return kept
        self._close()
        proposal = wanted if kept is None else kept.proposal.joined(wanted)
        fresh = self._kind(self._server, self._calling_ae_title, proposal)
        with self._lock:
            if self._is_aborted:
                raise Canceled
            self._association = fresh
        fresh.open()
        return fresh

    def _close(self) -> None:
        if self._association is not None:
            self._association.close()


def send_at_once(sock: socket.socket) -> None:
    """Send each PDU at once, without Nagle's algorithm, which waits for the peer's delayed ACK."""
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    acknowledge_at_once(sock)


def acknowledge_at_once(sock: socket.socket) -> None:
    """Acknowledge at once what the peer sends; the kernel forgets the option, so it is set again and again.

    DCMTK, and Orthanc with it, writes each PDU in two pieces with Nagle's algorithm on: without this the second piece
    waits 40 ms for our delayed ACK, for every instance. Only Linux has the option.
    """
    if _QUICKACK is not None:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """TLS for a server; raises OSError when its files cannot be read."""
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    context.check_hostname = tls.check_hostname
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file or None)
    return context


def is_tls_trouble(error: BaseException | None) -> bool:
    """Whether both sides do not agree on TLS, which waiting does not change; a peer that hangs up may be starting."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, _HUNG_UP)


def is_tls_refusal(error: BaseException | None) -> bool:
    """Whether the peer says that it does not take our TLS; with TLS 1.3 that comes behind the handshake."""
    return isinstance(error, ssl.SSLError) and "ALERT" in (getattr(error, "reason", "") or "")


def connection_error(server: Server, error: OSError) -> PeerError:
    """The error for a connection that could not be made, to be raised by the caller."""
    if isinstance(error, _HUNG_UP):
        return Unreachable(f"{server.name} hung up during the TLS handshake. It may be starting, or want no TLS.")
    if is_tls_trouble(error):
        return Unsupported(f"No TLS connection with {server.name}. Check certificates and TLS settings.")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{server.name} could not be reached in time. Check its host and port.")
    return Unreachable(f"{server.name} could not be reached. Check that it is running, and its host and port.")
