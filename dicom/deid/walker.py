"""Follows a policy through the elements of a data set and its sequences, as bytes.

An element that stays is never decoded, and one that was met before is not treated again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from dicom.deid import dates, safe_private, values
from dicom.deid.charsets import codec_of, decoded
from dicom.deid.concepts import OLDEST_YEARS, Concept, capped_age, concept_of
from dicom.deid.dicognito_adapter import StandIns
from dicom.deid.encoding import Element, Item, Syntax, check_depth, known_vr, nested_syntax, read_items, read_nested
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import TEXT_VRS, Policy
from dicom.deid.rules import (
    BIRTH_DATE,
    CODE_MEANING,
    CODING_SCHEME,
    CONTENT_SEQUENCE,
    MEASURED_VALUE,
    MEASUREMENT_UNITS,
    SEQUENCE_RULES,
    SOP_CLASS_UID,
    SPECIFIC_CHARACTER_SET,
    Rule,
    name_of,
)
from dicom.deid.streams import padded
from dicom.deid.text import Cleaner, is_personal
from dicom.deid.vocabulary import PUBLIC_SCHEMES, names_a_kind
from models.domain.errors import AditError, RuleFailed
from models.domain.instances import Bytes

_MEMO_ENTRIES, _MEMO_VALUE_BYTES = 20_000, 4096
_PADDING = b" \0"
DUMMY_TEXT = b"REMOVED"
_DUMMIES = {
    b"AS": b"000Y",
    b"DA": b"19000101",
    b"DS": b"0",
    b"DT": b"19000101000000",
    b"IS": b"0",
    b"TM": b"000000",
    **dict.fromkeys((b"OB", b"OW", b"UN", b"US", b"SS"), b"\0\0"),
    **dict.fromkeys((b"AT", b"FL", b"OF", b"OL", b"SL", b"UL"), bytes(4)),
    **dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), bytes(8)),
}
_KEPT = frozenset({Rule.KEEP, Rule.PRIVATE})
_KEPT_WHEN_VALID = frozenset({Rule.KEEP_IF_VALID, Rule.KEEP_OR_CLEAN})
_UNTREATED_TEXT = _KEPT | _KEPT_WHEN_VALID | {Rule.DUMMY, Rule.CLEAN_TEXT, Rule.CLEAN_LABEL}
_DEPENDENT = frozenset({Rule.CHARACTER_SET, Rule.SCHEME, Rule.SCHEME_UID, Rule.CODE, Rule.CONCEPT})
"""Rules that look at, or change, what is around the element, so that its bytes alone do not decide."""
_CLEANED = frozenset({Rule.CLEAN_TEXT, Rule.CLEAN_LABEL, Rule.KEEP_OR_CLEAN})
_EMPTY_INSTEAD = frozenset({(0x0040A370, 0x00081110), (0x0040A370, 0x00401001)})
"""What is removed and these sequences (tag of sequence, tag inside) must at least have empty:
ReferencedStudySequence and RequestedProcedureID in ReferencedRequestSequence (PS3.3 table C.17-2, type 2)."""
_AGE = re.compile(rb"[ \0]*(\d{1,3})([DWMY])[ \0]*")
_CODE_VALUE = 0x00080100
_NUMERIC_VALUE = 0x0040A30A
_OTHER_NUMBERS = frozenset({0x0040A161, 0x0040A162, 0x0040A163})
"""Floating Point and Rational Value, which say the same again."""


@dataclass(slots=True)
class Level:
    """What must be known about the data set or item around an element; ``concept`` and ``unit`` change on the way.

    ``scrub`` are the patient's own words, which cleaning drops. ``sequence`` is the tag of the sequence around.
    ``safe_private`` are the private tags that may stay, by their group.
    ``birth_date`` is the patient's, as eight digits or nothing; ``is_age`` says that the numbers here are an age.
    """

    character_set: bytes
    scrub: frozenset[str] = frozenset()
    sequence: int = 0
    strict: bool = False
    scheme: bytes = b""
    concept: Concept = Concept.OTHER
    unit: bytes = b""
    is_age: bool = False
    birth_date: bytes = b""
    depth: int = 0
    safe_private: dict[int, frozenset[int]] = field(default_factory=dict[int, frozenset[int]])

    def copy(self) -> "Level":
        """The same for another data set or item, whose private attributes are its own; cheaper than ``replace``."""
        return Level(
            self.character_set,
            self.scrub,
            self.sequence,
            self.strict,
            self.scheme,
            self.concept,
            self.unit,
            self.is_age,
            self.birth_date,
            self.depth,
        )


def top_level(values: Mapping[int, bytes], scrub: frozenset[str], listed_birth_date: bytes = b"") -> Level:
    """The level of a data set itself, by the original values of some of its attributes.

    ``listed_birth_date`` is the patient's for a data set that does not say it.
    """
    birth_date = _eight_digits(values.get(BIRTH_DATE, b"")) or _eight_digits(listed_birth_date)
    return Level(values.get(SPECIFIC_CHARACTER_SET, b""), scrub, birth_date=birth_date)


def _eight_digits(date: bytes) -> bytes:
    digits = bytes(digit for digit in date if digit in b"0123456789")
    return digits if len(digits) == 8 else b""


class Walker:
    """Treats levels of elements for one patient, under one pseudonym.

    Keeps a bounded memory of original values; it must not outlive the patient's data.
    """

    def __init__(self, policy: Policy, key: LinkageKey, pseudonym: str) -> None:
        self._policy = policy
        self._key = key
        self._pseudonym = pseudonym
        self._days = dates.days_back(key, pseudonym)
        self._stand_ins = StandIns(key)
        self._cleaner = Cleaner(policy.profile.approved_texts, policy.profile.approved_words)
        self._memo: dict[tuple[object, ...], bytes] = {}

    def treated(self, data: memoryview, elements: Sequence[Element], syntax: Syntax, level: Level) -> list[Bytes]:
        """Return the elements of one level as pieces to join; what is kept stays one piece with its neighbours.

        Raises RuleFailed, naming the attribute.
        """
        chunks: list[Bytes] = []
        kept_from = elements[0].start if elements else 0
        rule_for = self._policy.rule_for
        is_ordinary = not level.strict and not level.is_age
        for element in elements:
            rule = rule_for(element.tag, element.vr)
            may_stay = is_ordinary and element.end == element.stop
            if may_stay and (rule is Rule.KEEP or (rule in _KEPT_WHEN_VALID and _is_valid(data, element))):
                continue
            if kept_from < element.start:
                chunks.append(data[kept_from : element.start])
            kept_from = element.end
            if self._stays(data, element, rule, elements, level):
                chunks.append(self._remembered(data, element, rule, syntax, level))
            elif rule is Rule.DELETE and (level.sequence, element.tag) in _EMPTY_INSTEAD:
                chunks.append(syntax.encoded(element.tag, element.vr, b""))
        if elements and kept_from < elements[-1].end:
            chunks.append(data[kept_from : elements[-1].end])
        return chunks

    def items(self, data: memoryview, element: Element, syntax: Syntax, level: Level) -> bytes:
        """Return the items of a sequence, each treated, as one value of a sequence; raises RuleFailed."""
        return self._sequence(data, element, Rule.DESCEND, syntax, level)

    def value(self, data: memoryview, element: Element, level: Level) -> bytes:
        """Return the treated value of one element that is no sequence, without padding; empty when it goes."""
        rule = self._policy.rule_for(element.tag, element.vr)
        if rule is Rule.DELETE:
            return b""
        return self._value(bytes(data[element.begin : element.stop]), element, rule, level).strip(_PADDING)

    def _stays(
        self,
        data: memoryview,
        element: Element,
        rule: Rule,
        elements: Sequence[Element],
        level: Level,
    ) -> bool:
        """Whether an element remains, changed or not; values of undefined length may hide anything in their items."""
        if rule is Rule.DELETE or (level.is_age and element.tag in _OTHER_NUMBERS):
            return False
        if rule is Rule.PRIVATE:
            return not level.strict and element.tag in _safe_private(data, element.tag >> 16, elements, level)
        if element.end != element.stop and rule not in SEQUENCE_RULES and rule is not Rule.ONE_DUMMY_ITEM:
            return False
        return rule is not Rule.KEEP_IF_VALID or element.vr != b"UN" or _is_valid(data, element)

    def _remembered(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: Level) -> bytes:
        """The element as the rule leaves it, computed once for elements of the same bytes in the same surroundings."""
        depends = rule in _DEPENDENT or level.is_age or level.concept is not Concept.OTHER
        if depends or element.end - element.start > _MEMO_VALUE_BYTES:
            return self._guarded(data, element, rule, syntax, level)
        scrub = level.scrub if rule in _CLEANED or rule in SEQUENCE_RULES else None
        content = bytes(data[element.start : element.end])
        is_content = level.sequence == CONTENT_SEQUENCE
        birth_date = level.birth_date if is_content or rule in SEQUENCE_RULES else b""
        key = (syntax, level.strict, level.character_set, scrub, birth_date, is_content, level.depth, content)
        known = self._memo.get(key)
        if known is None:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            known = self._memo[key] = self._guarded(data, element, rule, syntax, level)
        return known

    def _guarded(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: Level) -> bytes:
        """Turns whatever goes wrong into RuleFailed; its cause is cut off because it may quote the value."""
        try:
            return self._changed(data, element, rule, syntax, level)
        except AditError:
            raise
        except Exception as exc:
            kind = type(exc).__name__
            raise RuleFailed(f"The rule for {name_of(element.tag)} failed with {kind}.") from None

    def _changed(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: Level) -> bytes:
        if rule is Rule.ONE_DUMMY_ITEM:
            value = _dummy_item(nested_syntax(element.vr, syntax))
        elif rule in SEQUENCE_RULES:
            value = self._sequence(data, element, rule, syntax, level)
        else:
            vr = (known_vr(element.tag) if element.vr == b"UN" else b"") or element.vr
            value = padded(self._value(bytes(data[element.begin : element.stop]), element, rule, level), vr)
        return syntax.encoded(element.tag, element.vr, value)

    def _sequence(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: Level) -> bytes:
        inner = nested_syntax(element.vr, syntax)
        if rule is Rule.CONCEPT:
            level.concept = concept_of(_code(data, element, inner))
        elif element.tag == MEASUREMENT_UNITS:
            level.unit = _code(data, element, inner)
        around = Level(
            level.character_set,
            level.scrub,
            sequence=element.tag,
            strict=level.strict or rule is Rule.DESCEND_STRICTLY,
            is_age=level.concept is Concept.AGE and element.tag == MEASURED_VALUE,
            birth_date=level.birth_date,
            depth=level.depth + 1,
        )
        return b"".join(self._item(data, item, inner, around) for item in read_items(data, element, inner))

    def _item(self, data: memoryview, item: Item, syntax: Syntax, around: Level) -> bytes:
        elements = read_nested(data, item, syntax)
        level = around.copy()
        level.scheme = _scheme(data, elements)
        check_depth(level.depth)
        return syntax.encoded_item(b"".join(self.treated(data, elements, syntax, level)))

    def _value(self, value: bytes, element: Element, rule: Rule, level: Level) -> bytes:
        is_kept = (
            rule in _KEPT
            or (rule in _KEPT_WHEN_VALID and values.is_valid(element.tag, value))
            or (element.tag == SOP_CLASS_UID and not level.depth)
        )
        if rule is Rule.EMPTY or (not is_kept and not value.strip(_PADDING)):
            return b""
        if level.strict and rule in _UNTREATED_TEXT and known_vr(element.tag) in TEXT_VRS:
            return DUMMY_TEXT
        if level.is_age and element.tag == _NUMERIC_VALUE:
            return capped_age(value, level.unit)
        if is_kept:
            return value
        match rule:
            case Rule.KEEP_IF_VALID:
                return b""
            case Rule.KEEP_OR_CLEAN:
                return b"\\".join(self._code_string(single, level) for single in value.split(b"\\"))
            case Rule.UID | Rule.KIND:
                return self._mapped(value, keeps_kinds=rule is Rule.KIND)
            case Rule.CHARACTER_SET | Rule.SCHEME | Rule.SCHEME_UID | Rule.CODE:
                return self._context(value, element.tag, rule, level)
            case Rule.DATE | Rule.DATE_TIME | Rule.TIME | Rule.PLAIN_DATE | Rule.PLAIN_DATE_TIME:
                return self._date(value, element.tag, rule, level)
            case Rule.CLEAN_TEXT | Rule.CLEAN_LABEL:
                return self._cleaned(value, level) or (DUMMY_TEXT if rule is Rule.CLEAN_LABEL else b"")
            case Rule.STAND_IN:
                return self._stand_in(value, element.tag, level)
            case Rule.PSEUDONYM:
                return in_codec(self._pseudonym, codec_of(level.character_set), element.tag)
            case Rule.LABEL:
                return self._label(value, level)
            case Rule.DUMMY:
                return _DUMMIES.get(known_vr(element.tag), DUMMY_TEXT)
            case Rule.AGE:
                return _age(value)
            case _:
                raise LookupError

    def _mapped(self, value: bytes, keeps_kinds: bool = False) -> bytes:
        return b"\\".join(self._uid(single.decode("latin-1"), keeps_kinds) for single in value.split(b"\\"))

    def _uid(self, single: str, keeps_kinds: bool) -> bytes:
        is_kept = keeps_kinds and names_a_kind(single.strip("\0 "))
        return (single.strip("\0 ") if is_kept else self._key.uid(single)).encode("latin-1")

    def _code_string(self, single: bytes, level: Level) -> bytes:
        """One of several values; a single small letter is a capital that was meant."""
        if values.is_code_string(single):
            return single
        letter = single.strip(_PADDING).upper()
        return letter if len(letter) == 1 and values.is_code_string(letter) else self._cleaned(single, level)

    def _context(self, value: bytes, tag: int, rule: Rule, level: Level) -> bytes:
        """A value that tells about those that follow it in its level, or is told by those before it."""
        if rule is Rule.CHARACTER_SET:
            codec_of(value)
            level.character_set = value
            return value
        is_public = level.scheme in PUBLIC_SCHEMES
        if rule is Rule.SCHEME:
            return value if is_public else self._label(value, level)
        if rule is Rule.SCHEME_UID:
            return value if is_public else self._mapped(value, keeps_kinds=True)
        if level.strict or not is_public:
            return DUMMY_TEXT
        if tag == CODE_MEANING and is_personal(decoded(value, level.character_set)):
            return self._cleaned(value, level) or DUMMY_TEXT
        return value

    def _label(self, value: bytes, level: Level) -> bytes:
        return self._key.label(decoded(value, level.character_set).strip("\0 ")).encode("ascii")

    def _date(self, value: bytes, tag: int, rule: Rule, level: Level) -> bytes:
        if rule is Rule.TIME:
            return dates.plain_time(value)
        is_own = level.sequence == CONTENT_SEQUENCE and level.birth_date and level.birth_date in value
        if level.concept is Concept.BIRTH_DATE or is_own:
            return _DUMMIES[known_vr(tag)]
        match rule:
            case Rule.PLAIN_DATE:
                return dates.plain_date(value)
            case Rule.PLAIN_DATE_TIME:
                return dates.plain_date_time(value)
            case Rule.DATE:
                return dates.shifted_date(value, self._days)
            case _:
                return dates.shifted_date_time(value, self._days)

    def _cleaned(self, value: bytes, level: Level) -> bytes:
        text = decoded(value, level.character_set).strip("\0 ")
        return self._cleaner.cleaned(text, level.scrub).encode(codec_of(level.character_set), "ignore")

    def _stand_in(self, value: bytes, tag: int, level: Level) -> bytes:
        text = value.decode(codec_of(level.character_set), "backslashreplace").strip("\0 ")
        return self._stand_ins.replacement(tag, known_vr(tag).decode(), text).encode("ascii")


def _is_valid(data: memoryview, element: Element) -> bool:
    return values.is_valid(element.tag, bytes(data[element.begin : element.stop]))


def _safe_private(data: memoryview, group: int, elements: Sequence[Element], level: Level) -> frozenset[int]:
    """Tags of a private group that may stay; ``elements`` hold all of the group."""
    if group not in level.safe_private:
        block = [element for element in elements if element.tag >> 16 == group]
        level.safe_private[group] = safe_private.kept(data, block)
    return level.safe_private[group]


def in_codec(text: str, codec: str, tag: int) -> bytes:
    """Return a text that we set, encoded; raises RuleFailed where the instance's character set cannot write it."""
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        raise RuleFailed(f"The value for {name_of(tag)} cannot be written in the instance's character set.") from None


