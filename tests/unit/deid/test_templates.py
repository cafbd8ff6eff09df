"""Headers that are treated by what they have in common with an earlier one come out as if each were the first."""

import random
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import pytest

from dicom.deid import templates
from dicom.deid.encoding import Element, read_elements, syntax_of
from dicom.deid.engine import Deidentifier
from dicom.deid.keys import LinkageKey
from dicom.deid.policy import Policy, compiled
from dicom.deid.profile import load
from dicom.deid.streams import closed, opened
from dicom.part10 import split_part10
from models.domain.errors import AditError, IdentityConflict
from models.domain.instances import EncodedInstance
from models.domain.refs import StudyFound
from tests.corpus import CorpusInstance, instance_of, instances
from tests.corpus.treatment import PROFILES

SOP_UID, SERIES_UID, STUDY_UID, PATIENT_NAME, PATIENT_ID = 0x00080018, 0x0020000E, 0x0020000D, 0x00100010, 0x00100020
CHANGES = 12
Outcome = tuple[str, str, bytes] | tuple[str, str]


@cache
def a_policy(profile: str) -> Policy:
    return compiled(load(profile))


def a_deidentifier(profile: str = "research", trial: str = "", study: StudyFound | None = None) -> Deidentifier:
    return Deidentifier(a_policy(profile), LinkageKey(bytes(range(32))), "PSEUDO1", trial, study=study)


def outcome(deidentifier: Deidentifier, instance: EncodedInstance) -> Outcome:
    try:
        treated = deidentifier.instance(instance)
    except AditError as error:
        return error.code, error.message
    return treated.sop_uid, treated.transfer_syntax_uid, b"".join(treated.parts)


def elements_of(instance: EncodedInstance) -> tuple[memoryview, list[Element]]:
    data, syntax = opened(instance.parts, instance.transfer_syntax_uid)
    return data, read_elements(data, syntax)


def rebuilt(instance: EncodedInstance, changed: dict[int, bytes | None], sop_uid: str = "") -> EncodedInstance:
    """The instance with whole elements in the place of those of their tags, or added; None takes one away."""
    data, elements = elements_of(instance)
    pieces = {element.tag: bytes(data[element.start : element.end]) for element in elements}
    pieces |= {tag: piece for tag, piece in changed.items() if piece is not None}
    kept = (pieces[tag] for tag in sorted(pieces) if changed.get(tag, b"") is not None)
    parts = closed((b"".join(kept),), instance.transfer_syntax_uid)
    return EncodedInstance(instance.sop_class_uid, sop_uid or instance.sop_uid, instance.transfer_syntax_uid, parts)


def encoded(instance: EncodedInstance, tag: int, vr: bytes, value: bytes) -> bytes:
    return syntax_of(instance.transfer_syntax_uid).encoded(tag, vr, value + b" " * (len(value) % 2))


def next_one(instance: EncodedInstance, number: int) -> EncodedInstance:
    """The same instance with the UID of another."""
    uid = f"1.2.826.0.1.3680043.10.9999.77.{number}"
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return rebuilt(instance, {SOP_UID: syntax_of(instance.transfer_syntax_uid).encoded(SOP_UID, b"UI", value)}, uid)


def varied(instance: EncodedInstance, chance: random.Random) -> Iterator[EncodedInstance]:
    """Instances that are nearly the same: other values of other lengths, elements gone, elements come."""
    for number in range(CHANGES):
        follower = next_one(instance, number)
        data, elements = elements_of(follower)
        ordinary = [each for each in elements if each.tag not in {SOP_UID} and each.tag < 0x7FE00000]
        changed: dict[int, bytes | None] = {}
        for element in chance.sample(ordinary, min(3, len(ordinary))):
            value = bytes(data[element.begin : element.stop])
            match chance.randrange(4):
                case 0:
                    changed[element.tag] = None
                case 1 if element.vr != b"SQ" and element.end == element.stop:
                    changed[element.tag] = encoded(follower, element.tag, element.vr, value + b"12")
                case 2 if element.vr != b"SQ" and element.end == element.stop and len(value) > 2:
                    changed[element.tag] = encoded(follower, element.tag, element.vr, value[:-2])
                case _ if element.vr == b"LO" and element.tag not in {PATIENT_ID}:
                    changed[element.tag] = encoded(follower, element.tag, b"LO", b"bei PAT4711111 Wybakelimo")
                case _:
                    changed[0x00181030] = encoded(follower, 0x00181030, b"LO", b"Thorax nativ")
        yield rebuilt(follower, changed, follower.sop_uid)


