"""A profile compiled to one rule for each attribute.

What the profile overrides goes first, then table E.1-1 of PS3.15 with the profile's options, then, for attributes
outside the table, their VR. Text outside the table is kept only when it is on a reviewed list: an attribute that
nobody has thought of does not pass.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import keyword_for_tag

from dicom.deid import rules, safe_private, table, vocabulary
from dicom.deid.device_texts import DEVICE_TEXTS
from dicom.deid.dicognito_adapter import STAND_IN_TAGS
from dicom.deid.encoding import NEWER_VRS, PIXEL_DATA, known_vr, known_vrs
from dicom.deid.profile import Action, Option, Profile, StandIn
from dicom.deid.rules import Rule
from dicom.deid.table import Row

_TEXT_VRS = frozenset({b"LO", b"SH", b"UC"})
_PROSE_VRS = frozenset({b"LT", b"ST", b"UT"})
TEXT_VRS = _TEXT_VRS | _PROSE_VRS | {b"AE", b"UR"}
"""VRs that can hold whatever a person writes."""

_CODES = {
    Option.CLEAN_GRAPHICS: ("113103", "Clean Graphics Option"),
    Option.CLEAN_STRUCTURED_CONTENT: ("113104", "Clean Structured Content Option"),
    Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Option.RETAIN_FULL_DATES: ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    Option.RETAIN_MODIFIED_DATES: ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Option.RETAIN_PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Option.RETAIN_DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
    Option.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
    Option.RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    Option.RETAIN_INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
}
"""PS3.16 CID 7050."""
ENGINE_REVISION = "1"
"""To be raised whenever the engine treats anything in another way than before under the same rules."""
_BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")

_ALWAYS = {
    rules.SPECIFIC_CHARACTER_SET: Rule.CHARACTER_SET,
    rules.PATIENT_NAME: Rule.PSEUDONYM,
    rules.PATIENT_ID: Rule.PSEUDONYM,
    rules.CODING_SCHEME: Rule.SCHEME,
    0x00080100: Rule.CODE,  # CodeValue
    0x00080119: Rule.CODE,  # LongCodeValue
    rules.CODE_MEANING: Rule.CODE,
    0x00080103: Rule.CODE,  # CodingSchemeVersion
    0x0008010C: Rule.SCHEME_UID,  # CodingSchemeUID
    0x00201070: Rule.DELETE,  # OtherStudyNumbers, retired, and forgotten by the table
    rules.CONCEPT_NAME: Rule.CONCEPT,
    0x00700002: Rule.LABEL,  # GraphicLayer, to which the graphics on it refer
}
_REMOVED_OF_A_CHOICE = frozenset({0x00081110, 0x00080082, 0x00081072})
"""ReferencedStudySequence (empty it would be no valid reference, says dciodvfy), and the codes of institutions and
operators: of X/Z, X/Z/D and X/D they get the X."""
_UID_OF_A_VOCABULARY = frozenset({0x00080117, 0x00080118})
"""Context and Mapping Resource UID: names of code systems, nobody's identity where they are registered."""
_TYPE_1_TEXTS = frozenset({0x0040A160, 0x00620020})
"""TextValue and TrackingID: outside the table, and not allowed to be empty (PS3.3)."""
_OPAQUE_NUMBERS = vocabulary.split(
    """
    AirCounts BadPixelImage ChannelMaximumValue ChannelMinimumValue CoordinateSystemAxisValues DarkCurrentCounts
    FillPattern ICCProfile InteroperabilityVersion ThreatROIBitmap WaveformData WaveformPaddingValue
    WeightingLookupTableData
    """
)
"""Opaque bytes (OB) outside the table that are numbers of devices; others are keys, documents, whatever one likes."""
_TEXT_IN_CODE_STRING = 0x00700080
"""ContentLabel: a code string (CS) that a person makes up."""
_TIMEZONE = 0x00080201
_SIGNATURES = 0x0400

_KEEPING = frozenset({Rule.KEEP, Rule.KEEP_IF_VALID, Rule.KEEP_OR_CLEAN, Rule.KIND, Rule.SCHEME, Rule.CODE})
_NUMBER_VRS = frozenset({b"DS", b"IS"})
_DATE_RULES = {b"DA": Rule.DATE, b"DT": Rule.DATE_TIME, b"TM": Rule.TIME}
_PLAIN_DATE_RULES = {b"DA": Rule.PLAIN_DATE, b"DT": Rule.PLAIN_DATE_TIME, b"TM": Rule.TIME}


