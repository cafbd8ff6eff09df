"""De-identifies the header of an encoded data set; its pixels pass untouched, or blanked where they may show text.

Encoded bytes come in and go out. Same policy, key, pseudonym and input give the same bytes in every process. What
cannot be treated raises, and no message or chained exception quotes a value.
"""

import struct
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from io import BytesIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset  # pyright: ignore[reportUnknownVariableType]
from pydicom.filewriter import write_dataset

from dicom.deid import residue, rules
from dicom.deid.charsets import codec_of
from dicom.deid.encoding import EXPLICIT_LITTLE, PIXEL_DATA, Element, Syntax, known_vr, read_elements
from dicom.deid.identity import check_values
from dicom.deid.keys import LinkageKey
from dicom.deid.marks import METHOD, METHOD_CODES, Mark, Method, Trial, foreign_methods, marks
from dicom.deid.needles import originals_of_study
from dicom.deid.pixels.blank import blanked
from dicom.deid.pixels.judge import judged
from dicom.deid.pixels.rules import Treatment
from dicom.deid.pixels.segments import Fragments
from dicom.deid.policy import Option, Policy
from dicom.deid.residue import Needles
from dicom.deid.rules import name_of
from dicom.deid.streams import closed, opened, padded
from dicom.deid.templates import Source, Templates
from dicom.deid.walker import Level, Walker, encoded_code, in_codec, top_level
from models.domain.errors import RuleFailed, Unreadable
from models.domain.instances import Bytes, EncodedInstance
from models.domain.refs import StudyFound, StudyRef

_REQUIRED = (rules.SOP_CLASS_UID, rules.SOP_INSTANCE_UID, rules.STUDY_UID, rules.SERIES_UID)
_MOST_SEEN = 100
"""Sets of identifiers that are remembered for names of files; a patient has few, one for each way to spell them."""
_LOOKED_AT = frozenset({*_REQUIRED, rules.SPECIFIC_CHARACTER_SET, rules.PATIENT_ID, rules.BIRTH_DATE, METHOD})


