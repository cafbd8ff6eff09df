"""Encodes JPEG lossless with first-order prediction (ISO/IEC 10918-1 annex H), so that samples need no codec."""

import struct

import numpy as np
from numpy.typing import NDArray

_CATEGORIES = 17
_CODE_BITS = 5
"""Every difference category gets a code of five bits: 17 of the 31 codes that Huffman tables allow."""


def encode(image: NDArray[np.uint16]) -> bytes:
    """Return one 16-bit greyscale frame as a JPEG stream (process 14, selection value 1) of even length."""
    stream = _headers(*image.shape) + _entropy_coded(_differences(image)) + b"\xff\xd9"
    return stream + b"\0" * (len(stream) % 2)


def _headers(rows: int, columns: int) -> bytes:
    frame = struct.pack(">BHHBBBB", 16, rows, columns, 1, 1, 0x11, 0)
    counts = bytes(_CATEGORIES if length == _CODE_BITS else 0 for length in range(1, 17))
    table = b"\0" + counts + bytes(range(_CATEGORIES))
    scan = struct.pack(">BBBBBB", 1, 1, 0, 1, 0, 0)
    return b"\xff\xd8" + _segment(0xC3, frame) + _segment(0xC4, table) + _segment(0xDA, scan)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _differences(image: NDArray[np.uint16]) -> list[int]:
    """Each pixel minus its left neighbour, in a row's first column minus the one above, modulo 2^16 as signed."""
    values = image.astype(np.int64)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 1 << 15
    difference = (values - predicted + (1 << 15)) % (1 << 16) - (1 << 15)
    return [int(number) for number in difference.ravel()]


def _entropy_coded(differences: list[int]) -> bytes:
    bits = "".join(_code(difference) for difference in differences)
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return packed.replace(b"\xff", b"\xff\0")


def _code(difference: int) -> str:
    category = abs(difference).bit_length()
    code = f"{category:05b}"
    if category in {0, 16}:
        return code
    value = difference if difference > 0 else difference + (1 << category) - 1
    return code + f"{value:0{category}b}"