class Policy:
    """The rules of one profile. Safe to share between threads; asking twice gives the same answer."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._kept_stand_ins = frozenset(tag for kind in profile.stand_ins for tag in STAND_IN_TAGS[kind])
        self._known: dict[tuple[int, bytes], Rule] = {}

    def __repr__(self) -> str:
        return f"Policy({self.profile.name} {self.digest})"

    def has(self, option: Option) -> bool:
        return option in self.profile.options

    def rule_for(self, tag: int, vr: bytes) -> Rule:
        """Return what is done with an element that has this tag and is encoded with this VR.

        Pixel data is none of the header's; inside a sequence it is an icon or overlay that nobody has looked at.
        """
        if tag & 0x10000:
            return Rule.PRIVATE if self.has(Option.RETAIN_SAFE_PRIVATE) else Rule.DELETE
        rule = self._known.get((tag, vr))
        if rule is None:
            rule = self._encoded_rule(tag, vr)
            if known_vr(tag):  # of others there is no end
                self._known[tag, vr] = rule
        return rule

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of all rules, reviewed words and the engine: the same digest is the same treatment."""
        tags = sorted({*DicomDictionary, *NEWER_VRS})
        lines = [f"{tag:08X} {self.rule_for(tag, known_vr(tag)).name}" for tag in tags]
        lines += [f"private {self.rule_for(0x00090010, b'LO').name}", repr(self.profile.pixels)]
        lines += [repr(sorted(texts)) for texts in (self.profile.approved_texts, self.profile.approved_words)]
        data = [ENGINE_REVISION, table.DIGEST, vocabulary.DIGEST, safe_private.DIGEST]
        return hashlib.sha256("\n".join([*data, *lines]).encode()).hexdigest()[:16]

    @cached_property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code values of CID 7050 with their meanings: the Basic Profile and the options that an output conforms to.

        An override that keeps what an option would keep counts as this option. One that keeps what none of them would
        leaves no conformance to claim.
        """
        options = set(self.profile.options)
        for tag in self.kept_by_override:
            keeping = next(self._options_keeping(tag), None)
            if keeping is None:
                return ()
            options.add(keeping)
        return (_BASIC_CODE, *sorted(_CODES[option] for option in options))

    @property
    def kept_by_override(self) -> tuple[int, ...]:
        """Tags of the table that stay because of an override."""
        kept = {tag for tag, action in self.profile.overrides.items() if action is Action.KEEP}
        return tuple(sorted(tag for tag in kept if tag in table.row_of()))

    @property
    def temporal_information(self) -> str:
        """The value of (0028,0303) Longitudinal Temporal Information Modified."""
        if self.has(Option.RETAIN_MODIFIED_DATES):
            return "MODIFIED"
        keeps_some = any(known_vr(tag) in {b"DA", b"DT"} for tag in self.kept_by_override)
        return "UNMODIFIED" if self.has(Option.RETAIN_FULL_DATES) or keeps_some else "REMOVED"

    def _options_keeping(self, tag: int) -> Iterator[Option]:
        row = table.row_of()[tag]
        return (option for option in Option if row.options.get(option) == "K")

    def _encoded_rule(self, tag: int, vr: bytes) -> Rule:
        """The rule, with nothing passing because it is encoded with another VR than it should have."""
        known = known_vr(tag)
        if not known or tag in PIXEL_DATA or _is_deleted_by_group(tag):
            return Rule.DELETE
        if (known == b"SQ") != (vr == b"SQ") and vr != b"UN":
            return Rule.DELETE
        rule = self._rule(tag, known)
        if rule not in _KEEPING or vr == known or known == b"SQ" or vr in known_vrs(tag):
            return rule
        if vr != b"UN":
            return Rule.DELETE
        return Rule.KEEP_IF_VALID if rule in {Rule.KEEP, Rule.KEEP_OR_CLEAN} else rule

    def _rule(self, tag: int, vr: bytes) -> Rule:
        if tag in self.profile.overrides:
            return self._of_action(self.profile.overrides[tag], tag, vr)
        if tag in _ALWAYS:
            return _ALWAYS[tag]
        row = table.row_of().get(tag)
        return self._of_row(row, tag, vr) if row else self._outside(tag, vr)

    def _of_row(self, row: Row, tag: int, vr: bytes) -> Rule:
        """The rule of an attribute of the table: an option goes before the profile, cleaning before keeping.

        Where Modified Dates cleans what Retain Device Identity keeps, a true date beside shifted ones would tell the
        shift.
        """
        chosen = {row.options[option] for option in self.profile.options & set(row.options)}
        if "C" in chosen and (cleaned := self._cleaned(row, tag, vr)):
            return cleaned
        if "K" in chosen and "C" not in chosen:
            return _kept(tag, vr)
        return self._of_basic(row, tag, vr)

    def _cleaned(self, row: Row, tag: int, vr: bytes) -> Rule | None:
        """The rule for a C of the table, or None for what cannot be cleaned: opaque bytes and AE titles."""
        if vr == b"SQ":
            return Rule.DESCEND
        if row.options.get(Option.RETAIN_MODIFIED_DATES) == "C":
            return Rule.TIME if tag == _TIMEZONE else _DATE_RULES.get(vr)
        if vr in _TEXT_VRS | _PROSE_VRS:
            return Rule.CLEAN_LABEL if "D" in row.basic else Rule.CLEAN_TEXT
        return None

    def _of_basic(self, row: Row, tag: int, vr: bytes) -> Rule:
        """The rule of the Basic Profile; of a choice of actions the last one, which suits every type of attribute."""
        if row.basic == "X" or tag in _REMOVED_OF_A_CHOICE:
            return Rule.DELETE
        if row.basic == "X/Z/U*":
            return Rule.DESCEND
        if row.basic == "U":
            return Rule.UID
        if self._has_stand_in(tag, vr):
            return Rule.STAND_IN
        if row.basic.endswith("Z"):
            return Rule.EMPTY
        return self._dummy(tag, vr)

    def _dummy(self, tag: int, vr: bytes) -> Rule:
        if vr == b"SQ":
            return Rule.ONE_DUMMY_ITEM if tag == rules.CONTENT_SEQUENCE else Rule.DESCEND_STRICTLY
        return Rule.UID if vr == b"UI" else Rule.DUMMY

    def _has_stand_in(self, tag: int, vr: bytes) -> bool:
        return tag in self._kept_stand_ins or (vr == b"PN" and StandIn.NAMES in self.profile.stand_ins)

    def _outside(self, tag: int, vr: bytes) -> Rule:
        """The rule of an attribute that is not in the table."""
        if tag >> 16 == _SIGNATURES:
            return Rule.DELETE
        if vr in _DATE_RULES:
            return self._date_outside(vr)
        if vr in _TEXT_VRS | _PROSE_VRS or tag == _TEXT_IN_CODE_STRING:
            return self._text_outside(tag, vr)
        match vr:
            case b"SQ":
                return Rule.DESCEND
            case b"PN":
                return Rule.STAND_IN if StandIn.NAMES in self.profile.stand_ins else Rule.DUMMY
            case b"UI":
                return self._uid_outside(tag)
            case b"AE" | b"UR":
                return Rule.DELETE
            case b"OB" if keyword_for_tag(tag) not in _OPAQUE_NUMBERS:
                return Rule.DELETE
            case _:
                return _as_it_is(vr)

    def _uid_outside(self, tag: int) -> Rule:
        if self.has(Option.RETAIN_UIDS):
            return Rule.KEEP
        return Rule.KIND if _names_a_kind(tag) else Rule.UID

    def _date_outside(self, vr: bytes) -> Rule:
        if self.has(Option.RETAIN_MODIFIED_DATES):
            return _DATE_RULES[vr]
        return _PLAIN_DATE_RULES[vr] if self.has(Option.RETAIN_FULL_DATES) else Rule.DUMMY

    def _text_outside(self, tag: int, vr: bytes) -> Rule:
        if vr in _TEXT_VRS and keyword_for_tag(tag) in DEVICE_TEXTS:
            return Rule.KEEP
        needs_value = vr not in _PROSE_VRS or tag in _TYPE_1_TEXTS
        if self.has(Option.CLEAN_DESCRIPTORS):
            return Rule.CLEAN_LABEL if needs_value else Rule.CLEAN_TEXT
        return Rule.DUMMY if needs_value else Rule.DELETE

    def _of_action(self, action: Action, tag: int, vr: bytes) -> Rule:
        match action:
            case Action.KEEP:
                return _kept(tag, vr)
            case Action.DELETE:
                return Rule.DELETE
            case Action.EMPTY:
                return Rule.EMPTY
            case Action.DUMMY:
                return self._dummy(tag, vr)
            case Action.MAP:
                return Rule.UID
            case Action.SHIFT:
                return _DATE_RULES[vr]
            case Action.CLEAN:
                return Rule.DESCEND if vr == b"SQ" else Rule.CLEAN_TEXT


@lru_cache(maxsize=16)
def compiled(profile: Profile) -> Policy:
    """Return the policy of a profile; its rules are worked out when they are first asked for.

    Profiles that say the same have one, because a digest asks for every rule and takes longer than accepting a job.
    """
    return Policy(profile)


def option_codes() -> Mapping[Option, tuple[str, str]]:
    """Code value and meaning of each option (PS3.16 CID 7050)."""
    return MappingProxyType(_CODES)


def _kept(tag: int, vr: bytes) -> Rule:
    if vr == b"SQ":
        return Rule.DESCEND
    if tag == _TIMEZONE:
        return Rule.TIME
    return _PLAIN_DATE_RULES.get(vr) or _as_it_is(vr)


def _as_it_is(vr: bytes) -> Rule:
    """The rule for what stays; where devices write numbers and codes, people write words."""
    if vr == b"AS":
        return Rule.AGE
    if vr == b"CS":
        return Rule.KEEP_OR_CLEAN
    return Rule.KEEP_IF_VALID if vr in _NUMBER_VRS else Rule.KEEP


def _names_a_kind(tag: int) -> bool:
    """Whether a UID tells what something is and not which one."""
    return tag in _UID_OF_A_VOCABULARY or keyword_for_tag(tag).endswith("ClassUID")


def _is_deleted_by_group(tag: int) -> bool:
    """Group lengths, curves, overlays, retired pixel data, padding; bitmaps may show a name whatever the options."""
    group = tag >> 16
    if not tag & 0xFFFF or group < 0x0008 or group in {0xFFFA, 0xFFFC}:
        return True
    return group & 0xFF00 in {0x5000, 0x6000, 0x7F00} and group != 0x7FE0
