"""Searches what is about to leave for what must not: the identifiers of this very instance.

A hit refuses the instance, also in an optional element: nobody knows what else the one who wrote it there has done.
Invented values (stand-ins, dummies, shifted dates) may by chance be somebody's and are left out. No error quotes a
value.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Literal

from dicom.deid import digits, rules
from dicom.deid.charsets import ESCAPE, codec_of, decoded, is_one_byte
from dicom.deid.encoding import (
    UNDEFINED_LENGTH,
    Element,
    Syntax,
    check_depth,
    known_vr,
    nested_syntax,
    read_elements,
    read_items,
    read_nested,
)
from dicom.deid.folding import folded
from dicom.deid.identifiers import Identifiers, character_set
from dicom.deid.marks import METHOD, foreign_methods
from dicom.deid.needles import SHORT_NAME, Needles, Rules, Words, spaced, texts_of
from dicom.deid.pixels.segments import Fragments
from dicom.deid.rules import SEQUENCE_RULES, Rule, name_of
from dicom.deid.unknown_bytes import is_within
from dicom.deid.values import is_number
from dicom.deid.vocabulary import device_words, harmless
from models.domain.errors import ResidueFound, RuleFailed

__all__ = ["Identifiers", "Needles", "check", "check_bytes", "check_fragments", "check_pseudonym", "check_text"]

_BINARY_VRS = frozenset(
    {
        *(b"AT", b"FD", b"FL", b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SL", b"SS", b"SV", b"UL", b"US", b"UV"),
    }
)
_DATE_VRS = frozenset({b"DA", b"DT", b"TM", b"AS"})
_CLEANED = frozenset({Rule.CLEAN_TEXT, Rule.CLEAN_LABEL})
_DEVICES = frozenset({Rule.KEEP, Rule.KEEP_IF_VALID, Rule.KEEP_OR_CLEAN, Rule.SCHEME, Rule.CODE})
_CHECKED = _DEVICES | _CLEANED | {Rule.PRIVATE, Rule.PSEUDONYM, Rule.TIME, Rule.UID, Rule.KIND, Rule.SCHEME_UID}
_VERSIONS = frozenset({METHOD, 0x00080103, 0x00181019, 0x00181020, 0x00660031})
"""Attributes in which numbers between points are versions, not dates with two digits for the year: methods of
de-identification, versions of coding schemes, of software, of that of secondary captures, of algorithms."""
_LONG_NAME = 7
"""Names of so many letters are no chance within longer words of code strings."""
_PRINTABLE = re.compile(r"[ -~\xa0-\u024f]{8,}|[0-9]{6,}")
"""What is text or a number within opaque bytes, and not there by chance."""
_SHORTEST_OPAQUE = SHORT_NAME
"""Opaque bytes that are fewer can hold no name that is searched for in them."""
_BETWEEN_PIXELS = "An identifier of the patient is written between the pixels."
_TIME = re.compile(rb"([01][0-9]|2[0-3])([0-5][0-9]([0-6][0-9](\.[0-9]{0,6})?)?)?|[+-][0-9]{4}")
_DATE_DIGITS = 8
"""A number of so many digits, without the first when it is zero, is no birth date by chance."""
_NOT_DIGITS = re.compile(r"[^0-9]+")
_OWN_STUDY_FOLDER = re.compile(r"(?<![0-9A-Za-z])[0-9]{8}-[0-9]{6}(?=-)")
"""The date and time of a study, as folders are named after it."""
_MOST_CHECKED, _LONGEST_CHECKED = 20_000, 4096
_MOST_UID_ANCHORS = 50
_UID_ANCHOR = 12
_OWN_UID = re.compile(rb"2\.25\.[0-9]{20,40}")
_OWN_UID_IN_TEXT = re.compile(_OWN_UID.pattern.decode())
_BETWEEN_LETTERS = rb"[\0-/:-@\[-`{-\xbf\xd7\xf7]{0,64}"
_UID_SHAPED = re.compile(rb"[0-9.]{12,}")

_UTF_8 = re.compile(rb"[\xc2-\xcd\xe1\xe2\xef](?:(?<![\xe1\xe2\xef])|[\x80-\xbf])[\x80-\xbf]")
"""Latin letters with accents, joined or wide, accents that follow their letter, and punctuation, in UTF-8."""
_LEADS = frozenset({*range(0xC2, 0xCE), 0xE1, 0xE2, 0xEF})
_SHAPES = bytes(0xC2 if byte in _LEADS else 0x80 if 0x80 <= byte < 0xC0 else 0 for byte in range(0x100))
"""A table that makes every beginning of such a letter C2 80."""


def check(header: bytes, needles: Needles, syntax: Syntax, rule_for: Rules) -> None:
    """Raise ResidueFound, naming the attribute, when a treated header still holds an identifier.

    Looks closely only when a quick search of all bytes finds something. Raises Unreadable, RuleFailed (character set).
    """
    check_changed(header, header, needles, syntax, rule_for)


def check_changed(
    header: bytes, changed: bytes, needles: Needles, syntax: Syntax, rule_for: Rules, character_set: bytes = b""
) -> None:
    """Do the same for a header of which all but some elements was checked before, for the same people.

    ``changed`` are those elements, joined; ``character_set`` is the value of (0008,0005) where it is not among them.
    """
    has_uid = _holds_uid(header, needles.uids)
    if not has_uid and not _may_hold(changed, needles.words, chain((character_set,), _declared(changed, syntax))):
        return
    data = memoryview(changed)
    search = _Search(needles.words, needles.uids if has_uid else frozenset(), rule_for)
    search.level(data, read_elements(data, syntax), syntax, character_set)
    if has_uid:
        raise ResidueFound("An original UID is still in the header.")


def check_pseudonym(pseudonym: str, needles: Needles) -> None:
    """Raise ResidueFound when a pseudonym holds an identifier, is one however short, or has the birth date's digits."""
    words, plain = needles.words, spaced(pseudonym)
    if (
        plain in words.exact
        or any(date in run for run in _NOT_DIGITS.split(plain) for date in words.birth_digits)
        or (_may_be_in(pseudonym, words) and _holds_text(pseudonym, words, frozenset(), is_whole=False))
    ):
        raise ResidueFound("The pseudonym is made of an identifier of the patient.")


