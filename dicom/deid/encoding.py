"""Reads and writes data elements as bytes (PS3.5 section 7), without interpreting any value.

An element that is not understood ends the reading with Unreadable: what cannot be read cannot be de-identified.
"""

import struct
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR

from dicom.deid.table import row_of
from models.domain.errors import Unreadable

UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
MAX_DEPTH = 32
"""Sequences nested deeper than this do not occur; reading them could exhaust the stack."""
_MOST_ELEMENTS, _MOST_ITEMS = 1 << 20, 1 << 22
"""Of one level and of one sequence. A megabyte that was deflated can hold more, and the places of each need memory."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(
    {
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"),
        *(b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    }
)
_TAG = (struct.Struct("<HH"), struct.Struct(">HH"))
_LONG = (struct.Struct("<I"), struct.Struct(">I"))
_VR_AND_LENGTH = (struct.Struct("<2sH"), struct.Struct(">2sH"))
_ITEM_HEAD = (struct.Struct("<HHI"), struct.Struct(">HHI"))
"""Compiled formats by whether the syntax is big endian; compiling them for each element costs as much as reading it."""


class Element(NamedTuple):
    """Where an element stands in the buffer: from its tag (``start``), its value from ``begin`` until ``stop``."""

    tag: int
    vr: bytes
    start: int
    begin: int
    stop: int
    end: int


class Item(NamedTuple):
    """Where the content of a sequence's item stands in the buffer."""

    begin: int
    stop: int


@dataclass(frozen=True, slots=True)
class Syntax:
    """How elements are encoded."""

    implicit: bool
    big_endian: bool

    @property
    def order(self) -> str:
        return ">" if self.big_endian else "<"

    def encoded(self, tag: int, vr: bytes, value: bytes) -> bytes:
        """Return a whole element; the value must already have an even length.

        Raises struct.error when the value is longer than its VR allows.
        """
        group, element = tag >> 16, tag & 0xFFFF
        if self.implicit:
            return struct.pack(f"{self.order}HHI", group, element, len(value)) + value
        if vr in _LONG_VRS:
            return struct.pack(f"{self.order}HH2sHI", group, element, vr, 0, len(value)) + value
        return struct.pack(f"{self.order}HH2sH", group, element, vr, len(value)) + value

    def encoded_item(self, content: bytes) -> bytes:
        return struct.pack(f"{self.order}HHI", _ITEM >> 16, _ITEM & 0xFFFF, len(content)) + content


IMPLICIT_LITTLE = Syntax(implicit=True, big_endian=False)
EXPLICIT_LITTLE = Syntax(implicit=False, big_endian=False)
EXPLICIT_BIG = Syntax(implicit=False, big_endian=True)
DEFLATED_UIDS = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})


def syntax_of(transfer_syntax_uid: str) -> Syntax:
    """Return how a transfer syntax encodes elements; all that are not named in PS3.5 annex A.1 are explicit little."""
    match transfer_syntax_uid:
        case "1.2.840.10008.1.2":
            return IMPLICIT_LITTLE
        case "1.2.840.10008.1.2.2":
            return EXPLICIT_BIG
        case _:
            return EXPLICIT_LITTLE


NEWER_VRS = {tag: row.vr for tag, row in row_of().items() if not dictionary_has_tag(tag)}
"""VRs of attributes in the table of PS3.15 that pydicom does not know; without them implicit VR reads as UN."""


@cache
def known_vr(tag: int) -> bytes:
    """Return the VR of an attribute in the data dictionary (the first of several), or nothing when it has none."""
    if tag in NEWER_VRS:
        return NEWER_VRS[tag].encode()
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return b""
    return b"" if vr == "NONE" else vr[:2].encode()


@cache
def known_vrs(tag: int) -> frozenset[bytes]:
    """Return every VR that the data dictionary allows for an attribute (US or SS, OB or OW)."""
    if tag in NEWER_VRS or not known_vr(tag):
        return frozenset({known_vr(tag)} - {b""})
    return frozenset(vr.encode() for vr in dictionary_VR(tag).split(" or "))


@cache
def most_values(tag: int) -> int:
    """Return how many values an attribute has at most, or 0 when the dictionary sets no limit."""
    try:
        limit = dictionary_VM(tag).split("-")[-1]
    except KeyError:
        return 0
    return int(limit) if limit.isdigit() else 0


def nested_syntax(vr: bytes, syntax: Syntax) -> Syntax:
    """Return how the items of a sequence are encoded: those of UN are always implicit (PS3.5 section 6.2.2)."""
    return IMPLICIT_LITTLE if vr == b"UN" else syntax


def read_elements(data: memoryview, syntax: Syntax) -> list[Element]:
    """Return the elements of a data set in their order; only their places are read, nested ones are not listed.

    Raises Unreadable when the encoding is broken, or elements are not in ascending order (PS3.5 section 7.1): a data
    set with an element twice could show another value to each of its readers.
    """
    try:
        elements, end = _read(data, 0, len(data), syntax, 0)
    except (struct.error, IndexError) as exc:
        raise _broken() from exc
    if end != len(data):  # an item's delimiter outside of any item: readers disagree about what follows
        raise _broken()
    _check_order(elements)
    return elements


