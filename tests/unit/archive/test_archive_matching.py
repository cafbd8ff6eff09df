"""Keys of a query match as PS3.4 section C.2.2.2 says."""

import pytest

from deployments.archive.matching import matches


@pytest.mark.parametrize(
    ("vr", "key", "value", "expected"),
    [
        ("LO", "", "anything", True),
        ("LO", "AB*", "ABC", True),
        ("LO", "AB*", "abc", False),
        ("LO", "A?C", "ABC", True),
        ("LO", "A?C", "ABBC", False),
        ("LO", "A.C", "ABC", False),
        ("LO", "[AB]*", "ABC", False),
        ("PN", "meier*", "Meier^Anna", True),
        ("PN", "Meier^Anna^^", "MEIER^ANNA", True),
        ("PN", "Meier", "Meier^Anna", False),
        ("UI", "1.2.*", "1.2.3", False),
        ("UI", "1.2.3", "1.2.3", True),
        ("IS", "3", "3", True),
        ("DA", "20260101-20260131", "20260131", True),
        ("DA", "20260101-20260131", "20260201", False),
        ("DA", "20260101-", "20260201", True),
        ("DA", "-20260101", "20260201", False),
        ("DA", "20260101-", "", False),
        ("DA", "20260101", "20260101", True),
        ("TM", "08-0930", "093059.5", True),
        ("TM", "08-0930", "0931", False),
        ("TM", "09", "0931", True),
    ],
)
def test_a_key_matches_as_the_standard_says(vr: str, key: str, value: str, expected: bool) -> None:
    assert matches(vr, [key], [value] if value else []) is expected


def test_any_key_may_match_any_value() -> None:
    assert matches("CS", ["MR", "CT"], ["SR", "CT"])
    assert not matches("CS", ["MR", "CT"], ["SR", "PR"])
