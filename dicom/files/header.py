"""Reads the one attribute of an encoded data set by which files are sorted into folders, and nothing behind it."""

import zlib
from io import BytesIO

from pydicom.filereader import read_dataset  # pyright: ignore[reportUnknownVariableType]
from pydicom.tag import BaseTag

from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance
from models.domain.refs import is_uid

_SERIES_UID = BaseTag(0x0020000E)
_IMPLICIT_VR = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
_FIRST_LOOK_BYTES = 1 << 16
_ENLARGE = 16
_MOST_INFLATED_BYTES = 16 << 20
"""Of a deflated data set; the attribute stands before all that is large, and a megabyte may hold a gigabyte."""


def series_uid_of(instance: EncodedInstance) -> str:
    """The Series Instance UID (0020,000E) of an instance in any transfer syntax, deflated too.

    Looks at the first 64 KiB, and further only when the attribute stands behind them; of what was deflated at 16 MiB
    at most.

    Raises Unreadable when it is missing, no UID, or the data set is broken before it.
    """
    look_bytes = _FIRST_LOOK_BYTES
    while True:
        head = _head(instance, look_bytes)
        uid, has_passed = _find(head, instance.transfer_syntax_uid)
        if is_uid(uid) and (has_passed or look_bytes >= instance.size_bytes):
            return uid
        if has_passed or look_bytes >= instance.size_bytes:
            raise Unreadable("An instance has no valid Series Instance UID (0020,000E).")
        look_bytes *= _ENLARGE


def _head(instance: EncodedInstance, size_bytes: int) -> bytes:
    """The first bytes of the data set, out of as many parts as needed."""
    pieces: list[bytes] = []
    for part in instance.parts:
        piece = bytes(memoryview(part)[:size_bytes])
        pieces.append(piece)
        size_bytes -= len(piece)
        if not size_bytes:
            break
    return b"".join(pieces)


def _find(head: bytes, syntax_uid: str) -> tuple[str, bool]:
    """The UID or nothing, and whether the place where it stands was passed."""
    has_passed = False

    def is_behind(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal has_passed
        has_passed = tag > _SERIES_UID
        return has_passed

    try:
        data_set = read_dataset(
            BytesIO(_inflated(head) if syntax_uid in _DEFLATED else head),
            is_implicit_VR=syntax_uid == _IMPLICIT_VR,
            is_little_endian=syntax_uid != _BIG_ENDIAN,
            stop_when=is_behind,
            specific_tags=[_SERIES_UID],
        )
        return str(data_set.get("SeriesInstanceUID") or ""), has_passed
    except Exception:  # pydicom raises many kinds for a head that is cut off or broken; the caller looks further
        return "", False


def _inflated(head: bytes) -> bytes:
    """What the first bytes of a deflated data set hold (PS3.5 section A.5)."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, _MOST_INFLATED_BYTES)
