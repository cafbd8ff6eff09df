"""The C-STORE receiver for C-MOVE: a long-running acceptor that puts what arrives into the inbox (PS3.4 annex B).

It knows nobody but the inbox and a list of AE titles: what is waited for is found by SOP Instance UID.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack

from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from dicom.network.acceptor import AcceptedAssociation, Acceptor, Admission
from dicom.network.commands import Message, Operation
from dicom.network.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, TRANSFER_SYNTAXES
from dicom.network.echo import VERIFICATION
from dicom.network.inbox import Arrival, Inbox
from dicom.network.negotiation import Refusal
from dicom.network.status import (
    NOT_AUTHORIZED,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
    UNRECOGNIZED_OPERATION,
)
from dicom.part10 import part10_prefix
from models.domain.errors import AditError, BadRequest, NoSpace, PeerLied
from models.domain.instances import Bytes

log = logging.getLogger(__name__)


class Receiver:
    """Takes instances that somebody waits for, of every storage SOP class and transfer syntax, and answers C-ECHO.

    ``callers`` is asked at each association for the calling AE titles that may send; when it raises, nobody may for the
    moment, and is told so. Success is answered when an instance is in the inbox. What nobody waits for is refused with
    status 0124 and not kept; a full disk is status A700. By which title it is called is of no concern.
    """

    def __init__(self, host: str, port: int, inbox: Inbox, callers: Callable[[], Collection[str]]) -> None:
        self._address = (host, port)
        self._inbox = inbox
        self._callers = callers
        self._running = ExitStack()

    def start(self) -> None:
        """Listen and serve in threads of this process until ``stop``; raises BadRequest when the port is not free."""
        host, port = self._address
        storage = _Storage(self._inbox, self._callers)
        try:
            acceptor = Acceptor(host, port, storage)
        except (OSError, UnicodeError) as exc:
            raise BadRequest(f"The receiver cannot listen on {host}:{port}. Is another one running?") from exc
        with ExitStack() as running:
            running.callback(acceptor.stop)
            running.callback(storage.give_up)
            acceptor.start()
            running.enter_context(self._inbox.served())
            self._running = running.pop_all()

    def stop(self) -> None:
        """End all associations and stop listening."""
        self._running.close()


class _Storage:
    """What the receiver offers to peers."""

    def __init__(self, inbox: Inbox, callers: Callable[[], Collection[str]]) -> None:
        self._inbox = inbox
        self._callers = callers
        self._has_given_up = threading.Event()

    def give_up(self) -> None:
        """Wait no longer for room in the inbox."""
        self._has_given_up.set()

    def admits(self, calling_ae_title: str) -> Admission:
        caller = calling_ae_title.strip()
        try:
            is_known = bool(caller) and caller in {title.strip() for title in self._callers()}
        except (
            Exception
        ) as error:  # whatever is wrong with the list, it lets nobody in; its text could tell of anything
            log.warning("the list of servers cannot be read: %s", type(error).__name__)
            return Admission.NOT_NOW
        return Admission.YES if is_known else Admission.UNKNOWN

    def choose(self, abstract_syntax: str, transfer_syntaxes: Sequence[str]) -> str | Refusal:
        """The first that is proposed, because that is what a sender has; what nobody could read afterwards comes last.

        Every storage class is accepted, and every class that nobody knows, as private ones are.
        """
        if abstract_syntax == VERIFICATION:
            offered = [syntax for syntax in transfer_syntaxes if syntax in (EXPLICIT_LITTLE, IMPLICIT_LITTLE)]
        elif abstract_syntax and uid_to_service_class(abstract_syntax) in (StorageServiceClass, ServiceClass):
            offered = sorted(transfer_syntaxes, key=lambda syntax: syntax not in TRANSFER_SYNTAXES)
        else:
            return Refusal.ABSTRACT_SYNTAX
        return offered[0] if offered else Refusal.TRANSFER_SYNTAXES

    def serve(self, association: AcceptedAssociation) -> None:
        conversation = _Conversation(association, self._inbox, self._has_given_up)
        try:
            while True:
                conversation.go_on()
        finally:
            conversation.forget()


class _Conversation:
    """The messages of one association, each answered before the next one is read."""

    def __init__(self, association: AcceptedAssociation, inbox: Inbox, has_given_up: threading.Event) -> None:
        self._association = association
        self._inbox = inbox
        self._has_given_up = has_given_up
        self._arrival: Arrival | None = None

    def go_on(self) -> None:
        """Take the next request and answer it."""
        request, context_id, _ = self._association.receive(self._begin)
        if request.status is not None:
            raise PeerLied("The peer answers what it was not asked.")
        if request.operation is Operation.CANCEL:
            return
        self._association.respond(request.answer(self._status(request)), context_id)

    def forget(self) -> None:
        """Keep nothing of an instance that did not arrive completely."""
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.discard()

    def _begin(self, message: Message, context_id: int) -> "Arrival | _Nowhere":
        """What the data set of a message goes to."""
        if message.operation is not Operation.STORE or message.status is not None:
            return _Nowhere()
        context = self._association.context(context_id)
        if context.abstract_syntax == VERIFICATION:
            raise PeerLied("The peer stores where it may only ask whether we are there.")
        sop_class_uid = message.sop_class_uid or context.abstract_syntax
        head = part10_prefix(sop_class_uid, message.sop_uid, context.transfer_syntax)
        self._arrival = self._inbox.receive(message.sop_uid, head)
        return self._arrival

    def _status(self, request: Message) -> int:
        """What is answered; to a C-STORE when the instance is where it belongs."""
        if request.operation is Operation.ECHO:
            return SUCCESS
        if request.operation is not Operation.STORE:
            return UNRECOGNIZED_OPERATION
        arrival, self._arrival = self._arrival, None
        if arrival is None:
            return PROCESSING_FAILURE
        try:
            return SUCCESS if arrival.deliver(self._has_given_up) else NOT_AUTHORIZED
        except NoSpace:
            return OUT_OF_RESOURCES
        except AditError:
            return PROCESSING_FAILURE


class _Nowhere:
    """Where data sets go that no operation of ours has."""

    def write(self, data: Bytes, /) -> None:
        pass
