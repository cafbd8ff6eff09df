"""Tells from a header why an instance may show the patient's identity. It looks at few attributes and at no pixel."""

import re
from collections.abc import Iterator

from dicom.deid.pixels.header import IMAGE_TYPE, ROWS, SERIES_DESCRIPTION, SOP_CLASS_UID, Header
from dicom.deid.pixels.rules import Kind
from dicom.deid.pixels.segments import is_video

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_PHOTOGRAPHY = f"{_STORAGE}77.1.4"
_VIDEO_CLASSES = frozenset({f"{_STORAGE}77.1.1.1", f"{_STORAGE}77.1.2.1", f"{_STORAGE}77.1.4.1"})
_FAMILIES = {
    f"{_STORAGE}104": Kind.DOCUMENTS,
    f"{_STORAGE}7": Kind.SECONDARY_CAPTURE,
    f"{_STORAGE}3": Kind.ULTRASOUND,  # multi-frame, also retired
    f"{_STORAGE}6": Kind.ULTRASOUND,  # also retired, enhanced volume and photoacoustic
    f"{_STORAGE}9.4": Kind.AUDIO,
    f"{_STORAGE}77.1": Kind.PHOTOGRAPHS,
    f"{_STORAGE}77.2": Kind.PHOTOGRAPHS,  # VL multi-frame (retired draft)
    "1.2.840.10008.5.1.1.27": Kind.FILM,  # stored print (retired)
    "1.2.840.10008.5.1.1.29": Kind.FILM,  # hardcopy grayscale (retired), a sheet of film as it was printed
    "1.2.840.10008.5.1.1.30": Kind.FILM,  # hardcopy colour (retired)
}

_CONVERSION_TYPE, _SPECIMEN_LABEL = 0x00080064, 0x00480010
_BURNED_IN, _RECOGNIZABLE = 0x00280301, 0x00280302
_CONVERSIONS = {"DF": Kind.FILM, "SD": Kind.SCANNED, "SI": Kind.SCANNED}
"""Digitized film, scanned document, scanned image (PS3.3 section C.8.6.1)."""
_SCREENS = re.compile(
    rb"(?<![A-Z])(?:SCREEN[ _-]?(?:SAVE|SHOT|CAPTURE|COPY|GRAB)?|PROT|PROTOCOL|REPORT|LABEL|WORKSHEET"
    rb"|DOSE|(?:DOSE|PATIENT)[ _-]?(?:INFO|REPORT|PROTOCOL|SUMMARY))(?![A-Z])",
    re.IGNORECASE,
)
"""Words within the values of Image Type, as in SCREEN SAVE, DOSE_INFO and Siemens' CT_SOM5 PROT."""
_PAGES = re.compile(
    rb"(?<![a-z])(?:"
    rb"(?:dose|dosis|exam|patient(?:en)?)[ _-]?(?:reports?|info|summary|sheet|page|record|bericht|protocol|protokoll)"
    rb"|scan[ _-]?(?:doc|documents?|papers?|forms?)|scanned|documents?|dokumente?|worksheets?|arbeitsblatt"
    rb"|screen[ _-]?(?:saves?|shots?|captures?|copy|copies)|bildschirm(?:foto|kopie)?|befund(?:bericht|blatt)"
    rb"|formular|consent(?: form)?|requisition|referral|(?:radiology|final) report"
    rb")(?![a-z])",
    re.IGNORECASE,
)
"""Words of Series Description that announce a page of text."""


def kinds(header: Header, transfer_syntax_uid: str) -> list[Kind]:
    """Return every reason to suspect an identity in pixels or document; none for a plain image of a scanner."""
    return [*_kinds(header, transfer_syntax_uid)]


def denies_annotation(header: Header) -> bool:
    """Whether Burned In Annotation is NO."""
    return header.text(_BURNED_IN).upper() == "NO"


def _kinds(header: Header, transfer_syntax_uid: str) -> Iterator[Kind]:
    sop_class_uid = header.text(SOP_CLASS_UID)
    family = _family(sop_class_uid)
    if family:
        yield family
    if not sop_class_uid.startswith("1.2.840.10008."):
        yield Kind.PRIVATE_CLASSES
    if sop_class_uid in _VIDEO_CLASSES or is_video(transfer_syntax_uid):
        yield Kind.VIDEO
    if header.text(_BURNED_IN).upper() not in {"", "NO"}:
        yield Kind.DECLARED_BURNED_IN
    if _SCREENS.search(header.value(IMAGE_TYPE)) or header.text(_SPECIMEN_LABEL).upper() not in {"", "NO"}:
        yield Kind.SCREENS
    if _is_recognizable(header, sop_class_uid):
        yield Kind.RECOGNIZABLE
    conversion = _CONVERSIONS.get(header.text(_CONVERSION_TYPE).upper())
    if conversion is not None and conversion is not family:
        yield conversion
    if conversion is not Kind.SCANNED and _is_page(header):
        yield Kind.SCANNED
    if _has_overlay_in_pixels(header):
        yield Kind.OVERLAY_IN_PIXELS


def _family(sop_class_uid: str) -> Kind | None:
    """The kind of a class and of all whose UIDs begin with its own."""
    root = sop_class_uid
    while root:
        if root in _FAMILIES:
            return _FAMILIES[root]
        root = root.rpartition(".")[0]
    return None


def _is_recognizable(header: Header, sop_class_uid: str) -> bool:
    """A photograph of the patient is taken to show the face unless it says that it does not."""
    declared = header.text(_RECOGNIZABLE).upper()
    is_photograph = sop_class_uid == _PHOTOGRAPHY or sop_class_uid.startswith(f"{_PHOTOGRAPHY}.")
    return declared != "NO" if is_photograph else declared not in {"", "NO"}


def _is_page(header: Header) -> bool:
    """Only images can be pages: reports, too, are called dose report, and their text is treated as text."""
    return bool(_PAGES.search(header.value(SERIES_DESCRIPTION))) and header.element(ROWS) is not None


def _has_overlay_in_pixels(header: Header) -> bool:
    """Whether an overlay group is without data of its own (PS3.3 section C.9.2, retired)."""
    overlays = header.elements_between(0x60000000, 0x61000000)
    groups = {element.tag >> 16 for element in overlays if element.tag & 0xFFFF}
    with_data = {element.tag >> 16 for element in overlays if element.tag & 0xFFFF == 0x3000}
    return any(group % 2 == 0 for group in groups - with_data)
