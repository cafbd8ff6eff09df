"""Cleans free text (PS3.15 section E.3.5): what is not known to be harmless goes.

A word stays because it is in the lexicon or has the form of a technical value, never because it is not known to be a
name. So a new word is lost at first, until a site approves it.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from dicom.deid.folding import folded
from dicom.deid.vocabulary import lexicon, split

_MONTHS = r"(?:jan|feb|m[aä]r|maerz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*"
_DATE = re.compile(
    r"(?<![^\W_])(?<![0-9][-./_:])[0-9]{1,4}\s*([-./_:])\s*[0-9]{1,2}\s*\1\s*[0-9]{1,4}(?!\1?[0-9])"
    r"|(?<![0-9])[0-9]{1,2}[.\s_/-]*(?<![^\W\d_])" + _MONTHS + r"(?![^\W\d_])[.\s_/,-]*(?:[0-9]{2,4}(?![0-9]))?"
    r"|(?<![^\W_])" + _MONTHS + r"[.\s_/-]*[0-9]{1,2}[.,\s_/-]+[0-9]{2,4}(?![0-9])"
    r"|(?<![0-9])[0-9]{1,2}:[0-9]{2}(?:[:.][0-9]+)*",
    re.IGNORECASE,
)
_ALONE_OR_IN_NUMBER = r"[^\W_]+(?:(?<=[0-9])[.,](?=[0-9])[^\W_]+)*"
_PARTS = re.compile(r"[0-9]+(?:[.,][0-9]+)*|[A-ZÄÖÜ]+(?=[A-ZÄÖÜ][a-zäöüß])|[A-ZÄÖÜ]?[a-zäöüß]+|[A-ZÄÖÜ]+", re.UNICODE)
_LETTERS_OR_DIGITS = re.compile(r"[0-9]+(?:[.,][0-9]+)*|[^\W\d_]+")
_NUMBER = re.compile(r"[0-9]{1,3}|[0-9]{1,2}[.,][0-9]|[0-9][.,][0-9]{2,3}|[0-9]{2}[.,][257]5|[0-9]{3}[.,][0-9]")
_UNIT = (
    r"(?:mm|cm|m|[µu]m|ms|msec|s|sec|min|h|hz|khz|mhz|t|ml|l|g|kg|mg|mgy|c?gy|mbq|kev|kv|kvp|ma|mas|d|p|ch|i|x|w|st|nd"
    r"|rd|th|er|te|ter|dyn|plane|px)"
)
_SHAPES = re.compile(
    r"(?:[0-9]{1,3}(?:[.,][0-9]{1,3})?x){1,2}[0-9]{1,3}(?:[.,][0-9]{1,3})?(?:mm|cm|mm3)?"  # 0.6x0.6mm, 256x256
    rf"|[0-9]{{1,3}}(?:[.,][0-9]{{1,3}})?{_UNIT}"  # 5mm, 1.5T, 120kV
    r"|b(?:0|[0-9]{0,2}[05]0)"  # b-values, b0, b1000
    r"|t[eri][0-9]{1,3}|fa[0-9]{1,2}|r[0-9]|p[1-9]|s[1-9]"  # echo time, flip angle, acceleration
    r"|c[1-7]|t(?:h|)(?:[1-9]|1[0-2])|[ls][1-5]"  # vertebrae
    r"|(?:b|h|u|i|j|d|t)[0-9]{2}[fsmh]"  # kernels of CT: B30f, I50f
    r"|(?:br|bv|bl|bf|hr|hc|hp|hv|hn|qr|sa|ur|uv|uf|ub|bs)[0-9]{2}[dfsmhu]?"
    r"|(?:fl|ge|gr|ir|me|se|tf|tr)[23]d[0-9]{0,2}|[0-9]ch"
)
_SINGLE = frozenset("lr")
_INTRODUCTION = split(
    """
    dr prof herr herrn frau mrs miss name named called geb geboren born née nee arzt oberarzt chefarzt med
    station stat ward zimmer room raum tel telefon phone fon fax mobil handy strasse str street zhd
    """
)
"""Words behind which a name, a place or a number is to be expected, whatever it looks like."""
_PERSONAL = re.compile(
    r"\b(?:Dr|Prof|Hr|Fr|Tel|geb)\.|\b(?:Herrn?|Frau|Mrs?|Miss|Telefon|geboren)\b|[0-9]{5}|[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{2}"
)
"""What stands before or in the name, number or date of somebody, in texts that are no one's business otherwise."""
_INTRODUCED = 2
_HARD_SEPARATOR = re.compile(r"[,;|^]")
_SEPARATOR = re.compile(r"[-_/+*.:;,()\[\]<>=^&%#°'| ]{1,4}")
_TRAILING = re.compile(r"[*+%)\]]{0,3}")
_MOST_DIGITS = 3
_LONG_NAME = 5
_GONE = "\0"
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word of a text, and what stands before it."""

    before: str
    text: str

    @property
    def is_number(self) -> bool:
        return self.text[:1].isdigit() and not any(letter.isalpha() for letter in self.text)


def is_personal(text: str) -> bool:
    """Whether a text seems to speak of a person: by a title, a long number or a date."""
    return _PERSONAL.search(text) is not None


class Cleaner:
    """Keeps the words of a text that are in the lexicon or in ``approved_words``, and short technical numbers.

    A whole value that equals one of ``approved_texts`` but for case and spaces stays as it is.
    """

    def __init__(
        self, approved_texts: frozenset[str] = frozenset(), approved_words: frozenset[str] = frozenset()
    ) -> None:
        self._texts = frozenset(_plain(text) for text in approved_texts)
        self._approved = frozenset(folded(word) for text in approved_words for word in _plain(text).split())
        self._known: dict[tuple[frozenset[str], str], bool] = {}

    def cleaned(self, text: str, scrub: Collection[str] = frozenset()) -> str:
        """Return what may stay of each value of a text (separated by backslashes); empty when nothing may.

        ``scrub`` are folded words, usually the patient's own, that never stay, not even in approved texts. Cleaning
        again changes nothing.
        """
        own = scrub if isinstance(scrub, frozenset) else frozenset(scrub)
        values = [self._value(value, own) for value in text.split("\\")]
        return "\\".join(values) if any(values) else ""

    def _value(self, value: str, scrub: frozenset[str]) -> str:
        composed = unicodedata.normalize("NFC", value.strip("\0 \t\r\n"))
        if _plain(composed) in self._texts and not any(_is_scrubbed(piece, scrub, False) for piece in _runs(composed)):
            return composed
        known: set[str] = set()
        while composed and composed not in known:  # what is left may stand side by side only now
            known.add(composed)
            composed = self._once(composed, scrub)
        return composed

    def _once(self, value: str, scrub: frozenset[str]) -> str:
        kept: list[str] = []
        is_gap = False
        pieces, behind = self._pieces(_DATE.sub(f" {_GONE} ", value))
        for piece, stays in zip(pieces, self._verdicts(pieces, scrub), strict=True):
            if stays:
                is_gap = is_gap or _GONE in piece.before
                kept.append((_separator(piece.before, is_gap) if kept else _opening(piece.before, is_gap)) + piece.text)
            is_gap = not stays
        trailing = _TRAILING.match(behind) if kept and not is_gap else None
        return _balanced("".join(kept) + (trailing[0] if trailing else ""))

    def _pieces(self, value: str) -> tuple[list[_Piece], str]:
        """The words in their order, and what stands behind the last one."""
        pieces: list[_Piece] = []
        end = 0
        for match in _finder(self._approved).finditer(value):
            pieces.append(_Piece(value[end : match.start()], match[0]))
            end = match.end()
        return pieces, value[end:]

    @property
    def _words(self) -> frozenset[str]:
        return _known_words(self._approved)

    def _verdicts(self, pieces: list[_Piece], scrub: frozenset[str]) -> list[bool]:
        """For each word whether it stays, judged by itself and by those before it."""
        chained = _are_in_long_chains(pieces)
        verdicts: list[bool] = []
        introduced = 0
        for position, piece in enumerate(pieces):
            if introduced and verdicts and _HARD_SEPARATOR.search(piece.before):
                introduced = max(0, introduced - 1)
            stays = not introduced and not chained[position] and self._stays(piece.text, scrub)
            if stays and piece.is_number and verdicts and not verdicts[-1]:
                stays = False  # Station 3, Hauptstr. 12
            if stays and folded(piece.text) in _SINGLE and _is_initial(pieces, position):
                stays = False
            introduced = _INTRODUCED if folded(piece.text) in _INTRODUCTION else max(0, introduced - 1)
            verdicts.append(stays)
        return verdicts

    def _stays(self, word: str, scrub: frozenset[str]) -> bool:
        known = self._known.get((scrub, word))
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[scrub, word] = self._is_harmless(word, scrub)
        return known

    def _is_harmless(self, word: str, scrub: frozenset[str]) -> bool:
        plain = folded(word)
        is_known = plain in self._words or plain in _SINGLE
        if plain in _INTRODUCTION:
            return False
        could_stay = (
            is_known
            or _NUMBER.fullmatch(plain) is not None
            or _SHAPES.fullmatch(plain) is not None
            or self._is_compound(word)
        )
        return could_stay and not _is_scrubbed(word, scrub, is_known)

    def _is_compound(self, word: str) -> bool:
        """Whether a word is made of known ones, in camel case or with numbers: ThoraxAbdomen, Phase2."""
        parts = _parts(word)
        if len(parts) < 2 or sum(letter.isdigit() for letter in word) > _MOST_DIGITS:
            return False
        return all(
            _NUMBER.fullmatch(part) is not None if part[0].isdigit() else len(part) > 1 and folded(part) in self._words
            for part in parts
        )


_ODD = re.compile(r"[\W_]")


@lru_cache(maxsize=8)
def _known_words(approved: frozenset[str]) -> frozenset[str]:
    return lexicon() | approved


@lru_cache(maxsize=8)
def _finder(approved: frozenset[str]) -> re.Pattern[str]:
    """Finds words, those that are joined by punctuation in the lexicon as one; each takes a millisecond to make."""
    joined = sorted((word for word in _known_words(approved) if _ODD.search(word)), key=len, reverse=True)
    choices = "|".join(re.escape(word) for word in joined)
    return re.compile(rf"(?<![^\W_])(?:{choices})(?![^\W_])|{_ALONE_OR_IN_NUMBER}", re.IGNORECASE)


def _runs(text: str) -> list[str]:
    return re.findall(_ALONE_OR_IN_NUMBER, text)


@lru_cache(maxsize=4096)
def _parts(word: str) -> tuple[str, ...]:
    """The words in camel case and the numbers that a word consists of; itself when it has other letters."""
    parts = tuple(_PARTS.findall(word))
    return parts if "".join(parts) == word else (word,)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text.strip("\0 ")).casefold().split())


def _is_scrubbed(word: str, scrub: frozenset[str], is_known: bool) -> bool:
    """Whether a word is one of the patient's own, has it as a part, or (when it is no known word) contains it."""
    if not scrub:
        return False
    plain = folded(word)
    parts = {plain, *map(folded, _parts(word)), *_LETTERS_OR_DIGITS.findall(plain)}
    if not scrub.isdisjoint(parts):
        return True
    return not is_known and any(own in plain and len(own) >= _LONG_NAME for own in scrub)


