"""Tells where an instance that somebody sends belongs, without trusting it: little is read, and little inflated."""

from dataclasses import dataclass

from dicom.deid.encoding import read_beginning
from dicom.deid.rules import SERIES_UID, SOP_INSTANCE_UID, STUDY_UID
from dicom.deid.streams import beginning
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance
from models.domain.refs import is_uid

_MOST_UID_BYTES = 64


@dataclass(frozen=True, slots=True)
class Place:
    """The UIDs that an instance has in its data set."""

    study_uid: str
    series_uid: str
    sop_uid: str


def place_of(instance: EncodedInstance) -> Place:
    """The place of an instance; raises Unreadable when one of the three is missing, or no UID.

    Reads up to the Series Instance UID (0020,000E) only; of a deflated data set the first 16 MiB at most.
    """
    data, syntax = beginning(instance.parts, instance.transfer_syntax_uid)
    wanted = (STUDY_UID, SERIES_UID, SOP_INSTANCE_UID)
    elements = read_beginning(data, syntax, max(wanted))
    values = {
        element.tag: bytes(data[element.begin : element.stop])
        for element in elements
        if element.tag in wanted and element.stop - element.begin <= _MOST_UID_BYTES
    }
    uids = [values.get(tag, b"").decode("latin-1").strip("\0 ") for tag in wanted]
    if not all(map(is_uid, uids)):
        raise Unreadable("An instance does not tell its study, its series and itself by valid UIDs.")
    return Place(*uids)
