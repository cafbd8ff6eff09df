"""Sends instances by C-STORE (PS3.4 annex B), their bytes as they are, without ever decoding a data set."""

from dicom.network.association import Association, DimsePort, NoContextAccepted
from dicom.network.commands import Message, Operation
from dicom.network.contexts import Context, storage
from dicom.network.direct import association_kind
from dicom.network.status import CLASS_NOT_SUPPORTED, SUCCESS, failure, is_out_of_resources, is_warning
from models.domain.instances import EncodedInstance, StoreOutcome, Verdict
from models.domain.nodes import Server


class DimseSender(DimsePort[Association]):
    """A Sender over C-STORE. Its association has a context for each SOP class and transfer syntax that occurred.

    An instance of a new kind costs a new association. After a broken association the next ``send`` opens another.
    Nothing is transcoded: what the server does not accept as it is, is refused with status 0122.
    """

    def __init__(self, server: Server, calling_ae_title: str) -> None:
        super().__init__(server, calling_ae_title, association_kind(server))
        self._not_accepted: set[Context] = set()

    def send(self, instance: EncodedInstance) -> StoreOutcome:
        """Send one instance and return the server's answer.

        Raises PeerBusy on status A7xx, which is no verdict on the instance, PeerError kinds without an answer.
        """
        context = Context(instance.sop_class_uid, instance.transfer_syntax_uid)
        association = self._association_for(context)
        if association is None:
            return StoreOutcome(instance.sop_uid, Verdict.REFUSED, CLASS_NOT_SUPPORTED)
        try:
            request = Message(Operation.STORE, instance.sop_class_uid, instance.sop_uid)
            association.request(request, context, instance.parts)
            response, _ = association.receive(self._server.timeouts.response.total_seconds())
            status = association.status_of(response)
        except BaseException:
            association.break_off()
            raise
        association.rest()
        return self._outcome(instance.sop_uid, status)

    def _association_for(self, context: Context) -> Association | None:
        """The association with this context accepted, or None when the server does not accept it."""
        if context in self._not_accepted:
            return None
        try:
            association = self._associated(storage((context,)))
        except NoContextAccepted:
            association = None
        if association is None or association.context_id(context) is None:
            self._not_accepted.add(context)
            return None
        return association

    def _outcome(self, sop_uid: str, status: int) -> StoreOutcome:
        if is_out_of_resources(status):
            raise failure(self._server.name, "C-STORE", status)
        if status == SUCCESS:
            return StoreOutcome(sop_uid, Verdict.STORED)
        return StoreOutcome(sop_uid, Verdict.STORED_WITH_WARNING if is_warning(status) else Verdict.REFUSED, status)