def _may_be_in(text: str, words: Words) -> bool:
    """Whether a needle could be in a text; where none can, their patterns need not be made, which takes longest."""
    joined = "".join(filter(str.isalnum, text.lower())).encode()
    return not text.isascii() or any(anchor in joined for anchor in (*words.anchors, *words.short_names))


def check_text(text: str, needles: Needles) -> None:
    """Raise ResidueFound when a name or path of a file or folder holds an identifier."""
    words = needles.words
    dated = _OWN_STUDY_FOLDER.sub(" ", _without_own_uids(text))
    if (
        _holds_words(spaced(text), words, harmless(), is_whole=False)
        or _holds_digits(dated, words)
        or (words.date is not None and words.date.search(spaced(dated)))
        or any(uid.decode("latin-1") in text for uid in needles.uids)
    ):
        raise ResidueFound("An identifier of the patient is in the name of a file or folder.")


def check_values(texts: Collection[tuple[str, bool]], needles: Needles) -> None:
    """Raise ResidueFound when what was made of treated instances holds an identifier in one of its texts or numbers.

    Each comes with whether it is a version, in which numbers between points are no date.
    """
    for text, is_version in texts:
        if _value_holds(_without_own_uids(text), needles.words, is_version) or _holds_uid(
            text.encode(errors="replace"), needles.uids
        ):
            raise ResidueFound("An identifier of the patient is in a file that was made of the instances.")


def _without_own_uids(text: str) -> str:
    """The text without UIDs that we have made: so many digits hold any short number by chance."""
    return _OWN_UID_IN_TEXT.sub(" ", text)


def _value_holds(text: str, words: Words, is_version: bool) -> bool:
    if is_number(text.encode(errors="replace")):
        return _is_identifying(text.strip().lstrip("+"), words)
    return _holds_text(text, words, device_words(), is_whole=False) or (
        not is_version and _holds_short_date(text, words)
    )


def check_fragments(fragments: Fragments, needles: Needles) -> None:
    """Raise ResidueFound when encoders or cameras wrote an identifier into compressed frames or beside them."""
    for comment in fragments.comments:
        check_bytes(comment, needles)
    for piece in fragments.unknown:
        if is_within(piece, needles):
            raise ResidueFound(_BETWEEN_PIXELS)


def check_bytes(chunk: bytes, needles: Needles) -> None:
    """Raise ResidueFound when bytes of unknown meaning hold an identifier, as text in whatever encoding."""
    if _holds_uid(chunk, needles.uids):
        raise ResidueFound(_BETWEEN_PIXELS)
    if (chunk,) in needles.words.checked:
        return
    if _is_opaquely_in(chunk, b"", needles.words):
        raise ResidueFound(_BETWEEN_PIXELS)
    text = "".join(letter if letter.isprintable() else " " for letter in chunk.decode("utf-8", "replace"))
    if _holds_text(text, needles.words, harmless(), is_whole=False):
        raise ResidueFound(_BETWEEN_PIXELS)
    _remember((chunk,), chunk, needles.words)


