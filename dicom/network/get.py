"""Retrieves instances by C-GET (PS3.4 section C.4.3), as bytes, without ever decoding a data set."""

from collections.abc import Callable
from pathlib import Path

from dicom.network.association import Association, DimsePort
from dicom.network.commands import Message, Operation
from dicom.network.contexts import Context, retrieval
from dicom.network.direct import association_kind
from dicom.network.selections import check_final, chunks, identifier, is_refusal, model_for
from dicom.network.status import SUCCESS, is_pending
from models.domain.errors import BadRequest, PeerLied, Unsupported
from models.domain.instances import EncodedInstance, Sink
from models.domain.nodes import Server
from models.domain.refs import Level, Selection

PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1.3", "1.2.840.10008.5.1.4.1.2.2.3"


class GetRetriever(DimsePort[Association]):
    """A Retriever over C-GET. Its association is kept from one call to the next while its contexts suffice.

    The server sends the next instance when the sink has taken the one before. Instances larger than 8 MB pass through
    a file without a name in ``scratch_dir``, of which ``check_room`` is asked as ScratchBuffer says; over pynetdicom,
    where a server needs that, each is in memory once.
    """

    def __init__(
        self,
        server: Server,
        calling_ae_title: str,
        scratch_dir: Path,
        check_room: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(server, calling_ae_title, association_kind(server))
        self._scratch_dir = scratch_dir
        self._check_room = check_room
        self._takes_lists = True

    def retrieve(self, selection: Selection, sink: Sink) -> None:
        """Hand each instance to the sink as it arrives; what the sink raises breaks the association off.

        Costs one C-GET, at IMAGE level one for each 100 instances, or for each single one where the server refuses
        lists. Raises Unsupported where the server accepts no storage class, PeerError kinds for failures, NoSpace or
        WriteFailed when ``scratch_dir`` cannot take a large instance.
        """
        if selection.level is Level.PATIENT or (selection.level is Level.IMAGE and not selection.sop_uids):
            raise BadRequest("C-GET needs a study, a series or the instances of a series.")
        for part in chunks(selection):
            self._retrieve(part, sink)

    def _retrieve(self, selection: Selection, sink: Sink) -> None:
        is_list = selection.level is Level.IMAGE and len(selection.sop_uids) > 1
        if not is_list or self._takes_lists:
            response, count = self._request(selection, sink)
            if not (is_list and count == 0 and is_refusal(response)):
                check_final(self._server.name, response, count)
                return
        for single in chunks(selection, 1):
            check_final(self._server.name, *self._request(single, sink))
        self._takes_lists = False

    def _request(self, selection: Selection, sink: Sink) -> tuple[Message, int]:
        """The final response to one C-GET, and how many instances came before it."""
        model = self._model(selection)
        proposal = retrieval(model, selection)
        association = self._associated(proposal)
        self._check_storage(association)
        keys = identifier(selection, model == PATIENT_ROOT)
        try:
            association.request(Message(Operation.GET, model), proposal.contexts[0], (keys,))
            response, count = self._take_all(association, sink)
        except BaseException:
            association.break_off()
            raise
        association.rest()
        return response, count

    def _take_all(self, association: Association, sink: Sink) -> tuple[Message, int]:
        """Serve the server's C-STORE sub-operations until its final response."""
        timeouts = self._server.timeouts
        patience = max(timeouts.response, timeouts.idle).total_seconds()
        count = 0
        while True:
            message, context_id = association.receive(patience, self._scratch_dir, self._check_room)
            if message.operation is Operation.STORE and message.status is None:
                sink(_instance(message, association.context(context_id)))
                association.respond(message.answer(SUCCESS), context_id)
                count += 1
            elif not is_pending(association.status_of(message)):
                return message, count

    def _model(self, selection: Selection) -> str:
        study_root = STUDY_ROOT if self._server.study_root_get_support else None
        patient_root = PATIENT_ROOT if self._server.patient_root_get_support else None
        return model_for(selection, "C-GET", study_root, patient_root)

    def _check_storage(self, association: Association) -> None:
        """Raise Unsupported where no sub-operation can ever come.

        Some servers do not answer the role selection and send nevertheless, so only the contexts count.
        """
        if not association.accepts_any(association.proposal.stored_by_us):
            raise Unsupported(f"{self._server.name} accepts none of the SOP classes that this C-GET needs.")


def _instance(message: Message, context: Context) -> EncodedInstance:
    if message.data_set is None or not message.sop_uid:
        raise PeerLied("The server sent a C-STORE without an instance.")
    return EncodedInstance(
        sop_class_uid=message.sop_class_uid or context.abstract_syntax,
        sop_uid=message.sop_uid,
        transfer_syntax_uid=context.transfer_syntax,
        parts=(message.data_set,),
    )
