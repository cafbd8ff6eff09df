"""What C-GET and C-MOVE have in common: information model, identifier, and the meaning of the final response."""

from collections.abc import Iterator
from dataclasses import replace

from dicom.network import identifiers as ids
from dicom.network.commands import Message
from dicom.network.identifiers import encode
from dicom.network.status import SUCCESS, failure, is_warning
from models.domain.errors import BadRequest, PeerError, PeerLied, Unsupported
from models.domain.refs import Level, Selection

CHUNK = 100
"""How many instances one IMAGE level request names; more make identifiers that some archives cut."""


def model_for(selection: Selection, operation: str, study_root: str | None, patient_root: str | None) -> str:
    """The information model to use; None stands for one that the server does not support.

    Raises Unsupported without any, BadRequest where the patient root model lacks a PatientID.
    """
    if study_root is not None:
        return study_root
    if patient_root is None:
        raise Unsupported(f"The server supports no {operation}. Check its protocol settings.")
    if not selection.study.patient_id:
        raise BadRequest("The server has only the patient root model: a PatientID is needed.")
    return patient_root


def identifier(selection: Selection, with_patient: bool) -> bytes:
    """The unique keys of the request (PS3.4 section C.4.2.2.1); the patient root model wants the PatientID too."""
    keys = {ids.STUDY_UID: selection.study.study_uid}
    if with_patient:
        keys[ids.PATIENT_ID] = selection.study.patient_id
    if selection.level in (Level.SERIES, Level.IMAGE):
        keys[ids.SERIES_UID] = selection.series_uid
    if selection.level is Level.IMAGE:
        keys[ids.SOP_UID] = "\\".join(selection.sop_uids)
    return encode(selection.level, keys)


def chunks(selection: Selection, size: int = CHUNK) -> Iterator[Selection]:
    """Yield selections that together ask for the same, with no more than ``size`` named instances each."""
    if selection.level is not Level.IMAGE:
        yield selection
        return
    for begin in range(0, len(selection.sop_uids), size):
        yield replace(selection, sop_uids=selection.sop_uids[begin : begin + size])


def is_refusal(response: Message) -> bool:
    """Whether the server did nothing of what was asked."""
    return response.status is not None and response.status != SUCCESS and not is_warning(response.status)


def check_final(server_name: str, response: Message, arrived_count: int | None = None) -> None:
    """Return when something was done, else raise the PeerError kind that the response stands for.

    A success of which some sub-operations failed is for the caller to find out by comparing; one of which all failed
    is none, whatever the status says. ``arrived_count`` is what has really arrived, where that is known.
    """
    operation = response.operation.word
    status = response.status
    if status is None:
        raise PeerLied(f"{server_name} answered {operation} without a status.")
    if is_refusal(response):
        raise failure(server_name, operation, status)
    failed = response.failed_count or 0
    completed = (response.completed_count or 0) + (response.warning_count or 0)
    if failed and not completed and not arrived_count:
        raise PeerError(f"{server_name} could not send any of {failed} instances ({operation} status {status:04X}).")
