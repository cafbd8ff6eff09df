"""What a treated header says about itself: who removed the identity, how, and for which trial."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from dicom.deid.ps3_15 import EDITION
from dicom.deid.rules import PATIENT_ID, PATIENT_NAME

METHOD = 0x00120063
_PROTOCOL_ID, _PROTOCOL_NAME = 0x00120020, 0x00120021
_IDENTITY_REMOVED, _TEMPORAL_INFORMATION = 0x00120062, 0x00280303


@dataclass(frozen=True, slots=True)
class Mark:
    """An element that is set at the top level, whether or not it was there."""

    tag: int
    vr: bytes
    text: str


def marks(pseudonym: str, protocol_id: str, protocol_name: str, earlier_method: str) -> Iterator[Mark]:
    """Yield what to set, in the order of tags. An earlier de-identification's method is kept in front of ours."""
    yield Mark(PATIENT_NAME, b"PN", pseudonym)
    yield Mark(PATIENT_ID, b"LO", pseudonym)
    if protocol_id:
        yield Mark(_PROTOCOL_ID, b"LO", protocol_id)
    if protocol_name:
        yield Mark(_PROTOCOL_NAME, b"LO", protocol_name)
    yield Mark(_IDENTITY_REMOVED, b"CS", "YES")
    yield Mark(METHOD, b"LO", _joined_methods(earlier_method))
    yield Mark(_TEMPORAL_INFORMATION, b"CS", "MODIFIED")


def _joined_methods(earlier: str) -> str:
    methods = [method.strip(" \0") for method in earlier.split("\\")]
    return "\\".join([method for method in methods if method and method != own_method()] + [own_method()])


@cache
def own_method() -> str:
    """The method that we write: at most 64 characters, the length of an LO."""
    try:
        release = version("adit")
    except PackageNotFoundError:
        release = "from source"
    return f"ADIT {release}; {EDITION}; header only, modified dates"[:64]
