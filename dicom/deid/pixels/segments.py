"""Finds text and pictures that hide beside the picture in compressed frames: comments, EXIF, XMP, thumbnails.

Frames are not decoded. Their segments and boxes are read, also those between the scans of JPEG and in the tile parts of
JPEG 2000, and what stands behind their end. Entropy coded data is only looked through for markers, and of fragments
that begin no frame nobody knows what they are: both of them text, or bytes within which there may be some.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from models.domain.errors import Unreadable

_JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 92, 93, 201, 202, 203))
_JPEG_XL = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112))
CODESTREAM_SYNTAXES = _JPEG | _JPEG_2000 | _JPEG_XL
"""Syntaxes whose frames begin with a marker or a signature box."""
RLE = "1.2.840.10008.1.2.5"
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?|1\.2\.840\.10008\.1\.2\.7\.[123]")
"""MPEG-2, MPEG-4 and HEVC, also fragmented (PS3.5 sections 8.2.5 to 8.2.11), and SMPTE ST 2110."""

_SOI, _SOC, _XL = b"\xff\xd8", b"\xff\x4f", b"\xff\x0a"
_BOXES = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n")
_MOST_SEGMENTS = 4096

_APP0, _APP8, _APP14, _APP15 = 0xE0, 0xE8, 0xEE, 0xEF
_HUFFMAN, _ARITHMETIC, _QUANTIZATION, _LINES, _RESTART, _LS_PARAMETERS = 0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xF8
_COMMENT, _START_OF_SCAN, _END_OF_IMAGE = 0xFE, 0xDA, 0xD9
_END = b"\xff\xd9"
"""The last marker of a frame in JPEG, JPEG-LS and JPEG 2000; their entropy coded data never holds it."""
_LONGEST_PADDING, _LOOKED_AT = 64, 4096
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {_HUFFMAN, 0xC8, _ARITHMETIC})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_NEEDED = _FRAME_HEADERS | {_HUFFMAN, _ARITHMETIC, _START_OF_SCAN, _LINES, _RESTART, _LS_PARAMETERS}
"""Segments of JPEG that decoders need, besides those of quantization."""
_TABLE_LENGTHS = {**dict.fromkeys(range(4), 65), **dict.fromkeys(range(0x10, 0x14), 129)}
"""Of quantization, by their first byte: four tables at most, of one byte or two for each number."""
_BETWEEN_SCANS = np.isin(
    np.arange(0x100),
    [_HUFFMAN, _ARITHMETIC, *range(_END_OF_IMAGE, _RESTART + 1), *range(_APP0, _APP15 + 1), _LS_PARAMETERS, _COMMENT],
)
"""Which markers may stand behind the first scan, and never in entropy coded data; restarts tell nothing."""
_HARMLESS = {_APP0: (b"JFIF\0", 14), _APP8: (b"mrfx", 6), _APP14: (b"Adobe", 12)}
"""How application segments begin, and how long they are at most, that tell only how to read the samples (mrfx: a colour
transform of JPEG-LS)."""
_TELLING = (b"Exif\0", b"http://ns.adobe.com/", b"Photoshop", b"JFXX\0", b"Ducky", b"MPF\0", b"FPXR\0")
"""How application segments begin that hold people's words, places, or a second picture."""

_J2K_SIZE, _J2K_COMMENT = 0x51, 0x64
_J2K_DATA = frozenset({0x90, 0x93, _END_OF_IMAGE})
"""Start of a tile part or of data, end of the codestream: the header is over (ISO/IEC 15444-1 annex A)."""
_J2K_NEEDED = frozenset({*range(0x50, 0x64)})
"""From the capabilities to the registration of components (ISO/IEC 15444-1 table A.2, 15444-2, 15444-15)."""
_TILE_PART, _TILE_PART_HEAD = b"\xff\x90", 12
_ENCODERS = re.compile(rb"..(?:Created by OpenJPEG version|Kakadu-v|JasPer Version) ?[0-9.]{1,12}\0?", re.DOTALL)
"""What encoders write about themselves, behind the two bytes that tell the kind of comment."""
_CODESTREAM_BOXES = frozenset({b"jp2c", b"jxlc", b"jxlp"})
_TELLING_BOXES = frozenset({b"xml ", b"uuid", b"uinf", b"Exif", b"jumb", b"brob", b"asoc", b"jp2i"})
_SIGNATURES, _LONGEST_SIGNATURE = frozenset(box[4:] for box in _BOXES), 5


