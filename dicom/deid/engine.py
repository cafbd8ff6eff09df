"""De-identifies the header of an encoded data set and passes its pixels on untouched.

Encoded bytes come in and go out: an element that stays is never decoded, and one that was met before is not treated
again. Same key, pseudonym and input give the same bytes in every process. What cannot be treated raises, and no
message or chained exception quotes a value.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset  # pyright: ignore[reportUnknownVariableType]
from pydicom.filewriter import write_dataset

from dicom.deid import dates, pixels, residue, review, rules, unknowns
from dicom.deid.charsets import codec_of
from dicom.deid.dicognito_adapter import StandIns
from dicom.deid.encoding import (
    EXPLICIT_LITTLE,
    PIXEL_DATA,
    Element,
    Syntax,
    known_vr,
    nested_syntax,
    read_elements,
    read_items,
    read_nested,
)
from dicom.deid.keys import LinkageKey
from dicom.deid.marks import METHOD, marks
from dicom.deid.rules import SEQUENCE_RULES, Rule, name_of, rule_for
from dicom.deid.streams import closed, opened, padded
from dicom.deid.vocabulary import PUBLIC_SCHEMES
from models.domain.errors import AditError, RuleFailed, Unreadable
from models.domain.instances import Bytes, EncodedInstance

_IMAGE_TYPE, _BURNED_IN = 0x00080008, 0x00280301
_REQUIRED = (rules.SOP_CLASS_UID, rules.SOP_INSTANCE_UID, rules.STUDY_UID, rules.SERIES_UID)
_LOOKED_AT = frozenset(
    {
        *_REQUIRED,
        *pixels.TAGS,
        *(rules.SPECIFIC_CHARACTER_SET, rules.PATIENT_ID, METHOD, _IMAGE_TYPE, _BURNED_IN),
    }
)
_BIRTH_DATE_CONCEPT = b"121031"
"""Subject Birth Date (PS3.16 CID 7465): shifted, it would still tell the age to the day."""

_MEMO_ENTRIES, _MEMO_VALUE_BYTES = 20_000, 4096
_PADDING = b" \0"
_DUMMY_TEXT = b"REMOVED"
_DUMMIES = {
    b"AS": b"000Y",
    b"DA": b"19000101",
    b"DS": b"0",
    b"DT": b"19000101000000",
    b"IS": b"0",
    b"OB": b"\0\0",
    b"TM": b"000000",
}
_KEPT = frozenset({Rule.KEEP, Rule.KEEP_IF_VALID})
_UNTREATED_TEXT = _KEPT | {Rule.DUMMY}


@dataclass(slots=True)
class _Level:
    """What must be known about the data set or item around an element; ``is_birth_date`` changes on the way."""

    character_set: bytes
    strict: bool = False
    scheme: bytes = b""
    is_birth_date: bool = False


class Deidentifier:
    """Treats instances of one patient, under one pseudonym.

    That an instance is of that patient is for the caller to check, with ``identity.check_identity``. Keeps a bounded
    memory of original values; it must not outlive the patient's data.
    """

    def __init__(
        self,
        key: LinkageKey,
        pseudonym: str,
        trial_protocol_id: str = "",
        trial_protocol_name: str = "",
    ) -> None:
        self.key = key
        self._pseudonym = pseudonym
        self._trial = (trial_protocol_id, trial_protocol_name)
        self._days = dates.days_back(key, pseudonym)
        self._stand_ins = StandIns(key)
        self._identifiers = residue.Identifiers()
        self._memo: dict[tuple[Syntax, bool, bytes, bytes], bytes] = {}

    def uid(self, original: str) -> str:
        """Return the UID that stands for another one in everything this treats."""
        return self.key.uid(original)

    def instance(self, instance: EncodedInstance) -> EncodedInstance:
        """Return the instance without the patient's identity; native and compressed pixels are views of the original.

        Raises Unreadable when the header is broken, lacks one of its UIDs or contradicts the instance's own,
        NeedsReview when pixels or a document may show the identity, RuleFailed (naming the attribute) for the rest.
        """
        data, syntax = opened(instance.parts, instance.transfer_syntax_uid)
        elements = read_elements(data, syntax)
        values = _looked_at(data, elements)
        _check_is_complete(values)
        _check_is(instance, values)
        parts = self._treated(data, elements, values, syntax)
        return EncodedInstance(
            sop_class_uid=instance.sop_class_uid,
            sop_uid=self.uid(instance.sop_uid),
            transfer_syntax_uid=instance.transfer_syntax_uid,
            parts=closed(parts, instance.transfer_syntax_uid),
        )

    def header(self, encoded: bytes, transfer_syntax_uid: str) -> bytes:
        """Return an encoded data set, usually without pixels, treated like an instance; raises the same."""
        data, syntax = opened((encoded,), transfer_syntax_uid)
        elements = read_elements(data, syntax)
        values = _looked_at(data, elements)
        _check_is_complete(values)
        parts = self._treated(data, elements, values, syntax)
        return b"".join(closed(parts, transfer_syntax_uid))

    def dataset(self, dataset: Dataset) -> Dataset:
        """Return a treated copy of some attributes, not a whole instance; raises RuleFailed, Unreadable."""
        data = memoryview(_encoded(dataset))
        elements = read_elements(data, EXPLICIT_LITTLE)
        header = self._header(data, elements, _looked_at(data, elements), EXPLICIT_LITTLE)
        return read_dataset(BytesIO(header), is_implicit_VR=False, is_little_endian=True)

    def _treated(
        self, data: memoryview, elements: list[Element], values: dict[int, bytes], syntax: Syntax
    ) -> tuple[Bytes, ...]:
        review.check(_text(values, rules.SOP_CLASS_UID), _text(values, _BURNED_IN), _text(values, _IMAGE_TYPE))
        found = [element for element in elements if element.tag in PIXEL_DATA]
        if not found:
            return (self._header(data, elements, values, syntax),)
        if len(found) > 1:
            raise Unreadable("An instance has more than one kind of pixel data.")
        pixels.check(elements, found[0], values, syntax)
        position = elements.index(found[0])
        before, behind = elements[:position], elements[position + 1 :]
        tail = b"".join(
            self._treated_level(data, behind, syntax, _Level(values.get(rules.SPECIFIC_CHARACTER_SET, b"")))
        )
        view = data[found[0].start : found[0].end]
        return (self._header(data, before, values, syntax), view, *([tail] if tail else []))

    def _header(self, data: memoryview, elements: list[Element], values: dict[int, bytes], syntax: Syntax) -> bytes:
        level = _Level(values.get(rules.SPECIFIC_CHARACTER_SET, b""))
        codec = codec_of(level.character_set)
        chunks: list[Bytes] = []
        position = 0
        for mark in marks(self._pseudonym, *self._trial, values.get(METHOD, b"").decode(codec, "replace")):
            cut = bisect_left(elements, mark.tag, position, key=_tag)
            chunks += self._treated_level(data, elements[position:cut], syntax, level)
            chunks.append(syntax.encoded(mark.tag, mark.vr, padded(_in_codec(mark.text, codec, mark.tag))))
            position = cut + (cut < len(elements) and elements[cut].tag == mark.tag)
        chunks += self._treated_level(data, elements[position:], syntax, level)
        header = b"".join(chunks)
        residue.check(header, self._identifiers.needles(data, elements, values, syntax), syntax)
        return header

    def _treated_level(
        self, data: memoryview, elements: Sequence[Element], syntax: Syntax, level: _Level
    ) -> list[Bytes]:
        """The elements of one level as pieces to join; what is kept stays one piece with its neighbours."""
        chunks: list[Bytes] = []
        kept_from = elements[0].start if elements else 0
        for element in elements:
            rule = rule_for(element.tag, element.vr)
            if rule is Rule.KEEP and not level.strict and element.end == element.stop:
                continue
            if kept_from < element.start:
                chunks.append(data[kept_from : element.start])
            kept_from = element.end
            if _stays(data, element, rule):
                chunks.append(self._remembered(data, element, rule, syntax, level))
        if elements and kept_from < elements[-1].end:
            chunks.append(data[kept_from : elements[-1].end])
        return chunks

    def _remembered(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: _Level) -> bytes:
        """The element as the rule leaves it, computed once for elements of the same bytes in the same surroundings."""
        depends = rule in _DEPENDENT or level.is_birth_date
        if depends or element.end - element.start > _MEMO_VALUE_BYTES:
            return self._guarded(data, element, rule, syntax, level)
        key = (syntax, level.strict, level.character_set, bytes(data[element.start : element.end]))
        known = self._memo.get(key)
        if known is None:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            known = self._memo[key] = self._guarded(data, element, rule, syntax, level)
        return known

    def _guarded(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: _Level) -> bytes:
        """Turns whatever goes wrong into RuleFailed; its cause is cut off because it may quote the value."""
        try:
            return self._changed(data, element, rule, syntax, level)
        except AditError:
            raise
        except Exception as exc:
            kind = type(exc).__name__
            raise RuleFailed(f"The rule for {name_of(element.tag)} failed with {kind}.") from None

    def _changed(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: _Level) -> bytes:
        if rule in SEQUENCE_RULES:
            value = self._sequence(data, element, rule, syntax, level)
        else:
            value = padded(self._value(bytes(data[element.begin : element.stop]), element, rule, level), element.vr)
        return syntax.encoded(element.tag, element.vr, value)

    def _sequence(self, data: memoryview, element: Element, rule: Rule, syntax: Syntax, level: _Level) -> bytes:
        if rule is Rule.CONCEPT:
            level.is_birth_date = _BIRTH_DATE_CONCEPT in bytes(data[element.begin : element.stop])
        strict = level.strict or rule is Rule.DESCEND_STRICTLY
        inner = nested_syntax(element.vr, syntax)
        items: list[bytes] = []
        for item in read_items(data, element, inner):
            elements = read_nested(data, item, inner)
            below = _Level(level.character_set, strict, _scheme(data, elements))
            content = self._treated_level(data, elements, inner, below)
            items.append(inner.encoded_item(b"".join(content)))
        return b"".join(items)

    def _value(self, value: bytes, element: Element, rule: Rule, level: _Level) -> bytes:
        if rule is Rule.EMPTY or (rule not in _KEPT and not value.strip(_PADDING)):
            return b""
        if level.strict and rule in _UNTREATED_TEXT and known_vr(element.tag) in rules.STRICT_TEXT_VRS:
            return _DUMMY_TEXT
        match rule:
            case Rule.KEEP | Rule.KEEP_IF_VALID:
                return value
            case Rule.UID:
                return self._mapped(value)
            case Rule.DATE | Rule.DATE_TIME | Rule.TIME:
                return self._date(value, element.tag, rule, level)
            case Rule.STAND_IN:
                return self._stand_in(value, element.tag, level)
            case Rule.PSEUDONYM:
                return _in_codec(self._pseudonym, codec_of(level.character_set), element.tag)
            case Rule.DUMMY:
                return _DUMMIES.get(known_vr(element.tag), _DUMMY_TEXT)
            case _:
                return _context(value, rule, level)

    def _mapped(self, value: bytes) -> bytes:
        return b"\\".join(self.key.uid(single.decode("latin-1")).encode("latin-1") for single in value.split(b"\\"))

    def _date(self, value: bytes, tag: int, rule: Rule, level: _Level) -> bytes:
        if rule is Rule.TIME:
            return dates.plain_time(value)
        if level.is_birth_date:
            return _DUMMIES[known_vr(tag)]
        shift = dates.shifted_date if rule is Rule.DATE else dates.shifted_date_time
        return shift(value, self._days)

    def _stand_in(self, value: bytes, tag: int, level: _Level) -> bytes:
        text = value.decode(codec_of(level.character_set), "backslashreplace").strip("\0 ")
        return self._stand_ins.replacement(tag, known_vr(tag).decode(), text).encode("ascii")


_DEPENDENT = frozenset({Rule.CHARACTER_SET, Rule.SCHEME, Rule.CODE, Rule.CONCEPT})
"""Rules that look at, or change, what is around the element, so that its bytes alone do not decide."""


def _context(value: bytes, rule: Rule, level: _Level) -> bytes:
    """A value that is kept and tells about those that follow it in its level, or is told by those before it."""
    match rule:
        case Rule.CHARACTER_SET:
            codec_of(value)
            level.character_set = value
        case Rule.CODE if level.strict or level.scheme not in PUBLIC_SCHEMES:
            return _DUMMY_TEXT
        case _:
            pass
    return value


def _scheme(data: memoryview, elements: list[Element]) -> bytes:
    """The coding scheme of an item. Of others than public ones nobody knows what people write as code and meaning."""
    for element in elements:
        if element.tag >= rules.CODING_SCHEME:
            is_it = element.tag == rules.CODING_SCHEME
            return bytes(data[element.begin : element.stop]).strip(_PADDING).upper() if is_it else b""
    return b""


def _stays(data: memoryview, element: Element, rule: Rule) -> bool:
    """Whether an element remains, changed or not; values of undefined length may hide anything in their items."""
    if rule is Rule.DELETE or (element.end != element.stop and rule not in SEQUENCE_RULES):
        return False
    return rule is not Rule.KEEP_IF_VALID or unknowns.is_valid(element.tag, bytes(data[element.begin : element.stop]))


def _encoded(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    try:
        write_dataset(buffer, dataset)
    except Exception as exc:
        raise Unreadable(f"A data set cannot be encoded ({type(exc).__name__}).") from None
    return buffer.getvalue()


def _looked_at(data: memoryview, elements: list[Element]) -> dict[int, bytes]:
    """The original values of the few attributes that decide about the rest."""
    return {element.tag: bytes(data[element.begin : element.stop]) for element in elements if element.tag in _LOOKED_AT}


def _text(values: dict[int, bytes], tag: int) -> str:
    return values.get(tag, b"").decode("latin-1").strip("\0 ")


def _check_is_complete(values: dict[int, bytes]) -> None:
    for tag in _REQUIRED:
        if not _text(values, tag):
            raise Unreadable(f"An instance lacks {name_of(tag)}.")


def _check_is(instance: EncodedInstance, values: dict[int, bytes]) -> None:
    """An instance that claims to be another one would be treated, stored and confirmed as the wrong one."""
    for tag, claimed in (
        (rules.SOP_CLASS_UID, instance.sop_class_uid),
        (rules.SOP_INSTANCE_UID, instance.sop_uid),
    ):
        if _text(values, tag) != claimed.strip("\0 "):
            raise Unreadable(f"An instance was announced with another {name_of(tag)} than its data set has.")


def _tag(element: Element) -> int:
    return element.tag


def _in_codec(text: str, codec: str, tag: int) -> bytes:
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        raise RuleFailed(f"The value for {name_of(tag)} cannot be written in the instance's character set.") from None
