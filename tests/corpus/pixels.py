"""Tiny pictures for the corpus, native and compressed, always the same."""

import struct

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

SIZE = 32
"""Rows and columns of an ordinary picture."""

Picture = NDArray[np.generic]


def noise(seed: int, *shape: int, bits: int = 12, kind: str = "<u2") -> Picture:
    """Return random numbers of so many bits, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 1 << bits, shape or (SIZE, SIZE)).astype(kind)


def describe(
    dataset: Dataset, rows: int, columns: int, *, samples: int = 1, stored: int = 12, allocated: int = 16
) -> None:
    """Set the attributes of the Image Pixel Module (PS3.3 section C.7.6.3)."""
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation = 0


def put(dataset: Dataset, picture: Picture) -> None:
    """Add native pixels, padded to an even length."""
    data = picture.tobytes()
    dataset.add_new(0x7FE00010, "OW" if picture.dtype.itemsize > 1 else "OB", data + b"\0" * (len(data) % 2))


def grey(dataset: Dataset, seed: int, frames: int = 1, stored: int = 12) -> None:
    """Describe and add one or more grey pictures of 16 bits."""
    describe(dataset, SIZE, SIZE, stored=stored)
    put(dataset, noise(seed, frames, SIZE, SIZE, bits=stored))


def grey8(dataset: Dataset, seed: int) -> None:
    """Describe and add one grey picture of 8 bits."""
    describe(dataset, SIZE, SIZE, stored=8, allocated=8)
    put(dataset, noise(seed, SIZE, SIZE, bits=8, kind="u1"))


def colour(dataset: Dataset, seed: int, frames: int = 1, rows: int = SIZE, columns: int = SIZE) -> None:
    """Describe and add one or more RGB pictures."""
    describe(dataset, rows, columns, samples=3, stored=8, allocated=8)
    put(dataset, noise(seed, frames, rows, columns, 3, bits=8, kind="u1"))


def compress(dataset: Dataset, transfer_syntax_uid: UID) -> None:
    """Replace native pixels by ones in JPEG 2000 or RLE."""
    dataset.file_meta = dataset.file_meta if hasattr(dataset, "file_meta") else _native_meta()
    dataset.compress(transfer_syntax_uid, generate_instance_uid=False)
    dataset["PixelData"].VR = "OB"
    del dataset.file_meta


def _native_meta() -> "Dataset":
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta


def put_jpeg(dataset: Dataset, seed: int, comment: bytes = b"") -> None:
    """Add a frame in JPEG baseline of an 8 bit picture that is described already."""
    dataset.add_new(0x7FE00010, "OB", encapsulate([jpeg_baseline(noise(seed, SIZE // 8, SIZE // 8, bits=8), comment)]))
    dataset["PixelData"].is_undefined_length = True


_DC_CATEGORIES = 12


def jpeg_baseline(blocks: Picture, comment: bytes = b"") -> bytes:
    """Return a grey JPEG (process 1) in which each number of ``blocks`` is the brightness of eight by eight pixels.

    ``comment`` becomes a COM segment. Source: ISO/IEC 10918-1 annexes B and F; every quantizer is 1, every DC
    category has a code of four bits, and the only AC symbol is the end of a block.
    """
    rows, columns = blocks.shape
    head = [
        b"\xff\xd8",
        _segment(0xDB, b"\0" + bytes([1] * 64)),
        _segment(0xFE, comment) if comment else b"",
        _segment(0xC0, struct.pack(">BHHB3B", 8, rows * 8, columns * 8, 1, 1, 0x11, 0)),
        _segment(0xC4, b"\x00" + bytes([0, 0, 0, _DC_CATEGORIES, *[0] * 12]) + bytes(range(_DC_CATEGORIES))),
        _segment(0xC4, b"\x10" + bytes([1, *[0] * 15]) + b"\0"),
        _segment(0xDA, bytes([1, 1, 0x00, 0, 63, 0])),
    ]
    stream = b"".join(head) + _scan(blocks) + b"\xff\xd9"
    return stream + b"\0" * (len(stream) % 2)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _scan(blocks: Picture) -> bytes:
    bits, previous = "", 0
    for brightness in blocks.ravel().tolist():
        level = (brightness - 128) * 8
        difference, previous = level - previous, level
        category = abs(difference).bit_length()
        value = difference if difference > 0 else difference + (1 << category) - 1
        bits += f"{category:04b}" + (f"{value:0{category}b}" if category else "") + "0"
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return scan.replace(b"\xff", b"\xff\0")
