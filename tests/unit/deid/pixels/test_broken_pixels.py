"""Broken and hostile pixel data: nothing is raised but the tree's errors, and nothing ends this process."""

from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.deid.pixels import isolation
from dicom.deid.pixels.frames import MOST_BYTES, Shape, can_be_rewritten
from dicom.deid.pixels.header import Header
from dicom.deid.pixels.judge import Plan
from dicom.deid.pixels.signatures import Areas, Rectangle
from dicom.part10 import split_part10
from models.domain.errors import DeidError, NeedsReview, Unreadable
from tests import pictures
from tests.pictures import BIG_ENDIAN, EXPLICIT, IMPLICIT, JPEG_2000, RLE, Source, a_picture

PYDICOM = Path(pydicom.data.__file__).parent / "test_files"
CORNER = Plan(Areas(blank=(Rectangle(0, 0, 3, 3),)))
SHAPE_TAGS = [
    *(0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011),
    *(0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120),
]


def of_file(name: str) -> Source:
    instance = split_part10((PYDICOM / name).read_bytes())
    return pictures.of_bytes(b"".join(instance.parts), instance.transfer_syntax_uid)


def try_everything(source: Source) -> None:
    """Judge it, and blank what could be, as the engine does; its errors are the only ones allowed."""
    for is_released in (False, True):
        try:
            plan = pictures.judge(source, is_released=is_released)
            header = Header(source.data, source.elements, source.syntax)
            pixels = header.pixels()
            if pixels:
                pictures.blank(source, plan)
                if can_be_rewritten(header, pixels, source.transfer_syntax_uid):
                    pictures.blank(source, Plan(CORNER.areas, clears_unused_bits=True, is_released=is_released))
        except (DeidError, Unreadable) as refusal:
            assert "Zwirnbald" not in str(refusal)
            assert refusal.__cause__ is None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_headers_and_native_pixels(data: st.DataObject) -> None:
    header, array = a_picture("RGB", SOPClassUID=pictures.ULTRASOUND, rows=6, columns=6, frames=2)
    region = pictures.Dataset()
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 1
    region.RegionLocationMaxX1 = region.RegionLocationMaxY1 = 3
    header.SequenceOfUltrasoundRegions = [region]
    syntax_uid = data.draw(st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]))
    whole = bytearray(pictures.native(header, array, syntax_uid).data)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        source = pictures.of_bytes(bytes(whole), syntax_uid)
    except Unreadable:
        return
    try_everything(source)


@settings(max_examples=200, deadline=None)
@given(tag=st.sampled_from(SHAPE_TAGS), value=st.binary(max_size=6), kind=st.sampled_from(["RGB", "YBR_FULL_422"]))
def test_impossible_shapes(tag: int, value: bytes, kind: str) -> None:
    header, array = a_picture(kind, SOPClassUID=pictures.SECONDARY_CAPTURE, Manufacturer="Zwirnbald")
    source = pictures.native(header, array)
    value += b"\0" * (len(value) % 2)
    vr = b"CS" if tag == 0x00280004 else b"IS" if tag == 0x00280008 else b"US"
    element = source.syntax.encoded(tag, vr, value)
    others = [bytes(source.data[one.start : one.end]) for one in source.elements if one.tag != tag]
    cut = sum(one.tag < tag for one in source.elements)
    try_everything(pictures.of_bytes(b"".join([*others[:cut], element, *others[cut:]])))


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(
        [
            "MR_small_jpeg_ls_lossless.dcm",
            "MR_small_jp2klossless.dcm",
            "SC_rgb_gdcm_KY.dcm",
            "SC_rgb_jpeg_gdcm.dcm",
            "SC_rgb_jpeg_dcmtk.dcm",
            "MR_small_RLE.dcm",
            "SC_rgb_rle_2frame.dcm",
        ]
    ),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_compressed_frames(name: str, changes: list[tuple[float, int]]) -> None:
    source = of_file(name)
    whole = bytearray(source.data)
    length = source.pixels.stop - source.pixels.begin
    for place, byte in changes:
        whole[source.pixels.begin + int(place * length)] = byte
    try:
        damaged = pictures.of_bytes(bytes(whole), source.transfer_syntax_uid)
    except Unreadable:
        return
    try_everything(damaged)


def test_a_decoder_that_dies_takes_nobody_with_it() -> None:
    """Whatever ends the process, the frame is held, and the next one is decoded by another process."""
    source = of_file("MR_small_jp2klossless.dcm")
    before = pictures.blank(source, CORNER)
    running = isolation._decoder._process
    assert running
    running.kill()
    running.wait()
    assert pictures.blank(source, CORNER).parts == before.parts
    impossible = Shape(3, 3, 1, 1, 8, 8, 7, False, "MONOCHROME2", False)
    with pytest.raises(NeedsReview):
        isolation.decoded(b"", impossible, "1.2.3")
    assert pictures.blank(source, CORNER).parts == before.parts


def test_the_decoder_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADIT_SECRET", "Zwirnbald")
    isolation._decoder.stop()
    pictures.blank(of_file("MR_small_jp2klossless.dcm"), CORNER)
    running = isolation._decoder._process
    assert running
    assert b"Zwirnbald" not in Path(f"/proc/{running.pid}/environ").read_bytes()


def test_the_decoder_ends_with_its_parent() -> None:
    pictures.blank(of_file("MR_small_jp2klossless.dcm"), CORNER)
    running = isolation._decoder._process
    assert running
    assert running.stdin
    running.stdin.close()
    assert running.wait(10) == 0


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, JPEG_2000, RLE])
def test_a_picture_that_announces_too_many_bytes_waits(transfer_syntax_uid: str) -> None:
    header, _ = a_picture(SOPClassUID=pictures.SECONDARY_CAPTURE)
    header.Rows = header.Columns = 0xFFFF
    assert MOST_BYTES < 0xFFFF**2
    if transfer_syntax_uid == EXPLICIT:
        header.add_new(0x7FE00010, "OB", b"\0\0")
        source = pictures.encoded(header)
    else:
        source = pictures.compressed(header, [b"\xff\x4f\xff\x51\xff\xd9"], transfer_syntax_uid)
    assert not can_be_rewritten(Header(source.data, source.elements, source.syntax), source.pixels, EXPLICIT)
    with pytest.raises((NeedsReview, Unreadable)):
        pictures.judge(source)
