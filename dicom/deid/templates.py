"""A short cut for headers that are nearly those of an instance treated before, as of one series they are.

A template is such an instance in pieces, each with what became of it. Pieces that are the same again are not looked
at; what differs is treated by the walker and searched for residues like everything, and so is what is written between
compressed pixels. The rest of the work, and whatever does not fit in the least, is the engine's: a template never
decides anything for the first time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import groupby

from dicom.deid import residue, rules
from dicom.deid.encoding import Element, Syntax, read_beginning, syntax_of
from dicom.deid.identifiers import Found, Identifiers
from dicom.deid.needles import Needles, Original, Rules
from dicom.deid.pixels.frames import frame_count, is_encapsulated
from dicom.deid.pixels.header import Header
from dicom.deid.pixels.judge import hidden_in_fragments
from dicom.deid.pixels.segments import read_fragments
from dicom.deid.walker import Level, Walker
from models.domain.errors import AditError
from models.domain.instances import Bytes, EncodedInstance

_MOST_TEMPLATES = 8
_ROOM_FOR_LONGER_VALUES = 4096
_LARGEST_HEADER = 1 << 20
"""A longer one is of a multi-frame instance, of which there are few."""
_FIXED = frozenset({rules.SPECIFIC_CHARACTER_SET, rules.SOP_CLASS_UID, rules.STUDY_UID, rules.BIRTH_DATE})
_PIXEL_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"UN"})
"""Under another one, pixel data would be searched for people and UIDs like other elements."""
_NOT_EMPTY = frozenset({rules.SOP_INSTANCE_UID, rules.SERIES_UID})


@dataclass(frozen=True, slots=True)
class Source:
    """An instance as the engine has read it; ``position`` is that of its pixels among its elements."""

    data: memoryview
    elements: list[Element]
    position: int
    syntax: Syntax
    transfer_syntax_uid: str


@dataclass(slots=True)
class _Piece:
    """An element, all of a private group, or a mark that is set where nothing was (then ``original`` is empty).

    ``last_tag`` is the highest tag that may belong to it. A fixed one must be the same in each instance. ``varies``
    when it was not the same in all instances so far.
    """

    last_tag: int
    original: bytes
    result: bytes
    found: Found
    is_fixed: bool
    varies: bool = False


@dataclass(frozen=True, slots=True)
class _Run:
    """Pieces in a row that were the same in all instances so far, joined; or one that varies."""

    original: bytes
    result: bytes
    found: Found
    pieces: tuple[_Piece, ...]

    @property
    def varies(self) -> bool:
        return self.pieces[0].varies


@dataclass(slots=True)
class _Fitted:
    """A header in the making."""

    position: int = 0
    results: list[bytes] = field(default_factory=list[bytes])
    changed: list[bytes] = field(default_factory=list[bytes])
    found: Found = field(default_factory=Found)
    sop_uid: bytes = b""
    has_new_variation: bool = False

    def keep(self, part: _Piece | _Run) -> None:
        """Take what became of a piece, or of several, the last time."""
        self.position += len(part.original)
        self.results.append(part.result)
        self.found.add(part.found)


class _MisfitError(Exception):
    """An instance is not like the template."""


class Templates:
    """The templates of one engine, the last used first. Holds original values; must not outlive the patient's data."""

    def __init__(self, walker: Walker, identifiers: Identifiers, rule_for: Rules) -> None:
        self._walker = walker
        self._identifiers = identifiers
        self._rule_for = rule_for
        self._templates: list[_Template] = []

    def treated(self, data: memoryview, instance: EncodedInstance) -> tuple[Bytes, ...] | None:
        """The pieces of the treated data set, as the engine would make them, or None when no template fits."""
        for number, template in enumerate(self._templates):
            parts = template.treated(data, instance)
            if parts is not None:
                if number:
                    self._templates.insert(0, self._templates.pop(number))
                return parts
        self._templates = [template for template in self._templates if template.can_fit]
        return None

    def learn(
        self,
        source: Source,
        needles: Needles,
        level: Level,
        marks: Mapping[int, bytes],
        fixed: Set[int],
        header: bytes,
    ) -> None:
        """Make a template of an instance that passed and whose pixels stay as they are.

        ``level`` is that of the data set, ``header`` what the engine made of its header, ``marks`` are the elements
        that were set in it, and ``fixed`` the tags whose values decided more than the fate of themselves.
        """
        if _can_be_template(source):
            lesson = _Lesson(_without_pixels(source), level, marks, fixed | _FIXED, header)
            template = _Template(lesson, needles, self._walker, self._identifiers, self._rule_for)
            self._templates.insert(0, template)
            del self._templates[_MOST_TEMPLATES:]


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What is to be learned from an instance, as for ``Templates.learn``; its data ends before the pixels."""

    source: Source
    level: Level
    marks: Mapping[int, bytes]
    fixed: Set[int]
    header: bytes


class _Template:
    """One instance in pieces; treats others that are like it.

    It is taken to pieces when another one comes that may be like it: many instances are the only ones of their kind.
    """

    def __init__(
        self, lesson: _Lesson, needles: Needles, walker: Walker, identifiers: Identifiers, rule_for: Rules
    ) -> None:
        source = lesson.source
        self._lesson: _Lesson | None = lesson
        self._pieces: list[_Piece] = []
        self._runs: list[_Run] = []
        self._originals: set[Original] = set()
        self._syntax = source.syntax
        self._transfer_syntax_uid = source.transfer_syntax_uid
        self._level = lesson.level
        self._words = needles.words
        self._sop_class_uid = _value(source, rules.SOP_CLASS_UID)
        self._walker = walker
        self._identifiers = identifiers
        self._rule_for = rule_for
        pixels = source.elements[source.position :]
        self._pixel_tag = pixels[0].tag if pixels else 0
        self._pixel_head = bytes(source.data[pixels[0].start : pixels[0].begin]) if pixels else b""
        self._frame_count = frame_count(Header(source.data, source.elements, source.syntax))

    @property
    def can_fit(self) -> bool:
        """Whether an instance may ever be like this one."""
        return self._lesson is not None or bool(self._pieces)

    def _take_to_pieces(self, lesson: _Lesson) -> None:
        """Without pieces, when they would not together be what the engine made, nothing ever fits."""
        self._lesson = None
        pieces = list(self._made(lesson))
        if b"".join(piece.result for piece in pieces) == lesson.header:
            self._pieces = pieces
            self._runs = _runs(pieces)
            self._originals = _joined(piece.found for piece in pieces).originals

    def _made(self, lesson: _Lesson) -> Iterator[_Piece]:
        source, level = lesson.source, lesson.level.copy()
        missing = dict(lesson.marks)
        for _, group in groupby(source.elements[: source.position], _unit):
            elements = list(group)
            first, last = elements[0], elements[-1]
            for tag in [tag for tag in missing if tag < first.tag]:
                yield _Piece(tag, b"", missing.pop(tag), Found(), is_fixed=True)
            mark = missing.pop(first.tag, None)
            chunks = self._walker.treated(source.data, elements, source.syntax, level) if mark is None else [mark]
            found = self._identifiers.found_in(
                source.data, elements, level.character_set, source.syntax, self._rule_for
            )
            yield _Piece(
                first.tag | 0xFFFF if _is_private(first.tag) else first.tag,
                bytes(source.data[first.start : last.end]),
                b"".join(chunks),
                found,
                is_fixed=mark is not None or any(element.tag in lesson.fixed for element in elements),
                varies=first.tag == rules.SOP_INSTANCE_UID,
            )
        for tag, result in missing.items():
            yield _Piece(tag, b"", result, Found(), is_fixed=True)

    def treated(self, data: memoryview, instance: EncodedInstance) -> tuple[Bytes, ...] | None:
        """The treated data set in pieces, or None when the instance is not like this one."""
        if instance.transfer_syntax_uid != self._transfer_syntax_uid:
            return None
        if _plain(self._sop_class_uid) != instance.sop_class_uid.strip("\0 "):
            return None
        fitted = _Fitted()
        try:
            if self._lesson is not None:
                self._take_to_pieces(self._lesson)
            if not self._pieces:
                return None
            size = sum(len(run.original) for run in self._runs) + _ROOM_FOR_LONGER_VALUES
            head = bytes(data[:size])
            self._fit(head, fitted)
            if _plain(fitted.sop_uid) != instance.sop_uid.strip("\0 ") or fitted.found.originals != self._originals:
                return None
            needles = Needles(self._words, fitted.found.uid_needles)
            if not self._has_like_pixels(data, fitted.position, needles):
                return None
            header = b"".join(fitted.results)
            self._check(header, b"".join(fitted.changed), needles)
        except (_MisfitError, AditError):  # the engine says what is wrong, if anything is
            return None
        if fitted.has_new_variation:
            self._runs = _runs(self._pieces)
        return (header, data[fitted.position :]) if self._pixel_head else (header,)

    def _fit(self, head: bytes, fitted: _Fitted) -> None:
        level = self._level.copy()
        view = memoryview(head)
        for run in self._runs:
            if not run.varies and head.startswith(run.original, fitted.position):
                fitted.keep(run)
                continue
            for piece in run.pieces:
                if not piece.varies and head.startswith(piece.original, fitted.position):
                    fitted.keep(piece)
                else:
                    self._vary(view, piece, level, fitted)

    def _vary(self, view: memoryview, piece: _Piece, level: Level, fitted: _Fitted) -> None:
        """Treat an element, or a private group, that is another than the template's."""
        if piece.is_fixed:
            raise _MisfitError
        elements = read_beginning(view, self._syntax, piece.last_tag, fitted.position)
        if not elements or elements[0].tag < piece.last_tag & (0xFFFF0000 if _is_private(piece.last_tag) else -1):
            raise _MisfitError
        found = self._identifiers.found_in(view, elements, level.character_set, self._syntax, self._rule_for)
        if piece.last_tag in _NOT_EMPTY:
            value = bytes(view[elements[0].begin : elements[0].stop])
            if not value.strip(b"\0 "):
                raise _MisfitError
            if piece.last_tag == rules.SOP_INSTANCE_UID:
                fitted.sop_uid = value
        result = b"".join(self._walker.treated(view, elements, self._syntax, level))
        fitted.position = elements[-1].end
        fitted.results.append(result)
        fitted.changed.append(result)
        fitted.found.add(found)
        fitted.has_new_variation = fitted.has_new_variation or not piece.varies
        piece.varies = True

    def _has_like_pixels(self, data: memoryview, position: int, needles: Needles) -> bool:
        """Whether nothing but pixels of the template's kind is left: native ones of its size, or fragments that pass.

        Raises Unreadable when they are broken, ResidueFound when an identifier stands in the fragments.
        """
        if not self._pixel_head:
            return position == len(data)
        if bytes(data[position : position + len(self._pixel_head)]) != self._pixel_head:
            return False
        (pixels,) = read_beginning(data, self._syntax, self._pixel_tag, position)
        if pixels.end != len(data):
            return False
        return not is_encapsulated(pixels) or self._may_pass(data[pixels.begin : pixels.stop], needles)

    def _may_pass(self, value: memoryview, needles: Needles) -> bool:
        """Whether the engine, too, would find nothing hidden in the fragments of encapsulated pixel data."""
        fragments = read_fragments(value, self._transfer_syntax_uid)
        residue.check_fragments(fragments, needles)
        return not hidden_in_fragments(fragments, self._frame_count, self._transfer_syntax_uid)

    def _check(self, header: bytes, changed: bytes, needles: Needles) -> None:
        residue.check_changed(header, changed, needles, self._syntax, self._rule_for, self._level.character_set)


