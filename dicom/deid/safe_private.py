"""Private attributes that are known to be safe (PS3.15 table E.3.10-1), and which of a data set's may stay.

The table's word alone is not enough: what is a sequence, a UID, free text or opaque bytes goes in any case, and a
value must be a number, or a code in capitals whose words are reviewed.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType

from dicom.deid.charsets import decoded
from dicom.deid.encoding import Element
from dicom.deid.table import packaged
from dicom.deid.vocabulary import device_words

_FILE = "ps3.15-e3-10-1-safe-private.csv"
DIGEST = "b4ff3e4de8be9d8b47aced8f991ae046369efc8992edecb410be1d730ed82311"
_SIZES = {b"SS": 2, b"US": 2, b"FL": 4, b"SL": 4, b"UL": 4, b"FD": 8}
_TEXTS = {
    b"CS": re.compile(rb"[A-Z0-9_ ]{0,16}(\\[A-Z0-9_ ]{0,16})*\0?"),
    b"SH": re.compile(rb"[A-Z0-9_ .:+-]{0,16}\0?"),
    b"DS": re.compile(rb"[0-9+\-.eE \\]*\0?"),
    b"IS": re.compile(rb"[0-9+\- \\]*\0?"),
}

_NUMBERS = frozenset({b"DS", b"IS"})
_LETTERS = re.compile(r"[a-z]+")
_LONGEST_CODE = 3

Known = Mapping[tuple[str, int, int], bytes]


@cache
def known() -> Known:
    """VRs of safe attributes by creator, group, and the low byte of the element number."""
    records = csv.DictReader(packaged(_FILE, DIGEST).splitlines())
    return MappingProxyType(
        {
            (_plain(record["private_creator"]), int(record["group"], 16), int(record["element"], 16)): vr
            for record in records
            if (vr := record["vr"].encode()) in _SIZES or vr in _TEXTS
        }
    )


def kept(data: memoryview, elements: Sequence[Element]) -> frozenset[int]:
    """Return the tags of the private elements of one level that may stay, with the creators of their blocks.

    Many have lost their VR (UN): in implicit syntaxes, and where an archive made explicit ones of these.
    """
    creators = {
        element.tag: _plain(decoded(bytes(data[element.begin : element.stop]), b""))
        for element in elements
        if _is_creator(element)
    }
    private = (element for element in elements if element.tag >> 16 & 1)
    return frozenset(tag for element in private for tag in _kept(data, element, creators))


def _kept(data: memoryview, element: Element, creators: Mapping[int, str]) -> Iterator[int]:
    """The element's tag and its creator's when both may stay, else nothing."""
    block = element.tag >> 8 & 0xFF
    creator_tag = element.tag & 0xFFFF0000 | block
    name = creators.get(creator_tag, "")
    vr = known().get((name, element.tag >> 16, element.tag & 0xFF)) if block and name else None
    if vr is not None and element.vr in {vr, b"UN"} and _is_plain_value(data, element, vr):
        yield element.tag
        yield creator_tag


def _is_plain_value(data: memoryview, element: Element, vr: bytes) -> bool:
    """Whether an element's value is of this VR and nothing else."""
    if element.end != element.stop:
        return False
    if vr in _SIZES:
        return (element.stop - element.begin) % _SIZES[vr] == 0
    value = bytes(data[element.begin : element.stop])
    return _TEXTS[vr].fullmatch(value) is not None and (vr in _NUMBERS or _is_of_known_words(value))


def _is_of_known_words(value: bytes) -> bool:
    """Whether a code consists of reviewed words, numbers and short codes: a name in capitals looks like a code, too."""
    words = _LETTERS.findall(value.decode("latin-1").lower())
    return all(len(word) <= _LONGEST_CODE or word in device_words() for word in words)


def _is_creator(element: Element) -> bool:
    return bool(element.tag >> 16 & 1) and 0x10 <= element.tag & 0xFFFF <= 0xFF


def _plain(creator: str) -> str:
    return creator.strip("\0 ").casefold()
