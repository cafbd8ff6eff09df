"""Finds text and pictures that hide beside the picture in compressed frames: comments, EXIF, XMP, thumbnails.

Of a fragment that begins a frame only the headers of segments and boxes are read, until the first entropy coded data,
and its last bytes: the number of frames decides how long it takes, not their size. What stands between scans is not
looked at. Other fragments are searched when they look like text.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

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

_APP0, _APP2, _APP8, _APP14, _APP15 = 0xE0, 0xE2, 0xE8, 0xEE, 0xEF
_COMMENT, _START_OF_SCAN, _END_OF_IMAGE = 0xFE, 0xDA, 0xD9
_END = b"\xff\xd9"
"""The last marker of a frame in JPEG, JPEG-LS and JPEG 2000; their entropy coded data never holds it."""
_LONGEST_PADDING, _LONGEST_TAIL, _LOOKED_AT = 64, 4096, 4096
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_HARMLESS = {_APP0: b"JFIF\0", _APP2: b"ICC_PROFILE\0", _APP8: b"mrfx", _APP14: b"Adobe"}
"""How application segments begin that tell only how to read the samples (mrfx: a colour transform of JPEG-LS)."""
_TELLING = (b"Exif\0", b"http://ns.adobe.com/", b"Photoshop", b"JFXX\0", b"Ducky", b"MPF\0", b"FPXR\0")
"""How application segments begin that hold people's words, places, or a second picture."""

_J2K_SIZE, _J2K_COMMENT = 0x51, 0x64
_J2K_DATA = frozenset({0x90, 0x93, 0xD9})
"""Start of a tile part or of data, end of the codestream: the main header is over (ISO/IEC 15444-1 annex A)."""
_ENCODERS = re.compile(rb"..(?:Created by OpenJPEG version|Kakadu-v|JasPer Version) ?[0-9.]{1,12}\0?", re.DOTALL)
"""What encoders write about themselves, behind the two bytes that tell the kind of comment."""
_CODESTREAM_BOXES = frozenset({b"jp2c", b"jxlc", b"jxlp"})
_TELLING_BOXES = frozenset({b"xml ", b"uuid", b"uinf", b"Exif", b"jumb", b"brob", b"asoc", b"jp2i"})


_NO_MARKER = 0
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\0\t\n\r\x1b"})
"""Control characters that are in no text, whatever its character set and the bytes of each letter."""

_RLE_HEAD, _MOST_RLE_SEGMENTS = 64, 15


class Segment(NamedTuple):
    """A marker segment or box in front of a frame's entropy coded data; ``content`` is without its length.

    Without a marker, bytes that are no part of any frame.
    """

    marker: int
    content: memoryview


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


def can_be_searched(value: memoryview, transfer_syntax_uid: str) -> bool:
    """Whether the fragments are, by syntax or beginning, of a kind of which it is known where text may be in it."""
    if transfer_syntax_uid in CODESTREAM_SYNTAXES or transfer_syntax_uid == RLE:
        return True
    pieces = fragments(value)[1:]
    return not pieces or begins_frame(pieces[0])


def comments(value: memoryview, transfer_syntax_uid: str) -> Iterator[bytes]:
    """Yield what encapsulated pixel data says that is not needed to read the picture, each text once.

    ``value`` is the element's, without its delimiter. To be searched for identifiers. Left out are JFIF, Adobe and ICC
    segments and what encoders write about themselves. Of an offset table that is wrong, of what stands behind frames,
    and of fragments that begin no frame, all that may be text is yielded. Raises Unreadable when a frame's headers are
    broken.
    """
    yield from {bytes(one.content): None for one in _extras(value, transfer_syntax_uid)}


def has_metadata(value: memoryview, transfer_syntax_uid: str) -> bool:
    """Whether a compressed frame carries EXIF, XMP, IPTC, XML, a thumbnail or a second picture.

    ``value`` is that of encapsulated pixel data. Raises Unreadable when a frame's headers are broken.
    """
    return any(_is_telling(one) for one in _extras(value, transfer_syntax_uid))


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


def _extras(value: memoryview, transfer_syntax_uid: str) -> Iterator[Segment]:
    """The comments, unknown application segments and boxes of all frames, and what may be text beside the frames."""
    table, *pieces = fragments(value)
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
            yield from (one for one in _segments(piece) if _is_extra(one))
            yield from _behind_end(piece)
        elif _is_text(piece):
            yield Segment(_NO_MARKER, piece)


