"""Invented patients and studies: who they are, and the UIDs of what is made for them."""

from dataclasses import dataclass

import numpy as np
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
)

ROOT = "1.2.826.0.1.3680043.10.9999"
_SYLLABLES = ("ba", "du", "fo", "gi", "ke", "lu", "mo", "ni", "ra", "so")
FIRST_NUMBER = 900_000
"""Numbers inside UIDs start here, so that all have the same length and encoded headers can be patched."""


@dataclass(frozen=True, slots=True)
class Person:
    """An invented patient and the people and numbers around one of his or her studies."""

    patient_id: str
    family: str
    given: str
    birth_date: str
    sex: str
    other_id: str
    phone: str
    street: str
    accession: str
    study_id: str
    referrer: str
    operator: str
    institution: str
    station: str
    serial: str
    request_id: str

    @property
    def name(self) -> str:
        return f"{self.family}^{self.given}"

    @property
    def planted(self) -> frozenset[str]:
        """Every value that identifies this person."""
        values = {getattr(self, name) for name in self.__dataclass_fields__}
        return frozenset(values - {self.sex})

    @property
    def devices(self) -> frozenset[str]:
        """Those of the planted values that name the scanner, which a profile may keep."""
        return frozenset({self.station, self.serial})


def _person(patient: int, study: int) -> Person:
    who, what = _word(patient), _word(study)
    return Person(
        patient_id=f"PATID{patient:07d}",
        family=f"Quarn{who}",
        given=f"Velmi{who}",
        birth_date=f"19{30 + patient % 60:02d}{1 + patient % 12:02d}{10 + patient % 18:02d}",
        sex="MF"[patient % 2],
        other_id=f"OLDID{patient:07d}",
        phone=f"+49 5550 {patient:07d}",
        street=f"Zwirnweg {1000 + patient}",
        accession=f"ACCNO{study:08d}",
        study_id=f"STID{study:06d}",
        referrer=f"Referat{what}",
        operator=f"Operat{what}",
        institution=f"Klinik Hohen{what}",
        station=f"STN{what.upper()}",
        serial=f"SERNO{5_000_000 + study}",
        request_id=f"REQ{study:08d}",
    )


def _word(number: int) -> str:
    return "".join(_SYLLABLES[int(digit)] for digit in f"{number:04d}")


class Case:
    """One study to be made: its person, class and a source of noise that always starts the same."""

    def __init__(self, patient: int, study: int, modality: str, sop_class_uid: str = "") -> None:
        self.patient = patient
        self.number = study
        self.modality = modality
        self.sop_class_uid = sop_class_uid or _CLASSES[modality]
        self.person = _person(patient, study)
        self.random = np.random.default_rng([patient, study])
        self.study_uid = f"{ROOT}.2.{FIRST_NUMBER + study}"

    def series_uid(self, series: int) -> str:
        return f"{ROOT}.3.{FIRST_NUMBER + self.number}.{series}"

    def sop_uid(self, series: int, instance: int) -> str:
        return f"{ROOT}.6.{FIRST_NUMBER + self.number}.{series}.{FIRST_NUMBER + instance}"


_CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "US": UltrasoundMultiFrameImageStorage,
    "SR": ComprehensiveSRStorage,
}
