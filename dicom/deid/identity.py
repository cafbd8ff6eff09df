"""Tells whose an instance is and where it belongs, before anything else is done with it."""

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dicom.deid.charsets import decoded
from dicom.deid.encoding import read_beginning
from dicom.deid.rules import (
    MODALITY,
    PATIENT_ID,
    SERIES_NUMBER,
    SERIES_UID,
    SOP_INSTANCE_UID,
    SPECIFIC_CHARACTER_SET,
    STUDY_DATE,
    STUDY_TIME,
    STUDY_UID,
)
from dicom.deid.streams import beginning
from models.domain.errors import IdentityConflict, RuleFailed
from models.domain.instances import EncodedInstance
from models.domain.refs import StudyRef

_IDENTITY = frozenset({SPECIFIC_CHARACTER_SET, SOP_INSTANCE_UID, PATIENT_ID, STUDY_UID})
_PLACE = _IDENTITY | {SERIES_UID}
_HEADING = _IDENTITY | {STUDY_DATE, STUDY_TIME, MODALITY, SERIES_UID, SERIES_NUMBER}


@dataclass(frozen=True, slots=True)
class Heading:
    """What of an instance decides where it belongs; original values, empty where there is none."""

    patient_id: str
    study_uid: str
    series_uid: str
    study_date: str
    study_time: str
    modality: str
    series_number: str


def heading_of(instance: EncodedInstance) -> Heading:
    """Read the heading of an instance, up to the Series Number only; raises Unreadable."""
    values = _values(instance, _HEADING)
    return Heading(
        patient_id=_patient_id(values),
        study_uid=_text(values, STUDY_UID),
        series_uid=_text(values, SERIES_UID),
        study_date=_text(values, STUDY_DATE),
        study_time=_text(values, STUDY_TIME),
        modality=_text(values, MODALITY),
        series_number=_text(values, SERIES_NUMBER),
    )


def check_identity(instance: EncodedInstance, study: StudyRef) -> None:
    """Raise IdentityConflict when an instance is of another study or patient, or not the one it claims to be.

    An instance without a patient ID, and a study listed without one, are judged by the study alone. Reads the header
    up to the Study Instance UID only. Raises Unreadable.
    """
    _check(instance, _values(instance, _IDENTITY), study)


def check_belongs(instance: EncodedInstance, study: StudyRef, series_uids: Collection[str]) -> None:
    """Do the same; raise IdentityConflict also for an instance of none of these series."""
    values = _values(instance, _PLACE)
    _check(instance, values, study)
    if _text(values, SERIES_UID) not in series_uids:
        raise IdentityConflict("An instance belongs to another series than the source lists.")


def check_values(values: Mapping[int, bytes], study: StudyRef) -> None:
    """Raise IdentityConflict when values of an instance, by their tags, are of another study or patient."""
    patient_id = _patient_id(values)
    is_other_patient = patient_id and study.patient_id.strip() and patient_id != plain_id(study.patient_id)
    if _text(values, STUDY_UID) != study.study_uid.strip("\0 ") or is_other_patient:
        raise IdentityConflict("An instance belongs to another study or patient than the source lists.")


def plain_id(patient_id: str) -> str:
    """A patient ID as it is compared: without padding, composed (NFC)."""
    return unicodedata.normalize("NFC", patient_id.strip("\0 "))


def _check(instance: EncodedInstance, values: Mapping[int, bytes], study: StudyRef) -> None:
    check_values(values, study)
    if _text(values, SOP_INSTANCE_UID) != instance.sop_uid.strip("\0 "):
        raise IdentityConflict("An instance was announced with another SOP Instance UID than its data set has.")


def _values(instance: EncodedInstance, tags: frozenset[int]) -> dict[int, bytes]:
    data, syntax = beginning(instance.parts, instance.transfer_syntax_uid)
    elements = read_beginning(data, syntax, max(tags))
    return {element.tag: bytes(data[element.begin : element.stop]) for element in elements if element.tag in tags}


def _text(values: Mapping[int, bytes], tag: int) -> str:
    return values.get(tag, b"").decode("latin-1").strip("\0 ")


def _patient_id(values: Mapping[int, bytes]) -> str:
    value = values.get(PATIENT_ID, b"")
    try:
        return plain_id(decoded(value, values.get(SPECIFIC_CHARACTER_SET, b"")))
    except RuleFailed:  # an unknown character set is no conflict; the engine refuses it for its own reason
        return plain_id(value.decode("latin-1"))
