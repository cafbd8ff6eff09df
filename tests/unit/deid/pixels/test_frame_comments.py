"""Text beside the picture in compressed frames is found, and what decoders need is no text."""

import struct

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder

from dicom.deid.pixels.segments import Size, read_fragments, size_of
from models.domain.errors import NeedsReview, Unreadable
from tests import pictures
from tests.pictures import JPEG_2000, JPEG_BASELINE, JPEG_LOSSLESS, RLE, a_picture

JPEG_XL = "1.2.840.10008.1.2.4.110"
TEXT = b"Zwirnbald^Odo, 4711"
SCAN = b"\xff\xda\0\x08\1\1\0\0\x3f\0" + b"data\xff\xd9"
JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def a_jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + segment(0xE0, JFIF) + b"".join(segments) + SCAN


def a_codestream(comment: bytes = b"") -> bytes:
    picture, array = a_picture(bits=16, rows=40, columns=48)
    frame = get_encoder(JPEG_2000).encode(
        array.tobytes(),
        rows=40,
        columns=48,
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=16,
        bits_stored=16,
        pixel_representation=0,
        photometric_interpretation=picture.PhotometricInterpretation,
    )
    cut = frame.index(b"\xff\x90")
    return frame[:cut] + (segment(0x64, b"\0\1" + comment) if comment else b"") + frame[cut:]


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def value_of(*frames: bytes) -> memoryview:
    return memoryview(encapsulate(list(frames)))


def comments(value: memoryview, transfer_syntax_uid: str) -> list[bytes]:
    return list(read_fragments(value, transfer_syntax_uid).comments)


def has_metadata(value: memoryview, transfer_syntax_uid: str) -> bool:
    return read_fragments(value, transfer_syntax_uid).has_metadata


@pytest.mark.parametrize(
    "content",
    [
        segment(0xFE, TEXT),
        segment(0xE5, TEXT),
        b"\xff\xff\xff" + segment(0xFE, TEXT),  # fill bytes in front of a marker
        segment(0xE1, b"Exif\0\0" + TEXT),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + TEXT),
        segment(0xED, b"Photoshop 3.0\0" + TEXT),
        segment(0xE0, b"JFXX\0\x10" + TEXT),
        segment(0xE0, JFIF[:-2] + b"\1\1" + TEXT),
    ],
)
def test_what_a_jpeg_frame_says_is_found_in_whichever_frame(content: bytes) -> None:
    value = value_of(a_jpeg(), a_jpeg(), a_jpeg(content))
    assert any(TEXT in comment for comment in comments(value, JPEG_BASELINE))


def test_what_a_codestream_says_is_found() -> None:
    assert comments(value_of(a_codestream()), JPEG_2000) == []
    assert comments(value_of(a_codestream(), a_codestream(TEXT)), JPEG_2000) == [b"\0\1" + TEXT]


def test_an_encoders_comment_is_only_skipped_when_it_says_nothing_more() -> None:
    harmless = b"Created by OpenJPEG version 2.5.0"
    assert comments(value_of(a_codestream(harmless)), JPEG_2000) == []
    assert comments(value_of(a_codestream(harmless + b" for Zwirnbald")), JPEG_2000) != []


def test_what_boxes_say_is_found() -> None:
    signature = box(b"jP  ", b"\r\n\x87\n")
    frame = signature + box(b"xml ", TEXT) + box(b"jp2c", a_codestream(TEXT))
    assert comments(value_of(frame), JPEG_2000) == [TEXT, b"\0\1" + TEXT]
    assert has_metadata(value_of(frame), JPEG_2000)
    container = box(b"JXL ", b"\r\n\x87\n") + box(b"jxlc", b"\xff\x0a1234") + box(b"Exif", TEXT)
    assert has_metadata(value_of(container), JPEG_XL)
    assert not has_metadata(value_of(b"\xff\x0a12"), JPEG_XL)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
        segment(0xE8, b"mrfx\1"),
        segment(0xF8, b"\1\0\xff\0\3\0\7\0\x15\0\x40"),
        segment(0xDB, b"\0" + bytes(range(64)) + b"\x11" + bytes(range(128))),
        segment(0xDD, b"\0\4"),
        segment(0xC0, b"\x08\0\x0a\0\x0a\1\1\x11\0"),
    ],
)
def test_what_decoders_need_is_no_comment(content: bytes) -> None:
    assert comments(value_of(a_jpeg(content)), JPEG_BASELINE) == []


