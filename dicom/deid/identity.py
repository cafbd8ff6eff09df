"""Checks that an instance belongs to the study and patient it was asked for, before anything else is done with it."""

import unicodedata
from collections.abc import Mapping

from dicom.deid.charsets import decoded
from dicom.deid.encoding import read_beginning
from dicom.deid.rules import PATIENT_ID, SPECIFIC_CHARACTER_SET, STUDY_UID
from dicom.deid.streams import opened
from models.domain.errors import IdentityConflict, RuleFailed
from models.domain.instances import EncodedInstance
from models.domain.refs import StudyRef

_TAGS = frozenset({SPECIFIC_CHARACTER_SET, PATIENT_ID, STUDY_UID})


def check_identity(instance: EncodedInstance, study: StudyRef) -> None:
    """Raise IdentityConflict when an instance is of another study or patient.

    An instance without a patient ID, and a study listed without one, are judged by the study alone. Reads the header
    up to the Study Instance UID only (a deflated data set has to be inflated). Raises Unreadable.
    """
    data, syntax = opened(instance.parts, instance.transfer_syntax_uid)
    elements = read_beginning(data, syntax, STUDY_UID)
    values = {element.tag: bytes(data[element.begin : element.stop]) for element in elements if element.tag in _TAGS}
    study_uid = values.get(STUDY_UID, b"").decode("latin-1").strip("\0 ")
    patient_id = _patient_id(values)
    is_other_patient = patient_id and study.patient_id.strip() and patient_id != _plain(study.patient_id)
    if study_uid != study.study_uid.strip("\0 ") or is_other_patient:
        raise IdentityConflict("An instance belongs to another study or patient than the source lists.")


def _patient_id(values: Mapping[int, bytes]) -> str:
    value = values.get(PATIENT_ID, b"")
    try:
        return _plain(decoded(value, values.get(SPECIFIC_CHARACTER_SET, b"")))
    except RuleFailed:  # an unknown character set is no conflict; the engine refuses it for its own reason
        return _plain(value.decode("latin-1"))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip("\0 "))
