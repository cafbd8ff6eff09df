"""Blanks areas of pictures: decodes where it must, overwrites, and encodes again without loss.

The result depends on nothing but the instance and the plan. Lossy compressed pictures lose nothing more, and what they
lost before stays declared in the header (Lossy Image Compression is none of ours to change).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dicom.deid.encoding import UNDEFINED_LENGTH, Element, Syntax
from dicom.deid.pixels import codecs, frames, isolation, samples, segments
from dicom.deid.pixels.header import Header
from dicom.deid.pixels.judge import Plan
from dicom.deid.pixels.rules import Treatment
from models.domain.errors import NeedsReview, Unreadable
from models.domain.instances import Bytes

EXPLICIT_LITTLE_UID, JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"
_EXTREMES = (0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280110, 0x00280111)
"""Smallest and Largest Pixel Value in image, series and plane: they may have been those of the text."""
_OFFSETS = (0x7FE00001, 0x7FE00002, 0x7FE00003)
"""Extended Offset Table and its Lengths, Encapsulated Pixel Data Value Total Length."""
_ITEM, _SEQUENCE_END = struct.Struct("<HHI"), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True, slots=True)
class Blanked:
    """The pixel data element of an instance as it may pass.

    ``parts``, joined, are the complete element, encoded like the source's header; only sources with compressed frames
    change their transfer syntax, and these are explicit little endian before and after. ``changed`` are values of top
    level attributes as they are to be encoded (padded to an even length), or None for attributes that must go if they
    are there. ``is_blank`` is whether areas of the picture were blanked.
    """

    parts: tuple[Bytes, ...]
    transfer_syntax_uid: str
    changed: dict[int, bytes | None] = field(default_factory=dict[int, "bytes | None"])
    is_blank: bool = False


def blanked(
    data: memoryview, elements: list[Element], pixels: Element, syntax: Syntax, transfer_syntax_uid: str, plan: Plan
) -> Blanked:
    """Return the pixel data as the plan wants it; without anything to change, a view of the source's own.

    Needs memory for the result, one decoded frame, and the compressed source. RLE stays RLE and JPEG 2000 becomes
    JPEG 2000 lossless; other compressed pictures become native ones.

    Raises NeedsReview when the frames cannot be decoded, unless the plan says that a person has released the instance:
    then it passes unchanged. Raises Unreadable when header and frames contradict each other.
    """
    header = Header(data, elements, syntax)
    if plan.treatment is Treatment.PASS:
        return Blanked((data[pixels.start : pixels.end],), transfer_syntax_uid)
    if not frames.is_encapsulated(pixels):
        return _native(header, pixels, transfer_syntax_uid, plan)
    try:
        return _encapsulated(header, pixels, transfer_syntax_uid, plan)
    except NeedsReview:
        if not plan.is_released:
            raise
        return Blanked((data[pixels.start : pixels.end],), transfer_syntax_uid)


def _native(header: Header, pixels: Element, transfer_syntax_uid: str, plan: Plan) -> Blanked:
    value = header.data[pixels.begin : pixels.stop]
    if plan.areas is None and not plan.clears_unused_bits:
        length = frames.native_length(header, pixels)
        kept = value[: length + length % 2]  # the padding byte may be a sample where words are big endian
        return Blanked(_native_element(header, pixels, kept), transfer_syntax_uid)
    shape = frames.read_shape(header)
    frame_bytes = frames.native_frame_bytes(shape, len(value))
    if not frame_bytes:
        raise Unreadable("An instance's pixel data is shorter than its frames.")
    is_swapped = header.syntax.big_endian and pixels.vr == b"OW" and shape.bits_allocated == 8
    length = frame_bytes * shape.frames
    source = _swapped(value[: length + length % 2]) if is_swapped else value
    picture = samples.Picture.native(shape, frame_bytes, header.syntax.big_endian)
    result = samples.blanked(source[:length], picture, samples.fill_of(header, shape), plan.areas)
    if plan.clears_unused_bits:
        samples.clear_unused_bits(result, shape)
    content = result.view(np.uint8).data
    parts = _native_element(header, pixels, _swapped(_even(content)) if is_swapped else content)
    return Blanked(parts, transfer_syntax_uid, _without(*_EXTREMES), plan.is_blank)


def _swapped(value: Bytes) -> memoryview:
    """Bytes of 8 bit samples that stand in big endian words (PS3.5 section 8.1.1), the other way round."""
    return np.frombuffer(value, dtype=np.uint16).byteswap().view(np.uint8).data


def _even(content: memoryview) -> Bytes:
    return content if len(content) % 2 == 0 else bytes(content) + b"\0"


def _native_element(header: Header, pixels: Element, value: Bytes) -> tuple[Bytes, ...]:
    padding = b"\0" * (len(value) % 2)
    head = bytes(header.data[pixels.start : pixels.begin - 4])
    return head + struct.pack(f"{header.syntax.order}I", len(value) + len(padding)), value, padding


def _encapsulated(header: Header, pixels: Element, transfer_syntax_uid: str, plan: Plan) -> Blanked:
    shape = frames.read_shape(header)
    sources = frames.split_frames(header, pixels, transfer_syntax_uid, shape.frames)
    for source in sources:
        _check_size(source, transfer_syntax_uid, shape)
    encode = _ENCODERS.get(transfer_syntax_uid)
    if encode:
        try:
            return encode(header, shape, sources, transfer_syntax_uid, plan)
        except codecs.EncodingError:
            pass  # samples that use more bits than the header says are written native
    return _decoded(header, shape, sources, transfer_syntax_uid, plan)


def _check_size(source: bytes, transfer_syntax_uid: str, shape: frames.Shape) -> None:
    """A small stream that announces a huge picture would exhaust the decoder's memory."""
    if transfer_syntax_uid in segments.CODESTREAM_SYNTAXES:
        wanted = segments.Size(shape.rows, shape.columns, shape.samples)
        if segments.size_of(memoryview(source)) != wanted:
            raise Unreadable("An instance's compressed frames have another size than its header says.")