class Deidentifier:
    """Treats instances of one patient, under one pseudonym.

    With a ``study``, only its instances are treated, and what its source lists of the patient is searched for in each,
    whether the instance says it or not; without, that an instance is of that patient is for the caller to check, with
    ``identity.check_identity``. ``released`` are SOP Instance UIDs of the source whose pixels or document a person has
    looked at and let pass. Keeps a bounded memory of original values; it must not outlive the patient's data. For one
    thread at a time.
    """

    def __init__(
        self,
        policy: Policy,
        key: LinkageKey,
        pseudonym: str,
        trial_protocol_id: str = "",
        trial_protocol_name: str = "",
        released: Collection[str] = (),
        study: StudyFound | None = None,
    ) -> None:
        self.policy = policy
        self.key = key
        self._pseudonym = pseudonym
        self._trial = Trial(trial_protocol_id, trial_protocol_name)
        self._released = frozenset(released)
        self._study = StudyRef(study.study_uid, study.patient_id) if study else None
        self._listed_birth_date = study.birth_date.encode(errors="replace") if study else b""
        self._method = Method(
            policy.profile.name, policy.digest, key.fingerprint, policy.temporal_information, policy.codes
        )
        self._walker = Walker(policy, key, pseudonym)
        self._identifiers = residue.Identifiers(originals_of_study(study) if study else ())
        self._seen: set[Needles] = set()
        self._templates = Templates(self._walker, self._identifiers, policy.rule_for)

    def uid(self, original: str) -> str:
        """Return the UID that stands for another one in everything this treats."""
        return original.strip("\0 ") if self.policy.has(Option.RETAIN_UIDS) else self.key.uid(original)

    def instance(self, instance: EncodedInstance) -> EncodedInstance:
        """Return the instance without the patient's identity; pixels that are not blanked are views of the original.

        Blanking may change the transfer syntax. Raises Unreadable when the header is broken, lacks one of its UIDs or
        contradicts the instance's own; IdentityConflict when it is not of the study; Excluded when the profile lets no
        instance of this kind pass, NeedsReview when a person must look at it first; ResidueFound and RuleFailed,
        naming the attribute.
        """
        data, syntax = opened(instance.parts, instance.transfer_syntax_uid)
        is_released = instance.sop_uid.strip("\0 ") in self._released
        parts = None if is_released else self._templates.treated(data, instance)
        if parts is not None:
            return self._treated_instance(instance, parts, instance.transfer_syntax_uid)
        elements = read_elements(data, syntax)
        values = _looked_at(data, elements)
        _check_is_complete(values)
        _check_is(instance, values)
        if self._study is not None:
            check_values(values, self._study)
        parts, syntax_uid = self._treated(data, elements, values, syntax, instance.transfer_syntax_uid, is_released)
        return self._treated_instance(instance, parts, syntax_uid)

    def _treated_instance(
        self, original: EncodedInstance, parts: tuple[Bytes, ...], transfer_syntax_uid: str
    ) -> EncodedInstance:
        return EncodedInstance(
            sop_class_uid=original.sop_class_uid,
            sop_uid=self.uid(original.sop_uid),
            transfer_syntax_uid=transfer_syntax_uid,
            parts=closed(parts, transfer_syntax_uid),
        )

    def header(self, encoded: bytes, transfer_syntax_uid: str) -> bytes:
        """Return an encoded data set, usually without pixels, treated like an instance; raises the same."""
        data, syntax = opened((encoded,), transfer_syntax_uid)
        elements = read_elements(data, syntax)
        values = _looked_at(data, elements)
        _check_is_complete(values)
        parts, syntax_uid = self._treated(data, elements, values, syntax, transfer_syntax_uid, False)
        return b"".join(closed(parts, syntax_uid))

    def dataset(self, dataset: Dataset) -> Dataset:
        """Return a treated copy of some attributes, not a whole instance; raises like ``instance``."""
        data = memoryview(_encoded(dataset))
        elements = read_elements(data, EXPLICIT_LITTLE)
        values = _looked_at(data, elements)
        needles = self._needles(data, elements, values, EXPLICIT_LITTLE)
        treated_marks = self._marks(data, elements, values, EXPLICIT_LITTLE, needles, self._method)
        header = self._header(data, elements, values, EXPLICIT_LITTLE, needles, treated_marks)
        return read_dataset(BytesIO(header), is_implicit_VR=False, is_little_endian=True)

    def check_name(self, text: str) -> None:
        """Raise ResidueFound when the name of a file or folder holds an identifier of what was treated so far.

        Of original UIDs only some are known: names are made of those that ``uid`` gives, which hold none.
        """
        for needles in self._seen:
            residue.check_text(text, needles)

    def check_values(self, texts: Collection[tuple[str, bool]]) -> None:
        """Raise ResidueFound when a text of a file made of what was treated holds an identifier of that.

        Each text comes with whether it is a version of a program.
        """
        for needles in self._seen:
            residue.check_values(texts, needles)

    def _needles(self, data: memoryview, elements: list[Element], values: dict[int, bytes], syntax: Syntax) -> Needles:
        needles = self._identifiers.needles(data, elements, values, syntax, self.policy.rule_for)
        if needles not in self._seen:
            residue.check_pseudonym(self._pseudonym, needles)
            if len(self._seen) < _MOST_SEEN:
                self._seen.add(needles)
        return needles

    def _level(self, values: Mapping[int, bytes], needles: Needles) -> Level:
        return top_level(values, needles.scrub, self._listed_birth_date)

    def _treated(
        self,
        data: memoryview,
        elements: list[Element],
        values: dict[int, bytes],
        syntax: Syntax,
        transfer_syntax_uid: str,
        is_released: bool,
    ) -> tuple[tuple[Bytes, ...], str]:
        """The pieces of the treated data set, and its transfer syntax."""
        plan = judged(data, elements, syntax, transfer_syntax_uid, self.policy.profile.pixels, is_released)
        needles = self._needles(data, elements, values, syntax)
        position = next((i for i, element in enumerate(elements) if element.tag in PIXEL_DATA), len(elements))
        method = replace(self._method, has_blanked_pixels=plan.is_blank)
        level = self._level(values, needles)
        treated_marks = self._marks(data, elements[:position], values, syntax, needles, method)
        header = self._header(data, elements[:position], values, syntax, needles, treated_marks)
        behind = self._behind(data, elements[position:], syntax, plan.fragments, needles, level)
        if plan.treatment is Treatment.BLANK:
            result = blanked(data, elements, elements[position], syntax, transfer_syntax_uid, plan)
            header = _with_values(header, result.changed, syntax)
            return (header, *result.parts, *behind), result.transfer_syntax_uid
        if not is_released:
            source = Source(data, elements, position, syntax, transfer_syntax_uid)
            self._templates.learn(source, needles, level, treated_marks, plan.asked | self._asked, header)
        pixels = [data[element.start : element.end] for element in elements[position : position + 1]]
        return (header, *pixels, *behind), transfer_syntax_uid

    def _behind(
        self,
        data: memoryview,
        elements: Sequence[Element],
        syntax: Syntax,
        fragments: Fragments | None,
        needles: Needles,
        level: Level,
    ) -> tuple[Bytes, ...]:
        """What is left of the elements behind the pixels, which are the first; searched, also between the pixels."""
        if not elements:
            return ()
        if fragments:
            residue.check_fragments(fragments, needles)
        tail = b"".join(self._walker.treated(data, elements[1:], syntax, level))
        residue.check_changed(tail, tail, needles, syntax, self.policy.rule_for, level.character_set)
        return (tail,) if tail else ()

    def _marks(
        self,
        data: memoryview,
        elements: list[Element],
        values: Mapping[int, bytes],
        syntax: Syntax,
        needles: Needles,
        method: Method,
    ) -> dict[int, bytes]:
        """The encoded marks by their tags, in the order of tags."""
        level = self._level(values, needles)
        codec = codec_of(level.character_set)
        earlier = foreign_methods(values.get(METHOD, b"").decode(codec, "replace"))
        return {
            mark.tag: self._encoded_mark(mark, data, _present(elements, mark.tag), syntax, level, method)
            for mark in marks(self._pseudonym, method, self._trial, self._session(data, elements), earlier)
        }

    def _header(
        self,
        data: memoryview,
        elements: list[Element],
        values: Mapping[int, bytes],
        syntax: Syntax,
        needles: Needles,
        encoded_marks: Mapping[int, bytes],
    ) -> bytes:
        """The treated elements with the marks in between, or in the place of what has their tags."""
        level = self._level(values, needles)
        chunks: list[Bytes] = []
        position = 0
        for tag, mark in encoded_marks.items():
            cut = bisect_left(elements, tag, position, key=_tag)
            chunks += self._walker.treated(data, elements[position:cut], syntax, level)
            chunks.append(mark)
            position = cut + len(_present(elements, tag))
        chunks += self._walker.treated(data, elements[position:], syntax, level)
        header = b"".join(chunks)
        residue.check(header, needles, syntax, self.policy.rule_for)
        return header

    @property
    def _asked(self) -> frozenset[int]:
        """Tags of values on which marks depend."""
        of_session = {rules.STUDY_DATE, rules.STUDY_TIME} if self._trial.protocol_id else set[int]()
        return frozenset({METHOD, METHOD_CODES, *of_session})

    def _session(self, data: memoryview, elements: list[Element]) -> str:
        """Date and time of the study as the profile leaves them."""
        if not self._trial.protocol_id:
            return ""
        found = [element for element in elements if element.tag in {rules.STUDY_DATE, rules.STUDY_TIME}]
        return b"-".join(self._walker.value(data, element, Level(b"")) for element in found).decode("latin-1")

    def _encoded_mark(
        self, mark: Mark, data: memoryview, present: Sequence[Element], syntax: Syntax, level: Level, method: Method
    ) -> bytes:
        try:
            if mark.tag != METHOD_CODES:
                text = in_codec(mark.text, codec_of(level.character_set), mark.tag)
                return syntax.encoded(mark.tag, mark.vr, padded(text))
            earlier = b"".join(self._walker.items(data, element, syntax, level) for element in present)
            items = [encoded_code(syntax, *code) for code in method.all_codes]
            value = earlier + b"".join(item for item in items if item not in earlier)
            return syntax.encoded(mark.tag, mark.vr, value) if value else b""
        except struct.error:
            raise RuleFailed(f"There is no room left in {name_of(mark.tag)}.") from None