_NO_MARKER, _UNKNOWN, _PICTURE = 0, -1, -2
"""Instead of markers: may be text, may be anything within which there is text, is a frame where none belongs."""
_END_MARKER = re.compile(re.escape(_END))
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\0\t\n\r\x1b"})
"""Control characters that are in no text, whatever its character set and the bytes of each letter."""

_RLE_HEAD, _MOST_RLE_SEGMENTS = 64, 15


class Segment(NamedTuple):
    """A marker segment or box; ``content`` is without its length.

    Without a marker, bytes that are no part of a frame.
    """

    marker: int
    content: memoryview


@dataclass(frozen=True, slots=True)
class Fragments:
    """Encapsulated pixel data, read once.

    ``table`` is the Basic Offset Table, ``pieces`` are the other fragments. ``comments`` are what is said that is not
    needed to read the picture, each once, to be searched for identifiers as text. Left out are JFIF and Adobe segments
    and what encoders write about themselves. ``unknown`` are bytes that are no text as a whole, within which there may
    be some: fragments that begin no frame, the end of RLE and of JPEG XL, boxes of unknown meaning, and what is long
    behind the end of a frame.
    ``has_metadata``: a frame carries EXIF, XMP, IPTC, XML, a thumbnail or a second picture; ``has_picture_behind``:
    another frame begins behind the end of one. ``can_be_searched``: the syntax, or how the fragments begin, tells where
    text may be.
    """

    table: memoryview
    pieces: list[memoryview]
    comments: tuple[bytes, ...]
    unknown: tuple[memoryview, ...]
    has_metadata: bool
    has_picture_behind: bool
    can_be_searched: bool


class Size(NamedTuple):
    """What a compressed frame says about itself."""

    rows: int
    columns: int
    samples: int


def fragments(value: memoryview) -> list[memoryview]:
    """Return the items of encapsulated pixel data as views, the Basic Offset Table first (PS3.5 section A.4).

    ``value`` is the element's, without its delimiter.
    """
    found: list[memoryview] = []
    position = 0
    while position < len(value):
        length = int.from_bytes(value[position + 4 : position + 8], "little")
        found.append(value[position + 8 : position + 8 + length])
        position += 8 + length
    return found or [value[:0]]


def begins_frame(fragment: memoryview) -> bool:
    """Whether a fragment begins with a codestream's start, or with a signature box, and not in the midst of a frame."""
    return bytes(fragment[:2]) in {_SOI, _SOC, _XL} or bytes(fragment[:12]) in _BOXES


def is_video(transfer_syntax_uid: str) -> bool:
    """Whether fragments are pieces of a video's stream."""
    return _VIDEO.fullmatch(transfer_syntax_uid) is not None


def read_fragments(value: memoryview, transfer_syntax_uid: str) -> Fragments:
    """Return what encapsulated pixel data holds; ``value`` is the element's, without its delimiter.

    Costs 0.3 ms of CPU for each MB of JPEG. Raises Unreadable when a frame's headers are broken.
    """
    table, *pieces = fragments(value)
    extras = list(_extras(table, pieces, transfer_syntax_uid))
    markers = {one.marker for one in extras}
    comments = {bytes(one.content): None for one in extras if one.marker >= _NO_MARKER}
    unknown = tuple(one.content for one in extras if one.marker < _NO_MARKER)
    has_metadata = any(_is_telling(one) for one in extras)
    is_known = transfer_syntax_uid in CODESTREAM_SYNTAXES or transfer_syntax_uid == RLE
    is_searched = is_known or is_video(transfer_syntax_uid) or not pieces or begins_frame(pieces[0])
    return Fragments(table, pieces, tuple(comments), unknown, has_metadata, _PICTURE in markers, is_searched)


