"""The few attributes of an encoded header that decide about its pixels, each looked up when it is asked for."""

from bisect import bisect_left
from dataclasses import dataclass, field

from dicom.deid.encoding import PIXEL_DATA, Element, Syntax
from models.domain.errors import Unreadable

IMAGE_TYPE, SOP_CLASS_UID, SERIES_DESCRIPTION = 0x00080008, 0x00080016, 0x0008103E
ROWS, COLUMNS = 0x00280010, 0x00280011

_PADDING = " \0"


@dataclass(frozen=True, slots=True)
class Header:
    """The top level of an encoded data set; ``elements`` are in ascending order. Absent values read as nothing.

    Elements are tuples that begin with their tag, so that a tuple of the tag alone finds its place among them; that is
    three times as fast as a key function. ``asked`` collects the tags that somebody has looked up.
    """

    data: memoryview
    elements: list[Element]
    syntax: Syntax
    asked: set[int] = field(default_factory=set[int], compare=False, repr=False)

    def element(self, tag: int) -> Element | None:
        """Return the element of this tag, or None when there is none."""
        self.asked.add(tag)
        position = bisect_left(self.elements, (tag,))
        if position < len(self.elements) and self.elements[position][0] == tag:
            return self.elements[position]
        return None

    def value(self, tag: int) -> bytes:
        """Return the value's bytes as they are encoded."""
        found = self.element(tag)
        return bytes(self.data[found.begin : found.stop]) if found else b""

    def text(self, tag: int) -> str:
        """Return the value as text, without padding; other character sets than Latin 1 read as something else."""
        value = self.value(tag)
        return value.decode("latin-1").strip(_PADDING) if value else ""

    def number(self, tag: int) -> int:
        """Return an unsigned binary number (US, UL), the first of several for US."""
        value = self.value(tag)
        return int.from_bytes(value[: 2 if len(value) % 4 else 4], "big" if self.syntax.big_endian else "little")

    def elements_between(self, first: int, behind: int) -> list[Element]:
        """Return the elements from tag ``first`` until before tag ``behind``."""
        start = bisect_left(self.elements, (first,))
        if start == len(self.elements) or self.elements[start].tag >= behind:
            return []
        found = self.elements[start : bisect_left(self.elements, (behind,), start)]
        self.asked.update(element.tag for element in found)
        return found

    def pixels(self) -> Element | None:
        """Return the one element with pixel data, or None; raises Unreadable when there is more than one."""
        found = [element for element in self.elements_between(0x7FE00008, 0x7FE00011) if element.tag in PIXEL_DATA]
        if len(found) > 1:
            raise Unreadable("An instance has more than one kind of pixel data.")
        return found[0] if found else None
