"""The series of an instance is found in every encoding, without reading what stands behind."""

import tracemalloc
import zlib

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from dicom.files.header import series_uid_of
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"


def a_data_set(series_uid: str = "1.2.3.4", filler_bytes: int = 0) -> Dataset:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    item = Dataset()
    item.SeriesInstanceUID = "9.9.9"
    referenced = Dataset()
    referenced.ReferencedSOPInstanceUID = "1.2.99"
    item.ReferencedImageSequence = Sequence([referenced])
    data_set.ReferencedSeriesSequence = Sequence([item])
    data_set["ReferencedSeriesSequence"].is_undefined_length = True
    if filler_bytes:
        data_set.add_new(0x00091001, "OB", bytes(filler_bytes))
    data_set.StudyInstanceUID = "1.2.3.3"
    if series_uid:
        data_set.SeriesInstanceUID = series_uid
    data_set.SeriesNumber = "1"
    return data_set


def encoded(data_set: Dataset, syntax_uid: str) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR = syntax_uid == IMPLICIT
    file.is_little_endian = syntax_uid != BIG_ENDIAN
    write_dataset(file, data_set)
    content = file.getvalue()
    if syntax_uid != DEFLATED:
        return content
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(content) + deflate.flush()


def an_instance(content: bytes, syntax_uid: str, step: int = 0) -> EncodedInstance:
    parts = [content[at : at + step] for at in range(0, len(content), step)] if step else [content]
    return EncodedInstance("1.2.840.10008.5.1.4.1.1.7", "1.2.3", syntax_uid, tuple(map(memoryview, parts)))


@pytest.mark.parametrize("syntax_uid", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, JPEG])
@pytest.mark.parametrize("filler_bytes", [0, 70_000, 3_000_000])
@pytest.mark.parametrize("step", [0, 1000])
def test_the_series_is_found_in_every_encoding(syntax_uid: str, filler_bytes: int, step: int) -> None:
    content = encoded(a_data_set(filler_bytes=filler_bytes), syntax_uid)
    assert series_uid_of(an_instance(content, syntax_uid, step)) == "1.2.3.4"


def test_a_uid_cut_off_by_the_first_look_is_read_in_full() -> None:
    for filler_bytes in range(65_536 - 300, 65_536, 2):
        content = encoded(a_data_set("1.2.3.4.5.6.7.8.9.10.11.12.13", filler_bytes), EXPLICIT)
        assert series_uid_of(an_instance(content, EXPLICIT)) == "1.2.3.4.5.6.7.8.9.10.11.12.13"


@pytest.mark.parametrize("syntax_uid", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
def test_an_instance_without_a_series_is_unreadable(syntax_uid: str) -> None:
    with pytest.raises(Unreadable, match=r"0020,000E"):
        series_uid_of(an_instance(encoded(a_data_set(""), syntax_uid), syntax_uid))


@pytest.mark.parametrize("content", [b"", b"\x08", bytes(range(256)) * 9, b"not a data set at all"])
@pytest.mark.parametrize("syntax_uid", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, "1.2.3.4.5"])
def test_noise_is_unreadable(content: bytes, syntax_uid: str) -> None:
    with pytest.raises(Unreadable):
        series_uid_of(an_instance(content, syntax_uid))


def test_a_series_uid_that_is_none_is_unreadable() -> None:
    content = encoded(a_data_set("1.2.3.4"), EXPLICIT).replace(b"1.2.3.4", b"../../x")
    with pytest.raises(Unreadable):
        series_uid_of(an_instance(content, EXPLICIT))


def test_what_is_deflated_to_a_thousandth_is_not_inflated_whole() -> None:
    """One call for the first 64 KiB gives 64 MB, and the next one would give a gigabyte."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = encoded(a_data_set(filler_bytes=2), EXPLICIT).partition(b"\x09\x00\x01\x10")[0]
    size = 160 << 20
    content = deflate.compress(head + b"\x09\x00\x01\x10OB\0\0" + size.to_bytes(4, "little"))
    content += b"".join(deflate.compress(bytes(1 << 20)) for _ in range(160)) + deflate.flush()
    assert len(content) > 1 << 17
    tracemalloc.start()
    with pytest.raises(Unreadable):
        series_uid_of(an_instance(content, DEFLATED))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20
