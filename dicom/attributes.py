"""DICOM attributes by name: tags, value representations, and to which level of the hierarchy they belong.

A *path* is a tag as eight upper-case hexadecimal digits, or several of them with dots between, from a sequence down to
an attribute of its items: ``00400275.00401001``.
"""

import re
from functools import lru_cache

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from models.domain.refs import Level

STUDY_UID, SERIES_UID, SOP_UID = "0020000D", "0020000E", "00080018"
PATIENT_ID, MODALITIES_IN_STUDY = "00100020", "00080061"
UNIQUE_KEYS = {Level.STUDY: STUDY_UID, Level.SERIES: SERIES_UID, Level.IMAGE: SOP_UID}

BULK = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
"""Value representations of what nobody searches for."""
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NO_ATTRIBUTES = frozenset({0x0000, 0x0002, 0xFFFC, 0xFFFE})
"""Groups that never stand in a data set: commands, heads of files, padding, delimiters."""

_KEYWORDS = {
    Level.STUDY: """
        PatientName PatientID IssuerOfPatientID TypeOfPatientID PatientBirthDate PatientBirthTime PatientSex
        OtherPatientIDs OtherPatientIDsSequence OtherPatientNames PatientBirthName PatientMotherBirthName EthnicGroup
        PatientSpeciesDescription PatientBreedDescription ResponsiblePerson PatientComments PatientIdentityRemoved
        DeidentificationMethod NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries
        NumberOfPatientRelatedInstances
        StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence ModalitiesInStudy SOPClassesInStudy
        AnatomicRegionsInStudyCodeSequence ReferringPhysicianName ConsultingPhysicianName StudyDescription
        ProcedureCodeSequence PhysiciansOfRecord NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription
        AdmittingDiagnosesCodeSequence PatientAge PatientSize PatientWeight Occupation AdditionalPatientHistory
        MedicalAlerts Allergies SmokingStatus PregnancyStatus StudyInstanceUID StudyID NumberOfStudyRelatedSeries
        NumberOfStudyRelatedInstances RequestingPhysician RequestingService RequestedProcedureDescription AdmissionID
        ServiceEpisodeID
    """,
    Level.SERIES: """
        SeriesDate SeriesTime Modality SeriesDescription SeriesDescriptionCodeSequence PerformingPhysicianName
        OperatorsName BodyPartExamined Laterality ProtocolName PatientPosition SeriesInstanceUID SeriesNumber
        NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate PerformedProcedureStepStartTime
        PerformedProcedureStepEndDate PerformedProcedureStepEndTime PerformedProcedureStepID
        PerformedProcedureStepDescription PerformedProtocolCodeSequence RequestAttributesSequence
    """,
    Level.IMAGE: """
        InstanceCreationDate InstanceCreationTime SOPClassUID SOPInstanceUID AvailableTransferSyntaxUID ContentDate
        ContentTime AcquisitionDate AcquisitionTime AcquisitionDateTime ImageType InstanceNumber AcquisitionNumber
        ImagePositionPatient ImageOrientationPatient SliceLocation ImageComments NumberOfFrames Rows Columns
        BitsAllocated BitsStored HighBit SamplesPerPixel PhotometricInterpretation PixelRepresentation PixelSpacing
        WindowCenter WindowWidth RescaleIntercept RescaleSlope LossyImageCompression ContentLabel ContentDescription
        ConceptNameCodeSequence CompletionFlag VerificationFlag PixelData
    """,
}
"""Attributes that belong to one level without doubt; the study's and the patient's stand together, as in a search."""


def path_of(name: str) -> str | None:
    """The path for keywords or tags with dots between; None when one is no attribute, or not of a sequence."""
    tags = [_tag_of(one) for one in name.split(".")]
    if any(tag is None or vr_of(tag) != "SQ" for tag in tags[:-1]) or tags[-1] is None:
        return None
    return ".".join(tag for tag in tags if tag)


def name_of(path: str) -> str:
    """The keywords of a path; where one has none, its tag."""
    return ".".join(keyword_for_tag(int(tag, 16)) or tag for tag in path.split("."))


@lru_cache(maxsize=4096)
def vr_of(tag: str) -> str:
    """The value representation of the last tag of a path, the first where there is a choice; UN when it is private."""
    try:
        return dictionary_VR(int(tag.rpartition(".")[2], 16)).partition(" ")[0]
    except (KeyError, ValueError):
        return "UN"


def level_of(path: str) -> Level | None:
    """The level to which an attribute belongs; None for the many that archives keep where they like."""
    return _LEVELS.get(path.partition(".")[0])


def known_at(level: Level) -> tuple[str, ...]:
    """The attributes that a search on this level can give without those of the levels above, bulk data left out."""
    return tuple(tag for tag, its_level in _LEVELS.items() if its_level is level and vr_of(tag) not in BULK)


def is_below(path: str, level: Level) -> bool:
    """Whether an attribute belongs to a lower level than this one."""
    order = list(Level)
    its_level = level_of(path)
    return its_level is not None and order.index(its_level) > order.index(level)


def _tag_of(name: str) -> str | None:
    if not _TAG.fullmatch(name):
        tag = tag_for_keyword(name) if name else None
        return None if tag is None or tag >> 16 in _NO_ATTRIBUTES else f"{tag:08X}"
    tag = int(name, 16)
    is_private = bool(tag >> 16 & 1) and tag >> 16 > 8
    is_known = is_private or vr_of(name) != "UN"
    return name.upper() if is_known and tag & 0xFFFF and tag >> 16 not in _NO_ATTRIBUTES else None


_LEVELS = {tag: level for level, words in _KEYWORDS.items() for word in words.split() if (tag := _tag_of(word))}
