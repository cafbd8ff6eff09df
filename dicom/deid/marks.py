"""What a treated header says about itself: who removed the identity, how, for which trial (PS3.15 section E.1.1)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from dicom.deid.rules import PATIENT_ID, PATIENT_NAME
from dicom.deid.table import EDITION

METHOD, METHOD_CODES = 0x00120063, 0x00120064
BURNED_IN_ANNOTATION = 0x00280301
_PATIENT_COMMENTS = 0x00104000
_PROTOCOL_ID, _PROTOCOL_NAME = 0x00120020, 0x00120021
_IDENTITY_REMOVED, _TEMPORAL_INFORMATION = 0x00120062, 0x00280303
_CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")
_OWN_METHOD = re.compile(r"ADIT \S+; PS3\.15 \w+|policy [a-z0-9-]{1,40} [0-9a-f]{8}|key [0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Trial:
    """The clinical trial that an output is for; empty where there is none."""

    protocol_id: str = ""
    protocol_name: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """How an instance was treated: the policy, the key (by its fingerprint), and whether pixels were blanked.

    ``codes`` are values and meanings of PS3.16 CID 7050.
    """

    policy_name: str
    policy_digest: str
    key_fingerprint: str
    temporal_information: str
    codes: tuple[tuple[str, str], ...]
    has_blanked_pixels: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The values of (0012,0063), each at most 64 characters."""
        return _product(), f"policy {self.policy_name} {self.policy_digest[:8]}", f"key {self.key_fingerprint}"

    @property
    def all_codes(self) -> tuple[tuple[str, str], ...]:
        return (*self.codes, _CLEAN_PIXELS) if self.has_blanked_pixels else self.codes


@dataclass(frozen=True, slots=True)
class Mark:
    """An element that is set at the top level, whether or not it was there."""

    tag: int
    vr: bytes
    text: str


def marks(pseudonym: str, method: Method, trial: Trial, session: str, earlier_methods: Sequence[str]) -> Iterator[Mark]:
    """Yield what to set, in the order of tags. An earlier de-identification's method is kept in front of ours.

    ``session`` is the pseudonymized date and time of the study, by which XNAT sorts what has a trial.
    """
    yield Mark(PATIENT_NAME, b"PN", pseudonym)
    yield Mark(PATIENT_ID, b"LO", pseudonym)
    if trial.protocol_id:
        comment = f"Project:{trial.protocol_id} Subject:{pseudonym} Session:{pseudonym}_{session}"
        yield Mark(_PATIENT_COMMENTS, b"LT", comment)
        yield Mark(_PROTOCOL_ID, b"LO", trial.protocol_id)
    if trial.protocol_name:
        yield Mark(_PROTOCOL_NAME, b"LO", trial.protocol_name)
    yield Mark(_IDENTITY_REMOVED, b"CS", "YES")
    yield Mark(METHOD, b"LO", "\\".join([*earlier_methods, *method.texts]))
    yield Mark(METHOD_CODES, b"SQ", "")
    if method.has_blanked_pixels:
        yield Mark(BURNED_IN_ANNOTATION, b"CS", "NO")
    yield Mark(_TEMPORAL_INFORMATION, b"CS", method.temporal_information)


def foreign_methods(text: str) -> list[str]:
    """The values of (0012,0063) that others wrote."""
    methods = (method.strip(" \0") for method in text.split("\\"))
    return [method for method in methods if method and not _OWN_METHOD.fullmatch(method)]


@cache
def _product() -> str:
    try:
        release = version("adit")
    except PackageNotFoundError:
        release = "from-source"
    return f"ADIT {release}; {EDITION}"
