"""Reads the DICOM JSON model (PS3.18 annex F) as archives really write it, and writes it as the standard says."""

import base64
import json
import math
import re
import struct
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from dicom.attributes import BULK, vr_of
from models.domain.errors import PeerLied

Item = Mapping[str, object]
"""One data set: tag as eight upper-case hexadecimal digits -> whatever the peer wrote for the element."""

Element = Mapping[str, object]

_NUMBERS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
BINARY = frozenset({*_NUMBERS, *BULK, "AT", "UN"})
"""Value representations that are not encoded as text."""
_IN_ONE = frozenset({"LT", "ST", "UR", "UT"})
_AS_NUMBERS = frozenset({*_NUMBERS, "DS", "IS"})
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_LARGEST_BINARY = 1 << 16
MOST = 2**31 - 1
"""More than this is no number of things, but how some archives say that they do not know; IS ends there, too."""
_TAG, _VR = re.compile(r"[0-9A-F]{8}"), re.compile(r"[A-Z]{2}")
_KEPT_BY_PEER = frozenset({"00080005", "00080052", "00080054", "00081190"})
"""Of the answer itself and not of what was found: character set, level, where the peer would have it retrieved."""


def parse_items(body: bytes) -> list[Item]:
    """Return the data sets of a JSON array, or of one object; an empty body has none. Raises PeerLied."""
    if not body.strip():
        return []
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise PeerLied("The server's answer is not valid JSON.") from exc
    entries: Sequence[object] = cast(list[object], parsed) if isinstance(parsed, list) else [parsed]
    if not all(isinstance(entry, dict) for entry in entries):
        raise PeerLied("The server's answer is no list of data sets in DICOM JSON.")
    return [_with_upper_tags(entry) for entry in entries]


def values(item: Item, tag: str) -> list[object]:
    """The values of an element that are there: no nulls, and none at all when the element is missing or empty."""
    element = item.get(tag)
    value = cast(Mapping[str, object], element).get("Value") if isinstance(element, dict) else element
    if isinstance(value, list):
        return [one for one in cast(list[object], value) if one is not None]
    return [] if value is None else [value]


def texts(item: Item, tag: str) -> list[str]:
    """The values as text without spaces at their ends; a person name has its representations joined by ``=``."""
    found = [_as_text(value).strip(" \0") for value in values(item, tag)]
    return [text for text in found if text]


def text(item: Item, tag: str) -> str:
    """All values of an element as one text, joined by backslashes; empty when there is none."""
    return "\\".join(texts(item, tag))