def _is_initial(pieces: list[_Piece], position: int) -> bool:
    """Whether a single letter has a full stop, as initials have."""
    return position + 1 < len(pieces) and pieces[position + 1].before.startswith(".")


def _are_in_long_chains(pieces: list[_Piece]) -> list[bool]:
    """For each word whether it belongs to numbers in a row that have more digits than a technical value."""
    long = [False] * len(pieces)
    start = 0
    while start < len(pieces):
        end = start
        while end < len(pieces) and pieces[end].is_number and (end == start or _GONE not in pieces[end].before):
            end += 1
        if end > start + 1 and _is_long([piece.text for piece in pieces[start:end]]):
            long[start:end] = [True] * (end - start)
        start = max(end, start + 1)
    return long


def _is_long(numbers: list[str]) -> bool:
    """Whether numbers in a row could be one: a telephone number, a date. Two decimals or three digits could not."""
    digits = sum(letter.isdigit() for number in numbers for letter in number)
    if any(_NUMBER.fullmatch(number) is None for number in numbers):
        return True
    decimals = [number for number in numbers if not number.isdigit()]
    return digits > _MOST_DIGITS + len(decimals) or len(numbers) > _MOST_DIGITS


def _separator(before: str, is_gap: bool) -> str:
    """What stood between two words that both stay, or a space when something between them went."""
    plain = " ".join(before.split())
    if is_gap or not plain:
        return " "
    padded = (" " if before[:1].isspace() else "") + plain + (" " if before[-1:].isspace() else "")
    return padded if _SEPARATOR.fullmatch(padded) else " "


def _opening(before: str, is_gap: bool) -> str:
    """A bracket in which a text begins."""
    return before[-1:] if before[-1:] in {"(", "["} and not is_gap else ""


def _balanced(text: str) -> str:
    """The text without brackets unless each has its partner."""
    for opening, closing in ("()", "[]"):
        if opening not in text and closing not in text:
            continue
        depth = 0
        for letter in text:
            depth += (letter == opening) - (letter == closing and depth >= 0)
        if depth or text.find(closing) < text.find(opening):
            text = text.replace(opening, " ").replace(closing, " ")
    return " ".join(text.split())