@dataclass(frozen=True, slots=True)
class _Search:
    """The close look at one header."""

    words: Words
    uids: frozenset[bytes]
    rule_for: Rules

    def level(
        self, data: memoryview, elements: list[Element], syntax: Syntax, inherited: bytes, depth: int = 0
    ) -> None:
        check_depth(depth)
        charset = character_set(data, elements, inherited)
        for element in elements:
            rule = self.rule_for(element.tag, element.vr)
            if rule in SEQUENCE_RULES or (element.tag == _METHOD_CODES and element.vr in {b"SQ", b"UN"}):
                inner = nested_syntax(element.vr, syntax)
                for item in read_items(data, element, inner):
                    self.level(data, read_nested(data, item, inner), inner, charset, depth + 1)
            elif rule in _CHECKED:
                self._value(element, rule, bytes(data[element.begin : element.stop]), charset)

    def _value(self, element: Element, rule: Rule, value: bytes, charset: bytes) -> None:
        vr = known_vr(element.tag) or element.vr
        key = (rule, vr, element.tag if element.tag in _VERSIONS else 0, charset, value)
        is_clean = key in self.words.checked
        if not is_clean and _holds(element.tag, vr, value, rule, self.words, charset):
            raise ResidueFound(f"An identifier is still in {name_of(element.tag)}.")
        if self.uids and _holds_uid(value, self.uids):
            raise ResidueFound(f"An original UID is still in {name_of(element.tag)}.")
        if not is_clean:
            _remember(key, value, self.words)


def _remember(key: tuple[object, ...], value: bytes, words: Words) -> None:
    """Spare the next search for the same in what holds nothing, unless it is long."""
    if len(value) <= _LONGEST_CHECKED:
        if len(words.checked) >= _MOST_CHECKED:
            words.checked.clear()
        words.checked.add(key)


_METHOD_CODES = 0x00120064


def _holds(tag: int, vr: bytes, value: bytes, rule: Rule, words: Words, charset: bytes) -> bool:
    if tag == METHOD:
        value = "\\".join(foreign_methods(decoded(value, charset))).encode("utf-8")
        charset = b"ISO_IR 192"
    if not value.strip(b" \0"):
        return False
    if vr in _BINARY_VRS or (vr == b"UN" and b"\0" in value.rstrip(b"\0")):
        is_long = len(value) >= _SHORTEST_OPAQUE
        return is_long and _may_hold(value, words, (charset,)) and _is_opaquely_in(value, charset, words)
    if vr in {b"IS", b"DS"} and all(is_number(single.strip(b" \0") or b"0") for single in value.split(b"\\")):
        return any(_is_identifying(single.strip(b" \0+").decode("latin-1"), words) for single in value.split(b"\\"))
    if vr == b"UI" and not value.translate(None, b"0123456789.\\ \0"):
        return any(part in words.numbers for part in _NOT_DIGITS.split(value.decode("latin-1")))
    if vr == b"TM" and all(_TIME.fullmatch(single.strip(b" \0")) for single in value.split(b"\\")):
        return False
    has_dates = vr not in _DATE_VRS and tag not in _VERSIONS
    return any(
        _text_holds(text, vr, rule, words) or (has_dates and _holds_short_date(text, words))
        for text in texts_of(value, charset)
    )


def _text_holds(text: str, vr: bytes, rule: Rule, words: Words) -> bool:
    if rule is Rule.PSEUDONYM:
        return _holds_text(text, words, frozenset(), is_whole=False)
    if rule in _CLEANED:  # cleaning has dropped these people's words; a longer one that is reviewed is no name
        return _holds_phrase(spaced(text), words, frozenset()) or _holds_text(text, words, device_words(), False)
    passed_over = device_words() if rule in _DEVICES else harmless()
    if vr in _DATE_VRS:
        return _holds_words(spaced(text), words, passed_over, is_whole=False)
    return _holds_text(text, words, passed_over, is_whole=vr == b"CS")


def _holds_text(text: str, words: Words, passed_over: Collection[str], is_whole: bool) -> bool:
    plain = spaced(text)
    if _holds_words(plain, words, passed_over, is_whole) or _holds_digits(text, words):
        return True
    return any(pattern is not None and pattern.search(plain) for pattern in (words.within, words.date))