def _runs(pieces: Sequence[_Piece]) -> list[_Run]:
    """The pieces with those joined that are the same in all instances so far."""
    runs: list[_Run] = []
    for varies, group in groupby(pieces, lambda piece: piece.varies):
        alike = tuple(group)
        runs += [_run((piece,)) for piece in alike] if varies else [_run(alike)]
    return runs


def _run(pieces: tuple[_Piece, ...]) -> _Run:
    return _Run(
        b"".join(piece.original for piece in pieces),
        b"".join(piece.result for piece in pieces),
        _joined(piece.found for piece in pieces),
        pieces,
    )


def _can_be_template(source: Source) -> bool:
    """Whether nothing in the header tells about what follows in it, and the pixels, if any, are the last element."""
    if any(element.tag == rules.CONCEPT_NAME for element in source.elements):
        return False
    pixels = source.elements[source.position :]
    if len(pixels) > 1 or any(element.vr not in _PIXEL_VRS for element in pixels):
        return False
    end = pixels[0].start if pixels else len(source.data)
    return end <= _LARGEST_HEADER and syntax_of(source.transfer_syntax_uid) == source.syntax


def _unit(element: Element) -> int:
    """The tag, or for private attributes, of which the creator tells the meaning, the group."""
    return element.tag >> 16 if _is_private(element.tag) else element.tag


def _is_private(tag: int) -> bool:
    return bool(tag & 0x10000)


def _without_pixels(source: Source) -> Source:
    """The same with a copy of all that stands before the value of the pixels, which is not to be held in memory."""
    pixels = source.elements[source.position :]
    end = pixels[0].begin if pixels else len(source.data)
    return replace(source, data=memoryview(bytes(source.data[:end])))


def _value(source: Source, tag: int) -> bytes:
    found = (element for element in source.elements if element.tag == tag)
    return b"".join(bytes(source.data[element.begin : element.stop]) for element in found)


def _plain(uid: bytes) -> str:
    return uid.strip(b"\0 ").decode("latin-1")


def _joined(found: Iterable[Found]) -> Found:
    together = Found()
    for each in found:
        together.add(each)
    return together
