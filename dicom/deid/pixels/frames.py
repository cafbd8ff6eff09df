"""How pixel data is laid out: the shape of its frames by the header, and where they stand in the encoded bytes.

It reads no sample and decodes nothing.
"""

from dataclasses import dataclass

from dicom.deid.encoding import Element
from dicom.deid.pixels.header import COLUMNS, ROWS, Header
from dicom.deid.pixels.segments import (
    CODESTREAM_SYNTAXES,
    RLE,
    Fragments,
    begins_frame,
    fragments,
    has_fragment_behind_end,
    starts_by_table,
)
from models.domain.errors import Unreadable

SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
BITS_ALLOCATED, BITS_STORED, HIGH_BIT, REPRESENTATION = 0x00280100, 0x00280101, 0x00280102, 0x00280103
PIXELS = 0x7FE00010
MOST_BYTES = 2 << 30
"""All frames without compression; larger ones are for a person to look at, not for a worker's memory."""

JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_DECODABLE = frozenset(
    {RLE, *JPEG_2000, "1.2.840.10008.1.2.4.50", _JPEG_EXTENDED, "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"}
    | {f"1.2.840.10008.1.2.4.{number}" for number in (80, 81, 201, 202, 203)}
)
NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"})
SUBSAMPLED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Two pixels side by side share their colour: Y1 Y2 Cb Cr (PS3.3 section C.7.6.3.1.2)."""
_SAMPLES_OF = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    **dict.fromkeys(SUBSAMPLED, 3),
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
PHOTOMETRICS = frozenset(_SAMPLES_OF)
_FLOAT_BITS = {0x7FE00008: 32, 0x7FE00009: 64}


@dataclass(frozen=True, slots=True)
class Shape:
    """The Image Pixel attributes (PS3.3 section C.7.6.3) of one instance."""

    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    photometric: str
    is_planar: bool

    @property
    def frame_bytes(self) -> int:
        """The length of a native frame whose samples are all there; with shared colour it is shorter."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    @property
    def stored_mask(self) -> int:
        """The bits of a sample that belong to its value."""
        return ((1 << self.bits_stored) - 1) << (self.high_bit + 1 - self.bits_stored)


def read_shape(header: Header) -> Shape:
    """Return the shape of an instance's frames.

    Raises Unreadable when an attribute is missing or impossible, or the whole is larger than MOST_BYTES.
    """
    allocated = header.number(BITS_ALLOCATED)
    stored = header.number(BITS_STORED) or allocated
    shape = Shape(
        rows=header.number(ROWS),
        columns=header.number(COLUMNS),
        samples=header.number(SAMPLES) or 1,
        frames=frame_count(header),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=header.number(HIGH_BIT) if header.element(HIGH_BIT) else stored - 1,
        is_signed=header.number(REPRESENTATION) == 1,
        photometric=header.text(PHOTOMETRIC).upper(),
        is_planar=header.number(PLANAR) == 1 and header.number(SAMPLES) > 1,
    )
    _check(shape)
    return shape


def _check(shape: Shape) -> None:
    if not (shape.rows and shape.columns and shape.frames):
        raise Unreadable("An instance with pixel data has no rows, columns or frames.")
    if shape.bits_allocated not in {8, 16, 32} or not shape.bits_stored <= shape.high_bit + 1 <= shape.bits_allocated:
        raise Unreadable("An instance's samples have an impossible number of bits.")
    if _SAMPLES_OF.get(shape.photometric) != shape.samples:
        raise Unreadable("An instance's photometric interpretation is unknown, or does not fit its samples.")
    if shape.frame_bytes * shape.frames > MOST_BYTES:
        raise Unreadable("An instance's frames are too large to be decoded.")


def frame_count(header: Header) -> int:
    """Return the Number of Frames, 1 when it is absent and 0 when it is no number."""
    text = header.text(FRAMES).strip(" +") or "1"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def is_encapsulated(pixels: Element) -> bool:
    """Whether the pixel data is of undefined length, a sequence of fragments (PS3.5 section A.4)."""
    return pixels.end != pixels.stop


