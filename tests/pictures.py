"""Small pictures of every kind, judged and blanked as the engine does it, and read back with pydicom."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.pixels import pixel_array

from deployments.demo import lossless_jpeg
from dicom.deid.encoding import Element, Syntax, read_elements, syntax_of
from dicom.deid.pixels.blank import Blanked, blanked
from dicom.deid.pixels.header import Header
from dicom.deid.pixels.judge import Plan, judged
from dicom.deid.pixels.rules import PixelRules

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
JPEG_BASELINE, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JPEG_2000, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
STORAGE = "1.2.840.10008.5.1.4.1.1."
CT, ULTRASOUND, SECONDARY_CAPTURE = f"{STORAGE}2", f"{STORAGE}6.1", f"{STORAGE}7"
SAMPLES = {"MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1}


@dataclass(frozen=True)
class Source:
    """An encoded data set as the functions under test take it."""

    data: memoryview
    elements: list[Element]
    syntax: Syntax
    transfer_syntax_uid: str

    @property
    def pixels(self) -> Element:
        found = Header(self.data, self.elements, self.syntax).pixels()
        assert found
        return found


def a_header(sop_class_uid: str = CT, **values: object) -> Dataset:
    header = Dataset()
    header.SOPClassUID = sop_class_uid
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return header


def a_picture(
    photometric: str = "MONOCHROME2",
    bits: int = 8,
    stored: int = 0,
    is_signed: bool = False,
    is_planar: bool = False,
    frames: int = 1,
    rows: int = 12,
    columns: int = 16,
    **values: object,
) -> tuple[Dataset, NDArray[np.generic]]:
    """A native picture of random samples, and these as frames, rows, columns and samples."""
    stored = stored or bits
    samples = SAMPLES.get(photometric, 3)
    least = -(1 << (stored - 1)) if is_signed else 0
    dtype = np.dtype(f"{'i' if is_signed else 'u'}{bits // 8}")
    random = np.random.default_rng(7).integers(least, least + (1 << stored), (frames, rows, columns, samples))
    header = a_header(**values)
    header.SamplesPerPixel, header.PhotometricInterpretation = samples, photometric
    if samples > 1:
        header.PlanarConfiguration = int(is_planar)
    header.NumberOfFrames = frames
    header.Rows, header.Columns = rows, columns
    header.BitsAllocated, header.BitsStored, header.HighBit = bits, stored, stored - 1
    header.PixelRepresentation = int(is_signed)
    return header, random.astype(dtype)


def native(header: Dataset, array: NDArray[np.generic], transfer_syntax_uid: str = EXPLICIT) -> Source:
    """The picture without compression."""
    if header.get("PlanarConfiguration"):
        array = np.moveaxis(array, 3, 1)
    order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
    value = np.ascontiguousarray(array).astype(array.dtype.newbyteorder(order)).tobytes()
    header.add_new(0x7FE00010, "OW" if header.BitsAllocated > 8 else "OB", value + b"\0" * (len(value) % 2))
    return encoded(header, transfer_syntax_uid)


def compressed(header: Dataset, frames: list[bytes], transfer_syntax_uid: str) -> Source:
    """The picture with these frames."""
    header.add_new(0x7FE00010, "OB", encapsulate(frames))
    header["PixelData"].is_undefined_length = True
    return encoded(header, transfer_syntax_uid)


def jpeg_lossless(array: NDArray[np.generic]) -> list[bytes]:
    """16 bit greyscale frames as JPEG lossless."""
    return [lossless_jpeg.encode(frame[..., 0].astype(np.uint16)) for frame in array]


def encoded(header: Dataset, transfer_syntax_uid: str = EXPLICIT) -> Source:
    buffer = DicomBytesIO()
    buffer.is_little_endian = transfer_syntax_uid != BIG_ENDIAN
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT
    write_dataset(buffer, header)
    return of_bytes(buffer.getvalue(), transfer_syntax_uid)


def of_bytes(data: bytes, transfer_syntax_uid: str = EXPLICIT) -> Source:
    syntax = syntax_of(transfer_syntax_uid)
    view = memoryview(data)
    return Source(view, read_elements(view, syntax), syntax, transfer_syntax_uid)


def judge(source: Source, rules: PixelRules | None = None, is_released: bool = False) -> Plan:
    return judged(
        source.data, source.elements, source.syntax, source.transfer_syntax_uid, rules or PixelRules(), is_released
    )


def blank(source: Source, plan: Plan) -> Blanked:
    return blanked(source.data, source.elements, source.pixels, source.syntax, source.transfer_syntax_uid, plan)


def samples_of(source: Source) -> NDArray[np.generic]:
    """What pydicom decodes, without conversion of colours, as frames, rows, columns and samples."""
    return _samples(bytes(source.data), source.transfer_syntax_uid)


def samples_of_blanked(source: Source, result: Blanked) -> NDArray[np.generic]:
    """What pydicom decodes of the source's header with what has changed, and the new pixel data."""
    return _samples(rewritten(source, result), result.transfer_syntax_uid)


def rewritten(source: Source, result: Blanked) -> bytes:
    """The whole data set, with the new pixel data and the header as it then has to be."""
    header = decoded(bytes(source.data), source.transfer_syntax_uid)
    del header.PixelData
    for tag, value in result.changed.items():
        if tag in header:
            del header[tag]
        if value is not None:
            is_text = tag == 0x00280004
            header.add_new(tag, "CS" if is_text else "US", value.decode() if is_text else value[0])
    return bytes(encoded(header, result.transfer_syntax_uid).data) + b"".join(result.parts)


def decoded(data: bytes, transfer_syntax_uid: str) -> Dataset:
    return read_dataset(io.BytesIO(data), transfer_syntax_uid == IMPLICIT, transfer_syntax_uid != BIG_ENDIAN)


def _samples(data: bytes, transfer_syntax_uid: str) -> NDArray[np.generic]:
    dataset = decoded(data, transfer_syntax_uid)
    dataset.file_meta = Dataset()  # type: ignore[assignment]
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tiny noisy frames look to pydicom as if they were not compressed
        array = pixel_array(dataset, raw=True, decoding_plugin="pydicom" if transfer_syntax_uid == RLE else "")
    return array.reshape(int(dataset.get("NumberOfFrames") or 1), dataset.Rows, dataset.Columns, -1)
