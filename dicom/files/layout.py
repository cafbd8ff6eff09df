"""Names of folders and files at a folder destination: pure functions, each returns one safe path component.

Whatever is given is already pseudonymized where it has to be. A component is at most 120 bytes of UTF-8, is valid on
Linux, macOS, Windows and SMB, and what must not collide ends in a digest of what identifies it. A DICOM text
may hold anything, so nothing here trusts its input.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

LIMIT_BYTES = 120
"""Of one component. ext4 and NTFS allow 255, encrypted folders of a NAS 143."""

DEFAULT = "default"

_FORBIDDEN = frozenset('<>:"/\\|?*')
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|COM[0-9¹²³]|LPT[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?[0-9]{1,12}")
_DIGEST_DIGITS = 8
_SUFFIX = ".dcm"
_VOLUME_BYTES = 32
"""What the converter may add to names of files to tell volumes of a series apart, and their endings."""


def job_folder(kind: str, job_id: int, created_at: datetime, owner: str) -> str:
    """``adit_<kind>_<job id>_<YYYYMMDD of creation>_<owner>``."""
    return component(f"adit_{kind}_{job_id}_{created_at:%Y%m%d}_{owner}")


def patient_folder(patient_id: str) -> str:
    """The pseudonym or patient id; a digest is added when it cannot be written as it is, so that no two meet."""
    return _distinct(patient_id)


def study_folder(study_date: str, study_time: str, modalities: Sequence[str], study_uid: str) -> str:
    """``<YYYYMMDD>-<HHMMSS>-<modalities>-<digest of the study's UID>``; modalities in the order given.

    Date and time are DICOM's DA and TM (PS3.5 section 6.2); zeros stand for what is missing.
    """
    moment = f"{_date(study_date)}-{_time(study_time)}"
    return _with_digest("-".join(filter(None, (moment, ",".join(modalities)))), study_uid)


def series_folder(number: str, modality: str, description: str, series_uid: str, limit_bytes: int = LIMIT_BYTES) -> str:
    """``<number>-<description>-<digest of the series' UID>``.

    A number that is none is left out. Without a description (always so when pseudonymized: it is free text) the
    modality takes its place, without either ``Undefined`` does.
    """
    number, modality, description = _number(number), modality.strip(), description.strip()
    text = "-".join(filter(None, (number, description or modality or "Undefined")))
    return _with_digest(text, series_uid, limit_bytes)


def volume_file(number: str, modality: str, description: str, series_uid: str) -> str:
    """How the names of all files begin that a series is converted to: as its folder, with room for what follows."""
    return series_folder(number, modality, description, series_uid, LIMIT_BYTES - _VOLUME_BYTES)


def instance_file(sop_uid: str) -> str:
    """``<SOP Instance UID>.dcm``."""
    return _distinct(sop_uid, LIMIT_BYTES - len(_SUFFIX)) + _SUFFIX


def component(text: str, limit_bytes: int = LIMIT_BYTES) -> str:
    """The text as one path component: never empty, hidden, reserved or longer than the limit, and always the same.

    Two texts may become the same component.
    """
    text = "".join(_allowed(letter) for letter in unicodedata.normalize("NFC", text)).strip()
    if text.startswith("."):
        text = "_" + text[1:]
    text = text.encode()[: limit_bytes - 1].decode(errors="ignore").rstrip(". ")
    if _RESERVED.fullmatch(text):
        return "_" + text
    return text if text.strip("_ ") else DEFAULT


def _allowed(letter: str) -> str:
    """The letter itself, a plain space for any space, an underscore for what file systems or people stumble over."""
    if letter in _FORBIDDEN or (category := unicodedata.category(letter)) in _FORBIDDEN_CATEGORIES:
        return "_"
    return " " if category == "Zs" else letter


def _distinct(text: str, limit_bytes: int = LIMIT_BYTES) -> str:
    """The component of the text, with a digest when it is not the text itself; spaces at the ends do not count."""
    text = text.strip()
    plain = component(text, limit_bytes)
    return plain if plain == text else _with_digest(text, text, limit_bytes)


def _with_digest(text: str, identity: str, limit_bytes: int = LIMIT_BYTES) -> str:
    digest = hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    return f"{component(text, limit_bytes - _DIGEST_DIGITS - 1)}-{digest}"


def _number(text: str) -> str:
    """An integer string (IS) without its padding."""
    return text.strip() if _INTEGER.fullmatch(text.strip()) else ""


def _date(text: str) -> str:
    """YYYYMMDD, also from the YYYY.MM.DD of ACR-NEMA."""
    digits = "".join(re.findall("[0-9]", text))
    return digits if len(digits) == 8 else "0" * 8


def _time(text: str) -> str:
    """HHMMSS from HH, HHMM, HHMMSS, HHMMSS.FFFFFF or HH:MM:SS."""
    return "".join(re.findall("[0-9]", text.partition(".")[0]))[:6].ljust(6, "0")
