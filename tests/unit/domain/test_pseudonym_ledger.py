"""Within a scope one patient has one pseudonym and one pseudonym one patient, whatever is asked in which order."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.domain.errors import IdentityConflict
from models.domain.pseudonyms import Ledger, spelling

PATIENTS = st.sampled_from(["d1", "d2", "d3", "d4"])
NAMES = st.sampled_from(["A", "a", "B", "Ö", "O\u0308", "C"])
ASKED = st.lists(st.tuples(PATIENTS, st.none() | NAMES), max_size=12)


@given(ASKED)
def test_no_order_of_requests_merges_or_splits_patients(asked: list[tuple[str, str | None]]) -> None:
    ledger = Ledger({"d1": "A"})
    told: dict[str, set[str]] = {"d1": {"A"}}
    for patient, name in asked:
        with contextlib.suppress(IdentityConflict):
            chosen = ledger.give(patient, name) if name else ledger.generate(patient, ["A", "B", "X", "Y", "Z"])
            told.setdefault(patient, set()).add(chosen)
    assert all(len(names) == 1 for names in told.values())
    assert len({spelling(name) for names in told.values() for name in names}) == len(told)
    assert ledger.added == {patient: names.pop() for patient, names in told.items() if patient != "d1"}


def test_a_generated_pseudonym_that_somebody_has_gives_way_to_the_next() -> None:
    ledger = Ledger({"d1": "first"})
    assert ledger.generate("d2", ["FIRST", "second"]) == "second"
    assert ledger.generate("d2", ["third"]) == "second", "it stays what it was"


def test_a_patient_who_has_a_pseudonym_keeps_it_when_one_is_to_be_generated() -> None:
    ledger = Ledger({"d1": "GIVEN"})
    assert ledger.generate("d1", ["other"]) == "GIVEN"
    assert ledger.added == {}


def test_when_all_candidates_are_taken_nobody_is_merged() -> None:
    with pytest.raises(IdentityConflict):
        Ledger({"d1": "A", "d2": "B"}).generate("d3", ["a", "b"])
