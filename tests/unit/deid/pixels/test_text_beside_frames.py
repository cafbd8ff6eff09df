"""A name that is written where encapsulated pixel data holds no picture never comes out of the engine.

Each instance is given to an engine that has seen none before, and to one that could treat it by a template.
"""

import random
import struct
from dataclasses import replace
from functools import cache

import pytest

from dicom.deid import unknown_bytes
from dicom.deid.engine import Deidentifier
from dicom.deid.needles import Needles, words_of
from dicom.deid.pixels.frames import has_excess_fragments
from dicom.deid.pixels.segments import fragments, read_fragments
from dicom.deid.unknown_bytes import is_within
from models.domain.instances import EncodedInstance
from tests import pictures
from tests.pictures import EXPLICIT, JPEG_2000, JPEG_BASELINE, JPEG_LOSSLESS, RLE
from tests.unit.deid.pixels.test_frame_comments import box
from tests.unit.deid.test_compressed_templates import (
    FRAMES,
    PIXELS,
    a_compressed,
    a_jpeg,
    frame_of,
    item,
    of_frames,
    segment,
    with_segment,
)
from tests.unit.deid.test_templates import a_deidentifier, encoded, next_one, outcome, rebuilt

NAME = b"Berentzen^Hanna"
PATIENT_NAME = 0x00100010
KINDS = ("dx_jpeg", "jpeg_2000_mr", "rle_ct")
JPEG_XL = "1.2.840.10008.1.2.4.110"
SIGNATURE = b"\r\n\x87\n"
RETIRED_JPEG, UNKNOWN = "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.999"
MPEG_4, ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.1.98"
TEXT = NAME + b"."
RLE_HEAD = struct.pack("<16I", 1, 64, *[0] * 14)


@cache
def an_original(kind: str) -> EncodedInstance:
    original = a_compressed(kind)
    return rebuilt(original, {PATIENT_NAME: encoded(original, PATIENT_NAME, b"PN", NAME)})


def halves(frame: bytes) -> tuple[bytes, bytes]:
    """A frame in two fragments, cut behind its headers."""
    cut = len(frame) - 8
    return frame[:cut], frame[cut:]


def with_pixels(
    kind: str, *pieces: bytes, table: bytes = b"", count: int = 1, transfer_syntax_uid: str = ""
) -> EncodedInstance:
    original = next_one(an_original(kind), 1)
    frames = encoded(original, FRAMES, b"IS", str(count).encode())
    changed = rebuilt(original, {PIXELS: of_frames(*pieces, table=table), FRAMES: frames}, original.sop_uid)
    return replace(changed, transfer_syntax_uid=transfer_syntax_uid or changed.transfer_syntax_uid)


def value_of(*pieces: bytes, table: bytes = b"") -> memoryview:
    value = memoryview(item(table) + b"".join(map(item, pieces)))
    assert len(fragments(value)) == len(pieces) + 1
    return value


def result_of(instance: EncodedInstance) -> str:
    """The code of the error, or nothing when it passed; the same for the first of its kind and for a later one."""
    first = outcome(a_deidentifier(), instance)
    for kind in KINDS:
        engine = a_deidentifier()
        engine.instance(with_pixels(kind, frame_of(an_original(kind))))
        assert outcome(engine, instance) == first
    if len(first) == 3:
        assert NAME not in first[2]
        return ""
    return first[0]


def result_when_released(instance: EncodedInstance) -> str:
    engine = a_deidentifier()
    released = Deidentifier(engine.policy, engine.key, "PSEUDO1", released=[instance.sop_uid])
    result = outcome(released, instance)
    return "" if len(result) == 3 else result[0]


@pytest.mark.parametrize("kind", KINDS)
def test_text_in_the_place_of_the_offset_table_is_refused(kind: str) -> None:
    frame = frame_of(an_original(kind))
    longer = with_pixels(kind, frame, table=TEXT)
    assert result_of(longer) == "NeedsReview"
    assert result_when_released(longer) == "ResidueFound"
    assert result_of(with_pixels(kind, *[frame] * 4, table=TEXT, count=4)) == "ResidueFound"
    assert result_of(with_pixels(kind, *[frame] * 5, table=TEXT + bytes(4), count=5)) == "ResidueFound"


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, RETIRED_JPEG, UNKNOWN, JPEG_BASELINE, JPEG_LOSSLESS])
@pytest.mark.parametrize("has_name", [True, False])
def test_what_a_frame_says_is_searched_whatever_its_transfer_syntax(transfer_syntax_uid: str, has_name: bool) -> None:
    frame = with_segment(a_jpeg(), segment(0xFE, TEXT if has_name else b"nothing"))
    instance = with_pixels("dx_jpeg", frame, transfer_syntax_uid=transfer_syntax_uid)
    if transfer_syntax_uid == EXPLICIT:
        assert result_of(instance) == "NeedsReview"
        assert result_when_released(instance) == ("ResidueFound" if has_name else "")
    else:
        assert result_of(instance) == ("ResidueFound" if has_name else "")


