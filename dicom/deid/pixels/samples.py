"""Overwrites samples of decoded frames. It knows how samples lie in memory, and which value of them is black."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dicom.deid.pixels.frames import Shape
from dicom.deid.pixels.header import Header
from dicom.deid.pixels.signatures import Areas, Rectangle
from models.domain.instances import Bytes

_PADDING_VALUE = 0x00280120
_DESCRIPTORS, _TABLES = (0x00281101, 0x00281102, 0x00281103), (0x00281201, 0x00281202, 0x00281203)
"""Red, Green, Blue Palette Color Lookup Table Descriptor and Data (PS3.3 section C.7.6.3.1.5)."""

Samples = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Picture:
    """How frames lie in a buffer: by pixel, by plane, or with two pixels sharing their colour."""

    shape: Shape
    frame_count: int
    is_shared: bool
    big_endian: bool

    @classmethod
    def native(cls, shape: Shape, frame_bytes: int, big_endian: bool) -> "Picture":
        """Return the layout of native frames that are ``frame_bytes`` long each."""
        return cls(shape, shape.frames, frame_bytes < shape.frame_bytes, big_endian)

    @classmethod
    def decoded(cls, shape: Shape, photometric: str) -> "Picture":
        """Return the layout of one frame as decoders give it: every sample, by pixel, little endian."""
        return cls(replace(shape, photometric=photometric, is_planar=False), 1, False, False)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The unsigned type of the samples; blanking and masking need no sign."""
        return np.dtype(f"{'>' if self.big_endian else '<'}u{self.shape.bits_allocated // 8}")

    def view(self, flat: Samples) -> Samples:
        """Return a view as frames, rows, columns (or pairs of columns) and samples."""
        shape = self.shape
        if self.is_shared:
            return flat.reshape(self.frame_count, shape.rows, shape.columns // 2, 4)
        if shape.is_planar:
            planes = flat.reshape(self.frame_count, shape.samples, shape.rows, shape.columns)
            return np.moveaxis(planes, 1, 3)
        return flat.reshape(self.frame_count, shape.rows, shape.columns, shape.samples)

    def columns(self, area: Rectangle, grows: bool) -> slice:
        """Return where a rectangle's columns are in the view; pairs that it halves belong to it when it ``grows``."""
        if not self.is_shared:
            return slice(area.x0, area.x1 + 1)
        return slice(area.x0 // 2, area.x1 // 2 + 1) if grows else slice((area.x0 + 1) // 2, (area.x1 + 1) // 2)


def blanked(source: Bytes, picture: Picture, fill: tuple[int, ...], areas: Areas | None) -> Samples:
    """Return a copy of the frames, flat, with ``fill`` in every area that is to be blanked.

    ``source`` has exactly the length of the frames. Where pixels share their colour, both are blanked.
    """
    flat = np.frombuffer(source, dtype=picture.dtype)
    if areas is None or not areas.keep:
        result = flat.copy()
    else:
        result = np.empty_like(flat)
        _fill(picture.view(result), picture, fill)
        _copy(picture, areas.keep, picture.view(flat), picture.view(result))
    target = picture.view(result)
    for area in areas.blank if areas else ():
        _fill(target[:, area.y0 : area.y1 + 1, picture.columns(area, grows=True)], picture, fill)
    return result


def _copy(picture: Picture, areas: tuple[Rectangle, ...], source: Samples, target: Samples) -> None:
    for area in areas:
        place = (slice(None), slice(area.y0, area.y1 + 1), picture.columns(area, grows=False))
        target[place] = source[place]


def _fill(target: Samples, picture: Picture, fill: tuple[int, ...]) -> None:
    luminance, *colours = fill
    wanted = [luminance, luminance, *colours] if picture.is_shared else [luminance, *colours]
    if len(set(wanted)) == 1:
        target[...] = np.array(luminance, picture.dtype)
    else:
        target[...] = np.array(wanted, picture.dtype)


def clear_unused_bits(flat: Samples, shape: Shape) -> None:
    """Set the bits of samples that are not part of their value to 0, in place (PS3.5 section 8.1.1)."""
    np.bitwise_and(flat, flat.dtype.type(shape.stored_mask), out=flat)  # pyright: ignore[reportCallIssue]


def fill_of(header: Header, shape: Shape) -> tuple[int, ...]:
    """Return the samples of a blank pixel, as unsigned numbers: what is shown darkest, or Pixel Padding Value.

    The padding value is what a device itself gives to pixels that are no part of the picture; it is left out of
    statistics and windowing. Darkest is the smallest value for MONOCHROME2, the largest for MONOCHROME1, and for
    PALETTE COLOR the darkest entry of its tables.
    """
    match shape.photometric:
        case "MONOCHROME1" | "MONOCHROME2":
            padding = _padding(header, shape)
            darkest = _largest(shape) if shape.photometric == "MONOCHROME1" else _smallest(shape)
            return (darkest if padding is None else padding,)
        case "PALETTE COLOR":
            return (_darkest_entry(header, shape),)
        case "RGB":
            return (0, 0, 0)
        case photometric:
            middle = 1 << (shape.bits_stored - 1)
            return (16 if photometric == "YBR_PARTIAL_422" else 0, middle, middle)


def _smallest(shape: Shape) -> int:
    """The smallest value, as it is stored: with the sign in all bits above it."""
    if not shape.is_signed:
        return 0
    sign = 1 << shape.high_bit
    return ((1 << shape.bits_allocated) - 1) & ~(sign - 1)


def _largest(shape: Shape) -> int:
    return shape.stored_mask & ~(1 << shape.high_bit) if shape.is_signed else shape.stored_mask


def _padding(header: Header, shape: Shape) -> int | None:
    """Pixel Padding Value where it is one that a sample could have."""
    value = header.value(_PADDING_VALUE)
    if len(value) != 2 or shape.bits_allocated != 16 or shape.high_bit != shape.bits_stored - 1:
        return None
    number = header.number(_PADDING_VALUE)
    signed = number - (1 << 16) if shape.is_signed and number >> 15 else number
    least = -(1 << (shape.bits_stored - 1)) if shape.is_signed else 0
    return number if least <= signed < least + (1 << shape.bits_stored) else None


def _darkest_entry(header: Header, shape: Shape) -> int:
    """The index whose red, green and blue are darkest together; 0 where the tables are segmented or broken."""
    descriptors = [header.value(tag) for tag in _DESCRIPTORS]
    tables = [header.value(tag) for tag in _TABLES]
    order = ">" if header.syntax.big_endian else "<"
    if any(len(descriptor) != 6 for descriptor in descriptors) or not all(tables):
        return 0
    count, first, bits = (int(number) for number in np.frombuffer(descriptors[0], dtype=f"{order}u2"))
    count = count or 1 << 16
    width = 1 if bits == 8 and len(tables[0]) < 2 * count else 2
    if any(len(table) < count * width for table in tables) or first + count > 1 << shape.bits_stored:
        return 0
    dtype = "u1" if width == 1 else f"{order}u2"
    total = sum(np.frombuffer(table, dtype=dtype, count=count).astype(np.uint32) for table in tables)
    return first + int(np.argmin(total))
