"""Associations that pynetdicom opens and keeps: for servers that have trouble with our own engine.

pynetdicom negotiates, frames and keeps the state machine. The messages of a service are exchanged here, by the one
thread that uses the association, for two reasons. pynetdicom's own calls pause its reactor thread anew for each
message, and a response that arrives within a millisecond may be taken by the reactor before it pauses: it is lost,
the caller waits for its time-out and the association is aborted (measured: in half of the runs with two sending
associations). And its calls decode and log data sets that we want as bytes and never in a log. So the reactor is
parked from the first moment until the end.
"""

import errno
import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association as Wire
from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ABORT, P_DATA
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from dicom.network.association import (
    MAX_PDU_BYTES,
    AcceptedContexts,
    NoContextAccepted,
    acknowledge_at_once,
    connection_error,
    is_tls_refusal,
    send_at_once,
    tls_context,
)
from dicom.network.commands import Message, Operation
from dicom.network.contexts import Context, Proposal
from dicom.network.negotiation import longest_pdu
from dicom.network.scratch import SPILL_BYTES, STEP_BYTES
from dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from models.domain.errors import (
    AditError,
    AssociationRejected,
    Canceled,
    PeerError,
    PeerLied,
    TimedOut,
    Unreachable,
    Unsupported,
)
from models.domain.instances import Bytes
from models.domain.nodes import Server

_RELEASE_PATIENCE_S = 5.0
_ABORT_PATIENCE_S = 0.25
_WAITING_PDUS = 8
_DATA_TRANSFER = "Sta6"
"""The state of an established association (PS3.8 table 9-3)."""
_BREAKING = threading.Lock()
Primitive = C_ECHO | C_FIND | C_GET | C_MOVE | C_STORE
_PRIMITIVES: dict[Operation, type[Primitive]] = {
    Operation.ECHO: C_ECHO,
    Operation.FIND: C_FIND,
    Operation.GET: C_GET,
    Operation.MOVE: C_MOVE,
    Operation.STORE: C_STORE,
}
_OPERATIONS = {kind: operation for operation, kind in _PRIMITIVES.items()}


def _silence_pynetdicom() -> None:
    """Keep pynetdicom from formatting and logging messages, which hold patients' names."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    logger = logging.getLogger("pynetdicom")
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False


_silence_pynetdicom()


def _set_no_delay(event: Event) -> None:
    """pynetdicom leaves Nagle's algorithm on."""
    if (sock := _socket_of(event.assoc)) is not None:
        send_at_once(sock)


def _rearm_quick_ack(event: Event) -> None:
    if (sock := _socket_of(event.assoc)) is not None:
        acknowledge_at_once(sock)


SOCKET_RULES: Final[list[Any]] = [
    (evt.EVT_CONN_OPEN, _set_no_delay),
    (evt.EVT_DATA_SENT, _rearm_quick_ack),
    (evt.EVT_DATA_RECV, _rearm_quick_ack),
]
"""Event handlers for every association."""


