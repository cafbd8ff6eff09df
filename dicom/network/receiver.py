"""The C-STORE receiver for C-MOVE: a long-running acceptor that puts what arrives into the inbox (PS3.4 annex B).

It knows nobody but the inbox and a list of AE titles: what is waited for is found by SOP Instance UID.
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from io import BytesIO
from typing import Any

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association as Wire
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import P_DATA, SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class
from pynetdicom.transport import ThreadedAssociationServer

from dicom.network.association import MAX_PDU_BYTES
from dicom.network.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, TRANSFER_SYNTAXES
from dicom.network.echo import VERIFICATION
from dicom.network.inbox import Arrival, Inbox
from dicom.network.reactor import SOCKET_RULES, break_wire, end_wire, socket_of
from dicom.network.status import NOT_AUTHORIZED, OUT_OF_RESOURCES, SUCCESS
from dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, part10_prefix
from models.domain.errors import AditError, BadRequest, NoSpace

_STORAGE_SERVICE = "1.2.840.10008.4.2"
_C_STORE_REQUEST = 0x0001
_PROCESSING_FAILURE = 0x0110
_MAX_ASSOCIATIONS = 100
_SILENCE_S = 60.0
_IDLE_S = 600.0


class Receiver:
    """Takes instances that somebody waits for, of every storage SOP class and transfer syntax, and answers C-ECHO.

    ``callers`` is asked at each association for the calling AE titles that may send; an empty answer, or an error,
    means nobody. Success is answered when an instance is in the inbox. What nobody waits for is refused with status
    0124 and not kept; a full disk is status A700.
    """

    def __init__(
        self, ae_title: str, host: str, port: int, inbox: Inbox, callers: Callable[[], Collection[str]]
    ) -> None:
        self._ae_title = ae_title
        self._address = (host, port)
        self._inbox = inbox
        self._callers = callers
        self._server: ThreadedAssociationServer | None = None
        self._serving = ExitStack()

    def start(self) -> None:
        """Listen and serve in threads of this process until ``stop``; raises BadRequest when the port is not free."""
        entity = ApplicationEntity(self._ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.maximum_associations = _MAX_ASSOCIATIONS
        entity.maximum_pdu_size = MAX_PDU_BYTES
        entity.network_timeout = _IDLE_S
        try:
            self._server = entity.start_server(
                self._address, block=False, contexts=[_echo_context()], evt_handlers=self._handlers()
            )
        except OSError as exc:
            host, port = self._address
            raise BadRequest(f"The receiver cannot listen on {host}:{port}. Is another one running?") from exc
        self._serving.enter_context(self._inbox.served())

    def stop(self) -> None:
        """End all associations and stop listening."""
        self._serving.close()
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        for wire in server.active_associations:
            break_wire(wire)
            end_wire(wire)

    def _handlers(self) -> list[Any]:
        return [
            (evt.EVT_CONN_OPEN, self._prepare),
            *SOCKET_RULES,
            (evt.EVT_REQUESTED, self._negotiate),
            (evt.EVT_SOP_COMMON, _storage_classes),
            (evt.EVT_C_STORE, _store),
            (evt.EVT_CONN_CLOSE, _tidy_up),
        ]

    def _prepare(self, event: Event) -> None:
        """Let the association's instances go to the inbox, and let no sender block its thread for ever."""
        wire = event.assoc
        wire.dul.daemon = True
        wire.dimse = _InboxProvider(wire, self._inbox)
        if (sock := socket_of(wire)) is not None:
            sock.settimeout(_SILENCE_S)

    def _negotiate(self, event: Event) -> None:
        """Reject unknown callers; for others support whatever storage classes they propose."""
        wire = event.assoc
        if not self._may_send(wire):
            wire.acse.send_reject(0x01, 0x01, 0x03)  # permanent, by the user: calling AE title not recognised
            wire.kill()
            return
        wire.acceptor.supported_contexts = [_echo_context(), *_supported(_proposed(wire))]

    def _may_send(self, wire: Wire) -> bool:
        caller = getattr(wire.requestor.primitive, "calling_ae_title", "")
        try:
            return bool(caller) and caller.strip() in {title.strip() for title in self._callers()}
        except Exception:  # whatever is wrong with the list, it lets nobody in
            return False


