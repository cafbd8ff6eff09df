"""Which Python codec belongs to a Specific Character Set (0008,0005)."""

import re
from functools import cache

from pydicom.charset import python_encoding

from models.domain.errors import RuleFailed

_ESCAPES = re.compile(rb"\x1b[ -/]*[0-~]")
_SPELLINGS = re.compile(r"^ISO[ _-]IR[ _-](\d+)$")


def codec_of(specific_character_set: bytes) -> str:
    """Return the codec of the first value of (0008,0005), which is what text begins with (PS3.5 section 6.1.2.5).

    Raises RuleFailed when any value is none of the standard; misspelt separators are forgiven.
    """
    return _codecs_of(specific_character_set)[0]


def decoded(value: bytes, specific_character_set: bytes) -> str:
    """Return text of an element, with code extensions where it has them; what cannot be decoded is replaced.

    Raises RuleFailed like ``codec_of``.
    """
    codecs = _codecs_of(specific_character_set)
    if b"\x1b" not in value or len(codecs) == 1:
        return value.decode(codecs[0], "replace")
    if codecs[-1].startswith("iso2022"):  # these read escape sequences themselves
        return value.decode(codecs[-1], "replace")
    return _ESCAPES.sub(b"", value).decode(codecs[-1], "replace")


@cache
def _codecs_of(specific_character_set: bytes) -> tuple[str, ...]:
    terms = [term.strip(" \0").upper() for term in specific_character_set.decode("latin-1").split("\\")]
    spelt = [_SPELLINGS.sub(r"ISO_IR \1", term) for term in terms]
    if any(term not in python_encoding for term in spelt):
        raise RuleFailed("The character set of an instance is unknown; see (0008,0005).")
    return tuple(python_encoding[term] for term in spelt)
