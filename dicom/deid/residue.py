"""Searches a finished header for what it must not hold any more: the identifiers of this very instance.

A hit refuses the instance, also in an optional element: nobody knows what else the one who wrote it there has done.
Text is compared without case and accents. Binary values are searched only for names of five letters and more.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations

from dicom.deid import rules
from dicom.deid.charsets import decoded
from dicom.deid.encoding import Element, Syntax, known_vr, nested_syntax, read_elements, read_items, read_nested
from dicom.deid.marks import METHOD, own_method
from dicom.deid.rules import SEQUENCE_RULES, Rule, name_of, rule_for
from dicom.deid.vocabulary import NOBODY, TERMS
from models.domain.errors import RuleFailed

ID_TAGS = frozenset({0x00080050, 0x00100020, 0x00101000, 0x00380010})
"""AccessionNumber, PatientID, OtherPatientIDs, AdmissionID."""
_UID_TAGS = frozenset({rules.STUDY_UID, rules.SERIES_UID, rules.SOP_INSTANCE_UID})
_SHORTEST_NAME, _SHORTEST_ID, _SHORTEST_UID = 3, 4, 12
_SHORTEST_NUMBER = 6
"""Numbers (IS, DS) are compared with IDs of so many digits; shorter ones are in every header by chance."""
_SHORT_NAME = 5
"""Names shorter than this, and numbers, count only as whole words: Ann is not in scANNer."""
_NAME_COMPONENTS = 3
"""Family, given and middle name; prefixes and suffixes are titles."""
_NAME_PARTS = re.compile(r"[\W_]+")
_BETWEEN_WORDS = re.compile(r"[\s\\^_=,\0]+")
_AGE = re.compile(rb"(\d{3}[DWMY])?")
_BINARY_VRS = frozenset(
    {
        *(b"AT", b"FD", b"FL", b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SL", b"SS", b"SV", b"UL", b"US", b"UV"),
    }
)
_CHECKED = frozenset({Rule.KEEP, Rule.KEEP_IF_VALID, Rule.PSEUDONYM, Rule.SCHEME, Rule.CODE, Rule.TIME})
_SMALL_BYTES = 4096
"""Longer sequences, as of enhanced multi-frame images, are searched for names only when they can hold one."""

Found = frozenset[tuple[int, bytes, bytes]]
"""Tag, value and character set of original elements that name somebody."""


@dataclass(frozen=True, slots=True)
class Needles:
    """What to search for: folded words, and for each the bytes without which it cannot occur (empty: none)."""

    words: frozenset[str]
    numbers: frozenset[str]
    anchors: frozenset[bytes]


class Identifiers:
    """Collects what an instance's original names people with; remembers it for instances that repeat it."""

    def __init__(self) -> None:
        self._sequences: dict[tuple[Syntax, bytes, bytes], Found] = {}
        self._needles: dict[Found, Needles] = {}

    def needles(
        self, data: memoryview, elements: list[Element], values: Mapping[int, bytes], syntax: Syntax
    ) -> Needles:
        """Return what to search for: all names and IDs at every level, the birth date, and the UIDs above images."""
        charset = values.get(rules.SPECIFIC_CHARACTER_SET, b"")
        found = self._found(data, elements, charset, syntax)
        known = self._needles.get(found)
        if known is None:
            if len(self._needles) > 100:
                self._needles.clear()
            known = self._needles[found] = _needles_of(found)
        return _with_uids(known, [values.get(tag, b"") for tag in _UID_TAGS])

    def _found(self, data: memoryview, elements: list[Element], charset: bytes, syntax: Syntax) -> Found:
        here: set[tuple[int, bytes, bytes]] = set()
        for element in elements:
            if element.vr == b"PN" or element.tag in _WANTED:
                here.add((element.tag, bytes(data[element.begin : element.stop]), charset))
            elif element.vr == b"SQ" or (element.vr == b"UN" and known_vr(element.tag) == b"SQ"):
                here |= self._in_sequence(data, element, charset, syntax)
        return frozenset(here)

    def _in_sequence(self, data: memoryview, sequence: Element, charset: bytes, syntax: Syntax) -> Found:
        value = bytes(data[sequence.start : sequence.end])
        if len(value) > _SMALL_BYTES:
            can_name = syntax.implicit or b"PN" in value or b"UN" in value
            return self._in_items(data, sequence, charset, syntax) if can_name else frozenset()
        key = (syntax, charset, value)
        known = self._sequences.get(key)
        if known is None:
            if len(self._sequences) > 5000:
                self._sequences.clear()
            known = self._sequences[key] = self._in_items(data, sequence, charset, syntax)
        return known

    def _in_items(self, data: memoryview, sequence: Element, charset: bytes, syntax: Syntax) -> Found:
        inner = nested_syntax(sequence.vr, syntax)
        found: set[tuple[int, bytes, bytes]] = set()
        for item in read_items(data, sequence, inner):
            elements = read_nested(data, item, inner)
            found |= self._found(data, elements, _character_set(data, elements, charset), inner)
        return frozenset(found)


_WANTED = ID_TAGS | {rules.BIRTH_DATE}


def _needles_of(found: Found) -> Needles:
    words: set[str] = set()
    anchors: set[bytes] = set()
    for tag, value, charset in found:
        for text in _texts(tag, value, charset):
            if word := _spaced(text):
                words.add(word)
                anchors.add(_anchor(text))
    numbers = frozenset(word for word in words if word.isdigit() and len(word) >= _SHORTEST_NUMBER)
    return Needles(frozenset(words), numbers, _shortest(anchors))


