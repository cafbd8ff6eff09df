"""Makes invented DICOM studies that look like a scanner's, for the demonstration, tests and benchmarks.

Headers have 100 to 250 elements, nested sequences and private blocks, with the patient's identity planted at every
level. The same arguments give the same bytes. No value belongs to a real person or place.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread  # pyright: ignore[reportUnknownVariableType]
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
)

from deployments.demo import lossless_jpeg
from deployments.demo.cases import ROOT as ROOT
from deployments.demo.cases import Case
from deployments.demo.headers import STUDY_DATE as STUDY_DATE
from deployments.demo.headers import (
    ct_header,
    describe_pixels,
    enhanced_header,
    mr_header,
    sr_header,
    us_header,
)
from dicom.part10 import part10_prefix


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """One study as files, with the identity that was planted in it.

    ``planted`` are values to search outputs for; ``devices`` those of them that name the scanner.
    """

    patient_id: str
    patient_name: str
    birth_date: str
    study_uid: str
    modality: str
    files: list[Path]
    planted: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()


def identifying_values(studies: Iterable[StudyFiles], with_devices: bool = True) -> set[str]:
    """Return every planted value that tells who the patients are or who treated them where; none is a UID.

    Without ``with_devices``, those that name the scanner are left out.
    """
    return {value for study in studies for value in study.planted - (frozenset() if with_devices else study.devices)}


def write_ct(
    directory: Path,
    patient: int = 1,
    study: int = 1,
    instances: Sequence[int] = (134, 133, 133),
    rows: int = 512,
    columns: int = 512,
) -> StudyFiles:
    """Write a CT study in explicit VR little endian; ``instances`` says how many each series has."""
    return _Writer(directory, Case(patient, study, "CT")).series(ct_header, instances, rows, columns)


def write_mr(
    directory: Path,
    patient: int = 2,
    study: int = 2,
    instances: Sequence[int] = (30, 30, 30, 30),
    rows: int = 256,
    columns: int = 256,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
) -> StudyFiles:
    """Write an MR study whose headers carry 18 kB of binary private data, as Siemens scanners write it."""
    writer = _Writer(directory, Case(patient, study, "MR"), transfer_syntax_uid)
    return writer.series(mr_header, instances, rows, columns)


def write_mr_implicit(directory: Path, patient: int = 7, study: int = 7, instances: Sequence[int] = (3,)) -> StudyFiles:
    """Write a small MR study in implicit VR little endian."""
    return write_mr(directory, patient, study, instances, 64, 64, ImplicitVRLittleEndian)


def write_us(
    directory: Path,
    patient: int = 3,
    study: int = 3,
    instances: int = 2,
    frames: int = 6,
    rows: int = 120,
    columns: int = 160,
) -> StudyFiles:
    """Write an ultrasound study of colour multi-frame loops that declare BurnedInAnnotation NO."""
    case = Case(patient, study, "US")
    writer = _Writer(directory, case)
    for number in range(1, instances + 1):
        header = us_header(case)
        describe_pixels(header, rows, columns, frames=frames, samples=3)
        shape = (frames * rows * columns * 3,)
        pixels = case.random.integers(0, 256, shape, dtype=np.uint8).tobytes()
        writer.write(_numbered(header, case, 1, number), _native(b"OB", pixels))
    return writer.study()


def write_sr(directory: Path, patient: int = 4, study: int = 4, instances: int = 1) -> StudyFiles:
    """Write comprehensive structured reports with names, dates, references and prose in their content tree."""
    case = Case(patient, study, "SR")
    writer = _Writer(directory, case)
    for number in range(1, instances + 1):
        writer.write(_numbered(sr_header(case), case, 1, number))
    return writer.study()


def write_compressed(directory: Path, patient: int = 5, study: int = 5, instances: int = 3) -> StudyFiles:
    """Write an MR study of two series with real compressed frames: JPEG 2000 lossless, and JPEG lossless."""
    case = Case(patient, study, "MR")
    writer = _Writer(directory, case, JPEG2000Lossless)
    _write_frames(writer, case, 1, instances, _jpeg2000_frame)
    writer.transfer_syntax_uid = JPEGLosslessSV1
    _write_frames(writer, case, 2, instances, _lossless_frame)
    return writer.study()


def write_deflated(directory: Path, patient: int = 6, study: int = 6, instances: int = 3) -> StudyFiles:
    """Write a small CT study in deflated explicit VR little endian."""
    case = Case(patient, study, "CT")
    writer = _Writer(directory, case, DeflatedExplicitVRLittleEndian)
    return writer.series(ct_header, (instances,), 64, 64)


def write_enhanced(
    directory: Path, patient: int = 8, study: int = 8, frames: int = 20, rows: int = 64, columns: int = 64
) -> StudyFiles:
    """Write an enhanced CT study: one multi-frame instance with functional groups for every frame."""
    case = Case(patient, study, "CT", EnhancedCTImageStorage)
    writer = _Writer(directory, case)
    header = enhanced_header(case, frames)
    describe_pixels(header, rows, columns, frames=frames)
    pixels = np.concatenate([_image(case.random, rows, columns).ravel() for _ in range(frames)])
    writer.write(_numbered(header, case, 1, 1), _native(b"OW", pixels.tobytes()))
    return writer.study()


def write_demo(directory: Path) -> list[StudyFiles]:
    """Write five small studies of five patients: CT, MR, ultrasound loops, a report, compressed MR."""
    return [
        write_ct(directory / "ct", 1, 1, (12, 8), 128, 128),
        write_mr(directory / "mr", 2, 2, (10, 10), 128, 128),
        write_us(directory / "us", 3, 3),
        write_sr(directory / "sr", 4, 4),
        write_compressed(directory / "compressed", 5, 5),
    ]


def write_ct_small(directory: Path) -> StudyFiles:
    """Write the benchmark's CT study: 400 instances of 0.5 MB in three series."""
    return write_ct(directory, 1, 1)


