"""Tells where an instance that somebody sends belongs, without trusting it: little is read, and little inflated."""

import zlib
from dataclasses import dataclass

from dicom.deid.encoding import DEFLATED_UIDS, read_beginning, syntax_of
from dicom.deid.rules import SERIES_UID, SOP_INSTANCE_UID, STUDY_UID
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance
from models.domain.refs import is_uid

_MOST_INFLATED_BYTES = 16 << 20
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
    data = memoryview(instance.parts[0] if len(instance.parts) == 1 else b"".join(instance.parts))
    if instance.transfer_syntax_uid in DEFLATED_UIDS:
        data = memoryview(_beginning(data))
    wanted = (STUDY_UID, SERIES_UID, SOP_INSTANCE_UID)
    elements = read_beginning(data, syntax_of(instance.transfer_syntax_uid), max(wanted))
    values = {
        element.tag: bytes(data[element.begin : element.stop])
        for element in elements
        if element.tag in wanted and element.stop - element.begin <= _MOST_UID_BYTES
    }
    uids = [values.get(tag, b"").decode("latin-1").strip("\0 ") for tag in wanted]
    if not all(map(is_uid, uids)):
        raise Unreadable("An instance does not tell its study, its series and itself by valid UIDs.")
    return Place(*uids)


def _beginning(data: memoryview) -> bytes:
    try:
        return zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(data, _MOST_INFLATED_BYTES)
    except zlib.error as exc:
        raise Unreadable("A deflated data set cannot be inflated.") from exc
