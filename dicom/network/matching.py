"""Whether a result is what was asked for: peers ignore matching keys, so every answer is filtered again here.

Pure rules, no network. An empty wish matches anything. A field the peer left empty, or filled with something that is
no date or time, is no reason to drop a result: many archives do not return every key. The exception are PatientID and
StudyInstanceUID, which every peer must return (PS3.4 tables C.6-1 and C.6-5): a result without them cannot be shown
to be the right patient's.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from dicom.attributes import MODALITIES_IN_STUDY, PATIENT_ID, UNIQUE_KEYS, vr_of
from dicom.network.dicom_json import Item, items, texts
from models.domain.refs import Level, PatientFound, PatientQuery, StudyFound, StudyQuery

_NO_DIGIT = re.compile(r"[.:]")
_DATE_DIGITS = 8
_TIME_DIGITS = 12


def matches_patient(query: PatientQuery, found: PatientFound) -> bool:
    """Whether the patient fits every key of the query."""
    return (
        _is_identified(query.patient_id, found.patient_id)
        and matches_name(query.patient_name, found.patient_name)
        and matches_date(query.birth_date, found.birth_date)
    )


def matches_study(query: StudyQuery, found: StudyFound) -> bool:
    """Whether the study fits every key of the query; of several wanted modalities one is enough."""
    return (
        any(_is_identified(uid, found.study_uid) for uid in query.study_uid.split("\\"))
        and _is_identified(query.patient_id, found.patient_id)
        and matches_name(query.patient_name, found.patient_name)
        and matches_date(query.birth_date, found.birth_date)
        and matches_text(query.accession_number, found.accession_number)
        and matches_date(query.study_date, found.study_date)
        and matches_time(query.study_time, found.study_time)
        and matches_text(query.study_description, found.study_description)
        and matches_modality(query.modalities, found.modalities)
    )


def matches_keys(level: Level, keys: Mapping[str, str], found: Item) -> bool:
    """Whether a data set fits every key, by the rules for its value representation (PS3.4 section C.2.2.2).

    Several wanted UIDs or modalities have backslashes between; one is enough. So it is with several found values.
    """
    needed = {UNIQUE_KEYS[level], PATIENT_ID if level is Level.STUDY else ""}
    return all(_matches_key(path, wanted, found, path in needed) for path, wanted in keys.items() if wanted.strip())


def texts_at(path: str, found: Item) -> list[str]:
    """What a data set tells at a path of ``dicom.attributes``, in all items of its sequences."""
    tag, _, below = path.partition(".")
    return [one for entry in items(found, tag) for one in texts_at(below, entry)] if below else texts(found, tag)


def matches_text(wanted: str, found: str) -> bool:
    """Whether the whole text fits the pattern, in which ``*`` is any text and ``?`` any character (PS3.4 C.2.2.2.4).

    Case matters; spaces at the ends do not.
    """
    return not wanted.strip() or not found.strip() or _fits(wanted, found)


def matches_name(wanted: str, found: str) -> bool:
    """Whether a person name fits the pattern, whatever its case and accents (PS3.4 C.2.2.2.1).

    Each of the alphabetic, ideographic and phonetic representations is tried; empty components at the end of a
    representation do not count (PS3.5 section 6.2.1).
    """
    pattern = _plain(wanted)
    if not pattern or not _plain(found):
        return True
    return any(_fits(pattern, _plain(one)) for one in (found, *found.split("=")))


def matches_date(wanted: str, found: str) -> bool:
    """Whether a date YYYYMMDD is the wanted one or lies in the range ``from-to``, ``from-`` or ``-to``."""
    return _is_within(wanted, found, _DATE_DIGITS)


def matches_time(wanted: str, found: str) -> bool:
    """Whether a time HHMMSS.FFFFFF is the wanted one or lies in the range.

    A time given less exactly stands for the whole span it names: 10 is 10:00:00 to 10:59:59.999999.
    """
    return _is_within(wanted, found, _TIME_DIGITS)


def matches_modality(wanted: Iterable[str], found: Iterable[str]) -> bool:
    """Whether at least one wanted modality occurs."""
    wishes, present = {text for text in wanted if text}, {text for text in found if text}
    return not wishes or not present or not wishes.isdisjoint(present)


def _matches_key(path: str, wanted: str, found: Item, is_needed: bool) -> bool:
    present = texts_at(path, found)
    if not present:
        return not is_needed
    return any(_matches_value(path.rpartition(".")[2], wanted, one) for one in present)


def _matches_value(tag: str, wanted: str, found: str) -> bool:
    match vr_of(tag):
        case "PN":
            return matches_name(wanted, found)
        case "DA":
            return matches_date(wanted, found)
        case "TM":
            return matches_time(wanted, found)
        case "DS" | "IS" | "FD" | "FL" | "SL" | "SS" | "SV" | "UL" | "US" | "UV":
            return _is_same_number(wanted, found)
        case "DT" | "UN":  # an offset from UTC, or a form that nobody knows
            return True
        case "UI":
            return found in wanted.split("\\")
        case _:
            several = wanted.split("\\") if tag == MODALITIES_IN_STUDY else [wanted]
            return any(_fits(one, found) for one in several)


def _is_same_number(wanted: str, found: str) -> bool:
    try:
        return float(wanted) == float(found)
    except ValueError:
        return True


def _is_identified(wanted: str, found: str) -> bool:
    return not wanted.strip() or bool(found.strip() and _fits(wanted, found))


def _fits(wanted: str, found: str) -> bool:
    return _pattern(wanted.strip()).fullmatch(found.strip()) is not None


@lru_cache(maxsize=32)
def _pattern(wanted: str) -> re.Pattern[str]:
    """Linear in the text: what stands between two stars is taken where it comes first, and not looked for again."""
    first, *others = [re.escape(piece).replace(r"\?", ".") for piece in wanted.split("*")]
    between = "".join(f"(?>.*?{piece})" for piece in others[:-1])
    end = f".*{others[-1]}" if others else ""
    return re.compile(first + between + end, re.DOTALL)


def _plain(name: str) -> str:
    """The name without accents, case and empty components at the end."""
    letters = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(sign for sign in letters if not unicodedata.combining(sign)).rstrip("^= ")


def _is_within(wanted: str, found: str, digits: int) -> bool:
    present = _span(found, digits)
    if not wanted.strip() or present is None:
        return True
    first, dash, last = wanted.partition("-")
    low = _span(first, digits)
    high = _span(last, digits) if dash else low
    starts_before_end = high is None or present[0] <= high[1]
    return starts_before_end and (low is None or low[0] <= present[1])


def _span(text: str, digits: int) -> tuple[str, str] | None:
    """First and last moment, as digits, that a date or time names; None when it names none."""
    plain = _NO_DIGIT.sub("", text.strip())
    if not plain.isdecimal() or len(plain) > digits:
        return None
    return plain.ljust(digits, "0"), plain.ljust(digits, "9")