@pytest.mark.parametrize(
    ("content", "is_metadata"),
    [
        (segment(0xE1, b"Exif\0\0II"), True),
        (segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), True),
        (segment(0xED, b"Photoshop 3.0\0"), True),
        (segment(0xE0, b"JFXX\0\x10"), True),
        (segment(0xFE, b"LEAD Technologies Inc. V1.01"), False),
        (b"", False),
    ],
)
def test_metadata_of_cameras_waits_for_a_person(content: bytes, is_metadata: bool) -> None:
    header, _ = a_picture()
    source = pictures.compressed(header, [a_jpeg(content)], JPEG_BASELINE)
    if not is_metadata:
        pictures.judge(source)
        return
    with pytest.raises(NeedsReview, match="EXIF"):
        pictures.judge(source)
    pictures.judge(source, is_released=True)


def test_each_text_is_given_once() -> None:
    assert comments(value_of(*[a_jpeg(segment(0xFE, TEXT))] * 50), JPEG_BASELINE) == [TEXT]


def test_rle_has_no_segments_and_is_not_read_as_if_it_had() -> None:
    head = struct.pack("<16I", 1, 64, *[0] * 14)
    frames = value_of(head + b"\xff\xd8", head + b"\xff\xd8" + segment(0xFE, TEXT))
    assert comments(frames, RLE) == []
    assert not has_metadata(frames, RLE)
    with pytest.raises(Unreadable):
        has_metadata(value_of(a_jpeg(segment(0xE1, b"Exif\0\0"))), RLE)


@pytest.mark.parametrize(
    "frame",
    [
        b"no frame",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8" + b"\xff\xfe\xff\xff" + TEXT,
        b"\xff\xd8" + b"\xff\xfe\0\0" * 2 + b"text",
        b"\xff\xd8" + segment(0xE5, b"") * 5000,
        b"\xff\x4f" + TEXT,
    ],
)
def test_frames_that_are_not_what_their_syntax_says_are_unreadable(frame: bytes) -> None:
    with pytest.raises(Unreadable):
        read_fragments(value_of(frame), JPEG_BASELINE)


def test_a_frames_size_is_read_from_its_own_header() -> None:
    _, array = a_picture(bits=16, rows=7, columns=9)
    (jpeg,) = pictures.jpeg_lossless(array)
    assert size_of(memoryview(jpeg)) == Size(7, 9, 1)
    assert size_of(memoryview(a_codestream())) == Size(40, 48, 1)
    assert size_of(memoryview(a_jpeg())) is None


def test_blanking_leaves_no_comment_behind() -> None:
    header, array = a_picture(bits=16, SOPClassUID=pictures.SECONDARY_CAPTURE)
    (frame,) = pictures.jpeg_lossless(array)
    source = pictures.compressed(header, [frame[:2] + segment(0xFE, TEXT + b".") + frame[2:]], JPEG_LOSSLESS)
    rules = pictures.PixelRules.from_mapping({"signatures": [{"name": "x", "rows": 12, "blank": [[0, 0, 3, 3]]}]})
    result = pictures.blank(source, pictures.judge(source, rules))
    assert TEXT in bytes(source.data)
    assert TEXT not in b"".join(result.parts)
    assert np.array_equal(pictures.samples_of_blanked(source, result)[:, 4:], array[:, 4:])