def starts_by_table(table: memoryview, pieces: list[memoryview]) -> list[int]:
    """Return the numbers of the fragments at which frames begin, as the Basic Offset Table says; none when it is wrong.

    ``pieces`` are the fragments without the table.
    """
    places: dict[int, int] = {}
    position = 0
    for number, piece in enumerate(pieces):
        places[position] = number
        position += 8 + len(piece)
    wanted = [int.from_bytes(table[place : place + 4], "little") for place in range(0, len(table), 4)]
    return [places[offset] for offset in wanted] if all(offset in places for offset in wanted) else []


def has_fragment_behind_end(pieces: list[memoryview]) -> bool:
    """Whether a fragment that begins no frame, and is more than padding, follows the end of a frame.

    ``pieces`` are the fragments without the table. Only frames of JPEG and JPEG 2000 without boxes tell their end.
    """
    start = None
    for number, piece in enumerate(pieces):
        if begins_frame(piece):
            start = number if _has_end(piece) else None
        elif start is not None and _ends(pieces[max(start, number - 2) : number]) and bytes(piece).strip(b"\0"):
            return True
    return False


def size_of(frame: memoryview) -> Size | None:
    """Return the size that a compressed frame announces, or None when it announces none; raises Unreadable."""
    for segment in _segments(frame):
        if segment.marker in _FRAME_HEADERS and len(segment.content) >= 6:
            rows, columns = (int.from_bytes(segment.content[place : place + 2]) for place in (1, 3))
            return Size(rows, columns, segment.content[5])
        if segment.marker == _J2K_SIZE and len(segment.content) >= 36:
            x1, y1, x0, y0 = (int.from_bytes(segment.content[place : place + 4]) for place in (2, 6, 10, 14))
            return Size(y1 - y0, x1 - x0, int.from_bytes(segment.content[34:36]))
    return None


def _extras(table: memoryview, pieces: list[memoryview], transfer_syntax_uid: str) -> Iterator[Segment]:
    """The comments, unknown application segments and boxes of all frames, and what may be text beside the frames."""
    if table and not starts_by_table(table, pieces):
        yield Segment(_NO_MARKER, table)
    if not pieces:
        return
    if transfer_syntax_uid == RLE:
        yield from _beside_rle(pieces)
        return
    if transfer_syntax_uid in CODESTREAM_SYNTAXES and not begins_frame(pieces[0]):
        raise _broken()
    has_codestreams = not is_video(transfer_syntax_uid) or begins_frame(pieces[0])
    for piece in pieces:
        if has_codestreams and begins_frame(piece):
            needed = _NEEDED if bytes(piece[:2]) == _SOI else _J2K_NEEDED
            extras = (_extra(segment, needed) for segment in _segments(piece))
            yield from (extra for extra in extras if extra.content)
        else:
            yield _text_or_unknown(piece)


def _beside_rle(pieces: list[memoryview]) -> Iterator[Segment]:
    """What may be text in unused bytes of RLE headers (PS3.5 section G.5) and in fragments without a header.

    Where the last segment ends would only be known by decoding it: its last bytes may be behind it.
    """
    length = sum(map(len, pieces))
    for number, piece in enumerate(pieces):
        offsets = _rle_offsets(piece, length)
        if offsets:
            unused = piece[4 + 4 * len(offsets) : offsets[0]]
            if bytes(unused).strip(b"\0"):
                yield Segment(_NO_MARKER, unused)
            yield Segment(_UNKNOWN, piece[max(offsets[-1], len(piece) - _LOOKED_AT) :])
        elif number == 0:
            raise _broken()
        else:
            yield _text_or_unknown(piece)


def _rle_offsets(piece: memoryview, length: int) -> list[int]:
    """Where the segments begin, in ascending order; none when this is no header of a frame of at most this length."""
    count = int.from_bytes(piece[:4], "little")
    if len(piece) < _RLE_HEAD or not 1 <= count <= _MOST_RLE_SEGMENTS:
        return []
    offsets = [int.from_bytes(piece[place : place + 4], "little") for place in range(4, 4 + 4 * count, 4)]
    is_rising = all(one < other for one, other in pairwise([_RLE_HEAD - 1, *offsets, length + 1]))
    return offsets if is_rising else []