def _beside_rle(pieces: list[memoryview]) -> Iterator[Segment]:
    """What may be text in unused bytes of RLE headers (PS3.5 section G.5) and in fragments without a header."""
    length = sum(map(len, pieces))
    for number, piece in enumerate(pieces):
        offsets = _rle_offsets(piece, length)
        if offsets:
            unused = piece[4 + 4 * len(offsets) : offsets[0]]
            if bytes(unused).strip(b"\0"):
                yield Segment(_NO_MARKER, unused)
        elif number == 0:
            raise _broken()
        elif _is_text(piece):
            yield Segment(_NO_MARKER, piece)


def _rle_offsets(piece: memoryview, length: int) -> list[int]:
    """Where the segments begin, in ascending order; none when this is no header of a frame of at most this length."""
    count = int.from_bytes(piece[:4], "little")
    if len(piece) < _RLE_HEAD or not 1 <= count <= _MOST_RLE_SEGMENTS:
        return []
    offsets = [int.from_bytes(piece[place : place + 4], "little") for place in range(4, 4 + 4 * count, 4)]
    is_rising = all(one < other for one, other in pairwise([_RLE_HEAD - 1, *offsets, length + 1]))
    return offsets if is_rising else []


def _behind_end(frame: memoryview) -> Iterator[Segment]:
    """What stands behind the last marker of a frame and is more than padding; of a long one nothing."""
    if bytes(frame[-2:]) != _END and _has_end(frame):
        _, end, behind = bytes(frame[-_LONGEST_TAIL:]).rpartition(_END)
        if end and behind.strip(b"\0\xff"):
            yield Segment(_NO_MARKER, memoryview(behind))


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


def _is_extra(segment: Segment) -> bool:
    if segment.marker > 0xFF:
        return True
    if segment.marker in {_COMMENT, _J2K_COMMENT}:
        return not _ENCODERS.fullmatch(segment.content)
    if not _APP0 <= segment.marker <= _APP15:
        return False
    return _has_thumbnail(segment) or not bytes(segment.content[:16]).startswith(
        _HARMLESS.get(segment.marker, b"\0none")
    )


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
    """The segments and significant boxes of one frame until its first data; raises Unreadable."""
    start = bytes(frame[:2])
    if start == _SOI:
        yield from _marker_segments(frame, frozenset({_START_OF_SCAN, _END_OF_IMAGE}))
    elif start == _SOC:
        yield from _marker_segments(frame, _J2K_DATA)
    elif bytes(frame[:12]) in _BOXES:
        yield from _boxes(frame)
    elif start != _XL:
        raise _broken()


def _marker_segments(frame: memoryview, last: frozenset[int]) -> Iterator[Segment]:
    position = 2
    for _ in range(_MOST_SEGMENTS):
        while position + 1 < len(frame) and frame[position] == frame[position + 1] == 0xFF:
            position += 1  # fill bytes (ISO/IEC 10918-1 section B.1.1.2)
        if position + 4 > len(frame) or frame[position] != 0xFF:
            raise _broken()
        marker = frame[position + 1]
        if marker in last:
            return
        length = 0 if marker in _WITHOUT_LENGTH else int.from_bytes(frame[position + 2 : position + 4])
        if marker not in _WITHOUT_LENGTH:
            yield Segment(marker, frame[position + 4 : position + 2 + length])
        position += 2 + length
    raise _broken()


def _boxes(frame: memoryview) -> Iterator[Segment]:
    """Boxes that tell something, as segments of their type, and the segments of the codestream within."""
    position = 0
    for _ in range(_MOST_SEGMENTS):
        if position + 8 > len(frame):
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
            return  # an even length is reached by a zero, which is no box
        content = frame[position + head : stop]
        if kind in _TELLING_BOXES:
            yield Segment(int.from_bytes(kind), content)
        elif kind in _CODESTREAM_BOXES and bytes(content[:2]) == _SOC:
            yield from _marker_segments(content, _J2K_DATA)
        position = stop
    raise _broken()


def _broken() -> Unreadable:
    return Unreadable("An instance's compressed frames are broken, or not what its transfer syntax says.")
