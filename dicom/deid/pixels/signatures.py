"""Signatures: known layouts of pictures by what their header says, with the rectangles to blank or to keep.

A signature is knowledge about one device's software, written by people as data. An instance that matches none is held.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple, cast

import yaml

from dicom.deid.pixels.header import COLUMNS, IMAGE_TYPE, ROWS, SERIES_DESCRIPTION, SOP_CLASS_UID, Header
from models.domain.errors import ProfileInvalid

_MANUFACTURER, _MODEL = 0x00080070, 0x00081090
_TEXT_KEYS = {
    "sop_class": SOP_CLASS_UID,
    "manufacturer": _MANUFACTURER,
    "model": _MODEL,
    "series_description": SERIES_DESCRIPTION,
}
_NUMBER_KEYS = {"rows": ROWS, "columns": COLUMNS}
_IMAGE_TYPE, _NAME, _BLANK, _KEEP = "image_type", "name", "blank", "keep"
_CRITERIA = frozenset({*_TEXT_KEYS, *_NUMBER_KEYS, _IMAGE_TYPE})
_MOST_RECTANGLES = 64


class Rectangle(NamedTuple):
    """Columns ``x0`` to ``x1`` and rows ``y0`` to ``y1``, all inclusive, counted from 0 at the top left."""

    x0: int
    y0: int
    x1: int
    y1: int


class Areas(NamedTuple):
    """What to blank: the rectangles of ``blank``, and everything outside those of ``keep`` when there are any."""

    blank: tuple[Rectangle, ...] = ()
    keep: tuple[Rectangle, ...] = ()


@dataclass(frozen=True)
class Signature:
    """When an instance's layout is known (all criteria hold), and which areas to blank then.

    ``texts`` and ``numbers`` are by tag; texts are compared without case and padding. Each word of ``image_type`` must
    be one of the instance's values of Image Type.
    """

    name: str
    texts: tuple[tuple[int, str], ...]
    numbers: tuple[tuple[int, int], ...]
    image_type: frozenset[str]
    areas: Areas

    def matches(self, header: Header) -> bool:
        """Whether all criteria hold, and every rectangle lies within the picture."""
        return (
            all(header.text(tag).casefold() == text for tag, text in self.texts)
            and all(header.number(tag) == number for tag, number in self.numbers)
            and self.image_type <= frozenset(header.text(IMAGE_TYPE).casefold().split("\\"))
            and self._fits(header.number(COLUMNS), header.number(ROWS))
        )

    def _fits(self, columns: int, rows: int) -> bool:
        return all(area.x1 < columns and area.y1 < rows for area in (*self.areas.blank, *self.areas.keep))


@cache
def shipped_signatures() -> tuple[Signature, ...]:
    """Return the signatures that come with the product; raises ProfileInvalid."""
    source = resources.files("dicom.deid").joinpath("data", "pixel-signatures.yaml").read_text(encoding="utf-8")
    content = cast("dict[str, object]", yaml.safe_load(source))
    return read_signatures("signatures", content["signatures"])


def read_signatures(key: str, content: object) -> tuple[Signature, ...]:
    """Return the signatures in a list read from YAML; raises ProfileInvalid naming the place below ``key``."""
    if not isinstance(content, Sequence) or isinstance(content, str):
        raise ProfileInvalid(f"{key}: not a list.")
    entries = cast("Sequence[object]", content)
    return tuple(_signature(f"{key}[{number}]", entry) for number, entry in enumerate(entries))


def _signature(key: str, content: object) -> Signature:
    if not isinstance(content, Mapping):
        raise ProfileInvalid(f"{key}: not keys and values.")
    entry = cast("Mapping[str, object]", content)
    if unknown := set(entry) - _CRITERIA - {_NAME, _BLANK, _KEEP}:
        raise ProfileInvalid(f"{key}.{min(map(str, unknown))}: there is no such key.")
    if not _CRITERIA & set(entry):
        raise ProfileInvalid(f"{key}: says nothing about the instances it is for.")
    if (_BLANK in entry) == (_KEEP in entry):
        raise ProfileInvalid(f"{key}: needs either {_BLANK} or {_KEEP}.")
    return Signature(
        name=_text(f"{key}.{_NAME}", entry.get(_NAME)),
        texts=tuple((tag, _text(f"{key}.{name}", entry[name])) for name, tag in _TEXT_KEYS.items() if name in entry),
        numbers=tuple(
            (tag, _size(f"{key}.{name}", entry[name])) for name, tag in _NUMBER_KEYS.items() if name in entry
        ),
        image_type=frozenset(_texts(f"{key}.{_IMAGE_TYPE}", entry.get(_IMAGE_TYPE, ()))),
        areas=Areas(
            _rectangles(f"{key}.{_BLANK}", entry[_BLANK]) if _BLANK in entry else (),
            _rectangles(f"{key}.{_KEEP}", entry[_KEEP]) if _KEEP in entry else (),
        ),
    )


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ProfileInvalid(f"{key}: not a text.")
    return value.strip().casefold()


def _texts(key: str, values: object) -> list[str]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ProfileInvalid(f"{key}: not a list.")
    return [_text(key, value) for value in cast("Sequence[object]", values)]


def _size(key: str, value: object) -> int:
    if type(value) is not int or not 0 < value < 1 << 16:  # True is an int, too
        raise ProfileInvalid(f"{key}: not a number of pixels.")
    return value


def _rectangles(key: str, values: object) -> tuple[Rectangle, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ProfileInvalid(f"{key}: not a list of rectangles.")
    found = tuple(_rectangle(key, value) for value in cast("Sequence[object]", values))
    if len(found) > _MOST_RECTANGLES:
        raise ProfileInvalid(f"{key}: more than {_MOST_RECTANGLES} rectangles.")
    return found


def _rectangle(key: str, value: object) -> Rectangle:
    numbers = cast("list[object]", value) if isinstance(value, list) else []
    places = [number for number in numbers if type(number) is int and 0 <= number < 1 << 16]
    if len(numbers) != 4 or len(places) != 4 or places[0] > places[2] or places[1] > places[3]:
        raise ProfileInvalid(
            f"{key}: a rectangle is [left, top, right, bottom], in pixels from 0, both ends inclusive."
        )
    return Rectangle(*places)
