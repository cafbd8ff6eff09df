"""Data sets as buffers: joined, inflated and deflated again (PS3.5 section A.5)."""

import zlib

from dicom.deid.encoding import DEFLATED_UIDS, Syntax, syntax_of
from models.domain.errors import Unreadable
from models.domain.instances import Bytes

_MOST_INFLATED_BYTES = 1 << 29
"""Of one data set, in memory; what is deflated in practice (reports, segmentations) has a tenth of it, a bomb more."""
_MOST_BEGINNING_BYTES = 1 << 24
_SLICE_BYTES = 1 << 14
"""Inflated, so much is 16 MiB at most."""


def opened(parts: tuple[Bytes, ...], transfer_syntax_uid: str) -> tuple[memoryview, Syntax]:
    """The whole data set as one buffer, without a copy when it is one already, and how it is encoded.

    Raises Unreadable for a deflated one that is broken, or larger than 512 MiB.
    """
    data = _joined(parts)
    if transfer_syntax_uid in DEFLATED_UIDS:
        data = _inflated(data)
    return data, syntax_of(transfer_syntax_uid)


def beginning(parts: tuple[Bytes, ...], transfer_syntax_uid: str) -> tuple[memoryview, Syntax]:
    """The same for those who read the first elements only: of a deflated data set, not more than 16 MiB."""
    data = _joined(parts)
    if transfer_syntax_uid in DEFLATED_UIDS:
        try:
            data = memoryview(zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(data, _MOST_BEGINNING_BYTES))
        except zlib.error as exc:
            raise _broken() from exc
    return data, syntax_of(transfer_syntax_uid)


def closed(parts: tuple[Bytes, ...], transfer_syntax_uid: str) -> tuple[Bytes, ...]:
    """The parts as they travel: deflated anew, always to the same bytes, where the transfer syntax says so."""
    if transfer_syntax_uid not in DEFLATED_UIDS:
        return parts
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    stream = b"".join(compressor.compress(part) for part in parts) + compressor.flush()
    return (padded(stream, b"OB"),)


def _joined(parts: tuple[Bytes, ...]) -> memoryview:
    return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))


def _inflated(data: memoryview) -> memoryview:
    """Slice by slice, so that a bomb takes no more memory than is allowed."""
    decompressor = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    inflated = bytearray()
    for begin in range(0, len(data), _SLICE_BYTES):
        try:
            inflated += decompressor.decompress(data[begin : begin + _SLICE_BYTES])
        except zlib.error as exc:
            raise _broken() from exc
        if len(inflated) > _MOST_INFLATED_BYTES:
            raise Unreadable(f"A deflated data set is larger than {_MOST_INFLATED_BYTES >> 20} MiB.")
        if decompressor.eof:
            return memoryview(inflated).toreadonly()
    raise Unreadable("A deflated data set is cut off.")


def _broken() -> Unreadable:
    return Unreadable("A deflated data set cannot be inflated.")


def padded(value: bytes, vr: bytes = b"LO") -> bytes:
    """Return a value with an even length (PS3.5 section 7.1.1)."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in {b"UI", b"OB", b"UN"} else b" ")