def can_be_rewritten(header: Header, pixels: Element, transfer_syntax_uid: str) -> bool:
    """Whether the frames can be decoded, changed and encoded again, as far as the header tells."""
    if pixels.tag != PIXELS or pixels.vr not in {b"OB", b"OW"}:
        return False
    try:
        shape = read_shape(header)
    except Unreadable:
        return False
    if is_encapsulated(pixels):
        return _can_be_decoded(shape, transfer_syntax_uid)
    return transfer_syntax_uid in NATIVE and native_frame_bytes(shape, pixels.stop - pixels.begin) > 0


def _can_be_decoded(shape: Shape, transfer_syntax_uid: str) -> bool:
    if transfer_syntax_uid == _JPEG_EXTENDED and shape.bits_stored != 8:
        return False  # no decoder under a free licence reads 12 bits
    return transfer_syntax_uid in _DECODABLE and shape.high_bit == shape.bits_stored - 1


def native_frame_bytes(shape: Shape, length: int) -> int:
    """Return how long each native frame is in a value of ``length`` bytes, or 0 when the frames do not fit into it.

    Pictures with shared colour need two thirds of the bytes; some devices write them with all samples nevertheless.
    """
    if shape.photometric not in SUBSAMPLED or length >= shape.frame_bytes * shape.frames:
        return shape.frame_bytes if length >= shape.frame_bytes * shape.frames else 0
    shared = shape.frame_bytes // 3 * 2
    is_possible = shape.columns % 2 == 0 and shape.bits_allocated == 8 and not shape.is_planar
    return shared if is_possible and length >= shared * shape.frames else 0


def has_unused_bits(header: Header) -> bool:
    """Whether samples have bits that are not part of their value, in which overlays may be."""
    shape = read_shape(header)
    return shape.stored_mask != (1 << shape.bits_allocated) - 1


def native_length(header: Header, pixels: Element) -> int:
    """Return how many bytes all native frames need, without padding; what the header does not say counts as nothing."""
    bits = _FLOAT_BITS.get(pixels.tag) or header.number(BITS_ALLOCATED)
    samples = header.number(ROWS) * header.number(COLUMNS) * (header.number(SAMPLES) or 1)
    return (samples * bits * frame_count(header) + 7) // 8


def has_data_behind(header: Header, pixels: Element) -> bool:
    """Whether native pixel data is longer than its frames, padded to an even length (PS3.5 section 8.2)."""
    length = native_length(header, pixels)
    return pixels.stop - pixels.begin > length + length % 2


def has_excess_fragments(found: Fragments, transfer_syntax_uid: str, count: int) -> bool:
    """Whether encapsulated pixel data is more than ``count`` compressed frames and a table of their offsets.

    More is a fragment that begins another frame or follows the end of one, a frame behind another one's end in the same
    fragment, and a table that is of another length and whose entries are no offsets. RLE has one fragment for each
    frame (PS3.5 section A.4.2), unless there is one frame, or the table says otherwise.
    """
    table, pieces = found.table, found.pieces
    if len(table) not in {0, 4 * count} and not starts_by_table(table, pieces):
        return True
    if transfer_syntax_uid == RLE:
        return len(pieces) > count > 1 and len(starts_by_table(table, pieces)) != count
    has_more_frames = len(pieces) > count and sum(map(begins_frame, pieces)) > count
    return has_more_frames or found.has_picture_behind or has_fragment_behind_end(pieces)


def split_frames(header: Header, pixels: Element, transfer_syntax_uid: str, count: int) -> list[bytes]:
    """Return the compressed frames, each joined from its fragments (PS3.5 section A.4).

    Raises Unreadable when they are not ``count``.
    """
    offsets, *pieces = fragments(header.data[pixels.begin : pixels.stop])
    if len(pieces) == count:
        return [bytes(piece) for piece in pieces]
    if count == 1 and pieces:
        return [b"".join(pieces)]
    starts = starts_by_table(offsets, pieces)
    if len(starts) != count and transfer_syntax_uid in CODESTREAM_SYNTAXES:
        starts = [number for number, piece in enumerate(pieces) if begins_frame(piece)]
    if len(starts) != count or starts[0]:
        raise Unreadable("An instance's compressed pixel data has another number of frames than its header.")
    return [b"".join(pieces[start:stop]) for start, stop in zip(starts, [*starts[1:], None], strict=True)]