def _holds_short_date(text: str, words: Words) -> bool:
    return words.short_date is not None and words.short_date.search(folded(text)) is not None


def _holds_words(plain: str, words: Words, passed_over: Collection[str], is_whole: bool) -> bool:
    return _holds_phrase(plain, words, passed_over) or _holds_long_name(plain, words, passed_over, is_whole)


def _holds_phrase(plain: str, words: Words, passed_over: Collection[str]) -> bool:
    if words.whole is None:
        return False
    return any(found not in passed_over for found in words.whole.findall(plain))


def _holds_long_name(plain: str, words: Words, passed_over: Collection[str], is_whole: bool) -> bool:
    left = " ".join(word for word in plain.split(" ") if word not in passed_over)
    if is_whole:
        is_alone = words.whole_long_names is not None and words.whole_long_names.search(left) is not None
        return is_alone or any(name in left for name in words.long_names if len(name) >= _LONG_NAME)
    joined = left.replace(" ", "")
    return any(name in left or (len(name) > SHORT_NAME and name in joined) for name in words.long_names)


def _holds_digits(text: str, words: Words) -> bool:
    """Whether a number that was written in groups is an identifier or ends a telephone number."""
    if not words.phones and not words.numbers:
        return False
    plain = folded(text)
    if any(phone in run for run in digits.runs(plain) for phone in words.phones):
        return True
    return any(number in words.numbers or number.lstrip("0") in words.numbers for number in digits.grouped(plain))


def _is_opaquely_in(value: bytes, charset: bytes, words: Words) -> bool:
    """Whether bytes hold long names or identifiers as text, of one byte or two for each letter, or more among text."""
    runs: set[str] = set()
    for text in _opaque_texts(value, charset):
        plain = folded(text)
        joined = "".join(filter(str.isalnum, plain))
        if any(name in plain for name in words.long_names if len(name) >= SHORT_NAME or not name.isascii()):
            return True
        if any(number.replace(" ", "") in joined for number in words.opaque):
            return True
        runs.update(_PRINTABLE.findall(text))
    return any(_holds_text(run, words, device_words(), False) or _holds_short_date(run, words) for run in runs)


def _opaque_texts(value: bytes, charset: bytes) -> Iterator[str]:
    yield from texts_of(value, charset)
    yield value.decode("utf-8", "replace")
    if b"\0" in value:
        yield value.translate(None, b"\0").decode("latin-1")
    for begin in (0, 1):
        yield value[begin:].decode("utf-16-le", "replace")
        yield value[begin:].decode("utf-16-be", "replace")


@dataclass(frozen=True, slots=True)
class _Letters:
    """What the bytes of a character set are as folded letters."""

    table: bytes
    """From bytes to ASCII in lower case without accents; a question mark for other letters."""
    between: bytes
    """All bytes that are neither letters nor digits."""
    written_out: tuple[tuple[bytes, bytes], ...]
    """Letters that are folded to two, but for the double s; before them the marks of items, which have such bytes."""


def _letters_of(codec: str) -> _Letters:
    letters = [bytes((byte,)).decode(codec, "replace") for byte in range(0x100)]
    plain = [folded(letter) for letter in letters]
    doubled = [byte for byte, two in enumerate(plain) if len(two) > 1 and two.isascii() and two != "ss"]
    return _Letters(
        b"".join(letter[:1].encode("ascii", "replace") or b" " for letter in plain),
        bytes(byte for byte, letter in enumerate(letters) if not letter.isalnum()),
        (
            *((mark, b"  ") for mark in (b"\xfe\xff", b"\xff\xfe")),
            *((bytes((byte,)), plain[byte].encode()) for byte in doubled),
        ),
    )


_LATIN_1 = _letters_of("latin-1")


@lru_cache(maxsize=256)
def _declared_letters(charset: bytes) -> _Letters | None:
    """Those of a value of (0008,0005), of Latin-1 also for UTF-8; None when letters have several bytes."""
    try:
        codec = codec_of(charset)
    except RuleFailed:
        return None
    if codec in _READ_ANYWAY:
        return _LATIN_1
    return _letters_of(codec) if is_one_byte(codec) else None


_READ_ANYWAY = frozenset({"iso8859", "latin_1", "UTF8"})


def _may_hold(data: bytes, words: Words, charsets: Iterable[bytes]) -> bool:
    """Whether any needle could be anywhere in the bytes; nearly always not, and then nothing else is to be done.

    Looks at them in Latin-1, in UTF-8, and in each of the character sets, values of (0008,0005).
    """
    if _may_hold_in(data, words, _LATIN_1):
        return True
    if b"\xc2\x80" in data.translate(_SHAPES) and _may_hold_in(_UTF_8.sub(_folded_bytes, data), words, _LATIN_1):
        return True
    return any(_may_hold_as_declared(data, words, charset) for charset in set(charsets))