class _InboxProvider(DIMSEServiceProvider):
    """pynetdicom's messages, except that the data set of a C-STORE goes to the inbox piece by piece."""

    def __init__(self, wire: Wire, inbox: Inbox) -> None:
        super().__init__(wire)
        self._inbox = inbox
        self._socket = socket_of(wire)

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a fragment of a message; called by pynetdicom's thread."""
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = _DataSet(self.message, self.assoc, self._inbox)
        super().receive_primitive(primitive)

    def close(self) -> None:
        """Forget an instance that did not arrive completely, and close the socket, which pynetdicom may not do."""
        data_set = self.message.data_set if self.message is not None else None
        if isinstance(data_set, _DataSet) and data_set.arrival is not None:
            data_set.arrival.discard()
        if self._socket is not None:
            self._socket.close()


class _DataSet(BytesIO):
    """What pynetdicom writes a message's data set to, by now knowing the message's command set."""

    def __init__(self, message: DIMSEMessage, wire: Wire, inbox: Inbox) -> None:
        super().__init__()
        self.arrival: Arrival | None = None
        self._message = message
        self._wire = wire
        self._inbox = inbox

    def write(self, data: Any, /) -> int:
        """Pass a piece of an instance on; keep those of other messages."""
        if getattr(self._message.command_set, "CommandField", None) != _C_STORE_REQUEST:
            return super().write(data)
        if self.arrival is None:
            self.arrival = self._begin()
        self.arrival.write(data)
        return len(data)

    def _begin(self) -> Arrival:
        command = self._message.command_set
        sop_class_uid, sop_uid = str(command.AffectedSOPClassUID), str(command.AffectedSOPInstanceUID)
        syntaxes = {context.context_id: context.transfer_syntax[0] for context in self._wire.accepted_contexts}
        syntax = str(syntaxes[self._message.context_id])
        return self._inbox.receive(sop_uid, part10_prefix(sop_class_uid, sop_uid, syntax))


def _store(event: Event) -> int:
    """The status of one C-STORE; the sender gets it when the instance is where it belongs."""
    data_set = getattr(event.request, "DataSet", None)
    if not isinstance(data_set, _DataSet) or data_set.arrival is None:
        return _PROCESSING_FAILURE
    try:
        return SUCCESS if data_set.arrival.deliver() else NOT_AUTHORIZED
    except NoSpace:
        return OUT_OF_RESOURCES
    except AditError:
        return _PROCESSING_FAILURE


def _tidy_up(event: Event) -> None:
    if isinstance(event.assoc.dimse, _InboxProvider):
        event.assoc.dimse.close()


def _proposed(wire: Wire) -> list[PresentationContext]:
    return getattr(wire.requestor.primitive, "presentation_context_definition_list", [])


def _supported(proposed: list[PresentationContext]) -> list[PresentationContext]:
    """A context for each proposed storage class, with its proposed transfer syntaxes in the sender's order.

    What a sender names first is what it has; syntaxes that nobody could read afterwards come last.
    """
    offers: dict[str, list[str]] = {}
    for context in proposed:
        if _is_storage(str(context.abstract_syntax)):
            offers.setdefault(str(context.abstract_syntax), []).extend(map(str, context.transfer_syntax))
    return [
        build_context(uid, sorted(dict.fromkeys(syntaxes), key=lambda syntax: syntax not in TRANSFER_SYNTAXES))
        for uid, syntaxes in offers.items()
    ]


def _is_storage(sop_class_uid: str) -> bool:
    """Whether it is a storage class, or one that nobody knows, as private classes are."""
    return uid_to_service_class(sop_class_uid) in (StorageServiceClass, ServiceClass)


def _storage_classes(event: Event) -> dict[str, SOPClassCommonExtendedNegotiation]:
    """Tell pynetdicom that the proposed classes it does not know belong to the storage service."""
    found: dict[str, SOPClassCommonExtendedNegotiation] = {}
    for context in _supported(_proposed(event.assoc)):
        item = SOPClassCommonExtendedNegotiation()
        item.sop_class_uid = context.abstract_syntax
        item.service_class_uid = _STORAGE_SERVICE
        found[str(context.abstract_syntax)] = item
    return found


def _echo_context() -> PresentationContext:
    return build_context(VERIFICATION, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