@pytest.mark.parametrize("transfer_syntax_uid", [RETIRED_JPEG, UNKNOWN])
def test_frames_of_unknown_syntaxes_are_taken_for_what_they_begin_with(transfer_syntax_uid: str) -> None:
    exif = with_segment(a_jpeg(), segment(0xE1, b"Exif\0\0somewhere"))
    said = with_segment(a_jpeg(), segment(0xFE, TEXT))
    assert result_of(with_pixels("dx_jpeg", a_jpeg(), transfer_syntax_uid=transfer_syntax_uid)) == ""
    assert result_of(with_pixels("dx_jpeg", exif, transfer_syntax_uid=transfer_syntax_uid)) == "NeedsReview"
    late = with_pixels("dx_jpeg", b"\x01\x02\x80\x90", said, transfer_syntax_uid=transfer_syntax_uid)
    assert result_of(late) == "NeedsReview"
    assert result_when_released(late) == "ResidueFound"


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, ENCAPSULATED_UNCOMPRESSED, UNKNOWN])
def test_fragments_of_which_nobody_knows_what_they_are_wait_for_a_person(transfer_syntax_uid: str) -> None:
    kept = with_pixels("dx_jpeg", bytes(range(128, 192)), transfer_syntax_uid=transfer_syntax_uid)
    assert result_of(kept) == "NeedsReview"
    assert result_when_released(kept) == ""
    named = with_pixels("dx_jpeg", TEXT, transfer_syntax_uid=transfer_syntax_uid)
    assert result_when_released(named) == "ResidueFound"


def test_text_between_the_fragments_of_a_video_is_found() -> None:
    assert read_fragments(value_of(b"\0\0\1\xb3" * 9, TEXT), MPEG_4).comments == (TEXT,)
    assert read_fragments(value_of(b"\0\0\1\xb3" * 9, b"\xff\xd8\xff\x00" * 9), MPEG_4).comments == ()


@pytest.mark.parametrize("kind", ["dx_jpeg", "jpeg_2000_mr"])
@pytest.mark.parametrize("padding", [b"", bytes(40)])
def test_a_fragment_behind_the_end_of_a_frame_is_refused(kind: str, padding: bytes) -> None:
    frame = frame_of(an_original(kind))
    for behind in (TEXT, NAME.decode().encode("utf-16-le"), b"\x80\x90" * 20):
        assert result_of(with_pixels(kind, frame + padding, behind)) == "NeedsReview"
    first, second = halves(frame)
    assert result_of(with_pixels(kind, first, second + padding, TEXT)) == "NeedsReview"
    assert result_when_released(with_pixels(kind, first, second + padding, TEXT)) == "ResidueFound"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "utf-16-le", "utf-16-be"])
def test_a_fragment_of_text_within_a_frame_is_refused(kind: str, encoding: str) -> None:
    frame, text = frame_of(an_original(kind)), ("for " + NAME.decode()).encode(encoding)
    first, second = halves(frame)
    assert result_of(with_pixels(kind, first, text, second)) == "ResidueFound"
    assert result_of(with_pixels(kind, first, bytes(5000) + text, second)) == "ResidueFound"


@pytest.mark.parametrize("kind", ["dx_jpeg", "jpeg_2000_mr"])
def test_text_behind_the_end_of_a_frame_in_its_own_fragment_is_refused(kind: str) -> None:
    frame = frame_of(an_original(kind)).rstrip(b"\0")
    frame += b"\0" * (len(frame) % 2)
    assert result_of(with_pixels(kind, frame + TEXT)) == "ResidueFound"
    assert result_of(with_pixels(kind, frame + b"\0\0words")) == ""


