"""Tests whether a server answers (PS3.4 annex A)."""

from pynetdicom.dimse_primitives import C_ECHO

from dicom.network.contexts import service
from dicom.network.reactor import ReactorAssociation
from dicom.network.status import SUCCESS, failure
from models.domain.errors import PeerLied
from models.domain.nodes import Server

VERIFICATION = "1.2.840.10008.1.1"


def echo(server: Server, calling_ae_title: str) -> None:
    """Return when the server answered a C-ECHO; raise the PeerError kind that tells why it did not."""
    proposal = service(VERIFICATION)
    association = ReactorAssociation(server, calling_ae_title, proposal)
    association.open()
    try:
        message = C_ECHO()
        message.AffectedSOPClassUID = VERIFICATION
        association.request(message, proposal.contexts[0])
        response, _ = association.receive(server.timeouts.response.total_seconds())
        association.rest()
    finally:
        association.close()
    if not isinstance(response, C_ECHO) or response.Status is None:
        raise PeerLied(f"{server.name} answered C-ECHO with another message.")
    if response.Status != SUCCESS:
        raise failure(server.name, "C-ECHO", response.Status)