@cache
def variations(kind: str) -> tuple[EncodedInstance, ...]:
    original = split_part10(instance_of(kind).part10)
    chance = random.Random(kind)
    plain = [next_one(original, 1000 + number) for number in range(3)]
    return (original, *plain, *varied(original, chance), *plain, original)


@pytest.mark.parametrize("kind", [each.kind for each in instances()])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_template_changes_no_outcome(kind: str, profile: str) -> None:
    engine = a_deidentifier(profile, "TRIAL7")
    for instance in variations(kind):
        assert outcome(engine, instance) == outcome(a_deidentifier(profile, "TRIAL7"), instance)


@pytest.mark.parametrize("seed", range(8))
def test_a_template_changes_no_outcome_whatever_comes_before(seed: int) -> None:
    chance = random.Random(seed)
    chosen = [instance for each in instances() for instance in variations(each.kind)]
    engine = a_deidentifier()
    for instance in chance.sample(chosen, 60):
        assert outcome(engine, instance) == outcome(a_deidentifier(), instance)


# --- what a template must not overlook


@pytest.fixture
def ct() -> EncodedInstance:
    return split_part10(instance_of("ct").part10)


@pytest.fixture
def thorough_runs(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Has one entry for each instance that the engine treated without a template."""
    runs: list[None] = []
    real = Deidentifier._treated

    def counted(self: Deidentifier, *given: object) -> object:
        runs.append(None)
        return real(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Deidentifier, "_treated", counted)
    return runs


def test_a_series_needs_the_engine_once(ct: EncodedInstance, thorough_runs: list[None]) -> None:
    engine = a_deidentifier()
    for number in range(20):
        changed = {0x00200013: encoded(ct, 0x00200013, b"IS", str(number).encode())}
        engine.instance(rebuilt(next_one(ct, number), changed, next_one(ct, number).sop_uid))
    assert len(thorough_runs) == 1


def test_many_series_in_turns_need_the_engine_once_each(thorough_runs: list[None]) -> None:
    kinds = [split_part10(instance_of(kind).part10) for kind in ("ct", "mr", "pet", "rt_dose")]
    engine = a_deidentifier()
    for number in range(5):
        for kind in kinds:
            engine.instance(next_one(kind, number))
    assert len(thorough_runs) == len(kinds)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (PATIENT_NAME, b"PN", b"Andere^Person"),
        (0x00081048, b"PN", b"Neuer^Arzt"),
        (0x00080008, b"CS", b"DERIVED\\SECONDARY\\SCREEN SAVE"),
        (0x00280301, b"CS", b"YES"),
        (0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        (0x00280010, b"US", struct.pack("<H", 2)),
    ],
)
def test_what_decides_about_more_than_itself_is_for_the_engine(
    ct: EncodedInstance, thorough_runs: list[None], tag: int, vr: bytes, value: bytes
) -> None:
    engine = a_deidentifier()
    engine.instance(ct)
    changed = rebuilt(next_one(ct, 1), {tag: encoded(ct, tag, vr, value)}, next_one(ct, 1).sop_uid)
    expected = outcome(a_deidentifier(), changed)
    del thorough_runs[1:]
    assert outcome(engine, changed) == expected
    assert len(thorough_runs) == 2 or expected[0] == "Unreadable"


def test_another_instance_than_was_announced_is_refused_as_ever(ct: EncodedInstance) -> None:
    engine = a_deidentifier()
    engine.instance(ct)
    follower = next_one(ct, 1)
    liar = EncodedInstance(ct.sop_class_uid, "1.2.3.4", ct.transfer_syntax_uid, follower.parts)
    assert outcome(engine, liar) == outcome(a_deidentifier(), liar)
    assert outcome(engine, liar)[0] == "Unreadable"


def test_another_class_than_the_data_sets_is_refused_as_ever(ct: EncodedInstance) -> None:
    engine = a_deidentifier()
    engine.instance(ct)
    follower = next_one(ct, 1)
    liar = EncodedInstance("1.2.840.10008.5.1.4.1.1.4", follower.sop_uid, follower.transfer_syntax_uid, follower.parts)
    assert outcome(engine, liar) == outcome(a_deidentifier(), liar)
    assert outcome(engine, liar)[0] == "Unreadable"


def test_a_name_that_only_an_earlier_instance_has_changes_nothing(ct: EncodedInstance) -> None:
    """Neither is it searched for, nor does cleaning drop its words."""
    described = rebuilt(ct, {0x0008103E: encoded(ct, 0x0008103E, b"LO", b"MRT Kopf nativ")})
    physician = encoded(ct, 0x00081050, b"PN", b"Kopf^Hans")
    first = rebuilt(described, {0x00081050: physician})
    second = rebuilt(next_one(described, 1), {0x00081050: encoded(ct, 0x00081050, b"PN", b"")}, next_one(ct, 1).sop_uid)
    engine = a_deidentifier()
    engine.instance(first)
    assert outcome(engine, second) == outcome(a_deidentifier(), second)
    assert b"Kopf" in outcome(engine, second)[-1]  # type: ignore[operator]


def test_more_data_than_pixels_is_for_the_engine(ct: EncodedInstance) -> None:
    engine = a_deidentifier()
    engine.instance(ct)
    longer = EncodedInstance(
        ct.sop_class_uid, ct.sop_uid, ct.transfer_syntax_uid, (b"".join(ct.parts) + b"\xfc\xff\xfc\xffOB\0\0\0\0\0\0",)
    )
    assert outcome(engine, longer) == outcome(a_deidentifier(), longer)


@pytest.mark.parametrize("cut", [1, 40, 500, 3000])
def test_a_header_that_is_cut_off_is_refused_as_ever(ct: EncodedInstance, cut: int) -> None:
    engine = a_deidentifier()
    engine.instance(ct)
    short = EncodedInstance(ct.sop_class_uid, ct.sop_uid, ct.transfer_syntax_uid, (b"".join(ct.parts)[:cut],))
    assert outcome(engine, short) == outcome(a_deidentifier(), short)


def test_a_residue_in_what_differs_is_found(ct: EncodedInstance) -> None:
    engine = a_deidentifier()
    engine.instance(ct)
    patient_id = instance_of("ct").patient.patient_id.encode()
    leaking = rebuilt(
        next_one(ct, 1), {0x00080070: encoded(ct, 0x00080070, b"LO", b"Maker " + patient_id)}, next_one(ct, 1).sop_uid
    )
    assert outcome(engine, leaking)[0] == "ResidueFound"


def test_an_original_uid_in_what_stays_the_same_is_found(ct: EncodedInstance) -> None:
    """The maker's name of all instances holds the UID that only the second one has."""
    second = next_one(ct, 1)
    maker = {0x00080070: encoded(ct, 0x00080070, b"LO", second.sop_uid.encode())}
    engine = a_deidentifier()
    engine.instance(rebuilt(ct, maker))
    assert outcome(engine, rebuilt(second, maker, second.sop_uid))[0] == "ResidueFound"


def test_an_instance_of_another_study_is_refused_with_and_without_a_template(ct: EncodedInstance) -> None:
    original: CorpusInstance = instance_of("ct")
    study = StudyFound(str(original.dataset.StudyInstanceUID), original.patient.patient_id)
    engine = a_deidentifier(study=study)
    engine.instance(ct)
    other = {STUDY_UID: encoded(ct, STUDY_UID, b"UI", b"1.2.3.4\0")}
    stranger = {PATIENT_ID: encoded(ct, PATIENT_ID, b"LO", b"SOMEBODY")}
    for changed in (other, stranger):
        with pytest.raises(IdentityConflict):
            engine.instance(rebuilt(next_one(ct, 1), changed, next_one(ct, 1).sop_uid))
        with pytest.raises(IdentityConflict):
            a_deidentifier(study=study).instance(rebuilt(ct, changed))


def test_few_templates_are_kept(thorough_runs: list[None]) -> None:
    engine = a_deidentifier()
    for each in instances():
        outcome(engine, split_part10(each.part10))
    assert len(engine._templates._templates) <= templates._MOST_TEMPLATES


def test_a_template_whose_pieces_are_not_what_the_engine_made_takes_no_place(ct: EncodedInstance) -> None:
    engine = a_deidentifier()
    engine.instance(ct)
    (useless,) = engine._templates._templates
    assert useless._lesson
    useless._lesson = replace(useless._lesson, header=b"")
    assert outcome(engine, next_one(ct, 1)) == outcome(a_deidentifier(), next_one(ct, 1))
    assert useless not in engine._templates._templates
    assert len(engine._templates._templates) == 1


# --- the checks of a template, switched off one by one


def _without_fixed_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_FIXED", frozenset())
    real = templates.Templates.learn
    monkeypatch.setattr(
        templates.Templates,
        "learn",
        lambda self, *given: real(self, *given[:4], frozenset(), given[5]),
    )


def _without_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates._Template, "_check", lambda *_: None)


