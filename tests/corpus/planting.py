"""Invented identities for one instance: every value occurs nowhere else, so that a search finds what was left."""

import zlib
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

ROOT = "1.2.826.0.1.3680043.10.9999.31"
"""All UIDs of the corpus that name something begin like this."""

_SYLLABLES = ["ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "xu", "za", "pe", "gi", "do", "wu", "ha"]


class Sort(StrEnum):
    """What a planted value tells, which is what profiles' options are about."""

    PERSON = "person"
    IDENTIFIER = "identifier"
    CONTACT = "contact"
    PROSE = "prose"
    """Free text that describes; names within it are ``PERSON``."""
    LOCAL_CODE = "local code"
    GRAPHIC = "graphic"
    """Text objects, layers and overlays drawn on an image."""
    PRIVATE = "private"
    INSTITUTION = "institution"
    DEVICE = "device"
    CHARACTERISTIC = "characteristic"
    TIME = "time"
    FILE_HEAD = "file head"
    """Preamble and file meta information."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One invented person; ``spelling`` is the name in other scripts (joined with =), where there is one."""

    number: int
    birth: date
    spelling: str = ""

    @property
    def family(self) -> str:
        return coined(self.number)

    @property
    def given(self) -> str:
        return coined(self.number + 500)

    @property
    def name(self) -> str:
        return self.spelling or f"{self.family}^{self.given}"

    @property
    def patient_id(self) -> str:
        return f"PAT{4_711_000 + self.number * 37}"

    @property
    def words(self) -> frozenset[str]:
        """The single words of the Patient's Name."""
        return frozenset(word for word in self.name.replace("=", "^").split("^") if word)

    @property
    def names(self) -> frozenset[str]:
        """The single words of the name in every script, and the family name as prose has it."""
        return self.words | {self.family}

    @property
    def birth_dates(self) -> frozenset[str]:
        """The date of birth as people and devices write it."""
        return frozenset(self.birth.strftime(form) for form in ("%Y%m%d", "%d.%m.%Y", "%Y-%m-%d", "%d%m%Y", "%Y.%m.%d"))

    @property
    def identifiers(self) -> frozenset[str]:
        """Whatever of this person must not be found anywhere."""
        return self.names | self.birth_dates | {self.patient_id}


def coined(number: int) -> str:
    """Return a word of ten letters that no language and no header has; another one for each number below 65536."""
    digits = ((number >> shift) & 15 for shift in (12, 8, 4, 0))
    return "Wy" + "".join(_SYLLABLES[digit] for digit in digits)


def uid(name: str) -> str:
    """Return the UID that the corpus gives to something, so that instances refer to one another by name."""
    return f"{ROOT}.{zlib.crc32(name.encode())}"


@dataclass(slots=True)
class Case:
    """One instance in the making: who and which study it is of, and what has been planted in it."""

    kind: str
    number: int
    patient: Patient
    study: str
    study_date: date
    planted: dict[str, Sort] = field(default_factory=dict)
    count: int = 0

    def word(self, sort: Sort) -> str:
        """Return a new word, and remember it as one that must not be left."""
        self.count += 1
        return self._remembered(coined(10_000 + self.number * 800 + self.count), sort)

    def name(self) -> str:
        return f"{self.word(Sort.PERSON)}^{self.word(Sort.PERSON)}"

    def code(self, prefix: str = "", sort: Sort = Sort.IDENTIFIER) -> str:
        """Return a new number of eight digits, with or without letters in front."""
        self.count += 1
        return self._remembered(f"{prefix}{70_000_000 + self.number * 100_003 + self.count * 17}", sort)

    def phone(self) -> str:
        return f"06221 {self.code(sort=Sort.CONTACT)}"

    def address(self, sort: Sort = Sort.CONTACT) -> str:
        return f"{self.word(sort)}strasse 12, 69120 {self.word(sort)}"

    def time(self) -> str:
        """Return a TM whose fraction of a second is unique."""
        self.count += 1
        fraction = 100_000 + self.number * 800 + self.count
        return self._remembered(f"{8 + self.count % 9:02}{self.count % 60:02}17.{fraction:06}", Sort.TIME)

    def measure(self) -> str:
        """Return a number that a person could have as weight or size, told to the sixth digit."""
        self.count += 1
        return self._remembered(f"1.{600_000 + self.number * 800 + self.count}", Sort.CHARACTERISTIC)

    def date(self) -> str:
        """Return a DA near the study's; each call gives another day."""
        self.count += 1
        return f"{self.study_date + timedelta(days=self.count % 90):%Y%m%d}"

    def date_time(self) -> str:
        return f"{self.date()}{self.time()}"

    def prose(self) -> str:
        """Return what people write where nobody should: names, numbers, dates and places in a sentence."""
        patient = self.patient
        return (
            f"{self.word(Sort.PROSE)} bei {patient.family}, geb. {patient.birth:%d.%m.%Y}, Akte {patient.patient_id}, "
            f"Tel. {self.phone()}, Hausarzt Dr. {self.word(Sort.PERSON)}, {self.address()}"
        )

    def brief(self) -> str:
        """Return prose that fits into 64 letters."""
        return f"{self.word(Sort.PROSE)} bei {self.patient.family}, geb. {self.patient.birth:%d.%m.%Y}"

    def uid(self, name: str) -> str:
        """Return the UID of something that belongs to this instance alone."""
        return uid(f"{self.kind}/{name}")

    @property
    def sop_uid(self) -> str:
        return uid(f"{self.kind}/sop")

    @property
    def series_uid(self) -> str:
        return uid(f"{self.kind}/series")

    @property
    def study_uid(self) -> str:
        return uid(f"study/{self.study}")

    @property
    def frame_of_reference_uid(self) -> str:
        return uid(f"frame of reference/{self.study}")

    def _remembered(self, value: str, sort: Sort) -> str:
        self.planted[value] = sort
        return value