def _treated_frames(
    header: Header, shape: frames.Shape, sources: list[bytes], transfer_syntax_uid: str, plan: Plan
) -> Iterator[tuple[NDArray[np.generic], str]]:
    """Each frame decoded and blanked, colour by pixel, with its photometric interpretation."""
    for source in sources:
        decoded, photometric = isolation.decoded(source, shape, transfer_syntax_uid)
        picture = samples.Picture.decoded(shape, photometric)
        fill = samples.fill_of(header, picture.shape)
        result = samples.blanked(decoded.reshape(-1).view(np.uint8).data, picture, fill, plan.areas)
        if plan.clears_unused_bits:
            samples.clear_unused_bits(result, shape)
        yield result, photometric


def _decoded(
    header: Header, shape: frames.Shape, sources: list[bytes], transfer_syntax_uid: str, plan: Plan
) -> Blanked:
    """The frames as native pixel data, explicit little endian."""
    value = bytearray(shape.frame_bytes * shape.frames)
    photometrics: set[str] = set()
    for number, (frame, photometric) in enumerate(_treated_frames(header, shape, sources, transfer_syntax_uid, plan)):
        value[number * shape.frame_bytes : (number + 1) * shape.frame_bytes] = frame.tobytes()
        photometrics.add(photometric)
    if len(photometrics) != 1:
        raise Unreadable("An instance's compressed frames differ in their colour space.")
    vr = b"OB" if shape.bits_allocated == 8 else b"OW"
    padding = b"\0" * (len(value) % 2)
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, len(value) + len(padding))
    changed = _recoloured(shape, photometrics.pop(), header) | _without(*_EXTREMES, *_OFFSETS)
    return Blanked((head, value, padding), EXPLICIT_LITTLE_UID, changed, plan.is_blank)


def _encoded_as_rle(
    header: Header, shape: frames.Shape, sources: list[bytes], transfer_syntax_uid: str, plan: Plan
) -> Blanked:
    treated = _treated_frames(header, shape, sources, transfer_syntax_uid, plan)
    encoded = [codecs.as_rle(frame, shape, photometric) for frame, photometric in treated]
    changed = _without(*_EXTREMES, *_OFFSETS)
    return Blanked(_fragmented(encoded), transfer_syntax_uid, changed, plan.is_blank)


def _encoded_as_jpeg_2000(
    header: Header, shape: frames.Shape, sources: list[bytes], transfer_syntax_uid: str, plan: Plan
) -> Blanked:
    treated = _treated_frames(header, shape, sources, transfer_syntax_uid, plan)
    encoded = [codecs.as_jpeg_2000(frame, shape, photometric) for frame, photometric in treated]
    photometric = codecs.JPEG_2000_COLOUR.get(shape.photometric, shape.photometric)
    changed = _recoloured(shape, photometric, header) | _without(*_EXTREMES, *_OFFSETS)
    return Blanked(_fragmented(encoded), JPEG_2000_LOSSLESS, changed, plan.is_blank)


_ENCODERS = {frames.RLE: _encoded_as_rle, **dict.fromkeys(frames.JPEG_2000, _encoded_as_jpeg_2000)}


def _fragmented(encoded: list[bytes]) -> tuple[Bytes, ...]:
    """Frames as encapsulated pixel data, a fragment each, with a Basic Offset Table when it can hold the offsets."""
    padded = [frame + b"\0" * (len(frame) % 2) for frame in encoded]
    offsets = [0]
    for frame in padded[:-1]:
        offsets.append(offsets[-1] + 8 + len(frame))
    table = struct.pack(f"<{len(offsets)}I", *offsets) if offsets[-1] < UNDEFINED_LENGTH else b""
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, UNDEFINED_LENGTH)
    parts: list[Bytes] = [head]
    for content in (table, *padded):
        parts += [_ITEM.pack(0xFFFE, 0xE000, len(content)), content]
    return (*parts, _SEQUENCE_END)


def _recoloured(shape: frames.Shape, photometric: str, header: Header) -> dict[int, bytes | None]:
    changed: dict[int, bytes | None] = {}
    if photometric != shape.photometric:
        changed[frames.PHOTOMETRIC] = photometric.encode() + b" " * (len(photometric) % 2)
    if shape.samples > 1 and header.number(frames.PLANAR):
        changed[frames.PLANAR] = b"\0\0"
    return changed


def _without(*tags: int) -> dict[int, bytes | None]:
    return dict.fromkeys(tags)
