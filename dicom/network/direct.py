"""Associations for many bytes: one thread, a blocking socket, no queue and no copy but the one to where a data set is.

pynetdicom's encoders ask for it; what its messages, frames and waiting cost is saved. Measured for instances of half a
megabyte: a tenth of the CPU time. What a peer does wrong ends the association; nothing that it
sends makes this wait for ever or grow without bound.
"""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from pynetdicom import pdu, pdu_primitives

from dicom.network.assembly import LARGEST_DATA_SET_BYTES, Assembly
from dicom.network.association import (
    MAX_PDU_BYTES,
    AcceptedContexts,
    Association,
    NoContextAccepted,
    connection_error,
    is_tls_refusal,
    send_at_once,
    tls_context,
)
from dicom.network.commands import Message, encoded
from dicom.network.contexts import Context, Proposal
from dicom.network.negotiation import decoded_acceptance, rejection_reason
from dicom.network.pdus import (
    ABORT,
    ASSOCIATE_ACCEPT,
    ASSOCIATE_REJECT,
    P_DATA,
    RELEASE_REQUEST,
    RELEASE_REQUEST_PDU,
    RELEASE_RESPONSE_PDU,
    ConnectionEnded,
    PduSocket,
    data_pdus,
)
from dicom.network.reactor import ReactorAssociation, proposed_contexts
from dicom.network.scratch import SPILL_BYTES, ScratchBuffer
from dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from models.domain.errors import (
    AssociationRejected,
    Canceled,
    PeerError,
    PeerLied,
    TargetError,
    TimedOut,
    Unreachable,
    Unsupported,
)
from models.domain.instances import Bytes
from models.domain.nodes import Server

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_LARGEST_ANSWER_BYTES = 64 << 10
"""In a negotiation; 128 accepted contexts with their roles have less than a third of it."""
_ANSWERS = frozenset({ASSOCIATE_ACCEPT, ASSOCIATE_REJECT, ABORT})
"""What may answer the request for an association (PS3.8 section 9.2)."""
_RELEASE_PATIENCE_S = 5.0


