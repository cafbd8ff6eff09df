"""Retrieves instances by C-MOVE to our own receiver (PS3.4 section C.4.2), which hands them over in the inbox."""

import select
import ssl
import time
from typing import Protocol

from dicom.network.association import Association, DimsePort
from dicom.network.commands import Message, Operation
from dicom.network.contexts import service
from dicom.network.direct import DirectAssociation
from dicom.network.inbox import Expectation, Inbox
from dicom.network.reactor import ReactorAssociation
from dicom.network.selections import check_final, chunks, identifier, is_refusal, model_for
from dicom.network.status import is_pending
from models.domain.errors import BadRequest, Canceled, TimedOut, Unreachable, Unsupported
from models.domain.instances import Sink
from models.domain.nodes import Server
from models.domain.refs import Level, Selection

PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1.2", "1.2.840.10008.5.1.4.1.2.2.2"

_LOOK_EVERY_S = 0.03


class Polled(Association, Protocol):
    """An association that can be asked for a response while others come from elsewhere."""

    def poll(self, wait_s: float) -> tuple[Message, int] | None:
        """The next message and its context's number, or None when none has begun within the time.

        Raises as ``receive``.
        """
        ...


class DirectPolled(DirectAssociation):
    """The one of our own engine."""

    def poll(self, wait_s: float) -> tuple[Message, int] | None:
        wire = self._open_wire()
        is_decrypted = isinstance(wire.socket, ssl.SSLSocket) and wire.socket.pending() > 0
        if wire.has_unread or is_decrypted or _is_readable(wire.socket.fileno(), wait_s):
            return self.receive(self._server.timeouts.response.total_seconds())
        return None


def polled_kind(server: Server) -> type[Polled]:
    """The kind of association by which a server is asked to move."""
    return ReactorAssociation if server.uses_pynetdicom else DirectPolled


class MoveRetriever(DimsePort[Polled]):
    """A Retriever over C-MOVE. The server must know our receiver by ``receiver_ae_title``, and its address.

    Instances are recognised by SOP Instance UID, so the selection has to name them all, at every level.
    """

    def __init__(self, server: Server, calling_ae_title: str, receiver_ae_title: str, inbox: Inbox) -> None:
        super().__init__(server, calling_ae_title, polled_kind(server))
        self._receiver_ae_title = receiver_ae_title
        self._inbox = inbox
        self._takes_lists = True

    def retrieve(self, selection: Selection, sink: Sink) -> None:
        """Hand each instance to the sink while the C-MOVE goes on.

        Afterwards what is missing is waited for, until nothing has come for the server's idle time-out. Costs one
        C-MOVE, at IMAGE level one for each 100 instances, or for each single one where the server refuses lists.
        Raises Unsupported when the selection does not name its instances, Unreachable when no receiver serves the
        inbox, NoSpace when it is full.
        """
        if selection.level is Level.PATIENT:
            raise BadRequest("C-MOVE needs a study, a series or the instances of a series.")
        if not selection.sop_uids:
            raise Unsupported("C-MOVE needs the list of instances, and the server does not give one (IMAGE level).")
        if not self._inbox.is_served:
            raise Unreachable(f"No receiver runs here to take in what {self._server.name} sends. Start adit receiver.")
        with self._inbox.expect(selection.sop_uids) as expectation:
            transfer = _Transfer(expectation, sink, set(selection.sop_uids))
            for part in chunks(selection):
                self._move(part, transfer)
            self._wait(transfer)

    def _move(self, selection: Selection, transfer: "_Transfer") -> None:
        is_list = selection.level is Level.IMAGE and len(selection.sop_uids) > 1
        if not is_list or self._takes_lists:
            before = transfer.count
            response = self._request(selection, transfer)
            if not (is_list and transfer.count == before and is_refusal(response)):
                self._conclude(response, transfer, transfer.count - before)
                return
        for single in chunks(selection, 1):
            before = transfer.count
            response = self._request(single, transfer)
            self._conclude(response, transfer, transfer.count - before)
        self._takes_lists = False

    def _request(self, selection: Selection, transfer: "_Transfer") -> Message:
        """The final response to one C-MOVE; what arrives before it is handed over."""
        model = self._model(selection)
        proposal = service(model)
        association = self._associated(proposal)
        message = Message(Operation.MOVE, model, destination=self._receiver_ae_title)
        keys = identifier(selection, model == PATIENT_ROOT)
        try:
            association.request(message, proposal.contexts[0], (keys,))
            response = self._final_response(association, transfer)
        except BaseException:
            association.break_off()
            raise
        association.rest()
        return response

    def _final_response(self, association: Polled, transfer: "_Transfer") -> Message:
        timeouts = self._server.timeouts
        patience = max(timeouts.response, timeouts.idle).total_seconds()
        transfer.note_progress()
        while True:
            found = association.poll(_LOOK_EVERY_S)
            transfer.hand_over()
            if found is not None:
                message, _ = found
                if not is_pending(association.status_of(message)):
                    return message
                transfer.note_progress()
            if transfer.silence_s() > patience:
                raise TimedOut(f"{self._server.name} neither sent anything nor answered within {patience:g} s.")

    def _conclude(self, response: Message, transfer: "_Transfer", count: int) -> None:
        check_final(self._server.name, response, count)
        transfer.failed_count += response.failed_count or 0

    def _wait(self, transfer: "_Transfer") -> None:
        """Go on after the C-MOVE's end: some servers say that they are done before they are."""
        patience = self._server.timeouts.idle.total_seconds()
        transfer.note_progress()
        while len(transfer.missing) > transfer.failed_count and transfer.silence_s() <= patience:
            if self._is_aborted:
                raise Canceled
            time.sleep(_LOOK_EVERY_S)
            transfer.hand_over()

    def _model(self, selection: Selection) -> str:
        study_root = STUDY_ROOT if self._server.study_root_move_support else None
        patient_root = PATIENT_ROOT if self._server.patient_root_move_support else None
        return model_for(selection, "C-MOVE", study_root, patient_root)


class _Transfer:
    """What one retrieve call waits for and has handed over."""

    def __init__(self, expectation: Expectation, sink: Sink, missing: set[str]) -> None:
        self._expectation = expectation
        self._sink = sink
        self._progress_at = time.monotonic()
        self.missing = missing
        self.count = 0
        self.failed_count = 0

    def hand_over(self) -> None:
        """Give what has arrived to the sink."""
        for instance in self._expectation.arrived():
            self.missing.discard(instance.sop_uid)
            self.count += 1
            self._sink(instance)
            self.note_progress()

    def note_progress(self) -> None:
        self._progress_at = time.monotonic()

    def silence_s(self) -> float:
        """How long neither the server nor the receiver has shown any progress."""
        silence = time.monotonic() - self._progress_at
        return min(silence, self._expectation.last_sign_s()) if silence > 1 else silence


def _is_readable(descriptor: int, wait_s: float) -> bool:
    """Whether something arrives within the time, or the connection ends; not by select, which takes only 1024 files."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))