def read_beginning(data: memoryview, syntax: Syntax, last_tag: int, start: int = 0) -> list[Element]:
    """Return the elements of a data set from ``start`` up to ``last_tag``; what stands behind is not read.

    Raises like the whole.
    """
    try:
        elements, _ = _read(data, start, len(data), syntax, 0, last_tag)
    except (struct.error, IndexError) as exc:
        raise _broken() from exc
    _check_order(elements)
    return elements


def _check_order(elements: list[Element]) -> None:
    previous = -1
    for element in elements:
        if element.tag <= previous:
            raise Unreadable("A data set's elements are not in ascending order.")
        previous = element.tag


def check_depth(depth: int) -> None:
    """Raise Unreadable for a level that is nested deeper than any real one."""
    if depth > MAX_DEPTH:
        raise Unreadable("A data set's sequences are nested too deep.")


def read_nested(data: memoryview, item: Item, syntax: Syntax) -> list[Element]:
    """Return the elements of an item in their order; raises Unreadable."""
    try:
        elements, end = _read(data, item.begin, item.stop, syntax, 0)
    except (struct.error, IndexError) as exc:
        raise _broken() from exc
    if end != item.stop:
        raise _broken()
    return elements


def read_items(data: memoryview, sequence: Element, syntax: Syntax) -> list[Item]:
    """Return the items of a sequence whose value is encoded in ``syntax``; raises Unreadable."""
    try:
        return _items(data, sequence.begin, sequence.stop, syntax, 0)[0]
    except (struct.error, IndexError) as exc:
        raise _broken() from exc


def _broken() -> Unreadable:
    return Unreadable("A data set's encoding is broken.")


def _read(
    data: memoryview, position: int, stop: int, syntax: Syntax, depth: int, last_tag: int = 0xFFFFFFFF
) -> tuple[list[Element], int]:
    """Elements until ``stop``, an item delimiter or a tag behind ``last_tag``, and the position where they end."""
    elements: list[Element] = []
    unpack_tag = _TAG[syntax.big_endian].unpack_from
    read_head = _implicit_head if syntax.implicit else _explicit_head
    for _ in range(_MOST_ELEMENTS):
        if position >= stop:
            break
        group, number = unpack_tag(data, position)
        tag = group << 16 | number
        if tag == _ITEM_END or tag > last_tag:
            break
        vr, begin, length = read_head(data, position, tag, syntax.big_endian)
        if length == UNDEFINED_LENGTH:
            last, end = _end_of_undefined(data, begin, stop, tag, vr, syntax, depth)
        else:
            last = end = begin + length
        if end > stop:
            raise IndexError
        elements.append(Element(tag, vr, position, begin, last, end))
        position = end
    else:
        raise IndexError
    return elements, position


def _implicit_head(data: memoryview, position: int, tag: int, big_endian: bool) -> tuple[bytes, int, int]:
    """VR, where the value begins, and its length."""
    (length,) = _LONG[big_endian].unpack_from(data, position + 4)
    return known_vr(tag) or b"UN", position + 8, length


def _explicit_head(data: memoryview, position: int, tag: int, big_endian: bool) -> tuple[bytes, int, int]:
    """VR, where the value begins, and its length."""
    vr, length = _VR_AND_LENGTH[big_endian].unpack_from(data, position + 4)
    if vr in _SHORT_VRS:
        return vr, position + 8, length
    if vr not in _LONG_VRS:
        raise IndexError
    (length,) = _LONG[big_endian].unpack_from(data, position + 8)
    return vr, position + 12, length


def _end_of_undefined(
    data: memoryview, begin: int, stop: int, tag: int, vr: bytes, syntax: Syntax, depth: int
) -> tuple[int, int]:
    """Where a value of undefined length ends, and where its delimiter ends."""
    if tag in PIXEL_DATA or vr in {b"OB", b"OW"}:
        return _end_of_fragments(data, begin, syntax)
    _, end = _items(data, begin, stop, nested_syntax(vr, syntax), depth)
    return end - 8, end


def _end_of_fragments(data: memoryview, position: int, syntax: Syntax) -> tuple[int, int]:
    """Hops over the fragments of encapsulated pixel data (PS3.5 section A.4)."""
    unpack = _ITEM_HEAD[syntax.big_endian].unpack_from
    while True:
        group, number, length = unpack(data, position)
        tag = group << 16 | number
        if tag == _SEQUENCE_END:
            return position, position + 8
        if tag != _ITEM or length == UNDEFINED_LENGTH:
            raise IndexError
        position += 8 + length


def _items(data: memoryview, position: int, stop: int, syntax: Syntax, depth: int) -> tuple[list[Item], int]:
    """Items until ``stop`` or a sequence delimiter, and the position behind it."""
    if depth > MAX_DEPTH:
        raise IndexError
    items: list[Item] = []
    unpack = _ITEM_HEAD[syntax.big_endian].unpack_from
    while position < stop:
        group, number, length = unpack(data, position)
        tag = group << 16 | number
        position += 8
        if tag == _SEQUENCE_END:
            return items, position
        if tag != _ITEM:
            raise IndexError
        if length == UNDEFINED_LENGTH:
            _, last = _read(data, position, stop, syntax, depth + 1)
            items.append(Item(position, last))
            position = last + 8
        else:
            items.append(Item(position, position + length))
            position += length
        if position > stop or len(items) > _MOST_ITEMS:
            raise IndexError
    return items, position