def _may_hold_as_declared(data: bytes, words: Words, charset: bytes) -> bool:
    """Of letters that have several bytes or stand behind escapes nothing is known, so that they might."""
    if b"\\" in charset and ESCAPE.search(data):
        return True
    letters = _declared_letters(charset)
    if letters is None:
        return not data.isascii() or b"\x1b" in data
    return letters is not _LATIN_1 and _may_hold_in(data, words, letters)


def _declared(header: bytes, syntax: Syntax) -> Iterator[bytes]:
    """Yield the values of (0008,0005) at all levels; what only looks like one makes the search longer, not wrong."""
    orders: tuple[Literal["little", "big"], ...] = ("little", "big") if syntax.big_endian else ("little",)
    for order in orders:  # within UN, items are little endian always
        tag = rules.SPECIFIC_CHARACTER_SET
        begin = (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
        place = header.find(begin)
        while place >= 0:
            yield _value_behind(header, place + len(begin), order)
            place = header.find(begin, place + len(begin))


def _value_behind(header: bytes, place: int, order: Literal["little", "big"]) -> bytes:
    """The value whose VR CS, or whose length without a VR, is at a place; of another VR no value that is a set.

    Nothing where a number stands that is no length within the header, as among the samples of a waveform.
    """
    begin = place + 4
    is_explicit = header.startswith(b"CS", place)
    length = int.from_bytes(header[place + 2 : begin] if is_explicit else header[place:begin], order)
    if length <= _LONGEST_CHARACTER_SET:
        return header[begin : begin + length]
    may_be_vr = header[place : place + 2].isupper()
    is_no_length = begin + length > len(header) and length != UNDEFINED_LENGTH
    return b"" if is_no_length and not may_be_vr else _UNKNOWN_SET


_LONGEST_CHARACTER_SET, _UNKNOWN_SET = 1024, b"?"


def _folded_bytes(found: re.Match[bytes]) -> bytes:
    return _folded_letter(found.group())


@lru_cache(maxsize=1024)
def _folded_letter(letter: bytes) -> bytes:
    """The same letters in ASCII, a question mark for others: anchors have only ASCII."""
    return folded(letter.decode("utf-8")).encode("ascii", "replace")


def _may_hold_in(data: bytes, words: Words, letters: _Letters) -> bool:
    for letter, written_out in letters.written_out:
        data = data.replace(letter, written_out)
    joined = data.translate(letters.table, letters.between)
    near = [anchor for anchor in words.anchors if anchor in joined]
    is_name_near = any(name in joined for name in words.short_names)
    is_date_near = any(date in joined for date in words.short_dates)
    if not (near or is_name_near or is_date_near):
        return False
    plain = _OWN_UID.sub(b" ", data).translate(letters.table)
    if is_name_near and words.short_name_bytes.search(plain):
        return True
    if is_date_near and words.short_date_bytes.search(plain):
        return True
    return any(_spread(anchor).search(plain) for anchor in near)


@lru_cache(maxsize=1024)
def _spread(anchor: bytes) -> re.Pattern[bytes]:
    """Finds a word with punctuation, or the zeros of two-byte letters, between its letters."""
    letters = (bytes((letter,)) for letter in anchor)
    return re.compile(_BETWEEN_LETTERS.join(letters))


def _holds_uid(value: bytes, uids: frozenset[bytes]) -> bool:
    """Whether bytes hold one of the UIDs, or one that begins with it; also in two bytes for each letter."""
    if not uids:
        return False
    plain = value.translate(None, b"\0")
    anchors = {uid[:_UID_ANCHOR] for uid in uids}
    if len(anchors) <= _MOST_UID_ANCHORS and not any(anchor in plain for anchor in anchors):
        return False
    shaped = {found.group() for found in _UID_SHAPED.finditer(plain)}
    return not shaped.isdisjoint(uids) or any(
        uid in token for token in shaped if any(anchor in token for anchor in anchors) for uid in uids
    )


def _is_identifying(written: str, words: Words) -> bool:
    number = digits.integer(written)
    is_long = len(number) >= _DATE_DIGITS - 1
    return not words.numbers.isdisjoint({number, written}) or (
        is_long and number.zfill(_DATE_DIGITS) in words.birth_digits
    )
