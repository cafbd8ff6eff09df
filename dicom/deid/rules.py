"""What is done with an attribute, decided by its tag first and its VR second.

The table of PS3.15 goes before everything but names and identifiers that get a plausible stand-in. Text outside the
table is kept only when it is on a reviewed list: an attribute that nobody has thought of does not pass.
"""

from enum import Enum, auto
from functools import cache

from pydicom.datadict import keyword_for_tag

from dicom.deid import ps3_15
from dicom.deid.dicognito_adapter import IDENTIFIERS
from dicom.deid.encoding import PIXEL_DATA, known_vr, known_vrs

SPECIFIC_CHARACTER_SET = 0x00080005
SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
STUDY_UID, SERIES_UID = 0x0020000D, 0x0020000E
PATIENT_NAME, PATIENT_ID, BIRTH_DATE = 0x00100010, 0x00100020, 0x00100030
CODING_SCHEME, CODE_MEANING, CONCEPT_NAME = 0x00080102, 0x00080104, 0x0040A043
CONTENT_DATE_VALUE = 0x0040A121


class Rule(Enum):
    """What is done with an element."""

    KEEP = auto()
    KEEP_IF_VALID = auto()
    """Keep an attribute of unknown VR (UN) when its value is one that its own VR could have."""
    DELETE = auto()
    EMPTY = auto()
    DUMMY = auto()
    UID = auto()
    DATE = auto()
    DATE_TIME = auto()
    TIME = auto()
    STAND_IN = auto()
    PSEUDONYM = auto()
    DESCEND = auto()
    DESCEND_STRICTLY = auto()
    """Descend, and replace whatever text is left."""
    CHARACTER_SET = auto()
    SCHEME = auto()
    CODE = auto()
    """Keep a code or its meaning when its coding scheme is a public one."""
    CONCEPT = auto()


SEQUENCE_RULES = frozenset({Rule.DESCEND, Rule.DESCEND_STRICTLY, Rule.CONCEPT})

_ALWAYS = {
    SPECIFIC_CHARACTER_SET: Rule.CHARACTER_SET,
    PATIENT_NAME: Rule.PSEUDONYM,
    PATIENT_ID: Rule.PSEUDONYM,
    BIRTH_DATE: Rule.EMPTY,
    CODING_SCHEME: Rule.SCHEME,
    0x00080100: Rule.CODE,  # CodeValue
    0x00080119: Rule.CODE,  # LongCodeValue
    CODE_MEANING: Rule.CODE,
    CONCEPT_NAME: Rule.CONCEPT,
    0x00081110: Rule.DELETE,  # ReferencedStudySequence: empty it would be no valid reference (dciodvfy)
    0x00081111: Rule.DESCEND,  # ReferencedPerformedProcedureStepSequence
    0x00081140: Rule.DESCEND,  # ReferencedImageSequence: X/Z/U*, references stay alive
    0x00082112: Rule.DESCEND,  # SourceImageSequence: X/Z/U*
    0x00080082: Rule.DELETE,  # InstitutionCodeSequence
    0x00081072: Rule.DELETE,  # OperatorIdentificationSequence
    0x0040A160: Rule.DUMMY,  # TextValue: the content tree of a report needs some text
    0x0040A730: Rule.DESCEND,  # ContentSequence: cleaned, not replaced (E.3.4 in part)
}
_UID_OF_A_VOCABULARY = frozenset({0x0008010C, 0x00080117, 0x00080118})
"""Coding Scheme, Context and Mapping Resource UID: registered names of code systems, nobody's identity."""

_KEEPING = frozenset({Rule.KEEP, Rule.SCHEME, Rule.CODE})