class ReactorAssociation(AcceptedContexts):
    """An association with a server. One thread opens and uses it; ``abort`` may come from any other."""

    def __init__(self, server: Server, calling_ae_title: str, proposal: Proposal) -> None:
        self.proposal = proposal
        super().__init__(server)
        self._calling_ae_title = calling_ae_title
        self._wire: Wire | None = None
        self._peer_limit = MAX_PDU_BYTES
        self._last_activity = time.monotonic()
        self._check_size: Callable[[int], None] | None = self._check_is_short
        self._arrived_bytes = 0
        """Of the message that is arriving, with what it is wrapped in."""
        self._next_check_bytes = SPILL_BYTES
        self._refusal: AditError | None = None
        self.is_aborted = False

    def open(self) -> None:
        """Connect and negotiate.

        Raises Unreachable, TimedOut, AssociationRejected with the server's reason, Unsupported when it accepts no
        context (as NoContextAccepted) or TLS fails, Canceled after ``abort``.
        """
        requestor = _Requestor(self)
        proposed = proposed_contexts(self.proposal)
        started = time.monotonic()
        try:
            wire = requestor.associate(
                self._server.host,
                self._server.port,
                proposed,
                self._server.ae_title,
                MAX_PDU_BYTES,
                [build_role(uid, scu_role=True, scp_role=True) for uid in sorted(self.proposal.stored_by_us)],
                evt_handlers=[
                    *SOCKET_RULES,
                    (evt.EVT_ESTABLISHED, _park_reactor),
                    (evt.EVT_DATA_SENT, self._note_activity),
                    (evt.EVT_DATA_RECV, self._note_arrival),
                    (evt.EVT_DIMSE_RECV, self._note_message),
                ],
            )
        except OSError as exc:
            raise Unreachable(f"The host name of {self._server.name} cannot be resolved.") from exc
        except (ValueError, TypeError) as exc:
            raise Unsupported(f"The AE titles for {self._server.name} are not valid.") from exc
        if not wire.is_established or self.is_aborted:
            self.break_off()
            error = requestor.socket_error
            raise self._why_not_open(wire, error, time.monotonic() - started) from error
        try:
            self._accept(wire)
        except BaseException:
            self.break_off()
            raise

    @property
    def is_usable(self) -> bool:
        """Whether it is open, between two messages, and the server has not ended it in the meantime."""
        wire = self._wire
        if wire is None or self._is_busy or self.is_aborted:
            return False
        return wire.dul.is_alive() and wire.dul.peek_next_pdu() is None

    def request(self, message: Message, context: Context, parts: Iterable[Bytes] | None = None) -> None:
        """Send a request, and behind it the data set whose encoded bytes are the joined parts.

        Raises Unsupported when the server did not accept the context.
        """
        context_id = self._begin(message, context)
        self._send(_primitive(message, parts is not None), context_id, parts or ())

    def respond(self, message: Message, context_id: int) -> None:
        """Send the response to a request of the server."""
        self._send(_primitive(message, False), context_id, ())

    def receive(
        self, timeout_s: float, scratch_dir: Path | None = None, check_room: Callable[[int], None] | None = None
    ) -> tuple[Message, int]:
        """The next message and its context's number; pynetdicom keeps it in memory.

        ``check_room`` is asked as ScratchBuffer says, although no file grows: an instance that may not pass through a
        file is not taken into memory either. Who expects no instances, without ``scratch_dir``, gets no large message.

        Raises TimedOut when not even a part of it came for so long, PeerError when the association broke, PeerLied for
        a large message where none is expected, what ``check_room`` raises, Canceled after ``abort``.
        """
        self._check_size = check_room if scratch_dir is not None else self._check_is_short
        self._last_activity = time.monotonic()
        while True:
            found = self.poll(1.0)
            if found is not None:
                return found
            if time.monotonic() - self._last_activity > timeout_s:
                self.break_off()
                raise TimedOut(f"{self.name} did not answer within {timeout_s:g} s.")

    def poll(self, wait_s: float) -> tuple[Message, int] | None:
        """The next message and its context's number, or None when none is complete within the time."""
        wire = self._open_wire()
        arrived = cast("queue.Queue[tuple[int | None, object]]", wire.dimse.msg_queue)
        try:
            context_id, message = arrived.get(timeout=wait_s)
        except queue.Empty:
            if wire.dul.is_alive() and wire.dul.peek_next_pdu() is None:
                return None
            raise self._broken() from None
        if not isinstance(message, Primitive) or context_id is None or self.is_aborted:
            raise self._broken()
        return _message(message), context_id

    def close(self) -> None:
        """Release the association, or break it off where a request is not answered yet."""
        wire = self._wire
        if wire is None or not self.is_usable:
            self.break_off()
            return
        wire.acse_timeout = _RELEASE_PATIENCE_S
        wire.release()
        self._end()

    def break_off(self) -> None:
        """End it at once, whatever state it is in, and leave no thread behind."""
        if self._wire is not None:
            _break_wire(self._wire)
            self._end()

    def abort(self) -> None:
        """Break it off from another thread: the blocked call raises Canceled."""
        self.is_aborted = True
        wire = self._wire
        if wire is not None:
            _break_wire(wire)
            wire.dimse.msg_queue.put((None, None))

    def adopt(self, wire: Wire) -> None:
        """Take over the association that pynetdicom is about to open, so that ``abort`` reaches it."""
        self._wire = wire
        wire.dul.daemon = True
        if self.is_aborted:
            raise Canceled

    def tls_arguments(self) -> tuple[ssl.SSLContext, str] | None:
        """TLS context and host name for the server, or None without TLS; raises Unsupported."""
        if self._server.tls is None:
            return None
        try:
            return tls_context(self._server.tls), self._server.host
        except OSError as exc:
            raise Unsupported(f"The TLS files of {self.name} cannot be read.") from exc

    @property
    def server(self) -> Server:
        return self._server

    @property
    def calling_ae_title(self) -> str:
        return self._calling_ae_title

    def _accept(self, wire: Wire) -> None:
        self._peer_limit = longest_pdu(wire.dimse.maximum_pdu_size or 0, self.name)
        for accepted in wire.accepted_contexts:
            for syntax in accepted.transfer_syntax[:1]:  # a server may name none
                self.accept(Context(str(accepted.abstract_syntax), str(syntax)), accepted.context_id or 0)
        if not self._accepted:
            raise NoContextAccepted(f"{self.name} does not accept the service that this needs.")

    def _open_wire(self) -> Wire:
        if self.is_aborted:
            raise Canceled
        if self._wire is None:
            raise PeerError(f"The association with {self.name} is closed.")
        return self._wire

    def _send(self, message: Primitive, context_id: int, parts: Iterable[Bytes]) -> None:
        wire = self._open_wire()
        wire.dimse.send_msg(message, context_id)
        for fragment in _fragments(parts, self._peer_limit - 6):
            pdu = P_DATA()
            pdu.presentation_data_value_list.append((context_id, fragment))
            self._wait_until_sent(wire, _WAITING_PDUS)
            wire.dul.send_pdu(pdu)
        self._last_activity = time.monotonic()

    def _wait_until_sent(self, wire: Wire, waiting: int) -> None:
        """Wait until no more PDUs than that wait to be sent, so that a large instance is never in memory twice."""
        while wire.dul.to_provider_queue.qsize() > waiting:
            if not wire.dul.is_alive() or self.is_aborted:
                raise self._broken()
            time.sleep(0.0005)

    def _note_activity(self, _event: Event) -> None:
        self._last_activity = time.monotonic()

    def _note_arrival(self, event: Event) -> None:
        """Ask whether a large message may go on growing. This is pynetdicom's thread; the blocked call raises."""
        self._last_activity = time.monotonic()
        self._arrived_bytes += len(event.data)
        wire, check = self._wire, self._check_size
        if wire is None or check is None or self._arrived_bytes <= self._next_check_bytes or self._refusal is not None:
            return
        self._next_check_bytes = self._arrived_bytes + STEP_BYTES
        try:
            check(self._arrived_bytes)
        except AditError as error:
            self._refusal = error
            wire.dimse.msg_queue.put((None, None))

    def _note_message(self, _event: Event) -> None:
        """What arrives from now on is of the next message."""
        self._arrived_bytes, self._next_check_bytes = 0, SPILL_BYTES

    def _check_is_short(self, _size_bytes: int) -> None:
        raise PeerLied(f"{self.name} sent something that is no DICOM message.")

    def _broken(self) -> AditError:
        """End what is left of a broken association and return the error to raise."""
        self.break_off()
        if self.is_aborted:
            return Canceled()
        if self._refusal is not None:
            return self._refusal
        return PeerError(f"{self.name} broke off the association.")

    def _why_not_open(self, wire: Wire, error: OSError | None, elapsed_s: float) -> PeerError | Canceled:
        if self.is_aborted:
            return Canceled()
        if error is not None:
            return connection_error(self._server, error)
        if wire.is_rejected:
            reason = getattr(wire.acceptor.primitive, "reason_str", "no reason given")
            return AssociationRejected(f"{self.name} rejected the association: {reason[:1].lower()}{reason[1:]}.")
        if wire.acceptor.primitive is not None:
            return NoContextAccepted(f"{self.name} does not accept the service that this needs.")
        if elapsed_s >= self._server.timeouts.negotiation.total_seconds():
            return TimedOut(f"{self.name} did not answer the request for an association in time.")
        return AssociationRejected(f"{self.name} closed the connection during the association's negotiation.")

    def _end(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            _end_wire(wire)


class _Requestor(ApplicationEntity):
    """pynetdicom's local side of one association; hands its wire and socket to our Association."""

    def __init__(self, association: ReactorAssociation) -> None:
        super().__init__(association.calling_ae_title)
        timeouts = association.server.timeouts
        self.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self.connection_timeout = timeouts.connect.total_seconds()
        self.acse_timeout = timeouts.negotiation.total_seconds()
        self.dimse_timeout = None
        self.network_timeout = None
        self._association = association
        self._socket: _Socket | None = None

    @property
    def socket_error(self) -> OSError | None:
        return self._socket.error if self._socket is not None else None

    def _create_socket(self, assoc: Wire, address: AddressInformation, tls_args: object) -> AssociationSocket:
        """Called by pynetdicom before it connects."""
        self._association.adopt(assoc)
        tls_arguments = self._association.tls_arguments()
        self._socket = _Socket(assoc, address, self._association)
        self._socket.tls_args = tls_arguments
        return self._socket


class _Socket(AssociationSocket):
    """pynetdicom's socket, but it keeps the error of a failed connect, and never blocks for ever."""

    def __init__(self, wire: Wire, address: AddressInformation, association: ReactorAssociation) -> None:
        super().__init__(wire, address=address)
        self.error: OSError | None = None
        self._association = association
        self._timeouts = association.server.timeouts

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect and do the TLS handshake, each within the connect time-out."""
        try:
            self._connect(primitive)
            primitive.result = "Evt2"
        except OSError as exc:
            self.error = exc
            self._shutdown_socket()
            self.socket = None
            primitive.result = "Evt17"
        finally:
            self.provider_queue.put(primitive)
            self._ready.set()

    def recv(self, nr_bytes: int) -> bytearray:
        """Read as pynetdicom does, and keep the error by which a peer that wants other TLS is to be told."""
        try:
            return super().recv(nr_bytes)
        except OSError as exc:
            if is_tls_refusal(exc):
                self.error = exc
            raise

    def _shutdown_socket(self) -> None:
        """Close the socket also where it cannot be shut down any more; pynetdicom would leave it open."""
        if self.socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
            self.socket.close()

    def _connect(self, primitive: T_CONNECT) -> None:
        sock = self.socket
        if sock is None or self._association.is_aborted:
            raise OSError(errno.ECANCELED, "The association was aborted before it was connected.")
        sock.settimeout(self._timeouts.connect.total_seconds())
        sock.connect(primitive.address_info.as_tuple)
        if self.tls_args:
            context, host = self.tls_args
            sock = self.socket = context.wrap_socket(sock, server_hostname=host)
        # a peer that stops in the middle of a PDU must not hold pynetdicom's thread for ever
        sock.settimeout(max(self._timeouts.idle, self._timeouts.response).total_seconds())
        self.assoc.requestor.address_info = AddressInformation.from_tuple(sock.getsockname())
        self._is_connected = True
        evt.trigger(self.assoc, evt.EVT_CONN_OPEN, {"address": primitive.address_info.as_tuple})


def proposed_contexts(proposal: Proposal) -> list[PresentationContext]:
    """pynetdicom's form of what is proposed, under odd numbers in the order of the proposal (PS3.8 section 9.3.2.2)."""
    contexts = [build_context(*context) for context in proposal.contexts]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    return contexts


def _primitive(message: Message, has_data_set: bool) -> Primitive:
    """pynetdicom's form of a message; an empty data set says that one follows, whose bytes are sent behind it."""
    primitive = _PRIMITIVES[message.operation]()
    primitive.AffectedSOPClassUID = message.sop_class_uid or None
    if message.status is None:
        primitive.MessageID = message.number
    else:
        primitive.MessageID = primitive.MessageIDBeingRespondedTo = message.number
        primitive.Status = message.status
    if isinstance(primitive, C_STORE):
        primitive.AffectedSOPInstanceUID = message.sop_uid or None
    if isinstance(primitive, C_MOVE):
        primitive.MoveDestination = message.destination
    if not isinstance(primitive, C_ECHO):
        primitive.Priority = 0
        setattr(primitive, _data_set_name(primitive), BytesIO() if has_data_set else None)
    return primitive


def _message(primitive: Primitive) -> Message:
    """Our form of a message that pynetdicom has received."""
    data_set = getattr(primitive, _data_set_name(primitive), None)
    is_response = primitive.Status is not None
    return Message(
        operation=_OPERATIONS[type(primitive)],
        sop_class_uid=str(primitive.AffectedSOPClassUID or ""),
        sop_uid=str(getattr(primitive, "AffectedSOPInstanceUID", None) or ""),
        number=(primitive.MessageIDBeingRespondedTo if is_response else primitive.MessageID) or 0,
        status=primitive.Status,
        completed_count=getattr(primitive, "NumberOfCompletedSuboperations", None),
        failed_count=getattr(primitive, "NumberOfFailedSuboperations", None),
        warning_count=getattr(primitive, "NumberOfWarningSuboperations", None),
        data_set=data_set.getbuffer() if data_set is not None and data_set.getbuffer().nbytes else None,
    )


def _data_set_name(primitive: Primitive) -> str:
    return "DataSet" if isinstance(primitive, C_STORE) else "Identifier"


def _break_wire(wire: Wire) -> None:
    """End one of pynetdicom's associations at once, from any thread: by an A-ABORT while its thread still sends.

    pynetdicom's own abort waits for that thread without a limit, also when it is blocked in the socket. Its state
    machine ends with an exception when a second A-ABORT, or one after the server's own, reaches it.
    """
    with _BREAKING:
        is_first, wire.is_established = wire.is_established, False
    wire.is_aborted = True
    if not wire.dul.is_alive():
        return
    if is_first and wire.dul.state_machine.current_state == _DATA_TRANSFER:
        abort = A_ABORT()
        abort.abort_source = 0
        wire.dul.send_pdu(abort)
    wire.dul.join(_ABORT_PATIENCE_S)
    _shut_socket(wire)


def _end_wire(wire: Wire) -> None:
    """Wait for the threads of a released or broken association."""
    wire.kill()
    for thread in (wire, wire.dul):
        if thread.ident is not None:
            thread.join(_RELEASE_PATIENCE_S)
    if (sock := _socket_of(wire)) is not None:
        sock.close()


def _park_reactor(event: Event) -> None:
    """Stop pynetdicom's reactor before it runs for the first time; the module's docstring says why."""
    event.assoc._reactor_checkpoint.clear()  # pyright: ignore[reportPrivateUsage]


def _socket_of(wire: Wire) -> socket.socket | None:
    """The socket below one of pynetdicom's associations, or None once it is gone."""
    transport = wire.dul.socket
    return transport.socket if transport is not None else None


def _shut_socket(wire: Wire) -> None:
    """Wake a thread that is blocked in the socket; not SSLSocket.shutdown, which takes its TLS object away."""
    sock = _socket_of(wire)
    if sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _fragments(parts: Iterable[Bytes], room: int) -> Iterator[bytes]:
    """Yield the data set in pieces with their message control header (PS3.8 section E.2), the last one marked.

    All pieces are of even length, because DCMTK refuses odd ones; a data set of odd length, which only a deflated one
    may have, gets the NULL byte of PS3.5 section A.5.
    """
    size = room & ~1
    pending: bytes | None = None
    for piece in _pieces(parts, size):
        if pending is not None:
            yield b"\x00" + pending
        pending = piece
    if pending is not None:
        yield b"\x02" + pending + b"\0" * (len(pending) % 2)


def _pieces(parts: Iterable[Bytes], size: int) -> Iterator[bytes]:
    """Yield the joined parts in pieces of exactly ``size`` bytes, the last one shorter."""
    held = bytearray()
    for part in parts:
        view = memoryview(part).cast("B")
        begin = 0
        while begin < len(view):
            taken = view[begin : begin + size - len(held)]
            begin += len(taken)
            held += taken
            if len(held) == size:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)
