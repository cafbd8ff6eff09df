"""Reads the DICOM JSON model (PS3.18 annex F) as archives really write it; knows only tags and plain values."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from models.domain.errors import PeerLied

Item = Mapping[str, object]
"""One data set: tag as eight upper-case hexadecimal digits -> whatever the peer wrote for the element."""


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
    return number if number >= 0 else None


def items(item: Item, tag: str) -> list[Item]:
    """The data sets of a sequence."""
    return [_with_upper_tags(cast(object, value)) for value in values(item, tag) if isinstance(value, dict)]


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