_DELETED_GROUPS = frozenset({0x0400, 0xFFFA, 0xFFFC})
"""Digital signatures and encrypted attributes, which no longer fit, and trailing padding."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TEXT_VRS = frozenset({b"LO", b"SH", b"UC"})
_PROSE_VRS = frozenset({b"LT", b"ST", b"UT", b"UR", b"AE"})
STRICT_TEXT_VRS = _TEXT_VRS | _PROSE_VRS

_REVIEWED_KEYWORDS = _words(
    """
    AcquisitionDeviceProcessingCode AlgorithmName AlgorithmVersion AttenuationCorrectionMethod
    CardiacFramingType CodingSchemeDesignator CodingSchemeRegistry CodingSchemeVersion
    CollimatorGridName ContrastBolusRoute ConvolutionKernel DataSetSubtype DetectorLinesOfResponseUsed
    DetectorManufacturerModelName DetectorManufacturerName DeidentificationMethod DigitalImageFormatAcquired
    EnergyWindowName FilterType ImageGeometryType ImagedNucleus MIMETypeOfEncapsulatedDocument
    ModalityLUTType Manufacturer ManufacturerModelName MappingResourceName MultiCoilConfiguration
    MultiCoilElementName OpticalPathIdentifier OutputPower PVCRejection PhosphorType PlateType
    PostprocessingFunction ProcessingFunction PulseSequenceName Radionuclide Radiopharmaceutical
    RadiopharmaceuticalRoute ReceiveCoilManufacturerName ReceiveCoilName ReconstructionMethod
    ReferencedOpticalPathIdentifier RescaleType ScatterCorrectionMethod SecondaryCaptureDeviceManufacturer
    SecondaryCaptureDeviceManufacturerModelName SecondaryCaptureDeviceSoftwareVersions SegmentAlgorithmName
    SequenceName SoftwareVersions SourceIsotopeName StackID TimeSource TransmitCoilManufacturerName
    TransmitCoilName TriggerSourceOrType TypeOfFilters VideoImageFormatAcquired WedgeMaterial
    WindowCenterWidthExplanation
    """
)
"""Text that devices and vocabularies write, not people; everything else of VR LO, SH and UC becomes a dummy."""

_BY_VR = {
    b"DA": Rule.DATE,
    b"DT": Rule.DATE_TIME,
    b"TM": Rule.TIME,
    b"PN": Rule.STAND_IN,
    b"SQ": Rule.DESCEND,
    **dict.fromkeys(_PROSE_VRS, Rule.DELETE),
}


@cache
def rule_for(tag: int, vr: bytes) -> Rule:
    """Return what is done with an element that has this tag and is encoded with this VR.

    Pixel data is none of the header's; inside a sequence it is an icon or overlay that nobody has looked at.
    """
    if tag in PIXEL_DATA or _is_deleted_by_group(tag) or not known_vr(tag):
        return Rule.DELETE
    is_sequence = known_vr(tag) == b"SQ"
    if is_sequence != (vr == b"SQ") and vr != b"UN":
        return Rule.DELETE
    if is_sequence:
        return _ALWAYS.get(tag) or _sequence_rule(tag)
    return _as_encoded(_ALWAYS.get(tag) or _value_rule(tag, known_vr(tag)), tag, vr)


def _is_deleted_by_group(tag: int) -> bool:
    """Private attributes, group lengths, curves, overlays, retired pixel data, signatures, padding."""
    group = tag >> 16
    if group % 2 or not tag & 0xFFFF or group < 0x0008:
        return True
    return group in _DELETED_GROUPS or (group & 0xFF00 in {0x5000, 0x6000, 0x7F00} and group != 0x7FE0)


def _sequence_rule(tag: int) -> Rule:
    if tag in ps3_15.DELETE:
        return Rule.DELETE
    if tag in ps3_15.EMPTY:
        return Rule.EMPTY
    return Rule.DESCEND_STRICTLY if tag in ps3_15.DUMMY else Rule.DESCEND


def _value_rule(tag: int, vr: bytes) -> Rule:
    if tag in IDENTIFIERS or vr == b"PN":
        return Rule.STAND_IN
    for tags, rule in ((ps3_15.DELETE, Rule.DELETE), (ps3_15.EMPTY, Rule.EMPTY), (ps3_15.DUMMY, Rule.DUMMY)):
        if tag in tags:
            return Rule.UID if vr == b"UI" and rule is Rule.DUMMY else rule
    if tag == 0x00080201:  # TimezoneOffsetFromUTC is an SH
        return Rule.TIME
    if vr == b"UI":
        return Rule.KEEP if _names_a_kind(tag) else Rule.UID
    if vr in _TEXT_VRS:
        return Rule.KEEP if keyword_for_tag(tag) in _REVIEWED_KEYWORDS else Rule.DUMMY
    return _BY_VR.get(vr, Rule.KEEP)


def _names_a_kind(tag: int) -> bool:
    """Whether a UID tells what something is and not which one; the table may say otherwise (device class)."""
    return tag in _UID_OF_A_VOCABULARY or (tag not in ps3_15.MAP and keyword_for_tag(tag).endswith("ClassUID"))


def _as_encoded(rule: Rule, tag: int, vr: bytes) -> Rule:
    """Nothing passes because it is encoded with another VR than it should have."""
    if rule not in _KEEPING or vr in known_vrs(tag):
        return rule
    if vr != b"UN":
        return Rule.DELETE
    return Rule.KEEP_IF_VALID if rule is Rule.KEEP else rule


def name_of(tag: int) -> str:
    """The tag as people write it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
