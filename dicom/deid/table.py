"""Table E.1-1 of PS3.15 (Application Level Confidentiality Profile Attributes), as packaged data."""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType

from models.domain.errors import ProfileInvalid

EDITION = "PS3.15 2026d"
DIGEST = "307f473a70a6f6a480f0080ab4996542a3f631ef0dd4c67702af71cb1a9f7f0e"
"""SHA-256 of the packaged file: rules are compiled from nothing else."""

_FILE = "ps3.15-e1-1.csv"
_WITHOUT_VR = "LO"
"""Of the two newest rows, for which PS3.6 gives none: both hold a short text."""


class Option(StrEnum):
    """The options of the Basic Profile (PS3.15 section E.3) that concern attributes, by their names in profiles."""

    RETAIN_SAFE_PRIVATE = "retain_safe_private"
    RETAIN_UIDS = "retain_uids"
    RETAIN_DEVICE_IDENTITY = "retain_device_identity"
    RETAIN_INSTITUTION_IDENTITY = "retain_institution_identity"
    RETAIN_PATIENT_CHARACTERISTICS = "retain_patient_characteristics"
    RETAIN_FULL_DATES = "retain_full_dates"
    RETAIN_MODIFIED_DATES = "retain_modified_dates"
    CLEAN_DESCRIPTORS = "clean_descriptors"
    CLEAN_STRUCTURED_CONTENT = "clean_structured_content"
    CLEAN_GRAPHICS = "clean_graphics"


_COLUMNS = {
    "rtn_safe_priv": Option.RETAIN_SAFE_PRIVATE,
    "rtn_uids": Option.RETAIN_UIDS,
    "rtn_dev_id": Option.RETAIN_DEVICE_IDENTITY,
    "rtn_inst_id": Option.RETAIN_INSTITUTION_IDENTITY,
    "rtn_pat_chars": Option.RETAIN_PATIENT_CHARACTERISTICS,
    "rtn_long_full_dates": Option.RETAIN_FULL_DATES,
    "rtn_long_modif_dates": Option.RETAIN_MODIFIED_DATES,
    "clean_desc": Option.CLEAN_DESCRIPTORS,
    "clean_struct_cont": Option.CLEAN_STRUCTURED_CONTENT,
    "clean_graph": Option.CLEAN_GRAPHICS,
}


@dataclass(frozen=True)
class Row:
    """One attribute of the table: ``basic`` is its action in the Basic Profile, as X, Z, D, U or a choice of them.

    ``tag`` is ``gggg,eeee`` in hexadecimal, or one of the four patterns (curves, overlays, private attributes).
    ``options`` says K (keep) or C (clean) for each option that has something to say.
    """

    tag: str
    keyword: str
    vr: str
    basic: str
    options: Mapping[Option, str]

    @property
    def is_pattern(self) -> bool:
        """Whether the row stands for many attributes."""
        return "x" in self.tag or "odd" in self.tag

    @property
    def number(self) -> int:
        """The tag as a number; raises ValueError for a pattern."""
        return int(self.tag.replace(",", ""), 16)


@cache
def rows() -> tuple[Row, ...]:
    """Return all 657 rows in the order of the standard; raises ProfileInvalid when the packaged file was altered."""
    content = packaged(_FILE, DIGEST)
    return tuple(_row(record) for record in csv.DictReader(content.splitlines()))


@cache
def row_of() -> Mapping[int, Row]:
    """The rows by tag, without the patterns."""
    return MappingProxyType({row.number: row for row in rows() if not row.is_pattern})


def packaged(name: str, digest: str) -> str:
    """The text of a data file of this package; raises ProfileInvalid when its SHA-256 is not ``digest``."""
    content = resources.files("dicom.deid").joinpath("data", name).read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ProfileInvalid(f"The packaged file {name} is not the one that this version was made with.")
    return content.decode()


def _row(record: Mapping[str, str]) -> Row:
    options = {option: record[column] for column, option in _COLUMNS.items() if record[column]}
    vr = (record["vr"] or _WITHOUT_VR)[:2]
    return Row(record["tag"], record["keyword"], vr, record["basic"], MappingProxyType(options))
