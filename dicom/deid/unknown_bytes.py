"""Searches bytes of unknown meaning, such as pieces of compressed pictures, for what is too long to be there by chance.

Any bytes are letters of some encoding. Only what is known of the instance is looked for, and of it neither short names
nor dates, nor accents in UTF-8.
"""

import re
from collections.abc import Collection

from dicom.deid.folding import folded
from dicom.deid.needles import Needles

_LONG = 7
"""So many letters are not in a terabyte by chance, those of fewer only with text beside them."""
_TEXT, _TEXT_LENGTH = re.compile(rb"[ -~]{8}"), 8
_LATIN_1 = b"".join(folded(chr(byte))[:1].encode("latin-1", "replace") for byte in range(0x100))
"""A table from bytes of Latin-1 to lower case letters without accents."""
_UID_ANCHOR = 12
_SLICE_BYTES = 4 << 20


def is_within(piece: memoryview, needles: Needles) -> bool:
    """Whether bytes hold a UID, a long identifier or a long name, of one byte or two for each letter.

    Goes through them in slices, so a fragment of gigabytes needs no copy. Costs some 20 ms of CPU for each MB.
    """
    words = {*needles.words.long_names, *(number.replace(" ", "") for number in needles.words.opaque)}
    names = [word.encode() for word in words]
    overlap = 2 * (max(map(len, (*names, *needles.uids)), default=0) + _TEXT_LENGTH)
    return any(
        _is_in_slice(piece[max(begin - overlap, 0) : begin + _SLICE_BYTES + overlap], names, needles.uids)
        for begin in range(0, len(piece), _SLICE_BYTES)
    )


def _is_in_slice(piece: memoryview, names: Collection[bytes], uids: Collection[bytes]) -> bool:
    narrow = bytes(piece).translate(None, b"\0")
    plain, lower = narrow.translate(_LATIN_1), narrow.lower()
    if any((name in plain) if len(name) >= _LONG else _is_in_text(name, lower) for name in names):
        return True
    return any(anchor in lower for anchor in {uid[:_UID_ANCHOR] for uid in uids}) and any(uid in lower for uid in uids)


def _is_in_text(name: bytes, lower: bytes) -> bool:
    """Whether a name stands beside other text."""
    place = lower.find(name)
    while place >= 0:
        behind = place + len(name)
        before = lower[max(0, place - _TEXT_LENGTH) : place]
        if _TEXT.fullmatch(before) or _TEXT.match(lower, behind):
            return True
        place = lower.find(name, place + 1)
    return False
