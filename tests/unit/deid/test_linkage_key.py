"""UIDs and digests follow from the key alone, are valid, and give nothing away."""

import pickle
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.deid.keys import LinkageKey
from models.domain.errors import ProfileInvalid
from models.domain.refs import is_uid

KEY = LinkageKey(bytes(range(32)))
OTHER = LinkageKey(bytes(range(1, 33)))


def test_a_uid_becomes_a_valid_uuid_of_version_8() -> None:
    mapped = KEY.uid("1.2.3.4")
    assert is_uid(mapped)
    number = uuid.UUID(int=int(mapped.removeprefix("2.25.")))
    assert number.version == 8
    assert number.variant == uuid.RFC_4122


def test_padding_is_no_part_of_a_uid() -> None:
    assert KEY.uid("1.2.3.4\0") == KEY.uid("1.2.3.4 ") == KEY.uid("1.2.3.4")


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.4.1.1", ""])
def test_uids_of_the_standard_and_nothing_stay(uid: str) -> None:
    assert KEY.uid(uid) == uid


def test_a_uid_that_only_looks_like_one_of_the_standard_is_mapped() -> None:
    assert KEY.uid("1.2.840.100081.1").startswith("2.25.")


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_values_and_domains_have_different_digests(one: str, other: str) -> None:
    assert (KEY.digest("uid", one) == KEY.digest("uid", other)) == (one == other)
    assert KEY.digest("uid", one) != KEY.digest("date", one)
    assert KEY.digest("uid", one) != OTHER.digest("uid", one)


def test_a_patient_is_known_again_whatever_the_padding_and_composition() -> None:
    assert KEY.patient_digest(" M\u00fcller7 ") == KEY.patient_digest("Mu\u0308ller7")
    assert KEY.patient_digest("1", "A") != KEY.patient_digest("1", "B")
    assert KEY.patient_digest("BA") != KEY.patient_digest("A", "B")


def test_the_secret_is_neither_shown_nor_serialized() -> None:
    assert repr(KEY) == "LinkageKey(hidden)"
    with pytest.raises(TypeError):
        pickle.dumps(KEY)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ProfileInvalid):
        LinkageKey(bytes(31))


def test_a_pseudonym_is_twelve_letters_and_digits_that_nobody_misreads() -> None:
    pseudonyms = {KEY.pseudonym(f"PAT{number}") for number in range(3000)}
    assert len(pseudonyms) == 3000
    assert all(re.fullmatch(r"[CDFHJKMNPQRTVWXY][CDFHJKMNPQRTVWXY2-9]{11}", pseudonym) for pseudonym in pseudonyms)
    assert len({pseudonym[place] for pseudonym in pseudonyms for place in range(12)}) == 24


def test_a_pseudonym_belongs_to_the_patient_the_issuer_the_number_and_the_key() -> None:
    assert KEY.pseudonym(" M\u00fcller7 ") == KEY.pseudonym("Mu\u0308ller7")
    different = {
        KEY.pseudonym("1"),
        KEY.pseudonym("2"),
        KEY.pseudonym("1", "A"),
        KEY.pseudonym("A", "1"),
        KEY.pseudonym("1", number=1),
        OTHER.pseudonym("1"),
    }
    assert len(different) == 6


def test_the_fingerprint_tells_keys_apart_and_is_no_part_of_any_other_digest() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}", KEY.fingerprint)
    assert KEY.fingerprint != OTHER.fingerprint
    assert KEY.fingerprint == LinkageKey(bytes(range(32))).fingerprint
    assert not KEY.digest("patient", "").hex().startswith(KEY.fingerprint)
