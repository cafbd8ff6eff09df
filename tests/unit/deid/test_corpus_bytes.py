"""Outputs are good DICOM: every reader understands them, and pixels that were not blanked are the original ones."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom.deid.encoding import PIXEL_DATA, known_vr, nested_syntax, read_elements, read_items, read_nested, syntax_of
from tests.corpus import instance_of
from tests.corpus.projection import REGION
from tests.corpus.treatment import PROFILES, Output, outcomes, outputs

BLANKED = {"ultrasound_regions", "overlay_in_pixels", "pixel_tail"}
"""Kinds whose pixel data is changed."""
MALFORMED = {"bad_dates", "bad_values", "odd_lengths", "un_sequences"}
NEWER = {"newer_attributes", "newer_attributes_implicit"}
"""Kinds with attributes that pydicom's dictionary lacks."""


@pytest.mark.parametrize("profile", PROFILES)
def test_pixels_that_are_not_blanked_are_the_original_bytes(profile: str) -> None:
    changed: set[str] = set()
    for kind, output in outputs(profile).items():
        pixels = output.dataset.get("PixelData", b"")
        if pixels != output.original.pixel_bytes:
            changed.add(kind)
    assert changed == BLANKED & set(outputs(profile))


@pytest.mark.parametrize("profile", PROFILES)
def test_blanking_spares_the_ultrasound_region_and_clears_the_rest(profile: str) -> None:
    output = outcomes(profile)["ultrasound_regions"]
    assert isinstance(output, Output)
    before, after = _loop(output.original.pixel_bytes), _loop(output.dataset.PixelData)
    left, top, right, bottom = REGION
    inside = np.zeros(before.shape, dtype=bool)
    inside[:, top : bottom + 1, left : right + 1] = True
    assert (after[inside] == before[inside]).all()
    assert len(np.unique(after[~inside])) == 1
    assert output.dataset.BurnedInAnnotation == "NO"


def _loop(pixels: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(pixels, dtype=np.uint8).reshape(2, 32, 32, 3)


@pytest.mark.parametrize("profile", PROFILES)
def test_an_overlay_in_unused_bits_is_cleared_and_the_picture_stays(profile: str) -> None:
    output = outputs(profile)["overlay_in_pixels"]
    before, after = (np.frombuffer(pixels, "<u2") for pixels in (output.original.pixel_bytes, output.dataset.PixelData))
    assert (before >> 12).any()
    assert (after == before & 0x0FFF).all()


@pytest.mark.parametrize("profile", PROFILES)
def test_pydicom_reads_every_value_of_every_output(profile: str) -> None:
    for kind, output in outputs(profile).items():
        if kind in MALFORMED | NEWER:
            continue
        elements = list(dcmread(BytesIO(output.part10)).iterall())  # a warning would be an error
        assert len(elements) > 30, kind
        assert all(element.value is not None or element.VM == 0 for element in elements), kind


@pytest.mark.parametrize("profile", PROFILES)
def test_decoded_and_encoded_again_an_output_is_the_same(profile: str) -> None:
    for kind, output in outputs(profile).items():
        if kind not in MALFORMED | NEWER:
            assert _again(output.dataset, output.instance.transfer_syntax_uid) == output.plain, kind


def _again(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    for element in dataset.iterall():
        _ = element.value
    buffer = DicomBytesIO()
    syntax = syntax_of(transfer_syntax_uid)
    buffer.is_little_endian, buffer.is_implicit_VR = not syntax.big_endian, syntax.implicit
    write_dataset(buffer, dataset)
    return buffer.getvalue()


@pytest.mark.parametrize("profile", PROFILES)
def test_every_element_of_an_output_has_an_even_length_and_its_place(profile: str) -> None:
    for kind, output in outputs(profile).items():
        if kind == "odd_lengths":  # elements that are kept are never decoded, so they keep their length, too
            continue
        data, syntax = memoryview(output.plain), syntax_of(output.instance.transfer_syntax_uid)
        pending = [(read_elements(data, syntax), syntax)]
        while pending:
            elements, within = pending.pop()
            tags = [element.tag for element in elements]
            assert tags == sorted(set(tags)), output.original.kind
            for element in elements:
                assert (element.stop - element.begin) % 2 == 0, output.original.kind
                if element.vr == b"SQ" or (element.vr in {b"UN", b""} and known_vr(element.tag) == b"SQ"):
                    inner = nested_syntax(element.vr, within)
                    pending += [(read_nested(data, item, inner), inner) for item in read_items(data, element, inner)]


@pytest.mark.parametrize("profile", PROFILES)
def test_outputs_say_that_and_how_they_were_treated(profile: str) -> None:
    for kind, output in outputs(profile).items():
        read = output.dataset
        assert read.PatientIdentityRemoved == "YES", kind
        assert f"{read.PatientID}" == f"{read.PatientName}" == f"ALIAS{output.original.patient.number:03}", kind
        assert read.DeidentificationMethod, kind
        assert read.LongitudinalTemporalInformationModified in {"REMOVED", "MODIFIED", "UNMODIFIED"}, kind


def test_icons_are_removed() -> None:
    """Nobody has looked at pixel data within sequences."""
    assert "IconImageSequence" in instance_of("changed_attributes").dataset
    for profile in PROFILES:
        for kind, output in outputs(profile).items():
            pixels = [element for element in output.dataset.iterall() if element.tag in PIXEL_DATA]
            assert len(pixels) == ("PixelData" in output.dataset), kind
