"""Says in words what a policy does: the conformance statement of a profile, and its rule for each attribute."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag

from dicom.deid import table
from dicom.deid.encoding import known_vr
from dicom.deid.policy import Policy, option_codes
from dicom.deid.rules import Rule, name_of

IN_WORDS = {
    Rule.KEEP: "kept",
    Rule.KEEP_IF_VALID: "kept when it is a valid value, else emptied",
    Rule.KEEP_OR_CLEAN: "kept when it is a code string, else reviewed words only",
    Rule.DELETE: "removed",
    Rule.PRIVATE: "kept when it is known to be safe, else removed",
    Rule.EMPTY: "emptied",
    Rule.DUMMY: "replaced by a dummy",
    Rule.UID: "replaced by another UID",
    Rule.KIND: "kept when the standard has it, else replaced by another UID",
    Rule.SCHEME_UID: "kept when its coding scheme is public, else replaced by another UID",
    Rule.DATE: "shifted",
    Rule.DATE_TIME: "shifted by whole days",
    Rule.TIME: "kept when it is a time or an offset, else emptied",
    Rule.PLAIN_DATE: "kept when it is a date, else emptied",
    Rule.PLAIN_DATE_TIME: "kept when it is a date, else emptied",
    Rule.AGE: "kept, at most 90 years",
    Rule.STAND_IN: "replaced by an invented value",
    Rule.PSEUDONYM: "replaced by the pseudonym",
    Rule.LABEL: "replaced by a label",
    Rule.CLEAN_TEXT: "reviewed words only",
    Rule.CLEAN_LABEL: "reviewed words only, a dummy when there are none",
    Rule.DESCEND: "items treated by these rules",
    Rule.DESCEND_STRICTLY: "items treated by these rules, all other text replaced",
    Rule.ONE_DUMMY_ITEM: "replaced by one item that says nothing",
    Rule.CHARACTER_SET: "kept",
    Rule.SCHEME: "kept when it is public, else replaced by a label",
    Rule.CODE: "kept when its coding scheme is public, else replaced by a dummy",
    Rule.CONCEPT: "items treated by these rules",
}


@dataclass(frozen=True, slots=True)
class TreatedRow:
    """A row of table E.1-1 with what a policy does; ``basic`` is the action that the Basic Profile asks for."""

    tag: str
    keyword: str
    basic: str
    action: str


def statement(policy: Policy) -> Iterator[str]:
    """Yield the conformance statement line by line: what an output of this policy claims, and what it does not hide."""
    profile = policy.profile
    yield f"Profile {profile.name}: {profile.title}"
    yield f"Rules {policy.digest}, compiled from table E.1-1 of {table.EDITION} ({len(table.rows())} attributes)"
    yield ""
    yield profile.summary
    yield ""
    yield "Conformance (0012,0064)"
    if not policy.codes:
        yield "  none: an override keeps what no option of the Basic Profile keeps"
    yield from (f"  {value}  {meaning}" for value, meaning in policy.codes)
    yield "  113101  Clean Pixel Data Option, for instances in which pixels were blanked"
    yield f"Longitudinal temporal information (0028,0303)  {policy.temporal_information}"
    yield from _section("Options", sorted(f"{option}  {option_codes()[option][1]}" for option in profile.options))
    yield from _section("Invented instead of empty values", sorted(profile.stand_ins))
    yield from _section("Overrides", list(_overrides(policy)))
    yield from _section("Pixels and documents", [f"{kind}: {how}" for kind, how in profile.pixels.treatments.items()])
    yield from _section("Approved words", sorted(profile.approved_words))
    yield from _section("Approved texts", sorted(profile.approved_texts))
    yield from _section("What an output still tells", profile.discloses)


def treated_rows(policy: Policy) -> Iterator[TreatedRow]:
    """Yield each row of table E.1-1 with the policy's action, in the order of the standard."""
    for row in table.rows():
        tag = _example(row)
        rule = policy.rule_for(tag, known_vr(tag) or row.vr.encode())
        yield TreatedRow(f"({row.tag})", row.keyword, row.basic, IN_WORDS[rule])


def _section(title: str, lines: "list[str] | tuple[str, ...]") -> Iterator[str]:
    if lines:
        yield ""
        yield title
        yield from (f"  {line}" for line in lines)


def _overrides(policy: Policy) -> Iterator[str]:
    for tag, action in sorted(policy.profile.overrides.items()):
        yield f"{name_of(tag)} {keyword_for_tag(tag)}: {action}"


def _example(row: table.Row) -> int:
    """The tag of a row, or one of those that a pattern stands for; with an odd group for private attributes."""
    if not row.is_pattern:
        return row.number
    if "odd" in row.tag:
        return 0x00090010
    return int(row.tag.replace(",", "").replace("xx", "00", 1).replace("xxxx", "0010"), 16)