def _age(value: bytes) -> bytes:
    """An age string (PS3.5 section 6.2) of at most 90 years, with leading zeros; anything else is emptied."""
    match = _AGE.fullmatch(value)
    if match is None:
        return b""
    number, unit = int(match[1]), match[2]
    return b"%03d%s" % (min(number, OLDEST_YEARS) if unit == b"Y" else number, unit)


def _code(data: memoryview, sequence: Element, syntax: Syntax) -> bytes:
    """The code value of a sequence's first item."""
    for item in read_items(data, sequence, syntax)[:1]:
        for element in read_nested(data, item, syntax):
            if element.tag == _CODE_VALUE:
                return bytes(data[element.begin : element.stop]).strip(_PADDING)
    return b""


def _scheme(data: memoryview, elements: list[Element]) -> bytes:
    """The coding scheme of an item. Of others than public ones nobody knows what people write as code and meaning."""
    for element in elements:
        if element.tag >= CODING_SCHEME:
            is_it = element.tag == CODING_SCHEME
            return bytes(data[element.begin : element.stop]).strip(_PADDING).upper() if is_it else b""
    return b""


@cache
def _dummy_item(syntax: Syntax) -> bytes:
    """An item of a content tree (PS3.3 section C.17.3) that says nothing: the comment REMOVED."""
    name = encoded_code(syntax, "121106", "Comment")
    elements = (
        syntax.encoded(0x0040A010, b"CS", b"CONTAINS"),
        syntax.encoded(0x0040A040, b"CS", b"TEXT"),
        syntax.encoded(0x0040A043, b"SQ", name),
        syntax.encoded(0x0040A160, b"UT", padded(DUMMY_TEXT)),
    )
    return syntax.encoded_item(b"".join(elements))


@cache
def encoded_code(syntax: Syntax, value: str, meaning: str) -> bytes:
    """Return an item with a code of DCM, the coding scheme of DICOM itself."""
    elements = (
        syntax.encoded(0x00080100, b"SH", padded(value.encode())),
        syntax.encoded(CODING_SCHEME, b"SH", padded(b"DCM")),
        syntax.encoded(0x00080104, b"LO", padded(meaning.encode())),
    )
    return syntax.encoded_item(b"".join(elements))
