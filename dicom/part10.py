"""The head of a DICOM file (PS3.10 section 7.1): preamble, prefix and file meta information, without any pydicom."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from dicom.mapping import in_slices
from models.domain.errors import Unreadable
from models.domain.instances import Bytes, EncodedInstance

IMPLEMENTATION_CLASS_UID = "2.25.213456852760789512590899817064952631198"
IMPLEMENTATION_VERSION_NAME = "ADIT"

_DEFLATED = "1.2.840.10008.1.2.1.99"
_MAGIC = b"DICM"
_PREAMBLE_BYTES = 128
_META_GROUP = 0x0002
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_GROUP_LENGTH, _SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX = 0x0000, 0x0002, 0x0003, 0x0010
_KEPT = frozenset({_GROUP_LENGTH, _SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX})
_MOST_VALUE_BYTES = 128
"""Of a value that is kept; a UID has 64 at most."""
_MOST_HEAD_BYTES = 1 << 20


def part10_prefix(sop_class_uid: str, sop_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return what stands before the data set in a file: the same bytes for the same UIDs, always."""
    elements = b"".join(
        (
            struct.pack("<HH2sHI2s", _META_GROUP, 0x0001, b"OB", 0, 2, b"\x00\x01"),
            _short_element(_SOP_CLASS, b"UI", sop_class_uid, b"\0"),
            _short_element(_SOP_INSTANCE, b"UI", sop_uid, b"\0"),
            _short_element(_TRANSFER_SYNTAX, b"UI", transfer_syntax_uid, b"\0"),
            _short_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _short_element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" "),
        )
    )
    group_length = struct.pack("<HH2sHI", _META_GROUP, _GROUP_LENGTH, b"UL", 4, len(elements))
    return bytes(_PREAMBLE_BYTES) + _MAGIC + group_length + elements


def file_of(instance: EncodedInstance) -> tuple[int, Iterator[Bytes]]:
    """The length in bytes of an instance's file (PS3.10), and its pieces: its own bytes behind a head of ours.

    Of a large one no more is in memory than a piece: each is given back when the next one is asked for.
    """
    head = part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid)
    return len(head) + instance.size_bytes, chain((head,), in_slices(instance.parts))


def split_part10(file: Bytes) -> EncodedInstance:
    """Return the instance in a file; its one part is a view of the file's bytes behind the head, not a copy.

    A wrong group length (0002,0000), as some old files have, does no harm unless the data set is deflated. Whatever the
    head says of its length, no more than the UIDs is copied of it.

    Raises Unreadable when it is no DICOM file, its head lacks one of the three UIDs or is larger than a megabyte.
    """
    view = memoryview(file)
    try:
        meta = _read_meta(view)
        uids = [meta.text(element) for element in (_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX)]
    except (struct.error, KeyError, UnicodeDecodeError) as exc:
        raise Unreadable("The file meta information of an instance is broken.") from exc
    return EncodedInstance(*uids, parts=(view[meta.end :],))


@dataclass(frozen=True, slots=True)
class _Meta:
    """Element number -> value of what is kept of group 0002, and the offset at which the data set begins."""

    values: dict[int, bytes]
    end: int

    def text(self, element: int) -> str:
        return self.values[element].rstrip(b"\0 ").decode("ascii")


def _read_meta(view: memoryview) -> _Meta:
    position = _PREAMBLE_BYTES + len(_MAGIC)
    if bytes(view[_PREAMBLE_BYTES:position]) != _MAGIC:
        raise Unreadable("An instance is not a DICOM file.")
    values: dict[int, bytes] = {}
    announced_end = -1
    while not _ends_here(view, position, announced_end, values):
        element, value, position = _read_element(view, position)
        if position > _MOST_HEAD_BYTES:
            raise Unreadable("The file meta information of an instance is larger than any can sensibly be.")
        if element in _KEPT:
            values[element] = _short(value)
        if element == _GROUP_LENGTH:
            announced_end = position + int.from_bytes(values[element], "little")
    return _Meta(values, position)


def _ends_here(view: memoryview, position: int, announced_end: int, values: dict[int, bytes]) -> bool:
    """Whether the data set begins here. Only a deflated one may begin with bytes that look like group 0002."""
    if bytes(view[position : position + 2]) != b"\x02\x00":
        return True
    return position == announced_end and values.get(_TRANSFER_SYNTAX, b"").rstrip(b"\0 ") == _DEFLATED.encode()


def _short(value: memoryview) -> bytes:
    if len(value) > _MOST_VALUE_BYTES:
        raise Unreadable("The file meta information of an instance has a UID that is none.")
    return bytes(value)


def _read_element(view: memoryview, position: int) -> tuple[int, memoryview, int]:
    """Element number, value, and the offset behind it, of an element in explicit VR little endian."""
    _, element, vr, length = struct.unpack_from("<HH2sH", view, position)
    begin = position + 8
    if vr in _LONG_VRS:
        (length,) = struct.unpack_from("<I", view, begin)
        begin += 4
    end = begin + length
    if end > len(view):
        raise struct.error
    return element, view[begin:end], end


def _short_element(element: int, vr: bytes, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii")
    value += padding * (len(value) % 2)
    return struct.pack("<HH2sH", _META_GROUP, element, vr, len(value)) + value