def _with_any_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates._Template, "_has_like_pixels", lambda *_: True)


@pytest.mark.parametrize(
    ("mutate", "check"),
    [
        (
            _without_fixed_tags,
            lambda ct, runs: test_what_decides_about_more_than_itself_is_for_the_engine(
                ct, runs, 0x00080008, b"CS", b"DERIVED\\SECONDARY\\SCREEN SAVE"
            ),
        ),
        (_without_check, lambda ct, _: test_a_residue_in_what_differs_is_found(ct)),
        (_without_check, lambda ct, _: test_an_original_uid_in_what_stays_the_same_is_found(ct)),
        (_with_any_pixels, lambda ct, _: test_more_data_than_pixels_is_for_the_engine(ct)),
    ],
)
def test_a_check_that_is_left_out_is_noticed(
    ct: EncodedInstance,
    thorough_runs: list[None],
    monkeypatch: pytest.MonkeyPatch,
    mutate: Callable[[pytest.MonkeyPatch], None],
    check: Callable[[EncodedInstance, list[None]], None],
) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        check(ct, thorough_runs)


@pytest.mark.parametrize("is_followed", [False, True])
def test_memory_does_not_grow_with_the_pixels(ct: EncodedInstance, is_followed: bool) -> None:
    """They are passed on as a view, by the engine and by templates."""
    data, elements = elements_of(ct)
    pixels = elements[-1]
    head = bytes(data[pixels.start : pixels.begin - 4])
    frames = encoded(ct, 0x00280008, b"IS", b"20000")
    rows = bytes(data[pixels.begin : pixels.stop])
    large = head + struct.pack("<I", len(rows) * 20_000) + rows * 20_000
    first = rebuilt(ct, {0x00280008: frames, pixels.tag: large})
    second = rebuilt(next_one(ct, 1), {0x00280008: frames, pixels.tag: large}, next_one(ct, 1).sop_uid)
    engine = a_deidentifier()
    engine.instance(first)
    tracemalloc.start()
    treated = (engine if is_followed else a_deidentifier()).instance(second)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, treated.parts)) > len(rows) * 20_000
    assert peak < 4 << 20