def _with_uids(needles: Needles, values: list[bytes]) -> Needles:
    uids = [uid for value in values if len(uid := value.strip(b" \0")) >= _SHORTEST_UID]
    words = needles.words.union(uid.decode("latin-1") for uid in uids)
    return Needles(words, needles.numbers, needles.anchors.union(uids))


def _texts(tag: int, value: bytes, charset: bytes) -> list[str]:
    singles = [single.strip("\0 ") for single in decoded(value, charset).split("\\")]
    if tag in ID_TAGS:
        return [single for single in singles if len(single) >= _SHORTEST_ID]
    if tag == rules.BIRTH_DATE:
        return [text for single in singles if len(single) >= 8 for text in _dates(single)]
    return [text for single in singles for spelling in single.split("=") for text in _names(spelling)]


def _dates(date: str) -> list[str]:
    digits = date.replace(".", "")
    year, month, day = digits[:4], digits[4:6], digits[6:]
    return [date, digits, f"{day}.{month}.{year}", f"{day}{month}{year}", f"{year}-{month}-{day}"]


def _names(name: str) -> list[str]:
    """The parts of a name, and two of them joined, which also finds those that are too short alone."""
    components = name.split("^")[:_NAME_COMPONENTS]
    parts = [part for component in components for part in _NAME_PARTS.split(component) if len(part) > 1]
    parts = [part for part in parts if _folded(part) not in NOBODY][:6]
    joined = [f"{one}{between}{other}" for one, other in permutations(parts, 2) for between in ("", " ")]
    return [part for part in parts if len(part) >= _SHORTEST_NAME or not part.isascii()] + joined


def _folded(text: str) -> str:
    """The text without case and accents."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _spaced(text: str) -> str:
    """The folded text with a space wherever words may be separated."""
    return " ".join(word for word in _BETWEEN_WORDS.split(_folded(text)) if word)


def _shortest(anchors: set[bytes]) -> frozenset[bytes]:
    """The anchors that contain no other one."""
    return frozenset(one for one in anchors if not any(other in one for other in anchors if other != one))


def _anchor(text: str) -> bytes:
    """The longest piece of a word that is written with the same bytes in every character set, in lower case."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    runs = re.split(r"[^!-~]+|[!-~](?=[^ -~])|ss|[\\^_=,]", plain)
    return max(runs, key=len, default="").encode("ascii")


def _character_set(data: memoryview, elements: list[Element], inherited: bytes) -> bytes:
    for element in elements:
        if element.tag >= rules.SPECIFIC_CHARACTER_SET:
            is_set = element.tag == rules.SPECIFIC_CHARACTER_SET
            return bytes(data[element.begin : element.stop]) if is_set else inherited
    return inherited


def check(header: bytes, needles: Needles, syntax: Syntax) -> None:
    """Look closely only when a quick search finds something; raises RuleFailed naming the attribute."""
    if _may_be_in(header, needles.anchors):
        data = memoryview(header)
        _check_level(data, read_elements(data, syntax), needles, syntax, b"")


def _check_level(data: memoryview, elements: list[Element], needles: Needles, syntax: Syntax, inherited: bytes) -> None:
    charset = _character_set(data, elements, inherited)
    for element in elements:
        if rule_for(element.tag, element.vr) not in SEQUENCE_RULES:
            _check_value(element.tag, element.vr, bytes(data[element.begin : element.stop]), needles, charset)
            continue
        inner = nested_syntax(element.vr, syntax)
        for item in read_items(data, element, inner):
            _check_level(data, read_nested(data, item, inner), needles, inner, charset)


def _may_be_in(header: bytes, anchors: Iterable[bytes]) -> bool:
    """Whether any needle could occur anywhere in the bytes; nearly always not, and then nothing else is to be done."""
    text = header.lower()
    return any(anchor in text for anchor in anchors)


def _check_value(tag: int, vr: bytes, value: bytes, needles: Needles, charset: bytes) -> None:
    """Raise RuleFailed when an element that was kept still holds an identifier.

    Invented values may by chance be somebody's name; so they are left out.
    """
    rule = rule_for(tag, vr)
    if tag == METHOD:
        value = value.replace(own_method().encode("ascii"), b"")  # our own words are nobody's name
    if rule in _CHECKED and _holds(known_vr(tag), value, rule, needles, charset):
        raise RuleFailed(f"An identifier is still in {name_of(tag)}.")


def _holds(vr: bytes, value: bytes, rule: Rule, needles: Needles, charset: bytes) -> bool:
    if vr == b"AS" and _AGE.fullmatch(value):
        return False
    if vr in _BINARY_VRS:
        text = _folded(decoded(value, charset))
        return any(len(word) >= _SHORT_NAME and not word[0].isdigit() and word in text for word in needles.words)
    if vr in {b"IS", b"DS"} and not value.translate(None, b"0123456789+-.eE \\\0"):
        return any(_number(single) in needles.numbers for single in value.split(b"\\"))
    words = _spaced(decoded(value, charset)).split(" ")
    if rule is not Rule.PSEUDONYM:
        words = [word for word in words if word not in TERMS]
    text = " ".join(words)
    return any(_occurs(word, text, whole=vr == b"CS") for word in needles.words)


def _number(single: bytes) -> str:
    return single.strip(b" \0+").decode("latin-1").removesuffix(".0")


def _occurs(word: str, text: str, whole: bool) -> bool:
    if word not in text:
        return False
    is_long_name = len(word) >= _SHORT_NAME and not word[0].isdigit()
    if is_long_name and whole:
        return re.search(rf"(?<![^\W\d_]){re.escape(word)}(?![^\W\d_])", text) is not None
    if is_long_name:
        return True
    return re.search(rf"(?<![^\W_])(?<!\d\.){re.escape(word)}(?![^\W_]|\.\d)", text) is not None
