"""A request that cannot be as it is names every field, and no patient."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.domain.errors import BadRequest
from models.domain.jobs import JobKind
from models.domain.requests import StudyWish, TransferRequest

GOOD = TransferRequest(
    JobKind.BATCH_TRANSFER, 1, 2, (StudyWish("1.2", "P1", ("1.2.3",), "A1"), StudyWish("1.3", "P2", (), "A2"))
)


def problems(request: TransferRequest) -> str:
    with pytest.raises(BadRequest) as raised:
        request.check()
    return raised.value.message


def test_a_good_request_passes() -> None:
    GOOD.check()
    replace(GOOD, studies=(StudyWish("1.2"), StudyWish("1.3"))).check()
    replace(GOOD, studies=(StudyWish("1.2", "P1", (), "A1"), StudyWish("1.3", "P1", (), "A1"))).check()


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (StudyWish(""), "study_uid"),
        (StudyWish("1.2x"), "study_uid"),
        (StudyWish("1." * 32 + "12"), "study_uid"),
        (StudyWish("1.2", series_uids=("1.2", "..")), "series_uids"),
        (StudyWish("1.2", patient_id="P" * 65), "patient_id"),
        (StudyWish("1.2", patient_id="P*"), "patient_id"),
        (StudyWish("1.2", patient_id="P\\Q"), "patient_id"),
        (StudyWish("1.2", pseudonym="A\n"), "pseudonym"),
        (StudyWish("1.2", pseudonym="A?"), "pseudonym"),
        (StudyWish("1.2", pseudonym="A^B"), "pseudonym"),
        (StudyWish("1.2", pseudonym=" A"), "pseudonym"),
        (StudyWish("1.2", patient_id="P1", pseudonym="P1"), "pseudonym"),
    ],
)
def test_a_wrong_field_is_named_with_its_row(wish: StudyWish, field: str) -> None:
    message = problems(replace(GOOD, studies=(StudyWish("9.9"), wish)))
    assert message.startswith(f"Study 2: {field}: ")


def test_all_problems_are_told_at_once() -> None:
    message = problems(replace(GOOD, destination_id=1, trial_protocol_id="x" * 65, studies=()))
    for field in ("destination: ", "trial_protocol_id: ", "studies: "):
        assert field in message


def test_one_study_twice_is_refused_with_its_rows() -> None:
    first, second = GOOD.studies
    assert "rows 1, 3" in problems(replace(GOOD, studies=(first, second, first)))


PEOPLE = st.sampled_from(["P1", "P2", "P3"])
PSEUDONYMS = st.sampled_from(["A1", "A2", "A3", ""])


@given(st.lists(st.tuples(PEOPLE, PSEUDONYMS), min_size=1, max_size=6))
def test_patients_are_neither_merged_nor_split(rows: list[tuple[str, str]]) -> None:
    wishes = tuple(StudyWish(f"1.{n}", person, (), name) for n, (person, name) in enumerate(rows))
    pairs = set(rows)
    named = [(person, name) for person, name in pairs if name]  # an empty one follows the patient's other rows
    split = len({person for person, _ in named}) < len(named)
    merged = len({name for _, name in named}) < len(named)
    request = replace(GOOD, studies=wishes)
    if split or merged:
        assert "pseudonym" in problems(request)
    else:
        request.check()


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_no_value_is_repeated_in_a_message(patient_id: str, pseudonym: str) -> None:
    marked = StudyWish("1.2", f"SECRET{patient_id}", (), f"HIDDEN{pseudonym}")
    try:
        replace(GOOD, studies=(marked, marked)).check()
    except BadRequest as error:
        assert "SECRET" not in error.message
        assert "HIDDEN" not in error.message


def test_a_request_that_keeps_the_identity_takes_neither_pseudonyms_nor_a_profile() -> None:
    message = problems(replace(GOOD, keep_identity=True, profile="basic"))
    assert "pseudonym: none, since the identity is kept (rows 1, 2)." in message
    assert "profile: none" in message
    replace(GOOD, keep_identity=True, studies=(StudyWish("1.2", "P1"), StudyWish("1.3", "P1"))).check()


def test_a_pseudonym_is_nobodys_patient_id() -> None:
    swapped = (StudyWish("1.2", "P1", (), "p2"), StudyWish("1.3", "P2", (), "P1"))
    message = problems(replace(GOOD, studies=swapped))
    assert message.count("it is the ID of a patient") == 2


@pytest.mark.parametrize("kind", [kind for kind in JobKind if kind.only_asks])
def test_what_only_asks_is_no_transfer(kind: JobKind) -> None:
    assert "kind: a job of this kind moves nothing" in problems(replace(GOOD, kind=kind))


def test_a_study_of_a_file_is_called_by_its_line() -> None:
    wishes = (StudyWish("no uid", "P1", lines=(7, 9)), StudyWish("no uid", "P2"))
    message = problems(replace(GOOD, studies=wishes))
    assert "Line 7: study_uid: not a DICOM UID." in message and "Study 2: study_uid: not a DICOM UID." in message


def test_of_ten_thousand_wrong_rows_the_first_are_told_and_how_many_more_there_are() -> None:
    wishes = tuple(StudyWish(f"1.2.{number}", "P*") for number in range(10_000))
    message = problems(replace(GOOD, studies=wishes))
    assert "Study 100: patient_id" in message and "Study 101: patient_id" not in message
    assert message.endswith("request: 9900 more of its fields are wrong, too.")