def write_mr_many(directory: Path, studies: int = 20) -> list[StudyFiles]:
    """Write the benchmark's MR studies: each of another patient, four series of 30 instances of 0.15 MB."""
    return [write_mr(directory / f"mr{n:02d}", 100 + n, 100 + n) for n in range(studies)]


class _Writer:
    """Writes the files of one study into its directory."""

    def __init__(self, directory: Path, case: Case, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.case = case
        self.transfer_syntax_uid = transfer_syntax_uid
        self.files: list[Path] = []

    def series(
        self, header_of: Callable[[Case, int], Dataset], instances: Sequence[int], rows: int, columns: int
    ) -> StudyFiles:
        for number, count in enumerate(instances, start=1):
            header = header_of(self.case, number)
            describe_pixels(header, rows, columns)
            template = _encode(_numbered(header, self.case, number, 0), self.transfer_syntax_uid)
            images = _images(self.case.random, rows, columns)
            for instance in range(1, count + 1):
                encoded = self._patched(template, number, instance)
                self._write_encoded(self.case.sop_uid(number, instance), encoded, self._pixel_element(next(images)))
        return self.study()

    def write(self, header: Dataset, pixel_element: bytes = b"") -> None:
        encoded = _encode(header, self.transfer_syntax_uid)
        self._write_encoded(str(header.SOPInstanceUID), encoded, pixel_element)

    def study(self) -> StudyFiles:
        person = self.case.person
        return StudyFiles(
            patient_id=person.patient_id,
            patient_name=person.name,
            birth_date=person.birth_date,
            study_uid=self.case.study_uid,
            modality=self.case.modality,
            files=self.files,
            planted=person.planted,
            devices=person.devices,
        )

    def _write_encoded(self, sop_uid: str, header: bytes, pixel_element: bytes) -> None:
        encoded = header + pixel_element
        if self.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            encoded = _deflated(encoded)
        path = self.directory / f"{self.case.modality.lower()}{len(self.files) + 1:05d}.dcm"
        path.write_bytes(part10_prefix(self.case.sop_class_uid, sop_uid, self.transfer_syntax_uid) + encoded)
        self.files.append(path)

    def _patched(self, template: bytes, series: int, instance: int) -> bytes:
        """The header of instance 0 as that of another one: all that differs has the same length."""
        for old, new in zip(_variable_values(0), _variable_values(instance), strict=True):
            template = template.replace(old, new)
        return template.replace(self.case.sop_uid(series, 0).encode(), self.case.sop_uid(series, instance).encode())

    def _pixel_element(self, image: NDArray[np.uint16]) -> bytes:
        return _native(b"OW", image.tobytes(), self.transfer_syntax_uid)


def _variable_values(instance: int) -> tuple[bytes, ...]:
    """Instance number, z position and content time as they are encoded, never part of another value."""
    return tuple(text.encode() for text in (_number(instance), _z(instance), _content_time(instance)))


def _number(instance: int) -> str:
    return f"+{instance:07d}"


def _z(instance: int) -> str:
    return f"-{7000 + instance}.{instance % 10}125"


def _content_time(instance: int) -> str:
    return f"10{instance // 60 % 60:02d}{instance % 60:02d}.481516"


def _numbered(header: Dataset, case: Case, series: int, instance: int) -> Dataset:
    header.SOPInstanceUID = case.sop_uid(series, instance)
    header.SeriesInstanceUID = case.series_uid(series)
    header.SeriesNumber = series
    header.InstanceNumber = _number(instance)
    header.ContentTime = _content_time(instance)
    if header.Modality in {"CT", "MR"} and "PerFrameFunctionalGroupsSequence" not in header:
        header.ImagePositionPatient = ["-190", "-190", _z(instance)]
        header.SliceLocation = _z(instance)
    return header


def _encode(header: Dataset, transfer_syntax_uid: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = transfer_syntax_uid == ImplicitVRLittleEndian
    write_dataset(buffer, header)
    return buffer.getvalue()


def _deflated(encoded: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    stream = compressor.compress(encoded) + compressor.flush()
    return stream + b"\0" * (len(stream) % 2)


def _native(vr: bytes, pixels: bytes, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    if transfer_syntax_uid == ImplicitVRLittleEndian:
        return pack("<HHI", 0x7FE0, 0x0010, len(pixels)) + pixels
    return pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, len(pixels)) + pixels


def _encapsulated(frames: list[bytes]) -> bytes:
    head = pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    return head + encapsulate(frames) + pack("<HHI", 0xFFFE, 0xE0DD, 0)


def _images(random: np.random.Generator, rows: int, columns: int) -> Iterator[NDArray[np.uint16]]:
    """An endless scan through a round body: noise is drawn once and shifted, because drawing it costs most."""
    body = _body(rows, columns)
    noise = random.integers(0, 1024, rows * columns, dtype=np.uint16)
    while True:
        noise = np.roll(noise, int(random.integers(1, rows * columns)))
        yield body + noise.reshape(rows, columns)


def _image(random: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint16]:
    return next(_images(random, rows, columns))


def _body(rows: int, columns: int) -> NDArray[np.uint16]:
    y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    body = np.zeros((rows, columns), dtype=np.uint16)
    body[x**2 / 0.8 + y**2 / 0.5 < 1] = 1100
    body[x**2 + (y - 0.45) ** 2 < 0.02] = 2600
    return body


@dataclass(frozen=True, slots=True)
class _Frame:
    """One compressed frame and what the header must say about it."""

    stream: bytes
    rows: int
    columns: int
    bits_stored: int
    signed: int


def _write_frames(writer: _Writer, case: Case, series: int, instances: int, frame_of: Callable[[Case], _Frame]) -> None:
    for number in range(1, instances + 1):
        frame = frame_of(case)
        header = mr_header(case, series)
        describe_pixels(header, frame.rows, frame.columns)
        header.BitsStored, header.HighBit = frame.bits_stored, frame.bits_stored - 1
        header.PixelRepresentation = frame.signed
        writer.write(_numbered(header, case, series, number), _encapsulated([frame.stream]))


def _jpeg2000_frame(case: Case) -> _Frame:
    """A frame of a file that pydicom brings with it: encoders for JPEG 2000 are no dependency of ours."""
    sample = dcmread(str(get_testdata_file("MR_small_jp2klossless.dcm", download=False)))
    (stream,) = generate_frames(sample.PixelData, number_of_frames=1)
    return _Frame(stream, sample.Rows, sample.Columns, sample.BitsStored, sample.PixelRepresentation)


def _lossless_frame(case: Case) -> _Frame:
    return _Frame(lossless_jpeg.encode(_image(case.random, 64, 64)), 64, 64, bits_stored=16, signed=0)
