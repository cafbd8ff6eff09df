"""Which Python codec belongs to a Specific Character Set (0008,0005)."""

import re
from collections.abc import Iterator
from functools import cache

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

from models.domain.errors import RuleFailed

ESCAPE = re.compile(rb"\x1b[ -/]*[0-~]")
"""What calls another character set within a value."""
_PIECES = re.compile(rb"(%s)?([^\x1b]*)" % ESCAPE.pattern)
_TWO_BYTES = frozenset({b"\x1b$B", b"\x1b$@", b"\x1b$(D"})
"""Escapes to Japanese characters of two bytes, which stand in the place of ASCII until the next escape."""
_PLAIN = frozenset({b"\x1b(B", b"\x1b(J"})
"""Escapes back to ASCII, also with a yen sign; bytes above it mean what they did before."""
_DELIMITER = re.compile(rb"(?=[\\\r\n\f\t^=])")
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
    return "".join(_extended(value, codecs[0]))


def is_one_byte(codec: str) -> bool:
    """Whether each character has one byte in a character set without escapes."""
    if codec.lower().startswith(("iso2022", "utf")):
        return False
    return len(_ALL_BYTES.decode(codec, "replace")) == len(_ALL_BYTES)


_ALL_BYTES = bytes(range(0x100))


def _extended(value: bytes, first: str) -> Iterator[str]:
    """Each piece in the character set that its escape calls, up to a delimiter, where it is the first set's again.

    Source: PS3.5 section 6.1.2.5.3.
    """
    codec = first
    for escape, piece in _PIECES.findall(value):
        if escape in _TWO_BYTES:
            yield (escape + piece).decode("iso2022_jp_2", "replace")
            continue
        if escape not in _PLAIN:
            codec = CODES_TO_ENCODINGS.get(escape, codec)
        called, *others = _DELIMITER.split(piece, maxsplit=1)
        yield called.decode(codec, "replace")
        for other in others:
            codec = first
            yield other.decode(codec, "replace")


@cache
def _codecs_of(specific_character_set: bytes) -> tuple[str, ...]:
    terms = [term.strip(" \0").upper() for term in specific_character_set.decode("latin-1").split("\\")]
    spelt = [_SPELLINGS.sub(r"ISO_IR \1", term) for term in terms]
    if any(term not in python_encoding for term in spelt):
        raise RuleFailed("The character set of an instance is unknown; see (0008,0005).")
    return tuple(python_encoding[term] for term in spelt)
