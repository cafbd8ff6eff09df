"""Judges values by what the data dictionary says they are: whether they could be that."""

import re

from dicom.deid.encoding import known_vr, most_values

_SIZES = {
    **dict.fromkeys((b"SS", b"US", b"OW"), 2),
    **dict.fromkeys((b"AT", b"FL", b"SL", b"UL", b"OF", b"OL"), 4),
    **dict.fromkeys((b"FD", b"SV", b"UV", b"OD", b"OV"), 8),
    b"OB": 1,
}
_REPERTOIRES = {
    **dict.fromkeys((b"DS", b"IS"), re.compile(rb"[\d+\-.eE \\\0]*")),
    b"CS": re.compile(rb"[A-Z\d_ ]{0,16}(\\[A-Z\d_ ]{0,16})*\0?"),
    b"AS": re.compile(rb"(\d{3}[DWMY])?"),
    b"UI": re.compile(rb"[\d.\\ \0]*"),
    **dict.fromkeys((b"LO", b"SH", b"UC"), re.compile(rb"[^\0-\x1a\x1c-\x1f]*\0?")),
}
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_CODE_STRING = re.compile(rb"[A-Z\d_ ]{0,16}\0?")
_PRINTABLE = re.compile(rb"[ -~\s]{3,}\0?")


def is_valid(tag: int, value: bytes) -> bool:
    """Whether an attribute could have these bytes as its value.

    Numbers must fit the number of values; where that is open, a value that is nothing but printable text is none.
    """
    vr = known_vr(tag)
    if vr in _REPERTOIRES:
        return _REPERTOIRES[vr].fullmatch(value) is not None
    size = _SIZES.get(vr, 0)
    if not size or len(value) % size:
        return False
    most = 0 if vr.startswith(b"O") else most_values(tag)
    if most:
        return len(value) <= size * most
    return _PRINTABLE.fullmatch(value) is None


def is_number(value: bytes) -> bool:
    """Whether a value without padding is one decimal string (PS3.5 section 6.2)."""
    return _NUMBER.fullmatch(value) is not None


def is_code_string(value: bytes) -> bool:
    """Whether one of several values could be that of a code string."""
    return _CODE_STRING.fullmatch(value) is not None
