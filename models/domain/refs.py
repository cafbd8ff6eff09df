"""What identifies a study, a series or instances at a peer, and what a peer tells about them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

UID_PATTERN = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_uid(text: str) -> bool:
    """Whether the text is a DICOM unique identifier: at most 64 digits and dots (PS3.5 section 9.1).

    Components with leading zeros are accepted, because archives do hold such studies.
    """
    return len(text) <= 64 and UID_PATTERN.fullmatch(text) is not None


def dicom_date(day: date | None) -> str:
    """A day as DICOM writes it (VR DA, PS3.5 section 6.2); empty for none."""
    return day.isoformat().replace("-", "") if day else ""


def known_total(counts: Iterable[int | None]) -> int | None:
    """The sum of counts, or None where one of them is not known."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


class Level(StrEnum):
    """Query/Retrieve Level (0008,0052) (PS3.4 section C.6)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


@dataclass(frozen=True, slots=True)
class StudyRef:
    """One study at a peer; ``patient_id`` is needed only by peers without the study root model."""

    study_uid: str
    patient_id: str = ""


@dataclass(frozen=True, slots=True)
class PatientQuery:
    """Matching keys at PATIENT level; empty means any, ``*`` and ``?`` are wildcards, dates are YYYYMMDD or ranges."""

    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """Matching keys at STUDY level; empty means any, ``*`` and ``?`` are wildcards, dates are YYYYMMDD or ranges."""

    study_uid: str = ""
    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PatientFound:
    """A patient as listed by a peer; text fields are empty where the peer gives none."""

    patient_id: str
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True, slots=True)
class StudyFound:
    """A study as listed by a peer; counts are None where the peer gives none (optional keys, PS3.4 table C.6-5)."""

    study_uid: str
    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    modalities: tuple[str, ...] = ()
    series_count: int | None = None
    instance_count: int | None = None


@dataclass(frozen=True, slots=True)
class SeriesFound:
    """A series as listed by a peer (PS3.4 table C.6-3)."""

    study_uid: str
    series_uid: str
    modality: str = ""
    number: str = ""
    description: str = ""
    instance_count: int | None = None


@dataclass(frozen=True, slots=True)
class InstanceFound:
    """An instance as listed by a peer (PS3.4 table C.6-4); class and syntax are empty where the peer gives none."""

    series_uid: str
    sop_uid: str
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What one retrieve request asks for.

    ``level`` says what is named in the request: the whole study, one series, or single instances of one series.
    ``sop_uids`` are the instances that should arrive (empty: unknown; never empty at IMAGE level).
    ``sop_class_uids`` and ``transfer_syntax_uids`` are those known to occur, for negotiation (empty: unknown).
    """

    study: StudyRef
    level: Level
    series_uid: str = ""
    sop_uids: tuple[str, ...] = ()
    sop_class_uids: frozenset[str] = frozenset()
    transfer_syntax_uids: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
