"""Finds data that hides with native pixels: behind the last frame, or as an overlay in unused bits.

What compressed frames (encapsulated pixel data) hold besides their picture is not looked at.
"""

from bisect import bisect_left
from collections.abc import Mapping

from dicom.deid.encoding import Element, Syntax
from models.domain.errors import NeedsReview

_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS = 0x00280002, 0x00280008, 0x00280010, 0x00280011, 0x00280100
TAGS = frozenset({_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS})
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}
_OVERLAY_DATA = 0x3000


def check(elements: list[Element], pixels: Element, values: Mapping[int, bytes], syntax: Syntax) -> None:
    """Raise NeedsReview when native pixel data is longer than its frames, or an overlay is within the pixels."""
    if pixels.end == pixels.stop and pixels.stop - pixels.begin > _most_bytes(pixels.tag, values, syntax):
        raise NeedsReview("The instance's pixel data carries data behind its last frame.")
    overlays = elements[_position(elements, 0x60000000) : _position(elements, 0x61000000)]
    groups = {element.tag >> 16 for element in overlays if element.tag & 0xFFFF}
    with_data = {element.tag >> 16 for element in overlays if element.tag & 0xFFFF == _OVERLAY_DATA}
    if any(group % 2 == 0 for group in groups - with_data):
        raise NeedsReview("The instance has an overlay within its pixels, which may name the patient.")


def _most_bytes(tag: int, values: Mapping[int, bytes], syntax: Syntax) -> int:
    """The length of all frames, padded to an even one (PS3.5 section 8.2); what is not said counts as nothing."""
    rows, columns, samples, bits = (_number(values, name, syntax) for name in (_ROWS, _COLUMNS, _SAMPLES, _BITS))
    frames = values.get(_FRAMES, b"").strip(b" \0+") or b"1"
    count = int(frames) if frames.isdigit() else 0
    length = (rows * columns * (samples or 1) * _FLOAT_BITS.get(tag, bits) * count + 7) // 8
    return length + length % 2


def _number(values: Mapping[int, bytes], tag: int, syntax: Syntax) -> int:
    return int.from_bytes(values.get(tag, b""), "big" if syntax.big_endian else "little")


def _position(elements: list[Element], tag: int) -> int:
    return bisect_left(elements, tag, key=_tag)


def _tag(element: Element) -> int:
    return element.tag
