"""Searches bytes for a text in whatever way it may be written there."""

import re

_CODECS = (
    *("ascii", "latin-1", "iso8859-5", "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "gb18030"),
    *("shift_jis", "euc_jp", "iso2022_jp", "koi8-r", "cp1252"),
)
_ESCAPES = re.compile(rb"\x1b[ -/]+[0-~]")


class Haystack:
    """Bytes that are asked whether they hold a text, in any case, spelling of spaces, and character set."""

    def __init__(self, data: bytes) -> None:
        self._plain = data.lower()
        self._closed = re.sub(rb"[\0 ]+", b"", self._plain)
        self._raw = data
        self._letters = data.decode("utf-8", "replace").casefold()

    def holds(self, text: str) -> bool:
        """Whether the bytes hold the text; text in UTF-16 and in spread letters (W y b a) counts, too."""
        if text.isascii():
            needle = text.lower().encode()
            return needle in self._plain or needle.replace(b" ", b"") in self._closed
        if text.casefold() in self._letters:
            return True
        return any(needle in self._raw for needle in _spellings(text))


def _spellings(text: str) -> set[bytes]:
    """The text in every codec that has its letters, as it is and in capitals, without escape sequences."""
    found: set[bytes] = set()
    for codec in _CODECS:
        for spelling in (text, text.upper(), text.lower()):
            try:
                found.add(_ESCAPES.sub(b"", spelling.encode(codec)))
            except UnicodeEncodeError:
                continue
    return found - {b""}