def test_rle_that_is_text_is_refused() -> None:
    frame = frame_of(an_original("rle_ct"))
    assert result_of(with_pixels("rle_ct", TEXT)) == "Unreadable"
    assert result_of(with_pixels("rle_ct", TEXT * 20)) == "Unreadable"
    assert result_of(with_pixels("rle_ct", frame, TEXT)) == "ResidueFound"
    assert result_of(with_pixels("rle_ct", frame, TEXT, count=2)) == "ResidueFound"
    assert result_of(with_pixels("rle_ct", frame, frame, b"\x80\x90" * 20, count=2)) == "NeedsReview"


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<16I", 0, *[0] * 15),
        struct.pack("<16I", 16, *range(64, 79)),
        struct.pack("<16I", 1, 60, *[0] * 14),
        struct.pack("<16I", 2, 64, 64, *[0] * 13),
        struct.pack("<16I", 2, 70, 66, *[0] * 13),
        struct.pack("<16I", 1, 1000, *[0] * 14),
        RLE_HEAD[:60],
    ],
)
def test_rle_whose_header_is_none_is_unreadable(head: bytes) -> None:
    assert result_of(with_pixels("rle_ct", head + bytes(range(40)) * (len(head) == 64))) == "Unreadable"


def test_text_in_the_unused_offsets_of_rle_is_refused() -> None:
    frame = frame_of(an_original("rle_ct"))
    assert result_of(with_pixels("rle_ct", frame[:40] + TEXT + frame[56:])) == "ResidueFound"
    moved = struct.pack("<16I", 1, 80, *[0] * 14) + TEXT + frame[64:]
    assert result_of(with_pixels("rle_ct", moved)) == "ResidueFound"


@pytest.mark.parametrize("kind", KINDS)
def test_frames_and_tables_of_every_legal_layout_pass(kind: str) -> None:
    frame = frame_of(an_original(kind))
    step = 8 + len(frame)
    first, second = halves(frame)
    for layout in (
        with_pixels(kind, frame),
        with_pixels(kind, frame, table=bytes(4)),
        with_pixels(kind, first, *halves(second)),
        with_pixels(kind, first, second, bytes(200), table=bytes(4)),
        with_pixels(kind, first, second, table=struct.pack("<2I", 0, 8 + len(first))),  # an offset for each fragment
        with_pixels(kind, frame, frame, frame, count=3),
        with_pixels(kind, frame, frame, frame, table=struct.pack("<3I", 0, step, 2 * step), count=3),
        with_pixels(kind, frame, frame, frame, table=struct.pack("<3I", 7, 8, 9), count=3),  # of another compression
        with_pixels(kind, first, second, frame, table=struct.pack("<2I", 0, step + 8), count=2),
    ):
        assert result_of(layout) == ""


def test_an_end_that_is_cut_by_a_fragment_is_one() -> None:
    frame = frame_of(an_original("dx_jpeg")).rstrip(b"\0")
    pieces = [memoryview(piece) for piece in (frame[:-1], frame[-1:] + b"\0")]
    assert result_of(with_pixels("dx_jpeg", *map(bytes, pieces))) == ""
    assert result_of(with_pixels("dx_jpeg", *map(bytes, pieces), TEXT)) == "NeedsReview"


@pytest.mark.parametrize("transfer_syntax_uid", [JPEG_BASELINE, JPEG_2000, RLE, UNKNOWN])
def test_long_pieces_of_compressed_data_are_not_taken_for_text(transfer_syntax_uid: str) -> None:
    noise = pictures.a_picture(bits=16, rows=200, columns=200)[1].tobytes()
    first = {JPEG_BASELINE: a_jpeg()[:-4], JPEG_2000: frame_of(an_original("jpeg_2000_mr"))[:-4]}
    frame = first.get(transfer_syntax_uid, RLE_HEAD + b"\0\0" if transfer_syntax_uid == RLE else a_jpeg()[:-4])
    found = read_fragments(value_of(frame, noise), transfer_syntax_uid)
    assert found.comments == ()
    assert noise in found.unknown
    assert not has_excess_fragments(found, transfer_syntax_uid, 1)


def noise_of(count: int) -> bytes:
    """Bytes in which no marker of a frame is, as in entropy coded data."""
    return random.Random(7).randbytes(count).replace(b"\xff", b"\xfe")


@pytest.mark.parametrize(
    "extra",
    [
        segment(0xEE, b"Adobe\0" + bytes(6) + TEXT),
        segment(0xE2, b"ICC_PROFILE\0\1\1" + TEXT),
        segment(0xE8, b"mrfx\1" + TEXT),
        segment(0xF0, TEXT),
        segment(0xFD, TEXT),
        segment(0x02, TEXT),
        segment(0xDB, b"\0" + bytes(range(64)) + TEXT),
    ],
)
def test_text_in_segments_that_only_look_harmless_is_refused(extra: bytes) -> None:
    assert result_of(with_pixels("dx_jpeg", with_segment(a_jpeg(), extra))) == "ResidueFound"


