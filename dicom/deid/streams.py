"""Data sets as buffers: joined, inflated and deflated again (PS3.5 section A.5)."""

import zlib

from dicom.deid.encoding import DEFLATED_UIDS, Syntax, syntax_of
from models.domain.errors import Unreadable
from models.domain.instances import Bytes

_MOST_INFLATED_BYTES = 1 << 31


def opened(parts: tuple[Bytes, ...], transfer_syntax_uid: str) -> tuple[memoryview, Syntax]:
    """The whole data set as one buffer, without a copy when it is one already, and how it is encoded."""
    data = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
    if transfer_syntax_uid in DEFLATED_UIDS:
        data = memoryview(_inflated(data))
    return data, syntax_of(transfer_syntax_uid)


def closed(parts: tuple[Bytes, ...], transfer_syntax_uid: str) -> tuple[Bytes, ...]:
    """The parts as they travel: deflated anew, always to the same bytes, where the transfer syntax says so."""
    if transfer_syntax_uid not in DEFLATED_UIDS:
        return parts
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    stream = b"".join(compressor.compress(part) for part in parts) + compressor.flush()
    return (padded(stream, b"OB"),)


def _inflated(data: memoryview) -> bytes:
    decompressor = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = decompressor.decompress(data, _MOST_INFLATED_BYTES)
    except zlib.error as exc:
        raise Unreadable("A deflated data set cannot be inflated.") from exc
    if not decompressor.eof:
        raise Unreadable("A deflated data set is cut off, or larger than 2 GiB.")
    return inflated


def padded(value: bytes, vr: bytes = b"LO") -> bytes:
    """Return a value with an even length (PS3.5 section 7.1.1)."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in {b"UI", b"OB", b"UN"} else b" ")