def _behind_end(behind: memoryview) -> Iterator[Segment]:
    """What stands behind the last marker of a frame and is more than padding."""
    padding = len(behind) - len(bytes(behind).lstrip(b"\0"))
    if _has_end(behind[padding:]):
        yield Segment(_PICTURE, behind)
    elif bytes(behind).strip(b"\0\xff"):
        yield Segment(_NO_MARKER, behind) if len(behind) <= _LOOKED_AT else _text_or_unknown(behind)


def _text_or_unknown(piece: memoryview) -> Segment:
    return Segment(_NO_MARKER if _is_text(piece) else _UNKNOWN, piece)


def _has_end(frame: memoryview) -> bool:
    return bytes(frame[:2]) in {_SOI, _SOC}


def _ends(pieces: list[memoryview]) -> bool:
    """Whether the last marker of a frame is the end of these fragments, but for padding."""
    return b"".join(bytes(piece[-_LONGEST_PADDING:]) for piece in pieces).rstrip(b"\0").endswith(_END)


def _is_text(piece: memoryview) -> bool:
    """Whether bytes may be text of whatever encoding, by their beginning; compressed data has other bytes, too."""
    sample = bytes(piece[:_LOOKED_AT]).lstrip(b"\0") or bytes(piece).lstrip(b"\0")[:_LOOKED_AT]
    letters = sample.decode("utf-8", "ignore").encode("utf-8").translate(None, _CONTROLS)
    return bool(sample) and 4 * len(letters) >= 3 * len(sample)


def _extra(segment: Segment, needed: frozenset[int]) -> Segment:
    """As much of a segment as decoders do not need; of most, nothing."""
    marker, content = segment
    if marker in needed:
        return Segment(marker, content[:0])
    if marker == _QUANTIZATION:
        return Segment(marker, content[_quantization_length(content) :])
    if marker in {_COMMENT, _J2K_COMMENT} and _ENCODERS.fullmatch(content):
        return Segment(marker, content[:0])
    beginning, longest = _HARMLESS.get(marker, (b"", -1))
    is_harmless = len(content) <= longest and bytes(content[: len(beginning)]) == beginning
    return Segment(marker, content[:0] if is_harmless else content)


def _quantization_length(content: memoryview) -> int:
    """How much of a segment is tables: a byte that tells which, and 64 numbers (ISO/IEC 10918-1 section B.2.4.1)."""
    length = 0
    while length < len(content) and content[length] in _TABLE_LENGTHS:
        length += _TABLE_LENGTHS[content[length]]
    return length


def _is_telling(segment: Segment) -> bool:
    if segment.marker > 0xFF:
        return True
    is_application = _APP0 <= segment.marker <= _APP15
    return _has_thumbnail(segment) or (is_application and bytes(segment.content[:32]).startswith(_TELLING))


def _has_thumbnail(segment: Segment) -> bool:
    """JFIF's own thumbnail has its width and height in the last two bytes of the segment's fixed part."""
    content = segment.content
    return segment.marker == _APP0 and len(content) > 14 and bytes(content[:5]) == b"JFIF\0"


def _segments(frame: memoryview) -> Iterator[Segment]:
    """The segments and significant boxes of one frame, and what is behind its end.

    Raises Unreadable when they are broken before the first entropy coded data.
    """
    start = bytes(frame[:2])
    if start == _SOI:
        yield from _jpeg(frame)
    elif start == _SOC:
        yield from _jpeg_2000(frame)
    elif bytes(frame[:12]) in _BOXES:
        yield from _boxes(frame)
    elif start == _XL:
        yield _tail(frame)
    else:
        raise _broken()


def _jpeg(frame: memoryview) -> Iterator[Segment]:
    position = yield from _marker_segments(frame, 2, frozenset({_START_OF_SCAN, _END_OF_IMAGE}))
    if not position:
        raise _broken()
    for place in _markers(frame, position):
        if place < position:
            continue  # in the midst of a segment
        if frame[place + 1] == _END_OF_IMAGE:
            yield from _behind_end(frame[place + 2 :])
            return
        position = place + 2 + int.from_bytes(frame[place + 2 : place + 4])
        yield Segment(frame[place + 1], frame[place + 4 : position])