class DirectAssociation(AcceptedContexts):
    """An association with a server. One thread opens and uses it; ``abort`` may come from any other."""

    def __init__(self, server: Server, calling_ae_title: str, proposal: Proposal) -> None:
        self.proposal = proposal
        self.is_aborted = False
        super().__init__(server)
        self._calling_ae_title = calling_ae_title
        self._wire: PduSocket | None = None
        self._lock = threading.Lock()
        self._peer_limit = MAX_PDU_BYTES

    def open(self) -> None:
        """Connect and negotiate; raises as ``Association`` says."""
        request = self._associate_request()
        try:
            self._connect()
            self._accept(self._acceptance(request))
        except NoContextAccepted:
            self.close()
            raise
        except BaseException:
            self.break_off()
            raise

    @property
    def is_usable(self) -> bool:
        wire = self._wire
        if wire is None or self._is_busy or self.is_aborted or wire.has_unread:
            return False
        return not _has_something_to_read(wire.socket)  # a release, an abort, or the end of the connection

    def request(self, message: Message, context: Context, parts: Iterable[Bytes] | None = None) -> None:
        context_id = self._begin(message, context)
        self._send(message, context_id, parts)

    def respond(self, message: Message, context_id: int) -> None:
        self._send(message, context_id, None)

    def receive(
        self, timeout_s: float, scratch_dir: Path | None = None, check_room: Callable[[int], None] | None = None
    ) -> tuple[Message, int]:
        wire = self._open_wire()
        wire.socket.settimeout(timeout_s)
        wire.begin_message(timeout_s)
        try:
            return self._message(wire, scratch_dir, check_room)
        except TimeoutError as exc:
            self.break_off()
            raise TimedOut(f"{self.name} did not answer within {timeout_s:g} s.") from exc
        except (OSError, ConnectionEnded) as exc:
            raise self._broken() from exc
        except (PeerError, TargetError):
            self.break_off()
            raise

    def close(self) -> None:
        wire = self._wire
        if wire is not None and self.is_usable:
            with suppress(OSError, ConnectionEnded):
                self._release(wire)
            self._drop()
        else:
            self.break_off()

    def break_off(self) -> None:
        wire = self._wire
        if wire is not None:
            wire.abort()
            self._drop()

    def abort(self) -> None:
        self.is_aborted = True
        with self._lock:
            if self._wire is not None:
                self._wire.abort()
                self._wire.shut()

    # --- opening

    def _associate_request(self) -> bytes:
        try:
            primitive = pdu_primitives.A_ASSOCIATE()
            primitive.application_context_name = _APPLICATION_CONTEXT
            primitive.calling_ae_title = self._calling_ae_title
            primitive.called_ae_title = self._server.ae_title
            primitive.presentation_context_definition_list = proposed_contexts(self.proposal)
            primitive.user_information = list(self._user_information())
            request = pdu.A_ASSOCIATE_RQ()
            request.from_primitive(primitive)
            return request.encode()
        except (ValueError, TypeError) as exc:
            raise Unsupported(f"The AE titles for {self.name} are not valid.") from exc

    def _user_information(self) -> Iterable[Any]:
        length = pdu_primitives.MaximumLengthNotification()
        length.maximum_length_received = MAX_PDU_BYTES
        yield length
        implementation = pdu_primitives.ImplementationClassUIDNotification()
        implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        yield implementation
        version = pdu_primitives.ImplementationVersionNameNotification()
        version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        yield version
        for uid in sorted(self.proposal.stored_by_us):
            role = pdu_primitives.SCP_SCU_RoleSelectionNegotiation()
            role.sop_class_uid, role.scu_role, role.scp_role = uid, True, True
            yield role

    def _connect(self) -> None:
        """Connect and do the TLS handshake, each within the connect time-out."""
        context = self._tls_context()
        try:
            found = socket.getaddrinfo(self._server.host, self._server.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise Unreachable(f"The host name of {self.name} cannot be resolved.") from exc
        error: OSError | None = None
        for family, kind, protocol, _, address in found:
            try:
                wire = PduSocket(socket.socket(family, kind, protocol))  # OSError: this kernel has no such family
                self._adopt(wire)
                wire.socket.settimeout(self._server.timeouts.connect.total_seconds())
                wire.socket.connect(address)
                if context is not None:
                    self._secure(wire, context)
                send_at_once(wire.socket)
                return
            except OSError as exc:
                error = exc
                self._drop()
                if self.is_aborted:
                    raise Canceled from exc
        raise connection_error(self._server, error or OSError()) from error

    def _tls_context(self) -> ssl.SSLContext | None:
        """What secures the connection, or None without TLS."""
        if self._server.tls is None:
            return None
        try:
            return tls_context(self._server.tls)
        except OSError as exc:
            raise Unsupported(f"The TLS files of {self.name} cannot be read.") from exc

    def _secure(self, wire: PduSocket, context: ssl.SSLContext) -> None:
        with self._lock:
            wire.socket = context.wrap_socket(
                wire.socket, server_hostname=self._server.host, do_handshake_on_connect=False
            )
        wire.socket.do_handshake()  # type: ignore[attr-defined]

    def _acceptance(self, request: bytes) -> bytes:
        """The body of the server's acceptance; raises what it answers otherwise."""
        kind, body = self._answer(request)
        if kind == ASSOCIATE_REJECT:
            raise AssociationRejected(f"{self.name} rejected the association: {rejection_reason(body)}.")
        if kind != ASSOCIATE_ACCEPT:
            raise self._hung_up()
        return body

    def _answer(self, request: bytes) -> tuple[int, bytes]:
        """Type and body of what the server answers."""
        wire = self._open_wire()
        patience_s = self._server.timeouts.negotiation.total_seconds()
        try:
            wire.socket.settimeout(patience_s)
            wire.write((request,))
            wire.begin_message(patience_s)
            kind, length = wire.head()
            if kind not in _ANSWERS or length > _LARGEST_ANSWER_BYTES:
                raise PeerLied(f"What {self.name} answers is not DICOM. Check that its port is the one for DICOM.")
            return kind, wire.body(length)
        except TimeoutError as exc:
            raise TimedOut(f"{self.name} did not answer the request for an association in time.") from exc
        except (OSError, ConnectionEnded) as exc:
            if self.is_aborted:
                raise Canceled from exc
            if isinstance(exc, OSError) and is_tls_refusal(exc):
                raise connection_error(self._server, exc) from exc
            raise self._hung_up() from exc

    def _hung_up(self) -> AssociationRejected:
        return AssociationRejected(f"{self.name} closed the connection during the association's negotiation.")

    def _accept(self, body: bytes) -> None:
        """Remember what the server has accepted: contexts that we have proposed, in their only syntax."""
        try:
            accepted, self._peer_limit = decoded_acceptance(body)
        except PeerLied as exc:
            raise PeerLied(f"No association with {self.name}. {exc.message}") from exc
        for number, context in enumerate(self.proposal.contexts):
            if accepted.get(2 * number + 1) == context.transfer_syntax:
                self.accept(context, 2 * number + 1)
        if not self._accepted:
            raise NoContextAccepted(f"{self.name} does not accept the service that this needs.")

    # --- messages

    def _send(self, message: Message, context_id: int, parts: Iterable[Bytes] | None) -> None:
        wire = self._open_wire()
        patience = max(self._server.timeouts.idle, self._server.timeouts.response)
        wire.socket.settimeout(patience.total_seconds())
        try:
            wire.write(data_pdus(context_id, encoded(message, parts is not None), parts, self._peer_limit))
        except TimeoutError as exc:
            self.break_off()
            raise TimedOut(f"{self.name} takes no data any more.") from exc
        except OSError as exc:
            raise self._broken() from exc

    def _message(
        self, wire: PduSocket, scratch_dir: Path | None, check_room: Callable[[int], None] | None
    ) -> tuple[Message, int]:
        most_bytes = SPILL_BYTES if scratch_dir is None else LARGEST_DATA_SET_BYTES
        with closing(ScratchBuffer(scratch_dir, check=check_room)) as buffer:
            assembly = Assembly(self.name, self.context, lambda _message, _context_id: buffer, most_bytes)
            message, context_id, data_set = assembly.read(wire)
            if data_set is not None:
                message.data_set = data_set.finish()
        return message, context_id

    def _release(self, wire: PduSocket) -> None:
        """Wait for the server to agree, but not for long; it may want the same at the same time."""
        wire.socket.settimeout(_RELEASE_PATIENCE_S)
        wire.write((RELEASE_REQUEST_PDU,))
        wire.begin_message(_RELEASE_PATIENCE_S)
        end = time.monotonic() + _RELEASE_PATIENCE_S
        while time.monotonic() < end:
            kind, length = wire.head()
            if length > _LARGEST_ANSWER_BYTES:
                return
            wire.body(length)
            if kind == RELEASE_REQUEST:
                wire.write((RELEASE_RESPONSE_PDU,))
            elif kind != P_DATA:
                return

    def _adopt(self, wire: PduSocket) -> None:
        with self._lock:
            self._wire = wire
        if self.is_aborted:
            self._drop()
            raise Canceled

    def _open_wire(self) -> PduSocket:
        if self.is_aborted:
            self._drop()
            raise Canceled
        if self._wire is None:
            raise PeerError(f"The association with {self.name} is closed.")
        return self._wire

    def _drop(self) -> None:
        with self._lock:
            wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _broken(self) -> PeerError | Canceled:
        """End what is left of a broken association and return the error to raise."""
        self._drop()
        return Canceled() if self.is_aborted else PeerError(f"{self.name} broke off the association.")


def association_kind(server: Server) -> type[Association]:
    """The kind of association by which a server is asked, and its instances travel."""
    return ReactorAssociation if server.uses_pynetdicom else DirectAssociation


def _has_something_to_read(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    try:
        return bool(poll.poll(0))
    except OSError:
        return True
