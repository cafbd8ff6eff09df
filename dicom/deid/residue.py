"""Searches a finished header for what it must not hold any more: the patient's identifiers of this very instance."""

import re
from collections.abc import Iterable, Mapping

from dicom.deid import rules
from dicom.deid.encoding import Element, Syntax, known_vr, nested_syntax, read_elements, read_items, read_nested
from dicom.deid.rules import SEQUENCE_RULES, Rule, name_of, rule_for
from models.domain.errors import RuleFailed

_ID_TAGS = (0x00080050, 0x00100020, 0x00101000, 0x00380010)
"""AccessionNumber, PatientID, OtherPatientIDs, AdmissionID."""
_UID_TAGS = (rules.STUDY_UID, rules.SERIES_UID, rules.SOP_INSTANCE_UID)
_SHORTEST_NAME, _SHORTEST_ID, _SHORTEST_UID = 3, 4, 12
_SHORT_NAME = 5
"""Names shorter than this, and numbers, count only as whole words: Ann is not in scANNer."""
_NAME_PARTS = re.compile(rb"[\^= ,\\\0-]+")
_PADDING = b" \0"
_HARMLESS = {
    b"DS": re.compile(rb"[\d+\-.eE \\\0]*"),
    b"IS": re.compile(rb"[\d+\- \\\0]*"),
    b"CS": re.compile(rb"[A-Z\d_ \\\0]*"),
    b"AS": re.compile(rb"(\d{3}[DWMY])?"),
}
_BINARY_VRS = frozenset(
    {
        *(b"AT", b"FD", b"FL", b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SL", b"SS", b"SV", b"UL", b"US", b"UV"),
    }
)
_CHECKED = frozenset({Rule.KEEP, Rule.PSEUDONYM, Rule.SCHEME, Rule.MEANING, Rule.TIME})


def identifiers(values: Mapping[int, bytes]) -> frozenset[bytes]:
    """Return what to search for, in lower case, from the original values of the top-level elements.

    Name parts of at least three letters, IDs of four characters, the birth date, and the UIDs of study, series and
    instance. Shorter ones are in every header by chance.
    """
    names = [part for part in _NAME_PARTS.split(values.get(rules.PATIENT_NAME, b"")) if len(part) >= _SHORTEST_NAME]
    ids = [part for tag in _ID_TAGS for part in _singles(values.get(tag, b"")) if len(part) >= _SHORTEST_ID]
    dates = [part for part in _singles(values.get(rules.BIRTH_DATE, b"")) if len(part) >= 8]
    uids = [part for tag in _UID_TAGS for part in _singles(values.get(tag, b"")) if len(part) >= _SHORTEST_UID]
    return frozenset(part.lower() for part in (*names, *ids, *dates, *uids))


def check(header: bytes, needles: frozenset[bytes], syntax: Syntax) -> None:
    """Look closely only when a quick search finds something; raises RuleFailed naming the attribute."""
    if _may_be_in(header, needles):
        data = memoryview(header)
        _check_level(data, read_elements(data, syntax), needles, syntax)


def _check_level(data: memoryview, elements: list[Element], needles: frozenset[bytes], syntax: Syntax) -> None:
    for element in elements:
        if rule_for(element.tag, element.vr) not in SEQUENCE_RULES:
            _check_value(element.tag, element.vr, bytes(data[element.begin : element.stop]), needles)
            continue
        inner = nested_syntax(element.vr, syntax)
        for item in read_items(data, element, inner):
            _check_level(data, read_nested(data, item, inner), needles, inner)


def _may_be_in(header: bytes, needles: Iterable[bytes]) -> bool:
    """Whether any needle occurs anywhere in the bytes; nearly always not, and then nothing else is to be done."""
    text = header.lower()
    return any(needle in text for needle in needles)


def _check_value(tag: int, vr: bytes, value: bytes, needles: Iterable[bytes]) -> None:
    """Raise RuleFailed when an element that was kept still holds an identifier.

    Numbers and defined terms are no identifiers although they may look alike, and invented values may by chance be
    somebody's name; so both are left out.
    """
    if rule_for(tag, vr) not in _CHECKED or {vr, known_vr(tag)} <= _BINARY_VRS:
        return
    if vr in _HARMLESS and _HARMLESS[vr].fullmatch(value):
        return
    text = value.lower()
    if any(_occurs(needle, text) for needle in needles):
        raise RuleFailed(f"An identifier of the patient is still in {name_of(tag)}.")


def _singles(value: bytes) -> list[bytes]:
    return [single.strip(_PADDING) for single in value.split(b"\\")]


def _occurs(needle: bytes, text: bytes) -> bool:
    if needle not in text:
        return False
    if len(needle) >= _SHORT_NAME and not needle[:1].isdigit():
        return True
    return re.search(rb"(?<![0-9a-z.])" + re.escape(needle) + rb"(?![0-9a-z.])", text) is not None
