"""Blanking: black inside, the same samples outside, in every pixel format, and the same bytes each time."""

from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from numpy.typing import NDArray
from pydicom.pixels import get_encoder

from dicom.deid.pixels.judge import Plan
from dicom.deid.pixels.rules import Treatment
from dicom.deid.pixels.signatures import Areas, Rectangle
from dicom.part10 import split_part10
from models.domain.errors import NeedsReview, Unreadable
from tests import pictures
from tests.pictures import BIG_ENDIAN, EXPLICIT, IMPLICIT, JPEG_2000, JPEG_LOSSLESS, RLE, Source, a_picture

LEFT, RIGHT = Rectangle(2, 1, 7, 4), Rectangle(8, 3, 13, 9)
BLANK, KEEP = Plan(Areas(blank=(LEFT, RIGHT))), Plan(Areas(keep=(LEFT, RIGHT)))
FORMATS = {
    "8 bit": {"bits": 8},
    "8 bit, 3 frames": {"bits": 8, "frames": 3},
    "8 bit, odd": {"bits": 8, "rows": 11, "columns": 17, "frames": 3},
    "12 of 16 bit": {"bits": 16, "stored": 12},
    "16 bit": {"bits": 16, "frames": 2},
    "12 of 16 bit, signed": {"bits": 16, "stored": 12, "is_signed": True},
    "32 bit": {"bits": 32},
    "MONOCHROME1": {"photometric": "MONOCHROME1", "bits": 16, "stored": 12},
    "MONOCHROME1, signed": {"photometric": "MONOCHROME1", "bits": 16, "is_signed": True},
    "PALETTE COLOR": {"photometric": "PALETTE COLOR"},
    "RGB": {"photometric": "RGB", "frames": 2},
    "RGB by plane": {"photometric": "RGB", "is_planar": True, "frames": 2},
    "RGB, odd": {"photometric": "RGB", "rows": 11, "columns": 17},
    "RGB of 16 bit": {"photometric": "RGB", "bits": 16},
    "YBR_FULL": {"photometric": "YBR_FULL", "frames": 2},
    "YBR_FULL by plane": {"photometric": "YBR_FULL", "is_planar": True},
}
LARGE = {"rows": 41, "columns": 47}
"""JPEG 2000 halves a picture five times."""
BLACK = {
    "12 of 16 bit, signed": [-2048],
    "MONOCHROME1": [4095],
    "MONOCHROME1, signed": [32767],
    "YBR_FULL": [0, 128, 128],
    "YBR_FULL by plane": [0, 128, 128],
}
PYDICOM = Path(pydicom.data.__file__).parent / "test_files"
COMPRESSED_FILES = [
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "examples_ybr_color.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEGLSNearLossless_08.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "MR_small_jp2klossless.dcm",
    "693_J2KI.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "examples_jpeg2k.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_rle_32bit_2frame.dcm",
    "rtdose_rle.dcm",
]


def is_inside(array: NDArray[np.generic], *areas: Rectangle) -> NDArray[np.bool_]:
    inside = np.zeros(array.shape[:3], dtype=bool)
    for area in areas:
        inside[:, area.y0 : area.y1 + 1, area.x0 : area.x1 + 1] = True
    return inside


def check(before: NDArray[np.generic], after: NDArray[np.generic], black: list[int], plan: Plan) -> None:
    areas = plan.areas or Areas()
    inside = ~is_inside(before, *areas.keep) if areas.keep else is_inside(before, *areas.blank)
    assert inside.any()
    assert not inside.all()
    assert (after[inside] == np.array(black)).all()
    assert (after[~inside] == before[~inside]).all()


@pytest.mark.parametrize("plan", [BLANK, KEEP], ids=["blank", "keep"])
@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("name", FORMATS)
def test_native_pictures_are_black_inside_and_the_same_outside(name: str, transfer_syntax_uid: str, plan: Plan) -> None:
    header, array = a_picture(**FORMATS[name])  # type: ignore[arg-type]
    source = pictures.native(header, array, transfer_syntax_uid)
    result = pictures.blank(source, plan)
    assert (result.transfer_syntax_uid, result.is_blank) == (transfer_syntax_uid, True)
    black = BLACK.get(name, [0] * array.shape[3])
    check(array, pictures.samples_of_blanked(source, result), black, plan)
    assert sum(map(len, result.parts)) == source.pixels.end - source.pixels.start