@pytest.mark.parametrize("between", [segment(0xFE, TEXT), segment(0xE5, TEXT), b"\xff\xd0" + segment(0xFE, TEXT)])
def test_text_between_the_scans_of_a_frame_is_refused(between: bytes) -> None:
    frame = a_jpeg().rstrip(b"\0")
    later_scan = frame[frame.index(b"\xff\xda") :]
    assert result_of(with_pixels("dx_jpeg", frame[:-2] + between + later_scan)) == "ResidueFound"


def test_what_looks_like_the_end_within_a_segment_is_none() -> None:
    frame = a_jpeg().rstrip(b"\0")
    found = read_fragments(value_of(frame[:-2] + segment(0xFE, b"a\xff\xd9b") + frame[-2:]), JPEG_BASELINE)
    assert found.comments == (b"a\xff\xd9b",)


def test_a_segment_that_is_cut_off_behind_the_first_scan_is_read_as_far_as_it_goes() -> None:
    cut = a_jpeg().rstrip(b"\0")[:-2] + b"\xff\xfe\xff\xff" + TEXT
    assert read_fragments(value_of(cut), JPEG_BASELINE).comments == (TEXT,)


def tile_part_with(comment: bytes, is_of_known_length: bool = True) -> bytes:
    """A frame of JPEG 2000 with a comment in the header of its tile part."""
    frame = frame_of(an_original("jpeg_2000_mr")).rstrip(b"\0")
    start = frame.index(b"\xff\x90")
    length = len(frame) - 2 - start + len(comment) if is_of_known_length else 0
    head = frame[start : start + 6] + struct.pack(">I", length) + frame[start + 10 : start + 12]
    return frame[:start] + head + comment + frame[start + 12 :]


@pytest.mark.parametrize("is_of_known_length", [True, False])
def test_text_in_and_behind_the_tile_parts_of_a_codestream_is_refused(is_of_known_length: bool) -> None:
    with_comment = tile_part_with(segment(0x64, b"\0\1" + TEXT), is_of_known_length)
    assert result_of(with_pixels("jpeg_2000_mr", with_comment)) == "ResidueFound"
    plain = tile_part_with(b"", is_of_known_length)
    assert result_of(with_pixels("jpeg_2000_mr", plain)) == ""
    for behind in (TEXT * 400, TEXT + b"\xff\xd9"):
        assert result_of(with_pixels("jpeg_2000_mr", plain + behind)) == "ResidueFound"


def test_a_tile_part_whose_length_is_wrong_hides_nothing_behind_the_end() -> None:
    frame = tile_part_with(b"")
    start = frame.index(b"\xff\x90")
    for length in (3, 40, 1 << 31):
        wrong = frame[: start + 6] + struct.pack(">I", length) + frame[start + 10 :]
        assert read_fragments(value_of(wrong + TEXT), JPEG_2000).comments == (TEXT,)


@pytest.mark.parametrize(
    "behind",
    [
        TEXT * 400,
        TEXT + b"\xff\xd9",
        bytes(5000) + TEXT * 400,
        noise_of(9000) + NAME + noise_of(900),
        noise_of(9000) + NAME.decode().encode("utf-16-le") + noise_of(900),
        TEXT + noise_of(9000),
    ],
)
def test_what_is_behind_the_end_of_a_frame_is_searched_however_long(behind: bytes) -> None:
    frame = frame_of(an_original("dx_jpeg")).rstrip(b"\0")
    assert result_of(with_pixels("dx_jpeg", frame + behind)) == "ResidueFound"
    assert result_of(with_pixels("dx_jpeg", frame + noise_of(9000))) == ""


def in_boxes(before: bytes = b"", behind: bytes = b"", codestream: bytes = b"") -> bytes:
    frame = codestream or frame_of(an_original("jpeg_2000_mr"))
    return box(b"jP  ", SIGNATURE) + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + before + box(b"jp2c", frame) + behind


def test_frames_in_boxes_pass() -> None:
    assert result_of(with_pixels("jpeg_2000_mr", in_boxes())) == ""
    naked = b"\xff\x0a" + noise_of(600)
    boxed = box(b"JXL ", SIGNATURE) + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlc", naked)
    for frame in (naked, boxed):
        assert result_of(with_pixels("jpeg_2000_mr", frame, transfer_syntax_uid=JPEG_XL)) == ""


