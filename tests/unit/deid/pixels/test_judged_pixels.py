"""What passes, what is blanked, what waits for a person and what never passes, by the header alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from deployments.demo import studies
from dicom.deid.pixels.rules import PixelRules, Treatment
from dicom.deid.pixels.signatures import Areas, Rectangle
from dicom.part10 import split_part10
from models.domain.errors import Excluded, NeedsReview, Unreadable
from tests import pictures
from tests.pictures import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    SECONDARY_CAPTURE,
    STORAGE,
    ULTRASOUND,
    a_header,
    a_picture,
)

PASS, BLANK = Treatment.PASS, Treatment.BLANK
PHOTOGRAPHY, ENDOSCOPY, WHOLE_SLIDE = f"{STORAGE}77.1.4", f"{STORAGE}77.1.1", f"{STORAGE}77.1.6"
HARDCOPY, STORED_PRINT = "1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.27"
MPEG_4 = "1.2.840.10008.1.2.4.102"


def a_region(x0: int, y0: int, x1: int, y1: int) -> Dataset:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = x0, y0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = x1, y1
    return region


def an_ultrasound(*regions: Dataset, transfer_syntax_uid: str = EXPLICIT, **values: object) -> pictures.Source:
    header, array = a_picture("RGB", SOPClassUID=ULTRASOUND, rows=60, columns=80, **values)
    if regions:
        header.SequenceOfUltrasoundRegions = Sequence(regions)
    return pictures.native(header, array, transfer_syntax_uid)


@pytest.mark.parametrize(
    ("sop_class", "values"),
    [
        ("2", {}),  # CT
        ("2", {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]}),
        ("2", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]}),
        ("2", {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}),
        ("2", {"SeriesDescription": "Thorax 1.0 B70f documented"}),
        ("2.1", {}),  # enhanced CT
        ("4", {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"], "SeriesDescription": "t2_tse_tra_prescan"}),
        ("4.1", {}),
        ("128", {"ImageType": ["ORIGINAL", "PRIMARY"]}),  # PET
        ("481.1", {"ImageType": ["DERIVED", "SECONDARY", "DRR"]}),
        ("481.2", {"DoseType": "PHYSICAL", "SeriesDescription": "RT dose of plan 1"}),
        ("481.3", {}),  # structure set
        ("481.5", {}),  # plan
        ("66.4", {"ImageType": ["DERIVED", "PRIMARY"]}),
        ("66.7", {"ImageType": ["DERIVED", "PRIMARY", "LABELMAP"]}),  # label map segmentation
        ("1", {}),  # CR
        ("1.1", {}),  # DX
        ("1.1.1", {}),
        ("1.2", {"ImageType": ["ORIGINAL", "PRIMARY"]}),  # mammography
        ("12.1", {"ImageType": ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]}),  # XA
        ("12.2", {}),
        ("20", {"ImageType": ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]}),
        ("2", {"RecognizableVisualFeatures": "NO"}),
        ("7", {"BurnedInAnnotation": "NO"}),
        ("7.4", {"BurnedInAnnotation": "NO"}),
        ("3.1", {"BurnedInAnnotation": "NO"}),
        ("6.1", {"BurnedInAnnotation": "NO"}),
        ("77.1.1", {"BurnedInAnnotation": "NO"}),
        ("77.1.6", {"BurnedInAnnotation": "NO", "SpecimenLabelInImage": "NO"}),
        ("77.1.4", {"BurnedInAnnotation": "NO", "RecognizableVisualFeatures": "NO"}),
    ],
)
def test_what_shows_no_text_passes_untouched(sop_class: str, values: dict[str, object]) -> None:
    header, array = a_picture(SOPClassUID=STORAGE + sop_class, **values)
    assert pictures.judge(pictures.native(header, array)).treatment is PASS


@pytest.mark.parametrize("sop_class", ["88.11", "88.67", "88.59", "11.1", "9.1.1", "66"])
def test_what_is_not_a_picture_is_no_page_of_text(sop_class: str) -> None:
    source = pictures.encoded(a_header(STORAGE + sop_class, SeriesDescription="Dose Report"))
    assert pictures.judge(source).treatment is PASS


@pytest.mark.parametrize(
    ("sop_class_uid", "values", "reason"),
    [
        (SECONDARY_CAPTURE, {}, "secondary capture"),
        (f"{SECONDARY_CAPTURE}.2", {}, "secondary capture"),
        (ULTRASOUND, {}, "ultrasound"),
        (f"{STORAGE}3", {}, "ultrasound"),
        (f"{STORAGE}6.2", {}, "ultrasound"),
        (ENDOSCOPY, {}, "visible light"),
        (f"{STORAGE}77.1.5.1", {}, "visible light"),
        (PHOTOGRAPHY, {"BurnedInAnnotation": "NO"}, "face"),
        (CT, {"RecognizableVisualFeatures": "YES"}, "face"),
        (f"{ENDOSCOPY}.1", {"BurnedInAnnotation": "NO"}, "video"),
        (HARDCOPY, {}, "film"),
        (STORED_PRINT, {}, "film"),
        (f"{STORAGE}1", {"ConversionType": "DF"}, "film"),
        (CT, {"BurnedInAnnotation": "YES"}, "burned"),
        (CT, {"BurnedInAnnotation": "UNKNOWN"}, "burned"),
        (CT, {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screen"),
        (CT, {"ImageType": ["DERIVED", "SECONDARY", "SCREENSHOT"], "BurnedInAnnotation": "NO"}, "screen"),
        (CT, {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 PROT"]}, "screen"),
        (CT, {"ImageType": ["DERIVED", "SECONDARY", "DOSE_INFO"]}, "screen"),
        (WHOLE_SLIDE, {"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"], "BurnedInAnnotation": "NO"}, "label"),
        (WHOLE_SLIDE, {"SpecimenLabelInImage": "YES", "BurnedInAnnotation": "NO"}, "label"),
        (SECONDARY_CAPTURE, {"ConversionType": "SD", "BurnedInAnnotation": "NO"}, "scanned"),
        (SECONDARY_CAPTURE, {"ConversionType": "SI", "BurnedInAnnotation": "NO"}, "scanned"),
        (CT, {"SeriesDescription": "Dose Report", "BurnedInAnnotation": "NO"}, "scanned"),
        (CT, {"SeriesDescription": "Patient Protocol"}, "scanned"),
        (CT, {"SeriesDescription": "DOSISBERICHT"}, "scanned"),
        (CT, {"SeriesDescription": "Scanned documents"}, "scanned"),
        (f"{STORAGE}1", {"SeriesDescription": "Screen Save"}, "scanned"),
        ("1.3.12.2.1107.5.9.1", {"BurnedInAnnotation": "NO"}, "private"),
    ],
)
def test_what_may_show_the_identity_waits_until_a_person_releases_it(
    sop_class_uid: str, values: dict[str, object], reason: str
) -> None:
    header, array = a_picture(SOPClassUID=sop_class_uid, **values)
    source = pictures.native(header, array)
    with pytest.raises(NeedsReview, match=reason):
        pictures.judge(source)
    plan = pictures.judge(source, is_released=True)
    assert (plan.treatment, plan.is_released) == (PASS, True)


@pytest.mark.parametrize("number", range(1, 6))
def test_documents_never_pass(number: int) -> None:
    source = pictures.encoded(a_header(f"{STORAGE}104.{number}", BurnedInAnnotation="NO"))
    for is_released in (False, True):
        with pytest.raises(Excluded, match="document"):
            pictures.judge(source, is_released=is_released)


def test_documents_pass_a_person_where_the_profile_says_so() -> None:
    source = pictures.encoded(a_header(f"{STORAGE}104.1"))
    rules = PixelRules.from_mapping({"documents": "hold"})
    with pytest.raises(NeedsReview):
        pictures.judge(source, rules)
    assert pictures.judge(source, rules, is_released=True).treatment is PASS


@pytest.mark.parametrize("sop_class_uid", [ULTRASOUND, SECONDARY_CAPTURE, CT])
def test_a_video_waits_even_if_it_denies_text_because_it_has_sound(sop_class_uid: str) -> None:
    header, _ = a_picture(SOPClassUID=sop_class_uid, BurnedInAnnotation="NO")
    with pytest.raises(NeedsReview, match="video"):
        pictures.judge(pictures.compressed(header, [b"\0\0\1\xb3"], MPEG_4))


@pytest.mark.parametrize("sop_class", ["9.4.1", "9.4.2"])
def test_a_sound_recording_waits_until_a_person_releases_it(sop_class: str) -> None:
    source = pictures.encoded(a_header(STORAGE + sop_class, BurnedInAnnotation="NO"))
    with pytest.raises(NeedsReview, match="sound"):
        pictures.judge(source)
    assert pictures.judge(source, is_released=True).treatment is PASS


@pytest.mark.parametrize("sop_class", ["9.1.1", "9.1.3", "9.2.1", "9.3.1", "9.5.1", "9.6.1", "9.7.1", "9.8.1"])
def test_waveforms_without_sound_pass(sop_class: str) -> None:
    assert pictures.judge(pictures.encoded(a_header(STORAGE + sop_class))).treatment is PASS


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_ultrasound_is_blanked_outside_its_regions(transfer_syntax_uid: str) -> None:
    source = an_ultrasound(a_region(5, 10, 60, 50), a_region(61, 10, 200, 50), transfer_syntax_uid=transfer_syntax_uid)
    plan = pictures.judge(source)
    assert plan.areas == Areas(keep=(Rectangle(5, 10, 60, 50), Rectangle(61, 10, 79, 50)))
    after = pictures.samples_of_blanked(source, pictures.blank(source, plan))
    before = pictures.samples_of(source)
    assert (after[:, 10:51, 5:80] == before[:, 10:51, 5:80]).all()
    assert not after[:, :10].any()
    assert not after[:, 51:].any()
    assert not after[:, :, :5].any()


def test_ultrasound_is_blanked_even_if_it_denies_text_or_a_person_released_it() -> None:
    for values in ({"BurnedInAnnotation": "NO"}, {"BurnedInAnnotation": "YES"}, {}):
        source = an_ultrasound(a_region(5, 10, 60, 50), **values)
        for is_released in (False, True):
            plan = pictures.judge(source, is_released=is_released)
            assert (plan.is_blank, plan.is_released) == (True, is_released)


@pytest.mark.parametrize(
    "regions",
    [
        [],
        [a_region(0, 0, 79, 59)],  # the whole picture
        [a_region(0, 0, 79, 29), a_region(0, 30, 79, 59)],  # the whole picture in two
        [a_region(0, 1, 79, 59)],  # no line of text fits outside
        [a_region(3, 3, 5, 5)],  # nearly nothing
        [a_region(60, 10, 5, 50)],  # from right to left
        [a_region(90, 10, 99, 50)],  # outside
        [a_region(5, 10, 60, 50), a_region(90, 10, 99, 50)],
        [a_region(5, 10, 60, 50), Dataset()],  # one without corners
        [a_region(5, 10, 60, 50)] * 65,
    ],
)
def test_regions_that_cannot_be_believed_do_not_count(regions: list[Dataset]) -> None:
    source = an_ultrasound(*regions)
    with pytest.raises(NeedsReview, match="regions"):
        pictures.judge(source)
    assert pictures.judge(source, is_released=True).treatment is PASS


def test_regions_do_not_count_where_frames_cannot_be_decoded() -> None:
    header, _ = a_picture("RGB", SOPClassUID=ULTRASOUND, rows=60, columns=80, frames=1)
    header.SequenceOfUltrasoundRegions = Sequence([a_region(5, 10, 60, 50)])
    for values in ({"BitsAllocated": 12}, {"PhotometricInterpretation": "CMYK"}, {"NumberOfFrames": "100000"}):
        other = Dataset(header)
        for keyword, value in values.items():
            setattr(other, keyword, value)
        other.add_new(0x7FE00010, "OB", bytes(60 * 80 * 3))
        with pytest.raises(NeedsReview):
            pictures.judge(pictures.encoded(other))


SIGNATURE = {
    "name": "console",
    "sop_class": SECONDARY_CAPTURE,
    "manufacturer": "Acme",
    "rows": 60,
    "columns": 80,
    "image_type": ["SCREEN SAVE"],
    "blank": [[0, 0, 79, 9]],
}


def a_capture(**values: object) -> pictures.Source:
    header, array = a_picture(
        **{
            "SOPClassUID": SECONDARY_CAPTURE,
            "rows": 60,
            "columns": 80,
            "Manufacturer": " ACME ",
            "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"],
            **values,
        }  # type: ignore[arg-type]
    )
    return pictures.native(header, array)


def test_a_known_layout_is_blanked() -> None:
    rules = PixelRules.from_mapping({"signatures": [SIGNATURE]})
    plan = pictures.judge(a_capture(), rules)
    assert plan.areas == Areas(blank=(Rectangle(0, 0, 79, 9),))
    assert "console" in plan.reason


@pytest.mark.parametrize(
    "values",
    [
        {"Manufacturer": "ACME 2"},
        {"rows": 61},
        {"columns": 40},
        {"ImageType": ["DERIVED", "SECONDARY"]},
        {"SOPClassUID": f"{SECONDARY_CAPTURE}.1"},
        {"SeriesDescription": "Scanned document"},
    ],
)
def test_a_layout_that_is_known_only_nearly_waits(values: dict[str, object]) -> None:
    with pytest.raises(NeedsReview):
        pictures.judge(a_capture(**values), PixelRules.from_mapping({"signatures": [SIGNATURE]}))


def test_a_signature_whose_rectangles_do_not_fit_does_not_count() -> None:
    rules = PixelRules.from_mapping({"signatures": [{"name": "x", "manufacturer": "acme", "blank": [[0, 0, 80, 9]]}]})
    with pytest.raises(NeedsReview):
        pictures.judge(a_capture(), rules)


def test_a_denial_frees_nothing_where_the_profile_does_not_trust_it() -> None:
    header, array = a_picture(SOPClassUID=SECONDARY_CAPTURE, BurnedInAnnotation="NO")
    source = pictures.native(header, array)
    assert pictures.judge(source).treatment is PASS
    with pytest.raises(NeedsReview):
        pictures.judge(source, PixelRules.from_mapping({"trust_declared_no": False}))
    with pytest.raises(Excluded):
        pictures.judge(source, PixelRules.from_mapping({"secondary_capture": "reject"}))


def test_the_strictest_treatment_of_all_kinds_holds() -> None:
    header, array = a_picture(SOPClassUID=SECONDARY_CAPTURE, SeriesDescription="Dose Report")
    source = pictures.native(header, array)
    with pytest.raises(NeedsReview, match="scanned"):
        pictures.judge(source, PixelRules.from_mapping({"secondary_capture": "pass"}))
    with pytest.raises(Excluded):
        pictures.judge(source, PixelRules.from_mapping({"secondary_capture": "pass", "scanned": "reject"}))


def test_an_overlay_within_the_pixels_is_cleared() -> None:
    header, array = a_picture(bits=16, stored=12)
    header.add_new(0x60000010, "US", 12)
    header.add_new(0x60000102, "US", 12)
    plan = pictures.judge(pictures.native(header, array))
    assert (plan.clears_unused_bits, plan.is_blank, plan.treatment) == (True, False, BLANK)


def test_an_overlay_for_which_no_bits_are_unused_waits() -> None:
    header, array = a_picture(bits=16)
    header.add_new(0x60000010, "US", 12)
    with pytest.raises(NeedsReview, match="overlay"):
        pictures.judge(pictures.native(header, array))


def test_data_behind_the_last_frame_waits_and_is_cut_off_on_release() -> None:
    header, array = a_picture(rows=3, columns=3)
    header.add_new(0x7FE00010, "OB", array.tobytes() + b"\0Zwirnbald.")
    source = pictures.encoded(header)
    with pytest.raises(NeedsReview, match="last frame"):
        pictures.judge(source)
    plan = pictures.judge(source, is_released=True)
    assert b"Zwirnbald" not in b"".join(pictures.blank(source, plan).parts)


def test_more_compressed_frames_than_the_header_says_wait() -> None:
    header, array = a_picture(bits=16, frames=3)
    frames = pictures.jpeg_lossless(array)
    assert pictures.judge(pictures.compressed(header, frames, pictures.JPEG_LOSSLESS)).treatment is PASS
    header.NumberOfFrames = 2
    with pytest.raises(NeedsReview, match="last frame"):
        pictures.judge(pictures.compressed(header, frames, pictures.JPEG_LOSSLESS))


def test_two_kinds_of_pixel_data_are_unreadable() -> None:
    header, _ = a_picture()
    header.add_new(0x7FE00008, "OF", bytes(4))
    header.add_new(0x7FE00010, "OB", bytes(12 * 16))
    with pytest.raises(Unreadable):
        pictures.judge(pictures.encoded(header))


@pytest.mark.parametrize("rows", [b"", b"\0", b"\0\0"])
def test_pictures_without_rows_are_held_or_pass_by_their_kind_only(rows: bytes) -> None:
    header = a_header(ULTRASOUND, Columns=3, BitsAllocated=8)
    header.add_new(0x7FE00010, "OB", b"")
    with pytest.raises(NeedsReview):
        pictures.judge(pictures.encoded(header))


def test_no_message_quotes_a_value() -> None:
    header, array = a_picture(SOPClassUID=SECONDARY_CAPTURE, SeriesDescription="Zwirnbald Odo scanned document")
    with pytest.raises(NeedsReview) as caught:
        pictures.judge(pictures.native(header, array))
    assert "Zwirnbald" not in str(caught.value)


@pytest.mark.parametrize(
    "write", [studies.write_ct, studies.write_mr, studies.write_enhanced, studies.write_sr, studies.write_compressed]
)
def test_the_demo_studies_pass_untouched(write: Callable[[Path], studies.StudyFiles], tmp_path: Path) -> None:
    for file in write(tmp_path).files:
        instance = split_part10(file.read_bytes())
        source = pictures.of_bytes(b"".join(instance.parts), instance.transfer_syntax_uid)
        assert pictures.judge(source).treatment is PASS
