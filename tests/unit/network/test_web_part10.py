"""The head of a DICOM file: ours is deterministic and readable by others, others' are taken apart without copying."""

import io
import struct
import tracemalloc
from itertools import pairwise

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset

from dicom.part10 import IMPLEMENTATION_CLASS_UID, part10_prefix, split_part10
from models.domain.errors import Unreadable

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"


def written_by_pydicom(syntax: str) -> tuple[bytes, int]:
    """A file, and where its data set begins."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientID = CT, "1.2.3", "P1"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    dataset.file_meta.PrivateInformationCreatorUID = "1.2"
    dataset.file_meta.PrivateInformation = b"\2\0" * 100
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=True)
    file = target.getvalue()
    return file, 144 + struct.unpack_from("<I", file, 140)[0]


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED, "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_a_file_of_pydicom_is_taken_apart(syntax: str) -> None:
    file, begin = written_by_pydicom(syntax)
    instance = split_part10(file)
    assert (instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid) == (CT, "1.2.3", syntax)
    assert b"".join(instance.parts) == file[begin:]


def test_the_data_set_is_a_view_and_not_a_copy() -> None:
    file, _ = written_by_pydicom(EXPLICIT)
    (part,) = split_part10(memoryview(file)).parts
    assert isinstance(part, memoryview)
    assert part.obj is file


@pytest.mark.parametrize("wrong_by", [-8, 8, 1000])
def test_a_wrong_group_length_does_no_harm(wrong_by: int) -> None:
    file, begin = written_by_pydicom(EXPLICIT)
    wrong = file[:140] + struct.pack("<I", begin - 144 + wrong_by) + file[144:]
    assert b"".join(split_part10(wrong).parts) == file[begin:]


def test_deflated_bytes_that_look_like_file_meta_stay_data() -> None:
    file = part10_prefix(CT, "1.2.3", DEFLATED) + b"\2\0\x20\0UI\2\x001\0 and more"
    assert b"".join(split_part10(file).parts) == b"\2\0\x20\0UI\2\x001\0 and more"


@given(st.from_regex(r"[1-9]\.[0-9]{1,20}", fullmatch=True), st.binary(max_size=50))
def test_what_was_put_together_comes_apart(uid: str, data: bytes) -> None:
    if data.startswith(b"\2\0"):
        data = b"\x08" + data
    instance = split_part10(part10_prefix(CT, uid, EXPLICIT) + data)
    assert (instance.sop_uid, b"".join(instance.parts)) == (uid, data)


def test_our_head_is_read_by_pydicom_and_always_the_same() -> None:
    prefix = part10_prefix(CT, "1.2.3", EXPLICIT)
    assert prefix == part10_prefix(CT, "1.2.3", EXPLICIT)
    meta = pydicom.dcmread(io.BytesIO(prefix)).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == EXPLICIT
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == "ADIT"
    assert meta.FileMetaInformationGroupLength == len(prefix) - 144
    assert pydicom.uid.UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert int(IMPLEMENTATION_CLASS_UID.removeprefix("2.25.")) < 1 << 128
    tags = [element.tag for element in meta]
    assert all(a < b for a, b in pairwise(tags))


@pytest.mark.parametrize("file", [b"", b"junk", bytes(128) + b"DICM", bytes(128) + b"DICM\2\0\2\0UI\xff\xffx"])
def test_what_is_no_dicom_file_is_unreadable(file: bytes) -> None:
    with pytest.raises(Unreadable):
        split_part10(file)


@given(st.binary(max_size=80))
def test_nothing_but_unreadable_comes_out_of_broken_heads(data: bytes) -> None:
    for start in (b"", b"\2\0\0\0UL\4\0\x10\0\0\0"):
        with pytest.raises(Unreadable):
            split_part10(bytes(128) + b"DICM" + start + data)


def meta_element(number: int, vr: bytes, length: int) -> bytes:
    return struct.pack("<HH2sHI", 2, number, vr, 0, length) + bytes(length)


def test_of_a_head_no_more_than_the_uids_is_copied() -> None:
    prefix = part10_prefix(CT, "1.2.3", EXPLICIT)
    file = prefix + meta_element(0x0102, b"OB", 900_000) + b"\x08\0"
    tracemalloc.start()
    try:
        instance = split_part10(file)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (instance.sop_uid, b"".join(instance.parts)) == ("1.2.3", b"\x08\0")
    assert most < 100_000


@pytest.mark.parametrize(
    "more",
    [meta_element(0x0102, b"OB", 2 << 20), meta_element(3, b"UN", 1000), meta_element(0x0102, b"OB", 0) * 90_000],
)
def test_a_head_that_is_larger_than_any_is_no_file(more: bytes) -> None:
    with pytest.raises(Unreadable):
        split_part10(part10_prefix(CT, "1.2.3", EXPLICIT) + more)