def _markers(frame: memoryview, position: int) -> Iterator[int]:
    """Where markers stand that may follow the first scan, from that on."""
    data = np.frombuffer(frame, np.uint8, offset=position)
    places = np.flatnonzero(data[:-1] == 0xFF)
    yield from (places[_BETWEEN_SCANS[data[places + 1]]] + position).tolist()


def _jpeg_2000(frame: memoryview) -> Iterator[Segment]:
    """Hops over the data of tile parts, whose headers tell their length (ISO/IEC 15444-1 section A.4.2)."""
    position = yield from _marker_segments(frame, 2, _J2K_DATA)
    if not position:
        raise _broken()
    while bytes(frame[position : position + 2]) == _TILE_PART:
        begin = position + _TILE_PART_HEAD
        stop = position + int.from_bytes(frame[position + 6 : position + 10])
        data = yield from _marker_segments(frame, begin, _J2K_DATA)
        is_right = stop >= max(data, begin) and bytes(frame[stop : stop + 2]) in {_TILE_PART, _END}
        position = stop if is_right else _end_of(frame, data or begin)
    yield from _behind_end(frame[_end_of(frame, position) + 2 :])


def _end_of(frame: memoryview, position: int) -> int:
    """Where the last marker of a frame stands, or would if the frame went on for it."""
    found = _END_MARKER.search(frame, position)
    return found.start() if found else len(frame)


def _marker_segments(frame: memoryview, position: int, last: frozenset[int]) -> Generator[Segment, None, int]:
    """Yield the segments until one of the last markers; return where that stands, or 0 when they are broken."""
    for _ in range(_MOST_SEGMENTS):
        while position + 1 < len(frame) and frame[position] == frame[position + 1] == 0xFF:
            position += 1  # fill bytes (ISO/IEC 10918-1 section B.1.1.2)
        if position + 4 > len(frame) or frame[position] != 0xFF:
            return 0
        marker = frame[position + 1]
        if marker in last:
            return position
        length = 0 if marker in _WITHOUT_LENGTH else int.from_bytes(frame[position + 2 : position + 4])
        if marker not in _WITHOUT_LENGTH:
            yield Segment(marker, frame[position + 4 : position + 2 + length])
        position += 2 + length
    return 0


def _boxes(frame: memoryview) -> Iterator[Segment]:
    """Boxes that tell something, as segments of their type, the segments of the codestream within, and all others.

    Of codestreams of JPEG XL and of what others mean nothing is known, and behind the last box there is none.
    """
    position = 0
    for _ in range(_MOST_SEGMENTS):
        if position + 8 > len(frame):
            yield from _behind_end(frame[position:])
            return
        length, kind, head = (
            int.from_bytes(frame[position : position + 4]),
            bytes(frame[position + 4 : position + 8]),
            8,
        )
        if length == 1:
            length, head = int.from_bytes(frame[position + 8 : position + 16]), 16
        stop = position + length if length else len(frame)
        if stop < position + head:
            yield from _behind_end(frame[position:])
            return
        yield from _box(kind, frame[position + head : stop])
        position = stop
    raise _broken()


def _box(kind: bytes, content: memoryview) -> Iterator[Segment]:
    if kind in _TELLING_BOXES:
        yield Segment(int.from_bytes(kind), content)
    elif kind in _CODESTREAM_BOXES and bytes(content[:2]) == _SOC:
        yield from _jpeg_2000(content)
    elif kind in _CODESTREAM_BOXES:
        yield _tail(content)
    elif kind + bytes(content[:_LONGEST_SIGNATURE]) not in _SIGNATURES:
        yield _text_or_unknown(content)


def _tail(data: memoryview) -> Segment:
    """The last bytes of what only decoding it could tell the end of."""
    return Segment(_UNKNOWN, data[-_LOOKED_AT:])


def _broken() -> Unreadable:
    return Unreadable("An instance's compressed frames are broken, or not what its transfer syntax says.")