def _with_values(header: bytes, changed: Mapping[int, bytes | None], syntax: Syntax) -> bytes:
    """The header with other values for some of its attributes; None removes one."""
    data = memoryview(header)
    pieces = {element.tag: bytes(data[element.start : element.end]) for element in read_elements(data, syntax)}
    for tag, value in changed.items():
        pieces.pop(tag, None)
        if value is not None:
            pieces[tag] = syntax.encoded(tag, known_vr(tag), padded(value, known_vr(tag)))
    return b"".join(pieces[tag] for tag in sorted(pieces))


def _encoded(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    try:
        write_dataset(buffer, dataset)
    except Exception as exc:
        raise Unreadable(f"A data set cannot be encoded ({type(exc).__name__}).") from None
    return buffer.getvalue()


def _looked_at(data: memoryview, elements: Sequence[Element]) -> dict[int, bytes]:
    """The original values of the few attributes that decide about the rest."""
    return {element.tag: bytes(data[element.begin : element.stop]) for element in elements if element.tag in _LOOKED_AT}


def _present(elements: Sequence[Element], tag: int) -> Sequence[Element]:
    """The element of this tag alone, or none."""
    position = bisect_left(elements, tag, key=_tag)
    return elements[position : position + 1] if position < len(elements) and elements[position].tag == tag else ()


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
