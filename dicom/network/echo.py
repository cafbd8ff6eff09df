"""Tests whether a server answers (PS3.4 annex A)."""

from dicom.network.commands import Message, Operation
from dicom.network.contexts import service
from dicom.network.direct import association_kind
from dicom.network.status import SUCCESS, failure
from models.domain.nodes import Server

VERIFICATION = "1.2.840.10008.1.1"


def echo(server: Server, calling_ae_title: str) -> None:
    """Return when the server answered a C-ECHO; raise the PeerError kind that tells why it did not."""
    proposal = service(VERIFICATION)
    association = association_kind(server)(server, calling_ae_title, proposal)
    association.open()
    try:
        association.request(Message(Operation.ECHO, VERIFICATION), proposal.contexts[0])
        response, _ = association.receive(server.timeouts.response.total_seconds())
        status = association.status_of(response)
        association.rest()
    finally:
        association.close()
    if status != SUCCESS:
        raise failure(server.name, "C-ECHO", status)
