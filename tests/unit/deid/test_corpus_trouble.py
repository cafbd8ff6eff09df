"""Which instances are stopped, and why: exactly those that a profile holds or excludes, and no bad value alone."""

import random
import traceback

import pytest

from dicom.deid.encoding import EXPLICIT_LITTLE, read_elements
from dicom.part10 import split_part10
from models.domain.errors import AditError, DeidError, Excluded, NeedsReview, ResidueFound, Unreadable
from tests.corpus import instance_of, kinds
from tests.corpus.search import Haystack
from tests.corpus.treatment import PROFILES, SECRET, deidentifier, outcomes, pseudonym_of, stopped

HELD = {
    "ultrasound": "no regions",
    "secondary_capture": "secondary capture",
    "photo": "visible light",
    "burned_in": "burned into",
    "screen_save": "copy of a screen",
    "private_class": "private",
    "pixel_tail": "behind its last frame",
}
"""Kinds that wait for a person, in all shipped profiles, and words of the reason."""
EXCLUDED = {"pdf"}
RESIDUE = {
    "basic": {"jpeg_comment"},
    "research": {"jpeg_comment", "private_number"},
    "adit-compatible": {"jpeg_comment", "private_number"},
}
"""A comment within a compressed frame has a name, a safe private number is the patient's; nobody can let that pass."""


@pytest.mark.parametrize("profile", PROFILES)
def test_exactly_these_kinds_are_held_or_excluded(profile: str) -> None:
    found = stopped(profile)
    assert {kind for kind, error in found.items() if isinstance(error, NeedsReview)} == set(HELD)
    assert {kind for kind, error in found.items() if isinstance(error, Excluded)} == EXCLUDED
    assert set(found) == {*HELD, *EXCLUDED, *RESIDUE[profile]}
    assert {kind for kind, error in found.items() if isinstance(error, ResidueFound)} == RESIDUE[profile]
    assert all(words in found[kind].message for kind, words in HELD.items())


@pytest.mark.parametrize("profile", PROFILES)
def test_a_person_can_release_what_is_held_but_not_what_is_excluded(profile: str) -> None:
    assert set(stopped(profile, released=True)) == {*EXCLUDED, *RESIDUE[profile]}


def test_a_release_is_for_one_instance_alone() -> None:
    released, other = instance_of("ultrasound"), instance_of("secondary_capture")
    engine = deidentifier("research", released, SECRET, frozenset({released.instance.sop_uid}))
    engine.instance(released.instance)
    with pytest.raises(NeedsReview):
        engine.instance(other.instance)


@pytest.mark.parametrize("kind", ["ct", "cr_deflated", "implicit_mr", "western", "cyrillic", "japanese", "chinese"])
def test_a_file_named_after_the_patient_is_refused(kind: str) -> None:
    original = instance_of(kind)
    engine = deidentifier("research", original, SECRET, frozenset())
    engine.instance(original.instance)
    for word in {*original.patient.words, original.patient.patient_id}:
        with pytest.raises(ResidueFound) as caught:
            engine.check_name(f"study-{word}-1")
        assert word not in str(caught.value)
    engine.check_name(f"{pseudonym_of(original)}-20200101-CT")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", ["bad_dates", "bad_values", "odd_lengths", "empty_values", "un_sequences"])
def test_bad_values_stop_no_instance(profile: str, kind: str) -> None:
    assert not isinstance(outcomes(profile)[kind], AditError)


@pytest.mark.parametrize("profile", PROFILES)
def test_bad_dates_are_emptied_or_removed(profile: str) -> None:
    output = outcomes(profile)["bad_dates"]
    assert not isinstance(output, AditError)
    bad = (b"00000000", b"N/A", b"1943-05-17", b"20230230", b"00010101", b"19431332", b"12.3.43", b"25:99", b"-02-30")
    assert [value for value in bad if value in output.plain.replace(b"2.25.", b"")] == []


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("released", [False, True])
def test_errors_quote_no_value(profile: str, released: bool) -> None:
    for kind, error in stopped(profile, released).items():
        told = Haystack("".join(traceback.format_exception(error)).encode())
        assert [value for value in instance_of(kind).identifiers if told.holds(value)] == [], kind


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", ["report", "enhanced_mr", "un_sequences", "private_blocks", "japanese"])
def test_broken_bytes_raise_nothing_but_the_trees_errors(profile: str, kind: str) -> None:
    """Bytes of the header are changed, cut out or put in; the engine treats the rest or says what is wrong."""
    original = instance_of(kind)
    engine = deidentifier(profile, original, SECRET, frozenset())
    start = len(original.part10) - len(original.instance.parts[0])
    dice = random.Random(f"{profile} {kind}")
    for _ in range(40):
        broken = bytearray(original.part10)
        place = dice.randrange(start, min(len(broken), start + 5000))
        match dice.randrange(3):
            case 0:
                broken[place] = dice.randrange(256)
            case 1:
                del broken[place : place + dice.randrange(1, 9)]
            case _:
                broken[place:place] = dice.randbytes(dice.randrange(1, 9))
        try:
            engine.instance(split_part10(bytes(broken)))
        except (DeidError, Unreadable) as exc:
            told = Haystack("".join(traceback.format_exception(exc)).encode())
            assert not any(told.holds(value) for value in original.identifiers)


def test_the_corpus_has_every_kind_once() -> None:
    assert len(set(kinds())) == len(kinds()) >= 50


def test_the_original_encodings_can_be_read() -> None:
    for kind in kinds():
        instance = instance_of(kind).instance
        if instance.transfer_syntax_uid == "1.2.840.10008.1.2.1":
            assert len(read_elements(memoryview(instance.parts[0]), EXPLICIT_LITTLE)) > 60, kind
