"""Which Python codec belongs to a Specific Character Set (0008,0005)."""

import re
from functools import cache

from pydicom.charset import python_encoding

from models.domain.errors import RuleFailed

_SPELLINGS = re.compile(r"^ISO[ _-]IR[ _-](\d+)$")


@cache
def codec_of(specific_character_set: bytes) -> str:
    """Return the codec of the first value of (0008,0005), which is what text begins with (PS3.5 section 6.1.2.5).

    Raises RuleFailed when any value is none of the standard; misspelt separators are forgiven.
    """
    terms = [term.strip(" \0").upper() for term in specific_character_set.decode("latin-1").split("\\")]
    spelt = [_SPELLINGS.sub(r"ISO_IR \1", term) for term in terms]
    if any(term not in python_encoding for term in spelt):
        raise RuleFailed("The character set of an instance is unknown; see (0008,0005).")
    return python_encoding[spelt[0]]