@pytest.mark.parametrize("plan", [BLANK, KEEP], ids=["blank", "keep"])
@pytest.mark.parametrize("name", [name for name, values in FORMATS.items() if values.get("bits") != 32])
def test_rle_stays_rle(name: str, plan: Plan) -> None:
    header, array = a_picture(**FORMATS[name])  # type: ignore[arg-type]
    source = pictures.compressed(header, encoded_frames(header, array, RLE), RLE)
    result = pictures.blank(source, plan)
    assert result.transfer_syntax_uid == RLE
    check(array, pictures.samples_of_blanked(source, result), BLACK.get(name, [0] * array.shape[3]), plan)


@pytest.mark.parametrize("plan", [BLANK, KEEP], ids=["blank", "keep"])
@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith("32")])
def test_jpeg_2000_stays_jpeg_2000_without_loss(name: str, plan: Plan) -> None:
    header, array = a_picture(**{**FORMATS[name], **LARGE})  # type: ignore[arg-type]
    if header.PhotometricInterpretation == "RGB":
        header.PhotometricInterpretation = "YBR_RCT"
    source = pictures.compressed(header, encoded_frames(header, array, JPEG_2000), JPEG_2000)
    result = pictures.blank(source, plan)
    assert result.transfer_syntax_uid == JPEG_2000
    check(array, pictures.samples_of_blanked(source, result), BLACK.get(name, [0] * array.shape[3]), plan)


def encoded_frames(header: object, array: NDArray[np.generic], transfer_syntax_uid: str) -> list[bytes]:
    encoder = get_encoder(transfer_syntax_uid)
    values = {
        "rows": header.Rows,  # type: ignore[attr-defined]
        "columns": header.Columns,  # type: ignore[attr-defined]
        "samples_per_pixel": array.shape[3],
        "number_of_frames": 1,
        "bits_allocated": header.BitsAllocated,  # type: ignore[attr-defined]
        "bits_stored": header.BitsStored,  # type: ignore[attr-defined]
        "pixel_representation": header.PixelRepresentation,  # type: ignore[attr-defined]
        "photometric_interpretation": header.PhotometricInterpretation,  # type: ignore[attr-defined]
        "planar_configuration": 0,
        "encoding_plugin": "pylibjpeg",
    }
    return [encoder.encode(frame.tobytes(), **values) for frame in array]


@pytest.mark.parametrize("frames", [1, 2])
def test_jpeg_lossless_becomes_native(frames: int) -> None:
    header, array = a_picture(bits=16, frames=frames)
    source = pictures.compressed(header, pictures.jpeg_lossless(array), JPEG_LOSSLESS)
    result = pictures.blank(source, BLANK)
    assert result.transfer_syntax_uid == EXPLICIT
    check(array, pictures.samples_of_blanked(source, result), [0], BLANK)


