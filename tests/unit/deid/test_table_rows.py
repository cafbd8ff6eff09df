"""Each row of PS3.15 table E.1-1, wherever it stands and however it is encoded: the output does what the table asks."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache

import pytest

from dicom.deid import profile
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import Policy, compiled
from dicom.deid.profile import Option, Profile
from dicom.deid.rules import Rule
from dicom.part10 import part10_prefix
from models.domain.errors import AditError
from models.domain.instances import EncodedInstance
from tests import deid_rows
from tests.deid_rows import COLUMNS, EXPLICIT, IMPLICIT, SHIPPED_OPTIONS, Outcome, Place, TableRow, Verdict

PROFILES = sorted(SHIPPED_OPTIONS)
KEY = LinkageKey(bytes(range(32)))
UNTELLING = frozenset({Verdict.REMOVED, Verdict.EMPTIED, Verdict.REPLACED})
ROWS = deid_rows.rows()
MALFORMED_VRS = frozenset({"DA", "DT", "TM", "AS"})


class Subject:
    """An engine under one profile, and what the table demands of it."""

    def __init__(self, policy: Policy, options: frozenset[str], name: str = "") -> None:
        self.engine = Deidentifier(policy, KEY, "PSEUDO1")
        self.options = options
        self.name = name
        self.shift_days = 0
        if "retain_modified_dates" in options:
            self.shift_days = (deid_rows.STUDY_DATE - self._study_date()).days

    def _study_date(self) -> date:
        study_date = next(row for row in ROWS if row.keyword == "PatientComments")
        output = self.engine.header(deid_rows.header(study_date, Place.TOP, False), EXPLICIT)
        text = deid_rows.elements(output, False)[0x00080020].decode()
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))

    def outcome(self, row: TableRow, place: Place, implicit: bool = False, lost_vr: bool = False) -> Outcome:
        header = deid_rows.header(row, place, implicit, None, lost_vr)
        output = self.engine.header(header, IMPLICIT if implicit else EXPLICIT)
        return deid_rows.outcome(row, place, output, implicit, self.options, self.shift_days, None, lost_vr)

    def outcome_of_malformed(self, row: TableRow, place: Place, implicit: bool = False) -> Outcome:
        value = deid_rows.malformed(row)
        output = self.engine.header(deid_rows.header(row, place, implicit, value), IMPLICIT if implicit else EXPLICIT)
        return deid_rows.outcome(row, place, output, implicit, self.options, self.shift_days, value)

    def allowed(self, row: TableRow, place: Place = Place.TOP) -> frozenset[Verdict]:
        if place is Place.PRIVATE:
            return frozenset({Verdict.REMOVED})
        return deid_rows.demanded(row, self.options, self.name)

    def complaint(self, row: TableRow) -> str:
        """What the checks of this file find wrong with one row, or nothing."""
        try:
            wrong = {
                v for place in (Place.TOP, Place.NESTED) for v in self.outcome(row, place).verdicts - self.allowed(row)
            }
            if row.vr in MALFORMED_VRS:
                wrong |= self.outcome_of_malformed(row, Place.NESTED).verdicts - UNTELLING
        except AditError as refusal:
            return refusal.code
        return ", ".join(sorted(wrong))


@cache
def shipped(name: str) -> Subject:
    return Subject(compiled(profile.load(name)), SHIPPED_OPTIONS[name], name)


def complaints(verdicts: Iterable[tuple[TableRow, frozenset[Verdict], frozenset[Verdict]]]) -> dict[str, str]:
    """Keyword -> what was wrong, of all rows of which a verdict is none of those allowed."""
    return {
        row.keyword: f"{sorted(now)}, not {sorted(allowed)}" for row, now, allowed in verdicts if not now <= allowed
    }


def test_the_table_has_all_its_rows() -> None:
    assert len(ROWS) == 657
    assert len({row.tag for row in ROWS}) == len({row.token for row in ROWS}) == 657
    assert Counter(row.basic for row in ROWS) == {
        "X": 417,
        "D": 93,
        "U": 55,
        "Z": 42,
        "X/D": 23,
        "X/Z": 11,
        "X/Z/D": 8,
        "Z/D": 6,
        "X/Z/U*": 2,
    }


def test_the_sequences_used_for_nesting_are_not_in_the_table() -> None:
    ordinary = {tag for place in (Place.NESTED, Place.GROUPS) for path in deid_rows.PATHS[place] for tag in path}
    assert not ordinary & {row.tag for row in ROWS}


@pytest.mark.parametrize("name", PROFILES)
def test_the_shipped_profiles_choose_the_options_that_are_tested_here(name: str) -> None:
    assert profile.load(name).options == SHIPPED_OPTIONS[name]


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("name", PROFILES)
def test_every_row_gets_what_the_table_asks(name: str, place: Place, implicit: bool) -> None:
    subject = shipped(name)
    found = ((row, subject.outcome(row, place, implicit).verdicts, subject.allowed(row, place)) for row in ROWS)
    assert complaints(found) == {}


@pytest.mark.parametrize("place", [Place.TOP, Place.NESTED])
@pytest.mark.parametrize("name", PROFILES)
def test_a_lost_vr_changes_nothing_but_that_what_is_kept_may_go(name: str, place: Place) -> None:
    subject = shipped(name)
    found = (
        (row, subject.outcome(row, place, lost_vr=True).verdicts, _also_removed(subject.allowed(row)))
        for row in ROWS
        if row.vr != "UN"
    )
    assert complaints(found) == {}


def _also_removed(allowed: frozenset[Verdict]) -> frozenset[Verdict]:
    return allowed | {Verdict.REMOVED} if Verdict.KEPT in allowed else allowed


@pytest.mark.parametrize("option", COLUMNS)
def test_every_row_gets_what_the_table_asks_under_each_option_alone(option: str) -> None:
    subject = Subject(compiled(Profile("alone", options=frozenset({Option(option)}))), frozenset({option}))
    found = ((row, subject.outcome(row, Place.TOP).verdicts, subject.allowed(row)) for row in ROWS)
    assert complaints(found) == {}


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("name", [*PROFILES])
def test_a_name_where_a_date_time_or_age_should_be_goes(name: str, implicit: bool) -> None:
    subject = shipped(name)
    dated = [row for row in ROWS if row.vr in MALFORMED_VRS]
    found = [
        (row, subject.outcome_of_malformed(row, place, implicit).verdicts, UNTELLING)
        for row in dated
        for place in (Place.TOP, Place.NESTED, Place.GROUPS)
    ]
    assert len(dated) == 171
    assert complaints(found) == {}


def test_a_uid_is_mapped_alike_in_every_row_place_encoding_and_profile() -> None:
    found: dict[str, set[str]] = {}
    for name in PROFILES:
        subject = shipped(name)
        for row in (row for row in ROWS if subject.allowed(row) == {Verdict.MAPPED}):
            for place in (Place.TOP, Place.NESTED, Place.GROUPS):
                for implicit in (False, True):
                    found.setdefault(row.uid, set()).update(subject.outcome(row, place, implicit).uids)
    assert len(found) == 52
    assert [uid for uid, mapped in found.items() if mapped != {KEY.uid(uid)}] == []
    assert len({uid for mapped in found.values() for uid in mapped}) == 52


VERDICTS: Mapping[str, Mapping[str, int]] = {
    "basic": {"removed": 423, "emptied": 51, "replaced": 128, "mapped": 53, "descended": 2},
    "research": {
        "removed": 188,
        "emptied": 18,
        "replaced": 35,
        "mapped": 51,
        "descended": 25,
        "shifted": 114,
        "kept": 93,
        "cleaned": 133,
    },
    "adit-compatible": {
        "removed": 289,
        "emptied": 20,
        "replaced": 89,
        "mapped": 51,
        "descended": 25,
        "kept": 50,
        "cleaned": 133,
    },
}
"""All 657 rows at the top level; of a choice like X/Z/D these are what the engine chose."""


@pytest.mark.parametrize("name", PROFILES)
def test_the_verdicts_are_counted(name: str) -> None:
    counted = Counter(verdict for row in ROWS for verdict in shipped(name).outcome(row, Place.TOP).verdicts)
    assert counted == VERDICTS[name]
    assert sum(counted.values()) == 657


def test_the_file_meta_information_is_our_own() -> None:
    source = deid_rows.header(ROWS[0], Place.TOP, False)
    uids = {tag: deid_rows.elements(source, False)[tag].decode().rstrip("\0") for tag in (0x00080016, 0x00080018)}
    instance = shipped("research").engine.instance(EncodedInstance(*uids.values(), EXPLICIT, (source,)))
    prefix = part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid)
    meta = deid_rows.elements(prefix[132:], False)
    assert prefix[:128] == bytes(128)
    assert meta[0x00020003].decode().rstrip("\0") == KEY.uid(uids[0x00080018])
    assert set(meta) == {0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013}


class Mutant(Policy):
    """A policy with the rule of one attribute at a time switched to another one."""

    def __init__(self, profile: Profile, rule: Rule) -> None:
        super().__init__(profile)
        self._rule_instead = rule
        self.mutated = 0

    def rule_for(self, tag: int, vr: bytes) -> Rule:
        return self._rule_instead if tag == self.mutated else super().rule_for(tag, vr)


def survivors(name: str, rule: Rule) -> set[str]:
    """Keywords of the rows whose rule can be replaced by this one without any check noticing."""
    mutant = Mutant(profile.load(name), rule)
    subject = Subject(mutant, SHIPPED_OPTIONS[name], name)
    left: set[str] = set()
    for row in ROWS:
        mutant.mutated = row.tag
        if not subject.complaint(row):
            left.add(row.keyword)
    return left


@pytest.mark.parametrize("name", PROFILES)
def test_no_row_can_be_kept_without_being_noticed(name: str) -> None:
    """Survivors are the rows that the options keep as they are; keeping them is their rule already."""
    kept = {row.keyword for row in ROWS if shipped(name).allowed(row) == {Verdict.KEPT} and row.vr not in MALFORMED_VRS}
    assert survivors(name, Rule.KEEP) == kept


@pytest.mark.parametrize("name", PROFILES)
def test_no_row_that_must_stay_can_be_removed_without_being_noticed(name: str) -> None:
    """Survivors are the rows that may be removed."""
    removable = {row.keyword for row in ROWS if Verdict.REMOVED in shipped(name).allowed(row)}
    assert survivors(name, Rule.DELETE) == removable