@pytest.mark.parametrize(
    "frame",
    [
        in_boxes(before=box(b"free", TEXT)),
        in_boxes(before=box(b"jp2h", box(b"res ", TEXT))),
        in_boxes(before=box(b"free", noise_of(9000) + TEXT + b" " * 40 + noise_of(900))),
        in_boxes(before=box(b"jP  ", SIGNATURE + TEXT)),
        in_boxes(behind=box(b"abcd", TEXT)),
        in_boxes(behind=b"\0\0\0\2abcd" + TEXT),
        in_boxes(behind=bytes(8) + TEXT),
        in_boxes(codestream=b"\0" + TEXT),
    ],
)
def test_text_in_and_behind_boxes_that_tell_nothing_of_the_picture_is_refused(frame: bytes) -> None:
    assert result_of(with_pixels("jpeg_2000_mr", frame)) == "ResidueFound"


@pytest.mark.parametrize("is_boxed", [True, False])
def test_text_behind_a_picture_of_jpeg_xl_is_refused(is_boxed: bool) -> None:
    naked = b"\xff\x0a" + noise_of(600) + TEXT
    frame = box(b"JXL ", SIGNATURE) + box(b"jxlc", naked) if is_boxed else naked
    assert result_of(with_pixels("jpeg_2000_mr", frame, transfer_syntax_uid=JPEG_XL)) == "ResidueFound"


def test_a_second_picture_behind_the_end_of_a_frame_waits_for_a_person() -> None:
    frame = frame_of(an_original("dx_jpeg")).rstrip(b"\0")
    two = with_pixels("dx_jpeg", frame + b"\0" + a_jpeg())
    assert result_of(two) == "NeedsReview"
    assert result_when_released(two) == ""
    named = with_pixels("dx_jpeg", frame + noise_of(0) + with_segment(a_jpeg(), segment(0xFE, TEXT)))
    assert result_when_released(named) == "ResidueFound"


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_within_a_fragment_that_is_no_text_is_refused(kind: str) -> None:
    first, second = halves(frame_of(an_original(kind)))
    for name in (NAME, NAME.lower(), NAME.decode().encode("utf-16-be"), NAME.decode().encode("utf-16-le")):
        hidden = noise_of(9000) + name + noise_of(2001)
        assert result_of(with_pixels(kind, first, hidden, second)) == "ResidueFound"
    assert result_of(with_pixels(kind, first, noise_of(9000), second)) == ""


def test_a_name_behind_the_last_segment_of_rle_is_refused() -> None:
    frame = frame_of(an_original("rle_ct"))
    assert result_of(with_pixels("rle_ct", frame + TEXT)) == "ResidueFound"


@pytest.mark.parametrize("slice_bytes", [1, 7, 505, 512, 1 << 20])
@pytest.mark.parametrize(
    ("content", "is_found"),
    [
        (b"\x01Berentzen\x02", True),
        (b"\x01bER\xc9NTZ\xc8N\x02", True),
        (b"\x01Hanna\x02", False),  # five letters may be chance
        (b"\x01Hanna, 12 May\x02", True),
        (b"\x01written: Hanna\x02", True),
        (b"\x01A4711-2233\x02", False),
        (b"\x01A47112233\x02", True),
        (b"\x011.2.826.0.1.3680043.10.77.1\x02", True),
        (b"\x01B\0e\0r\0e\0n\0t\0z\0e\0n\0\x02", True),
        (b"\x01Beren\x02tzen", False),
    ],
)
def test_within_unknown_bytes_only_what_is_no_chance_is_found(
    content: bytes, is_found: bool, slice_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown_bytes, "_SLICE_BYTES", slice_bytes)
    words = words_of([(PATIENT_NAME, b"PN", NAME, b""), (0x00100020, b"LO", b"A47112233", b"")])
    needles = Needles(words, frozenset({b"1.2.826.0.1.3680043.10.77.1"}))
    assert is_within(memoryview(noise_of(500) + content + noise_of(500)), needles) is is_found


def test_by_chance_no_name_is_in_compressed_data() -> None:
    names = [b"Maria^Andrea", b"Schmitt^Karla", b"Yilmaz^Aaliyah", b"Annana^Eoaea"]
    needles = Needles(words_of([(PATIENT_NAME, b"PN", name, b"") for name in names]))
    assert not is_within(memoryview(random.Random(1).randbytes(8 << 20)), needles)
