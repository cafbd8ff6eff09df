"""Reviewed words, from data files beside this: coding schemes of the public, words of descriptions, nobody's names.

The files are read when they are first needed, and only as they were reviewed.
"""

import re
from functools import cache

from pydicom._uid_dict import UID_dictionary

from dicom.deid.folding import folded, spellings
from dicom.deid.table import packaged

LEXICON_DIGEST = "6724ca6bd9c3a27000c6a29d663afb7e4d3feeaf8d83669d6a3ebac6c2063f15"
"""SHA-256 of the words that cleaning keeps: another lexicon makes other outputs."""
_HARMLESS_DIGEST = "98108da45daa58823fafac6dca349ded0bc5e41ea665508cdb23ea4453aa7a82"
_SCHEMES_DIGEST = "8f90ca9ab92c31401300b80b74234382ee4dd6ee04bef1b679315668e5dfe6d0"


def split(text: str) -> frozenset[str]:
    """The words of a text that lists them."""
    return frozenset(text.split())


def _words(name: str, digest: str) -> frozenset[str]:
    lines = packaged(name, digest).splitlines()
    return split(" ".join(line for line in lines if not line.startswith("#")))


DIGEST = f"{LEXICON_DIGEST} {_HARMLESS_DIGEST} {_SCHEMES_DIGEST}"
"""Of all lists: others make other outputs."""
PUBLIC_SCHEMES = frozenset(word.upper().encode() for word in _words("coding-schemes.txt", _SCHEMES_DIGEST))
"""Coding scheme designators of PS3.16 table 8-1 in upper case, and names that people write for them."""

REGISTERED_UIDS = frozenset(UID_dictionary)
"""UIDs that PS3.6 annex A gives to classes, transfer syntaxes, well-known frames of reference: nobody's identity."""
_KIND = re.compile(r"1\.2\.840\.10008(?:\.[0-9]{1,3}){1,10}")
"""How the standard's UIDs look; those that people make up under its root have a date or longer numbers in them."""


def names_a_kind(uid: str) -> bool:
    """Whether a UID is of the standard itself, also of an edition that is newer than the data dictionary."""
    return uid in REGISTERED_UIDS or _KIND.fullmatch(uid) is not None


NOBODY = split(
    """
    admin ambulanz anonym anonymised anonymized anonymous anonymisiert chirurgie clinic department doctor dummy innere
    keine klinik klinikum leer mr mrs mtra neurologie none notaufnahme notfall operator orthopaedie phantom physician
    praxis prof pseudonym radiologe radiologie radiology removed service station system tech technician test unbekannt
    unknown user ward
    """
)
"""What stands in fields for names and identifiers without being one, folded."""
PARTICLES = split(
    """
    abu aus bei ben bin das dal del della den der des die dos ibn las les los san the ten und van vom von zum zur
    """
)
"""Words within names that are in other texts as well, folded: alone they name nobody."""


@cache
def lexicon() -> frozenset[str]:
    """Return the words that cleaning keeps, folded, with transcribed umlauts; some are joined by punctuation.

    Raises ProfileInvalid when the packaged file was altered.
    """
    words = _words("lexicon.txt", LEXICON_DIGEST)
    return frozenset(spelling for word in words for spelling in _written(word))


def _written(word: str) -> frozenset[str]:
    """How a word of the list is written: umlauts may be transcribed, but nothing is contracted (neuer is no nur)."""
    return frozenset({word}) if word.isascii() else spellings(word)


@cache
def harmless() -> frozenset[str]:
    """Return words that are in headers by the standard's or a maker's will, folded: found there, they tell nothing.

    Raises ProfileInvalid when the packaged file was altered.
    """
    return frozenset(folded(word) for word in _words("harmless-words.txt", _HARMLESS_DIGEST))


@cache
def device_words() -> frozenset[str]:
    """Return the harmless words and the lexicon: in text that devices write, a name among these is no name."""
    return harmless() | lexicon()
