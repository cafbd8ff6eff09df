"""Where an ultrasound picture shows echoes and not text, as its header tells (PS3.3 section C.8.5.5)."""

import numpy as np

from dicom.deid.encoding import nested_syntax, read_items, read_nested
from dicom.deid.pixels.header import COLUMNS, ROWS, Header
from dicom.deid.pixels.signatures import Rectangle
from models.domain.errors import Unreadable

_REGIONS = 0x00186011
_CORNERS = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)
"""Region Location Min X0, Min Y0, Max X1, Max Y1; both ends inclusive."""
_MOST_REGIONS = 64
_LEAST_SHARE, _MOST_SHARE = 0.01, 0.97
"""How much of the picture regions cover. Above it not even one line of text is left outside; a region that is the whole
picture is what devices write that do not know any."""


def regions(header: Header) -> tuple[Rectangle, ...]:
    """Return the regions of the picture, cut at its edges; none when there are none that can be believed.

    Not believed: a region without or with impossible corners, more than 64 of them, and regions that together cover
    nearly nothing or nearly everything.
    """
    try:
        found = _regions(header)
    except Unreadable:
        return ()
    columns, rows = header.number(COLUMNS), header.number(ROWS)
    if not 0 < len(found) <= _MOST_REGIONS or any(not _is_possible(region, columns, rows) for region in found):
        return ()
    cut = tuple(Rectangle(one.x0, one.y0, min(one.x1, columns - 1), min(one.y1, rows - 1)) for one in found)
    return cut if _LEAST_SHARE <= _share(cut, columns, rows) <= _MOST_SHARE else ()


def _regions(header: Header) -> list[Rectangle]:
    sequence = header.element(_REGIONS)
    if sequence is None:
        return []
    inner = nested_syntax(sequence.vr, header.syntax)
    items = read_items(header.data, sequence, inner)
    return [_region(Header(header.data, read_nested(header.data, item, inner), inner)) for item in items]


def _region(item: Header) -> Rectangle:
    if any(len(item.value(tag)) != 4 for tag in _CORNERS):
        raise Unreadable("An ultrasound region lacks a corner.")
    return Rectangle(*(item.number(tag) for tag in _CORNERS))


def _is_possible(region: Rectangle, columns: int, rows: int) -> bool:
    return region.x0 <= region.x1 and region.y0 <= region.y1 and region.x0 < columns and region.y0 < rows


def _share(areas: tuple[Rectangle, ...], columns: int, rows: int) -> float:
    if len(areas) == 1:
        area = areas[0]
        return (area.x1 + 1 - area.x0) * (area.y1 + 1 - area.y0) / (columns * rows)
    covered = np.zeros((rows, columns), dtype=np.bool_)
    for area in areas:
        covered[area.y0 : area.y1 + 1, area.x0 : area.x1 + 1] = True
    return np.count_nonzero(covered) / (columns * rows)
