"""Writes data sets of the corpus as files whose heads name people, too, and takes them apart again."""

import struct
import warnings
from functools import cache
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom.deid.encoding import EXPLICIT_LITTLE, read_elements
from tests.corpus.planting import Case, Sort


def encoded_dataset(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """The data set as bytes, not deflated."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = transfer_syntax_uid != ExplicitVRBigEndian
    buffer.is_implicit_VR = transfer_syntax_uid == ImplicitVRLittleEndian
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def file_head(case: Case, dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """Preamble, prefix and file meta information with a name, AE titles and private information in them."""
    preamble = case.word(Sort.FILE_HEAD).encode().ljust(128, b"\0")
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(case.uid("implementation"))
    meta.ImplementationVersionName = case.word(Sort.FILE_HEAD)
    meta.SourceApplicationEntityTitle = case.word(Sort.FILE_HEAD)
    meta.SendingApplicationEntityTitle = case.word(Sort.FILE_HEAD)
    meta.ReceivingApplicationEntityTitle = case.word(Sort.FILE_HEAD)
    meta.PrivateInformationCreatorUID = UID(case.uid("private information"))
    meta.PrivateInformation = case.word(Sort.FILE_HEAD).encode()
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return preamble + b"DICM" + buffer.getvalue()


@cache
def decoded(file: bytes) -> Dataset:
    """The data set in a file, every value decoded and pydicom's warnings of odd values silenced; not to be changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(BytesIO(file))
        for element in dataset.iterall():
            _ = element.value
    return dataset


def raw_element(tag: int, vr: bytes, value: bytes) -> bytes:
    """An element in explicit VR little endian exactly as told, odd lengths and wrong contents included."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in {b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR"}:
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def with_raw_elements(encoded: bytes, elements: dict[int, bytes]) -> bytes:
    """An explicit little endian data set with some whole elements replaced or put in their place, by tag."""
    found = {each.tag: encoded[each.start : each.end] for each in read_elements(memoryview(encoded), EXPLICIT_LITTLE)}
    found |= elements
    return b"".join(found[tag] for tag in sorted(found))