@pytest.mark.parametrize("name", COMPRESSED_FILES)
def test_files_of_other_encoders_are_black_inside_and_the_same_outside(name: str) -> None:
    source = of_file(name)
    columns, rows = (pictures.Header(source.data, source.elements, source.syntax).number(tag) for tag in SIZE)
    plan = Plan(Areas(blank=(Rectangle(0, 0, columns // 2 - 1, rows // 2 - 1),)))
    result = pictures.blank(source, plan)
    before, after = pictures.samples_of(source), pictures.samples_of_blanked(source, result)
    black = after[0, 0, 0].tolist()
    assert black in ([0], [-2000], [-32768], [0, 0, 0], [0, 128, 128])
    check(before, after, black, plan)


SIZE = (0x00280011, 0x00280010)


def of_file(name: str) -> Source:
    instance = split_part10((PYDICOM / name).read_bytes())
    return pictures.of_bytes(b"".join(instance.parts), instance.transfer_syntax_uid)


@pytest.mark.parametrize(
    ("area", "blanked_columns"), [(Rectangle(2, 1, 7, 4), slice(2, 8)), (Rectangle(3, 1, 6, 4), slice(2, 8))]
)
def test_pixels_that_share_their_colour_are_blanked_together(area: Rectangle, blanked_columns: slice) -> None:
    source, pairs = shared_colour()
    result = np.frombuffer(b"".join(pictures.blank(source, Plan(Areas(blank=(area,)))).parts)[12:], np.uint8)
    after = result.reshape(pairs.shape)
    halves = slice(blanked_columns.start // 2, blanked_columns.stop // 2)
    assert (after[:, 1:5, halves] == [0, 0, 128, 128]).all()
    outside = np.ones(pairs.shape[:3], dtype=bool)
    outside[:, 1:5, halves] = False
    assert (after[outside] == pairs[outside]).all()


def test_pixels_that_share_their_colour_with_a_blank_one_are_not_kept() -> None:
    source, pairs = shared_colour()
    result = np.frombuffer(
        b"".join(pictures.blank(source, Plan(Areas(keep=(Rectangle(3, 1, 8, 4),)))).parts)[12:], "u1"
    )
    after = result.reshape(pairs.shape)
    assert (after[:, 1:5, 2:4] == pairs[:, 1:5, 2:4]).all()
    assert (after[:, :, :2] == [0, 0, 128, 128]).all()
    assert (after[:, :, 4:] == [0, 0, 128, 128]).all()


def shared_colour() -> tuple[Source, NDArray[np.uint8]]:
    header, _ = a_picture("YBR_FULL_422", frames=2)
    pairs = np.random.default_rng(3).integers(1, 255, (2, 12, 8, 4), dtype=np.uint8)
    header.add_new(0x7FE00010, "OB", pairs.tobytes())
    return pictures.encoded(header), pairs


def test_bytes_in_big_endian_words_are_blanked_where_they_are_shown() -> None:
    header, array = a_picture(rows=11, columns=17)
    value = array.tobytes() + b"\0"
    header.add_new(0x7FE00010, "OW", np.frombuffer(value, "u2").byteswap().tobytes())
    source = pictures.encoded(header, BIG_ENDIAN)
    result = pictures.blank(source, BLANK)
    words = np.frombuffer(b"".join(result.parts)[12:], "u2").byteswap()
    check(array, np.frombuffer(words.tobytes()[:-1], "u1").reshape(array.shape), [0], BLANK)


def test_the_darkest_entry_of_a_palette_is_black() -> None:
    header, array = a_picture("PALETTE COLOR")
    for colour, values in (("Red", [9, 1, 9]), ("Green", [9, 2, 0]), ("Blue", [9, 1, 9])):
        setattr(header, f"{colour}PaletteColorLookupTableDescriptor", [3, 100, 16])
        setattr(header, f"{colour}PaletteColorLookupTableData", np.array(values, "<u2").tobytes())
    source = pictures.native(header, array)
    check(array, pictures.samples_of_blanked(source, pictures.blank(source, BLANK)), [101], BLANK)


@pytest.mark.parametrize(("padding", "black"), [(-2000, -2000), (-5000, -2048), (None, -2048)])
def test_the_padding_value_is_taken_where_a_sample_can_have_it(padding: int | None, black: int) -> None:
    header, array = a_picture(bits=16, stored=12, is_signed=True)
    if padding is not None:
        header.add_new(0x00280120, "SS", padding)
    source = pictures.native(header, array)
    check(array, pictures.samples_of_blanked(source, pictures.blank(source, BLANK)), [black], BLANK)


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, RLE, JPEG_2000, JPEG_LOSSLESS])
def test_two_runs_give_the_same_bytes(transfer_syntax_uid: str) -> None:
    header, array = a_picture(bits=16, frames=2, **LARGE)
    if transfer_syntax_uid == EXPLICIT:
        source = pictures.native(header, array)
    elif transfer_syntax_uid == JPEG_LOSSLESS:
        source = pictures.compressed(header, pictures.jpeg_lossless(array), transfer_syntax_uid)
    else:
        source = pictures.compressed(header, encoded_frames(header, array, transfer_syntax_uid), transfer_syntax_uid)
    first, second = pictures.blank(source, BLANK), pictures.blank(source, BLANK)
    assert b"".join(first.parts) == b"".join(second.parts)
    assert first.changed == second.changed


def test_what_no_longer_holds_is_changed_in_the_header() -> None:
    source = of_file("SC_rgb_dcmtk_+eb+cy+s2.dcm")
    changed = pictures.blank(source, BLANK).changed
    assert changed[0x00280004] == b"YBR_FULL"
    assert {tag for tag, value in changed.items() if value is None} >= {0x7FE00001, 0x7FE00002, 0x00280106, 0x00280107}


def test_frames_in_several_fragments_are_joined() -> None:
    header, array = a_picture(bits=16, frames=2, **LARGE)
    whole = encoded_frames(header, array, JPEG_2000)
    pieces = [piece for frame in whole for piece in (frame[:200], frame[200:] + b"\0" * (len(frame) % 2))]
    source = pictures.compressed(header, pieces, JPEG_2000)
    check(array, pictures.samples_of_blanked(source, pictures.blank(source, BLANK)), [0], BLANK)


def test_unused_bits_are_cleared_and_stored_ones_stay() -> None:
    header, array = a_picture(bits=16, stored=12)
    source = pictures.native(header, array | np.uint16(0xF000))
    result = pictures.blank(source, Plan(clears_unused_bits=True))
    assert (np.frombuffer(result.parts[1], "<u2") == array.ravel()).all()
    assert not result.is_blank


def test_data_behind_the_last_frame_is_cut_off_with_the_rest_as_it_is() -> None:
    header, array = a_picture(rows=11, columns=17)
    header.add_new(0x7FE00010, "OB", array.tobytes() + b"\0" + b"Zwirnbald^Odo")
    source = pictures.encoded(header)
    for plan in (Plan(cuts=True), BLANK):
        result = b"".join(pictures.blank(source, plan).parts)
        assert b"Zwirnbald" not in result
        assert len(result) == 12 + 11 * 17 + 1


def test_cutting_keeps_the_last_sample_of_big_endian_words() -> None:
    header, array = a_picture(rows=11, columns=17)
    words = np.frombuffer(array.tobytes() + b"\0", "u2").byteswap().tobytes()
    header.add_new(0x7FE00010, "OW", words + b"Zwirnbald^")
    source = pictures.encoded(header, BIG_ENDIAN)
    assert b"".join(pictures.blank(source, Plan(cuts=True)).parts)[12:] == words


def test_without_anything_to_change_the_pixels_are_a_view() -> None:
    source = pictures.native(*a_picture())
    (part,) = pictures.blank(source, Plan()).parts
    assert isinstance(part, memoryview)
    assert part.obj is source.data.obj
    assert Plan().treatment is Treatment.PASS


def test_frames_of_another_size_than_the_header_says_are_not_decoded() -> None:
    header, array = a_picture(bits=16, **LARGE)
    frames = encoded_frames(header, array, JPEG_2000)
    header.Rows, header.Columns = 3, 3
    with pytest.raises(Unreadable, match="another size"):
        pictures.blank(pictures.compressed(header, frames, JPEG_2000), BLANK)


def test_another_number_of_frames_than_the_header_says_is_refused() -> None:
    header, array = a_picture(bits=16, frames=2)
    frames = encoded_frames(header, array, RLE)
    header.NumberOfFrames = 3
    with pytest.raises(Unreadable, match="number of frames"):
        pictures.blank(pictures.compressed(header, frames, RLE), BLANK)


def test_what_cannot_be_decoded_is_held_until_a_person_releases_it() -> None:
    header, array = a_picture(bits=16, **LARGE)
    frame = encoded_frames(header, array, JPEG_2000)[0]
    source = pictures.compressed(header, [frame[:60] + bytes(len(frame) - 60)], JPEG_2000)
    with pytest.raises(NeedsReview, match="decoded"):
        pictures.blank(source, BLANK)
    released = pictures.blank(source, Plan(BLANK.areas, is_released=True))
    assert not released.is_blank
    assert b"".join(released.parts) == bytes(source.data[source.pixels.start : source.pixels.end])
