"""Text reduced to what people hear in it, so that one name in two spellings is one word.

It is for comparing only; nothing that is written to an output has passed through here.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import filterfalse

_SPECIAL = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i"})
"""Letters that Unicode does not decompose, the last a dotless i; ß is ss by case folding."""
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_CONTRACTED = re.compile(r"(?<![aeouq])([aou])e")
"""Where ae, oe and ue may be written for an umlaut: not in Bauer, Neuer, Quent."""
_SHORTEST_CONTRACTED = 4


def folded(text: str) -> str:
    """Return the text in lower case and without accents; the Greek mu of units becomes a u."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.replace("µ", "u")).casefold()
    letters = "".join(filterfalse(unicodedata.combining, plain))
    return unicodedata.normalize("NFC", letters).translate(_SPECIAL)


@lru_cache(maxsize=4096)
def spellings(word: str) -> frozenset[str]:
    """Return the folded word and how else it may be spelled where umlauts are written out: Müller, Muller, Mueller."""
    plain = folded(word)
    found = {plain}
    written_out = unicodedata.normalize("NFC", word).lower().translate(_WRITTEN_OUT)
    found.add(folded(written_out))
    contracted = _CONTRACTED.sub(r"\1", plain)
    if len(contracted) >= _SHORTEST_CONTRACTED:
        found.add(contracted)
    return frozenset(found)
