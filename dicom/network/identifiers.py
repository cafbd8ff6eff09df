"""Writes and reads the identifiers of queries (PS3.4 section C.2.2) in Implicit VR Little Endian, as bytes and text.

What a peer answers is taken as it comes: no value is validated, so a wrong date or an odd number cannot break a query,
and nothing warns with a patient's value in its text.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping

from pydicom.charset import convert_encodings, decode_bytes

from models.domain.errors import PeerLied

Keys = Mapping[int, str]
"""Tag -> value to match; empty to have it returned. Several values are joined by backslashes."""

SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
SOP_CLASS_UID, SOP_UID, TRANSFER_SYNTAX_UID = 0x00080016, 0x00080018, 0x00083002
STUDY_UID, SERIES_UID = 0x0020000D, 0x0020000E
STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER, STUDY_DESCRIPTION = 0x00080020, 0x00080030, 0x00080050, 0x00081030
MODALITY, MODALITIES_IN_STUDY, SERIES_DESCRIPTION, SERIES_NUMBER = 0x00080060, 0x00080061, 0x0008103E, 0x00200011
PATIENT_NAME, PATIENT_ID, BIRTH_DATE, SEX = 0x00100010, 0x00100020, 0x00100030, 0x00100040
SERIES_COUNT, STUDY_INSTANCE_COUNT, SERIES_INSTANCE_COUNT = 0x00201206, 0x00201208, 0x00201209

_UIDS = frozenset({SOP_CLASS_UID, SOP_UID, TRANSFER_SYNTAX_UID, STUDY_UID, SERIES_UID})
_ENCODINGS = (("", "ascii"), ("ISO_IR 100", "latin-1"), ("ISO_IR 192", "utf-8"))
_DELIMITERS = set(b"\\^=\r\n\f\t")
_UNDEFINED = 0xFFFFFFFF
_DELIMITER_TAGS = frozenset({0xFFFEE00D, 0xFFFEE0DD})


def encode(level: str, keys: Keys) -> bytes:
    """The identifier of a request, in the smallest character set that has all its characters."""
    charset, encoding = next(found for found in _ENCODINGS if _fits(keys.values(), found[1]))
    wanted = {QUERY_RETRIEVE_LEVEL: level, **keys}
    if charset:
        wanted[SPECIFIC_CHARACTER_SET] = charset
    return b"".join(_element(tag, wanted[tag].encode(encoding)) for tag in sorted(wanted))


class Identifier:
    """One response's identifier; raises PeerLied when it cannot be read as a data set."""

    def __init__(self, encoded: bytes) -> None:
        try:
            self._values = dict(_elements(encoded))
        except struct.error as exc:
            raise PeerLied("The server's answer to a query cannot be read as a data set.") from exc
        self._encodings: list[str] | None = None

    def text(self, tag: int) -> str:
        """All values of an element as one text, joined by backslashes; empty when there is none."""
        return "\\".join(self.texts(tag))

    def texts(self, tag: int) -> list[str]:
        """The values as text without padding, only those that are not empty."""
        decoded = self._decoded(tag).split("\\")
        return [stripped for value in decoded if (stripped := value.strip(" \0\t\r\n"))]

    def count(self, tag: int) -> int | None:
        """A number of things; None when there is none or it makes no sense."""
        try:
            number = int(float(self.texts(tag)[0]))
        except (IndexError, ValueError, OverflowError):
            return None
        return number if number >= 0 else None

    def _decoded(self, tag: int) -> str:
        value = self._values.get(tag, b"")
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        try:
            return decode_bytes(value, self._charsets(), _DELIMITERS)
        except (ValueError, LookupError, UserWarning):
            return value.decode("utf-8", errors="replace")

    def _charsets(self) -> list[str]:
        if self._encodings is None:
            value = self._values.get(SPECIFIC_CHARACTER_SET, b"")
            names = [name.strip(" \0") for name in value.decode("ascii", errors="replace").split("\\")]
            try:
                self._encodings = list(convert_encodings(names))
            except (ValueError, LookupError, UserWarning):
                self._encodings = ["utf-8"]
        return self._encodings


def _elements(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and value of each element but sequences; raises struct.error when lengths do not fit."""
    position = 0
    while position < len(encoded):
        tag, length, position = _header(encoded, position)
        if length == _UNDEFINED:
            position = _end_of_sequence(encoded, position)
            continue
        if position + length > len(encoded):
            raise struct.error
        yield tag, encoded[position : position + length]
        position += length


def _end_of_sequence(encoded: bytes, position: int) -> int:
    """Where the element behind a sequence of undefined length begins; every delimiter closes one level."""
    depth = 1
    while depth:
        tag, length, position = _header(encoded, position)
        if tag in _DELIMITER_TAGS:
            depth -= 1
        elif length == _UNDEFINED:
            depth += 1
        else:
            position += length
    return position


def _header(encoded: bytes, position: int) -> tuple[int, int, int]:
    """Tag and length of an element, and where its value begins."""
    group, element, length = struct.unpack_from("<HHI", encoded, position)
    return group << 16 | element, length, position + 8


def _fits(texts: Iterable[str], encoding: str) -> bool:
    try:
        "".join(texts).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _element(tag: int, value: bytes) -> bytes:
    padding = b"\0" if tag in _UIDS else b" "
    value += padding * (len(value) % 2)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value
