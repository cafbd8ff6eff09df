"""Concepts of report items (PS3.16) whose values tell more than they seem: birth dates, and ages of the very old."""

from enum import Enum, auto

from dicom.deid.values import is_number


class Concept(Enum):
    """What a report item is about, as far as that matters."""

    OTHER = auto()
    BIRTH_DATE = auto()
    """Shifted, it would still tell the age to the day."""
    AGE = auto()


BIRTH_DATES = frozenset({b"121031", b"184099003", b"21112-8"})
"""Subject Birth Date of DCM (CID 7465), the same of SNOMED CT and LOINC."""
AGES = frozenset({b"121033", b"30525-0", b"29553-5", b"397669002", b"424144002"})
"""Subject Age of DCM, and the same of LOINC and SNOMED CT."""
OLDEST_YEARS = 90
_IN_A_YEAR = {b"mo": 12, b"wk": 53, b"d": 366, b"h": 366 * 24}
"""UCUM units of an age, the year itself left out."""


def concept_of(code: bytes) -> Concept:
    """Return what an item with this code value is about."""
    if code in BIRTH_DATES:
        return Concept.BIRTH_DATE
    return Concept.AGE if code in AGES else Concept.OTHER


def capped_age(value: bytes, unit: bytes) -> bytes:
    """Return an age of at most 90 years as DS; one in a unit that is not known counts as years, and words go."""
    number = value.strip(b" \0")
    if not is_number(number):
        return b""
    most = OLDEST_YEARS * _IN_A_YEAR.get(unit, 1)
    return b"%d" % most if float(number) > most else number
