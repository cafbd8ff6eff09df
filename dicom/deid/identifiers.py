"""Collects what an instance's original identifies people with, from all of its levels."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pydicom._dicom_dict import DicomDictionary

from dicom.deid import rules
from dicom.deid.encoding import (
    NEWER_VRS,
    Element,
    Syntax,
    check_depth,
    known_vr,
    nested_syntax,
    read_items,
    read_nested,
)
from dicom.deid.needles import ALWAYS_SEARCHED, WANTED, Needles, Original, Rules, Words, uid_needles, words_of
from dicom.deid.rules import Rule

_KEPT = frozenset({Rule.KEEP, Rule.KEEP_IF_VALID, Rule.KEEP_OR_CLEAN, Rule.PLAIN_DATE, Rule.PLAIN_DATE_TIME})
_REPLACED = frozenset({Rule.UID, Rule.KIND})
_NAMES = frozenset(tag for tag in {*DicomDictionary, *NEWER_VRS} if known_vr(tag) == b"PN")
_SMALL_BYTES = 4096
"""Longer sequences, as of enhanced multi-frame images, are searched for names only when they can hold one."""
_UID_ELEMENT = re.compile(rb"UI(..)([0-9. \\][0-9. \\\0]*)", re.DOTALL)
"""The VR, the length, and what may be UIDs until there, or longer."""
_EXPLICIT_TAG = re.compile(
    rb"(?:A(?=[EST])|C(?=S)|D(?=[AST])|F(?=[DL])|I(?=S)|L(?=[OT])|O(?=[BDFLVW])|S(?=[HLSTV])|T(?=M)|U(?=[CILRSTV]))"
    rb"(?<=(....).)",
    re.DOTALL,
)
"""The tag before a VR, whichever somebody gave it; PN and UN are looked for whatever the tag is."""
_MOST_SEQUENCES, _MOST_PEOPLE = 5000, 100


@dataclass(slots=True)
class Found:
    """Elements that name somebody, UIDs that are replaced, and UIDs that are kept."""

    originals: set[Original] = field(default_factory=set[Original])
    uids: set[bytes] = field(default_factory=set[bytes])
    kept_uids: set[bytes] = field(default_factory=set[bytes])

    def add(self, other: "Found") -> None:
        """Take in what was found elsewhere."""
        self.originals |= other.originals
        self.uids |= other.uids
        self.kept_uids |= other.kept_uids

    def uids_under(self, rule: Rule) -> set[bytes]:
        """Where to put the UIDs of an element with this rule; of one that goes, or is judged by others, nowhere."""
        if rule in _REPLACED:
            return self.uids
        return self.kept_uids if rule in _KEPT else set()

    @property
    def uid_needles(self) -> frozenset[bytes]:
        """UIDs that must not be found again; what an attribute keeps on purpose may stand in another one, too."""
        return uid_needles(self.uids) - uid_needles(self.kept_uids) if self.kept_uids else uid_needles(self.uids)


class Identifiers:
    """Collects identifiers; remembers them for instances and sequences that repeat what others had.

    ``listed`` is what is known of the patient besides, for instances that do not say it themselves. Holds original
    values; it must not outlive the patient's data. For one policy, whose ``rule_for`` it is given.
    """

    def __init__(self, listed: Collection[Original] = ()) -> None:
        self._listed = frozenset(listed)
        self._sequences: dict[tuple[Syntax, bytes, bytes], Found] = {}
        self._words: dict[frozenset[Original], Words] = {}

    def needles(
        self, data: memoryview, elements: list[Element], values: Mapping[int, bytes], syntax: Syntax, rule_for: Rules
    ) -> Needles:
        """Return what to search for: names, identifiers, addresses of all levels, the birth date, replaced UIDs.

        ``values`` holds the original (0008,0005) if there is one. What the policy keeps on purpose is not searched
        for, except names of persons and patient IDs. Raises Unreadable, RuleFailed (character set).
        """
        charset = values.get(rules.SPECIFIC_CHARACTER_SET, b"")
        found = self.found_in(data, elements, charset, syntax, rule_for)
        people = frozenset(found.originals)
        words = self._words.get(people)
        if words is None:
            if len(self._words) >= _MOST_PEOPLE:
                self._words.clear()
            words = self._words[people] = words_of(found.originals | self._listed_under(rule_for))
        return Needles(words, found.uid_needles)

    def _listed_under(self, rule_for: Rules) -> set[Original]:
        """What is known besides, without what the policy keeps on purpose."""
        return {one for one in self._listed if one[1] == b"PN" or _is_searched(one[0], one[1], rule_for)}

    def found_in(
        self, data: memoryview, elements: list[Element], charset: bytes, syntax: Syntax, rule_for: Rules
    ) -> Found:
        """Return what some elements of a level name, whose (0008,0005) is ``charset``; raises Unreadable."""
        found = Found()
        self._collect(data, elements, charset, syntax, rule_for, found, 0)
        return found

    def _collect(
        self,
        data: memoryview,
        elements: list[Element],
        charset: bytes,
        syntax: Syntax,
        rule_for: Rules,
        found: Found,
        depth: int,
    ) -> None:
        check_depth(depth)
        for element in elements:
            tag, vr = element.tag, element.vr
            if vr == b"UN" or known_vr(tag) == b"PN":
                vr = known_vr(tag) or vr
            if vr == b"UI" and tag not in WANTED:  # an identifier is one under whatever VR somebody gave it
                is_own_class = tag == rules.SOP_CLASS_UID and not depth
                rule = Rule.KEEP if is_own_class else rule_for(tag, element.vr)
                found.uids_under(rule).add(bytes(data[element.begin : element.stop]))
            elif vr == b"SQ":
                found.add(self._in_sequence(data, element, charset, syntax, rule_for, depth))
            elif vr == b"PN" or (tag in WANTED and _is_searched(tag, element.vr, rule_for)):
                found.originals.add((tag, vr, bytes(data[element.begin : element.stop]), charset))

    def _in_sequence(
        self, data: memoryview, sequence: Element, charset: bytes, syntax: Syntax, rule_for: Rules, depth: int
    ) -> Found:
        value = bytes(data[sequence.start : sequence.end])
        if len(value) > _SMALL_BYTES:
            if syntax.implicit or b"PN" in value or b"UN" in value or _mentions_wanted(value, syntax):
                return self._in_items(data, sequence, charset, syntax, rule_for, depth)
            return _uids_in(value, syntax, rule_for)
        key = (syntax, charset, value)
        known = self._sequences.get(key)
        if known is None:
            if len(self._sequences) >= _MOST_SEQUENCES:
                self._sequences.clear()
            known = self._sequences[key] = self._in_items(data, sequence, charset, syntax, rule_for, depth)
        return known

    def _in_items(
        self, data: memoryview, sequence: Element, charset: bytes, syntax: Syntax, rule_for: Rules, depth: int
    ) -> Found:
        inner = nested_syntax(sequence.vr, syntax)
        found = Found()
        for item in read_items(data, sequence, inner):
            elements = read_nested(data, item, inner)
            self._collect(data, elements, character_set(data, elements, charset), inner, rule_for, found, depth + 1)
        return found


def character_set(data: memoryview, elements: list[Element], inherited: bytes) -> bytes:
    """The value of (0008,0005) of one level, which is that of the level above where it has none."""
    for element in elements:
        if element.tag >= rules.SPECIFIC_CHARACTER_SET:
            is_set = element.tag == rules.SPECIFIC_CHARACTER_SET
            return bytes(data[element.begin : element.stop]) if is_set else inherited
    return inherited


def _is_searched(tag: int, vr: bytes, rule_for: Rules) -> bool:
    return tag in ALWAYS_SEARCHED or rule_for(tag, vr) not in _KEPT


def _encoded_tag(tag: int, big_endian: bool) -> bytes:
    order = "big" if big_endian else "little"
    return (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)


_WANTED_TAGS = {
    big_endian: frozenset(_encoded_tag(tag, big_endian) for tag in WANTED | _NAMES) for big_endian in (False, True)
}


def _mentions_wanted(value: bytes, syntax: Syntax) -> bool:
    """Whether the tag of an identifying attribute is before a VR somewhere in explicitly encoded bytes."""
    return not _WANTED_TAGS[syntax.big_endian].isdisjoint(_EXPLICIT_TAG.findall(value))


def _uids_in(value: bytes, syntax: Syntax, rule_for: Rules) -> Found:
    """The UIDs of explicitly encoded bytes, found by their VR instead of by reading all elements."""
    order = "big" if syntax.big_endian else "little"
    found = Found()
    for match in _UID_ELEMENT.finditer(value):
        group, number = value[match.start() - 4 : match.start() - 2], value[match.start() - 2 : match.start()]
        tag = int.from_bytes(group, order) << 16 | int.from_bytes(number, order)
        found.uids_under(rule_for(tag, b"UI")).add(match[2][: int.from_bytes(match[1], order)])
    return found
