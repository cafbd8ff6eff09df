"""Writes and reads the identifiers of queries (PS3.4 section C.2.2) in Implicit VR Little Endian, as bytes and text.

What a peer answers is taken as it comes: no value is validated, so a wrong date or an odd number cannot break a query,
and nothing warns with a patient's value in its text.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, cast

from pydicom.charset import convert_encodings, decode_bytes

from dicom.attributes import name_of, vr_of
from dicom.network import dicom_json
from dicom.network.dicom_json import BINARY, Item
from models.domain.errors import BadRequest, PeerLied

Keys: TypeAlias = Mapping[int, "str | Keys"]
"""Tag -> value to match, empty to have it returned; of a sequence the keys of its one item.

Several values are joined by backslashes.
"""

SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
SOP_CLASS_UID, SOP_UID, TRANSFER_SYNTAX_UID = 0x00080016, 0x00080018, 0x00083002
STUDY_UID, SERIES_UID = 0x0020000D, 0x0020000E
STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER, STUDY_DESCRIPTION = 0x00080020, 0x00080030, 0x00080050, 0x00081030
MODALITY, MODALITIES_IN_STUDY, SERIES_DESCRIPTION, SERIES_NUMBER = 0x00080060, 0x00080061, 0x0008103E, 0x00200011
PATIENT_NAME, PATIENT_ID, BIRTH_DATE, SEX = 0x00100010, 0x00100020, 0x00100030, 0x00100040
SERIES_COUNT, STUDY_INSTANCE_COUNT, SERIES_INSTANCE_COUNT = 0x00201206, 0x00201208, 0x00201209

_ENCODINGS = (("", "ascii"), ("ISO_IR 100", "latin-1"), ("ISO_IR 192", "utf-8"))
_DELIMITERS = set(b"\\^=\r\n\f\t")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_START = struct.pack("<HH", _ITEM >> 16, _ITEM & 0xFFFF)
_NO_DATA_SET = "The server's answer to a query cannot be read as a data set."
_DELIMITER_TAGS = frozenset({_ITEM_END, _SEQUENCE_END})


def encode(level: str, keys: Keys) -> bytes:
    """The identifier of a request, in the smallest character set that has all its characters."""
    charset, encoding = next(found for found in _ENCODINGS if _fits(_texts_in(keys), found[1]))
    wanted: dict[int, str | Keys] = {QUERY_RETRIEVE_LEVEL: level, **keys}
    if charset:
        wanted[SPECIFIC_CHARACTER_SET] = charset
    return _encoded(wanted, encoding)


def nested(paths: Mapping[str, str]) -> Keys:
    """The keys for paths of ``dicom.attributes``; what is wanted in a sequence wins over the whole sequence."""
    keys: dict[int, str | Keys] = {}
    for path in sorted(paths):
        place = keys
        *above, last = (int(tag, 16) for tag in path.split("."))
        for tag in above:
            if not isinstance(place.get(tag), dict):
                place[tag] = {}
            place = cast(dict[int, "str | Keys"], place[tag])
        place[last] = paths[path]
    return keys


class Identifier:
    """One response's identifier; raises PeerLied when it cannot be read as a data set."""

    def __init__(self, encoded: bytes, encodings: list[str] | None = None) -> None:
        try:
            self._values = dict(_elements(encoded))
        except struct.error as exc:
            raise PeerLied(_NO_DATA_SET) from exc
        self._encodings = None if SPECIFIC_CHARACTER_SET in self._values else encodings

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
        return number if 0 <= number <= dicom_json.MOST else None

    def item(self) -> Item:
        """The whole data set in the DICOM JSON model."""
        try:
            return {f"{tag:08X}": self._as_json(tag, value) for tag, value in self._values.items() if tag & 0xFFFF}
        except (struct.error, RecursionError) as exc:
            raise PeerLied(_NO_DATA_SET) from exc

    def _as_json(self, tag: int, value: bytes) -> Mapping[str, object]:
        vr = vr_of(f"{tag:08X}")
        if vr == "SQ" or (vr == "UN" and value.startswith(_ITEM_START)):
            below = [Identifier(one, self._charsets()).item() for one in _items(value)]
            return dicom_json.element("SQ", below)
        return dicom_json.element(vr, dicom_json.read_bytes(vr, value) if vr in BINARY else self._decoded(tag))

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
    """Yield tag and value of each element, of a sequence its items; raises struct.error when lengths do not fit."""
    position = 0
    while position < len(encoded):
        tag, length, position = _header(encoded, position)
        end = _end_of_sequence(encoded, position) if length == _UNDEFINED else position + length
        if end > len(encoded):
            raise struct.error
        yield tag, encoded[position:end]
        position = end


def _items(sequence: bytes) -> Iterator[bytes]:
    """Yield the data set of each item of a sequence; raises struct.error when it is none."""
    position = 0
    while position < len(sequence):
        tag, length, position = _header(sequence, position)
        if tag == _SEQUENCE_END:
            return
        end = _end_of_sequence(sequence, position) if length == _UNDEFINED else position + length
        if tag != _ITEM or end > len(sequence):
            raise struct.error
        yield sequence[position : end - 8 if length == _UNDEFINED else end]
        position = end


def _end_of_sequence(encoded: bytes, position: int) -> int:
    """Where a sequence or item of undefined length ends, its delimiter included; every delimiter closes one level."""
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


def _texts_in(keys: Keys) -> Iterator[str]:
    for value in keys.values():
        if isinstance(value, str):
            yield value
        else:
            yield from _texts_in(value)


def _fits(texts: Iterable[str], encoding: str) -> bool:
    try:
        "".join(texts).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _encoded(keys: Keys, encoding: str) -> bytes:
    return b"".join(_element(tag, _value(tag, keys[tag], encoding)) for tag in sorted(keys))


def _value(tag: int, value: "str | Keys", encoding: str) -> bytes:
    if not isinstance(value, str):
        item = _encoded(value, encoding)
        return struct.pack("<HHI", _ITEM >> 16, _ITEM & 0xFFFF, len(item)) + item
    vr = vr_of(f"{tag:08X}")
    if vr not in BINARY or not value:
        return value.encode(encoding)
    try:
        return dicom_json.written_bytes(vr, value)
    except (ValueError, OverflowError, struct.error) as exc:
        raise BadRequest.of({name_of(f"{tag:08X}"): "this is no number that fits."}) from exc


def _element(tag: int, value: bytes) -> bytes:
    padding = b"\0" if vr_of(f"{tag:08X}") == "UI" else b" "
    value += padding * (len(value) % 2)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value