def count(item: Item, tag: str) -> int | None:
    """A number of things, which some archives write as text; None when there is none or it makes no sense."""
    found = texts(item, tag)
    try:
        number = int(float(found[0]))
    except (IndexError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= MOST else None


def items(item: Item, tag: str) -> list[Item]:
    """The data sets of a sequence."""
    return [_with_upper_tags(cast(object, value)) for value in values(item, tag) if isinstance(value, dict)]


def element(vr: str, found: object) -> Element:
    """An element of the model from its values: text with backslashes between, bytes, or a list of values.

    What is empty has no values at all (PS3.18 section F.2.5); one empty value among others is null.
    """
    if isinstance(found, bytes):
        inline = base64.b64encode(found).decode("ascii")
        return {"vr": vr, "InlineBinary": inline} if 0 < len(found) <= _LARGEST_BINARY else {"vr": vr}
    several = _split(vr, found) if isinstance(found, str) else cast(list[object], found)
    written = [_value_of(vr, one) for one in several]
    return {"vr": vr, "Value": written} if any(one is not None for one in written) else {"vr": vr}


def normal(item: Item) -> Item:
    """What a peer tells, in the form of the standard: right value representations, numbers as numbers, names in groups.

    Where the peer would have it retrieved, and bulk data that it keeps, are left out. Raises PeerLied when items are
    nested too deeply.
    """
    try:
        return {tag: _normal_element(tag, item[tag]) for tag in sorted(item) if _is_plain(tag, item[tag])}
    except RecursionError as exc:
        raise PeerLied("The server's answer is nested too deeply.") from exc


def only(item: Item, tags: Collection[str]) -> Item:
    """The elements with these tags, with all below them."""
    return {tag: found for tag, found in item.items() if tag in tags}


def read_bytes(vr: str, value: bytes) -> object:
    """The numbers or tags in an element's bytes, little endian; bytes where they are neither."""
    if vr == "AT":
        pairs = struct.iter_unpack("<HH", value[: len(value) // 4 * 4])
        return [f"{group:04X}{number:04X}" for group, number in pairs]
    if vr not in _NUMBERS:
        return value
    one = struct.Struct("<" + _NUMBERS[vr])
    return [number for (number,) in one.iter_unpack(value[: len(value) // one.size * one.size])]


def written_bytes(vr: str, text: str) -> bytes:
    """The bytes of one number or tag, little endian; raises ValueError, OverflowError or struct.error."""
    if vr == "AT":
        return struct.pack("<HH", int(text[:4], 16), int(text[4:], 16))
    if vr not in _NUMBERS:
        return text.encode("ascii")
    return struct.pack("<" + _NUMBERS[vr], float(text) if vr in ("FD", "FL") else int(text))


def _split(vr: str, text: str) -> list[object]:
    stripped = text.rstrip(" \0") if vr in _IN_ONE else text.strip(" \0\t\r\n")
    return [stripped] if vr in _IN_ONE else [one.strip(" \0\t\r\n") for one in stripped.split("\\")]


def _value_of(vr: str, value: object) -> object:
    if value is None or value == "":
        return None
    if vr == "PN":
        return _name(value)
    if vr in _AS_NUMBERS:
        return _number(vr, value)
    return value if vr == "SQ" or isinstance(value, str) else _as_text(value)


def _name(value: object) -> object:
    if isinstance(value, dict):
        groups = [str(cast(Mapping[str, object], value).get(group) or "") for group in _NAME_GROUPS]
    else:
        groups = str(value).split("=")
    return {name: group for name, group in zip(_NAME_GROUPS, groups, strict=False) if group} or None


def _number(vr: str, value: object) -> object:
    """A number; of a text that is none the text (PS3.18 table F.2.3-1 allows it), so that nothing is lost."""
    if isinstance(value, str):
        try:
            value = float(value) if vr in ("DS", "FD", "FL") else int(value)
        except ValueError:
            return value
    if not isinstance(value, int | float):
        return _as_text(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_plain(tag: str, found: object) -> bool:
    has_link = isinstance(found, dict) and "BulkDataURI" in found
    return _TAG.fullmatch(tag) is not None and tag not in _KEPT_BY_PEER and not tag.endswith("0000") and not has_link


def _normal_element(tag: str, found: object) -> Element:
    given = cast(Mapping[str, object], found) if isinstance(found, dict) else {"Value": found}
    said = str(given.get("vr") or "").upper()
    vr = vr_of(tag) if vr_of(tag) != "UN" else said if _VR.fullmatch(said) else "UN"
    if vr in BULK or vr == "UN":
        inline = given.get("InlineBinary")
        return {"vr": vr, "InlineBinary": inline} if isinstance(inline, str) else {"vr": vr}
    several = _listed(given.get("Value"))
    return element(vr, [normal(one) for one in items({tag: given}, tag)] if vr == "SQ" else several)


def _listed(value: object) -> list[object]:
    return cast(list[object], value) if isinstance(value, list) else [value]


def _with_upper_tags(entry: object) -> Item:
    return {str(tag).upper(): element for tag, element in cast(Mapping[object, object], entry).items()}


def _as_text(value: object) -> str:
    if isinstance(value, dict):
        name = cast(Mapping[str, object], value)
        groups = [str(name.get(group) or "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
