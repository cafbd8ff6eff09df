"""A generated pseudonym follows from key and patient alone, can be read aloud, and is no number to any program."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dicom.deid.keys import LinkageKey

KEY = LinkageKey(bytes(range(32)))
OTHER = LinkageKey(bytes(range(1, 33)))
SHAPE = re.compile(r"[CDFHJKMNPQRTVWXY][CDFHJKMNPQRTVWXY2-9]{11}")


@given(st.text())
def test_it_has_twelve_characters_none_of_which_looks_like_another(patient_id: str) -> None:
    assert SHAPE.fullmatch(KEY.pseudonym(patient_id))


@given(st.text(min_size=1), st.text(min_size=1))
def test_it_is_the_same_exactly_for_the_same_patient(one: str, other: str) -> None:
    is_same = KEY.patient_digest(one) == KEY.patient_digest(other)
    assert (KEY.pseudonym(one) == KEY.pseudonym(other)) == is_same


def test_key_issuer_and_number_each_make_another() -> None:
    made = {KEY.pseudonym("1"), OTHER.pseudonym("1"), KEY.pseudonym("1", "A"), KEY.pseudonym("1", number=1)}
    assert len(made) == 4
    assert KEY.pseudonym(" 1 ") == KEY.pseudonym("1") == KEY.pseudonym("1", number=0)


def test_it_stays_what_it_is_in_later_versions() -> None:
    assert KEY.pseudonym("PAT-1") == "T924746KV64V"
