"""What the status of a DIMSE response means to us (PS3.7 annex C, PS3.4 sections B.2.3 and C.4). Pure rules.

A peer's error comment is never quoted: it may name a patient.
"""

from models.domain.errors import PeerBusy, PeerError, Unsupported

SUCCESS = 0x0000
CANCELED = 0xFE00
SUBOPERATIONS_FAILED = 0xB000
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORIZED = 0x0124
PROCESSING_FAILURE = 0x0110
UNRECOGNIZED_OPERATION = 0x0211

_CANNOT_SEND = 0xA702
"""To a C-MOVE; for want of resources by its name, but archives answer so when the destination does not take it."""
_PENDING = frozenset({0xFF00, 0xFF01})
_NEVER_WORKS = {
    CLASS_NOT_SUPPORTED: "the SOP class is not supported",
    NOT_AUTHORIZED: "we are not authorized",
    UNRECOGNIZED_OPERATION: "the operation is not known",
    0xA801: "it does not know our AE title as a destination; enter our receiver in its configuration",
}
_MAY_WORK = {
    PROCESSING_FAILURE: "processing failed",
    0x0212: "an argument was mistyped",
    0x0213: "its resources are limited",
    0xA900: "the identifier does not match the SOP class",
    CANCELED: "the operation was canceled on its side",
}


def is_pending(status: int) -> bool:
    """Whether more responses to the same request will follow."""
    return status in _PENDING


DUPLICATE = 0x0111
"""Duplicate SOP Instance (PS3.7 section C.5.6): archives that keep what they have answer it to a repeated C-STORE."""


def is_warning(status: int) -> bool:
    """Whether the operation was done, with something to tell (PS3.7 section C.3).

    A duplicate is one of them: the instance is there. Whether it is the same one a query has to confirm.
    """
    return status in (0x0001, 0x0107, DUPLICATE, 0x0116) or status & 0xF000 == 0xB000


def is_out_of_resources(status: int) -> bool:
    """Whether the peer has no room or memory for the moment."""
    return status & 0xFF00 == OUT_OF_RESOURCES or status == 0x0213


def failure(server_name: str, operation: str, status: int) -> PeerError:
    """The error for a response that says no, to be raised by the caller."""
    said = f"{server_name} answered {operation} with status {status:04X}"
    if status in _NEVER_WORKS:
        return Unsupported(f"{said}: {_NEVER_WORKS[status]}.")
    if status == _CANNOT_SEND and operation == "C-MOVE":
        return PeerBusy(
            f"{said}: it could not send to our receiver, or has no room. Check the host and port under which it knows "
            "our receiver, and the firewall in between."
        )
    if is_out_of_resources(status):
        return PeerBusy(f"{said}: it is out of resources.")
    meaning = _MAY_WORK.get(status) or ("it could not process it" if status & 0xF000 == CANNOT_UNDERSTAND else "")
    return PeerError(f"{said}: {meaning}." if meaning else f"{said}.")
