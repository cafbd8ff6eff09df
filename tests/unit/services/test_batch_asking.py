"""What a row of a batch file asks of a server, and what the answers mean; the archive is in memory."""

from dataclasses import replace
from datetime import date

import pytest

from models.domain.answers import CheckedStudy, RowVerdict
from models.domain.batches import BatchQueryRow, BatchTransferItem
from models.domain.errors import Ambiguous, IdentityConflict, NotFound, Unreachable
from models.domain.refs import PatientQuery, StudyQuery
from services.batches import asking
from tests.memory_archive import MemoryArchive
from tests.samples import a_server

BORN = date(1970, 1, 1)
BY_ID = BatchQueryRow(2, patient_id="P1", modalities=("CT",))
BY_NAME = BatchQueryRow(2, patient_name="Doe^Jane", birth_date=BORN, modalities=("CT",))
WHOLE = BatchTransferItem((2,), ("",), "P1", "1.2")


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


def ask(archive: MemoryArchive, row: BatchQueryRow, **server: object) -> asking.Answered:
    with archive.finder() as finder:
        return asking.ask(a_server(**server), finder, row)


def check(archive: MemoryArchive, item: BatchTransferItem, *excluded: str, **server: object) -> CheckedStudy:
    with archive.finder() as finder:
        return asking.check(a_server(**server), finder, item, excluded)


def uids(found: asking.Answered) -> list[str]:
    return [answer.study.study_uid for answer in found.answers]


def test_studies_of_a_patient_come_by_date(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1", study_date="20240501")
    archive.add("P1", "1.2", study_date="20230501")
    archive.add("P2", "1.3")
    archive.add("P1", "1.4", series=(("MR", "1", "", 1),))
    found = ask(archive, BY_ID)
    assert (uids(found), found.sentence, found.warnings) == (["1.2", "1.1"], "2 studies found.", ())


def test_of_a_known_patient_nothing_is_an_answer_too(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1")
    found = ask(archive, replace(BY_ID, modalities=("MR",)))
    assert (found.answers, found.sentence) == ((), "0 studies found.")


def test_a_patient_that_the_server_does_not_know_is_not_found(archive: MemoryArchive) -> None:
    archive.add("P2", "1.1")
    for row in (BY_ID, replace(BY_NAME, birth_date=date(1971, 1, 1)), replace(BY_NAME, patient_name="Doe^Jan")):
        with pytest.raises(NotFound) as raised:
            ask(archive, row)
        assert "P1" not in str(raised.value) and "Doe" not in str(raised.value)


@pytest.mark.parametrize("told", [{"patient_name": "Roe^Jane"}, {"birth_date": date(1970, 1, 2)}])
def test_name_and_birth_date_beside_an_id_must_be_those_of_the_patient(
    archive: MemoryArchive, told: dict[str, object]
) -> None:
    archive.add("P1", "1.1")
    with pytest.raises(IdentityConflict):
        ask(archive, replace(BY_ID, **told))  # type: ignore[arg-type]
    assert uids(ask(archive, replace(BY_ID, patient_name="DOE^JANE^", birth_date=BORN))) == ["1.1"]


def test_an_id_is_exactly_the_id_also_where_the_server_does_not_care(archive: MemoryArchive) -> None:
    archive.ignores_case = True
    archive.add("p1", "1.1")
    with pytest.raises(NotFound):
        ask(archive, BY_ID)
    archive.add("P1", "1.2")
    assert uids(ask(archive, BY_ID)) == ["1.2"]


def test_answers_of_a_server_that_ignores_keys_are_those_of_the_patient_only(archive: MemoryArchive) -> None:
    archive.ignores_keys = True
    archive.add("P2", "1.1", name="Roe^Jane")
    archive.add("P1", "1.2")
    archive.add("P3", "1.3", name="", born="")
    assert uids(ask(archive, BY_ID)) == ["1.2"]
    assert uids(ask(archive, BY_NAME)) == ["1.2"], "who has neither name nor birth date may be anybody"


def test_studies_of_another_person_with_the_same_id_are_left_out_with_a_warning(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1")
    archive.add("P1", "1.2", born="19800101")
    archive.add("P1", "1.3", name="Roe^Richard")
    for row in (replace(BY_ID, patient_name="Doe^Jane", birth_date=BORN), BY_NAME):
        archive.ignores_keys = True
        found = ask(archive, row)
        assert (uids(found), found.warnings) == (["1.1"], (asking.OTHERS_LEFT_OUT,))


def test_an_id_with_several_birth_dates_is_ambiguous_until_the_row_names_one(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1")
    archive.add("P1", "1.2", born="19800101")
    with pytest.raises(Ambiguous):
        ask(archive, BY_ID)
    assert uids(ask(archive, replace(BY_ID, birth_date=BORN))) == ["1.1"]
    assert uids(ask(archive, replace(BY_ID, birth_date=date(1980, 1, 1)))) == ["1.2"], "also who is listed second"


def test_an_id_with_several_names_is_answered_with_a_warning(archive: MemoryArchive) -> None:
    """People marry, and archives keep what they were told at the time."""
    archive.add("P1", "1.1", name="", study_date="20200101")
    archive.add("P1", "1.2")
    archive.add("P1", "1.3", name="DOE^JANE^^")
    assert ask(archive, BY_ID).warnings == ()
    archive.add("P1", "1.4", name="Roe^Jane")
    found = ask(archive, BY_ID)
    assert (uids(found), found.warnings) == (["1.1", "1.2", "1.3", "1.4"], (asking.SEVERAL_NAMES,))


def test_several_patients_with_one_name_and_birth_date_are_all_answered_with_a_warning(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1")
    archive.add("P2", "1.2")
    found = ask(archive, BY_NAME)
    assert (sorted(uids(found)), found.warnings) == (["1.1", "1.2"], (asking.INDISTINCT,))
    archive.add("P3", "1.3", series=(("MR", "1", "", 1),))
    only = ask(archive, replace(BY_NAME, modalities=("MR",)))
    assert (uids(only), only.warnings) == (["1.3"], ()), "only one of them has such a study"


def test_the_row_narrows_by_accession_number_dates_and_description(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1", study_date="20240101", study_description="Head native", accession_number="A1")
    archive.add("P1", "1.2", study_date="20240201", study_description="Neck", accession_number="A2")
    archive.add("P1", "1.3", study_date="20240301", study_description="Head", accession_number="A3")
    for told, expected in (
        ({"accession_number": "A2"}, ["1.2"]),
        ({"from_date": date(2024, 2, 1)}, ["1.2", "1.3"]),
        ({"until_date": date(2024, 2, 1)}, ["1.1", "1.2"]),
        ({"from_date": date(2024, 1, 2), "until_date": date(2024, 2, 28)}, ["1.2"]),
        ({"study_description": "Head*"}, ["1.1", "1.3"]),
    ):
        assert uids(ask(archive, replace(BY_ID, **told))) == expected, told  # type: ignore[arg-type]


def test_each_study_comes_once_whatever_the_number_of_its_modalities(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1", series=(("CT", "1", "", 2), ("SR", "2", "", 1)))
    assert uids(ask(archive, replace(BY_ID, modalities=("CT", "SR", "MR")))) == ["1.1"]


def test_a_row_about_series_gets_each_series_by_its_number(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1", series=(("CT", "10", "Thorax 1mm", 5), ("CT", "2", "Thorax", 4), ("SR", "", "Dose", 1)))
    for told, expected in (
        ({"series_description": "Thorax*"}, ["2", "10"]),
        ({"series_numbers": ("10", "3")}, ["10"]),
        ({"series_numbers": ("+02",)}, ["2"]),
        ({"series_description": "Dose"}, [""]),
        ({"series_description": "*", "series_numbers": ("2", "10")}, ["2", "10"]),
    ):
        found = ask(archive, replace(BY_ID, **told))  # type: ignore[arg-type]
        assert [answer.series.number for answer in found.answers if answer.series] == expected, told
        assert found.sentence == f"{len(expected)} series found."
        assert [answer.instance_count for answer in found.answers] == [
            answer.series.instance_count for answer in found.answers if answer.series
        ]


def test_a_list_as_long_as_the_server_makes_them_may_have_been_cut(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1")
    archive.add("P1", "1.2")
    assert ask(archive, BY_ID, max_search_results=2).warnings == (asking.CUT,)
    assert ask(archive, BY_ID, max_search_results=3).warnings == ()


def test_what_is_wrong_with_the_server_is_raised(archive: MemoryArchive) -> None:
    archive.faults = [Unreachable()]
    with pytest.raises(Unreachable):
        ask(archive, BY_ID)


def test_a_patient_is_asked_for_before_studies(archive: MemoryArchive) -> None:
    archive.add("P1", "1.1")
    ask(archive, BY_ID)
    assert archive.asked == [PatientQuery(patient_id="P1"), StudyQuery(patient_id="P1", modalities=("CT",))]


def test_a_check_says_what_would_be_moved(archive: MemoryArchive) -> None:
    archive.add("P1", "1.2", series=(("CT", "1", "", 3), ("MR", "2", "", 4)))
    found = check(archive, WHOLE)
    assert (found.verdict, found.instance_count, len(found.series)) == (RowVerdict.FOUND, 7, 2)
    assert found.sentence == "7 instances in 2 series."
    assert found.size_bytes > 0
    some = check(archive, replace(WHOLE, series_uids=("1.2.2",)))
    assert (some.instance_count, [one.series_uid for one in some.series]) == (4, ["1.2.2"])


def test_series_that_a_server_does_not_count_are_listed(archive: MemoryArchive) -> None:
    archive.add("P1", "1.2", series=(("CT", "1", "", None),))
    assert check(archive, WHOLE).instance_count == 4


@pytest.mark.parametrize(
    ("item", "verdict"),
    [
        (replace(WHOLE, study_uid="1.9"), RowVerdict.NOT_FOUND),
        (replace(WHOLE, series_uids=("1.2.1", "1.2.9")), RowVerdict.NOT_FOUND),
        (replace(WHOLE, patient_id="P2"), RowVerdict.MISMATCH),
        (replace(WHOLE, study_uid="", accession_number="B1"), RowVerdict.FOUND),
        (replace(WHOLE, study_uid="", accession_number="B1", patient_id=""), RowVerdict.FOUND),
        (replace(WHOLE, study_uid="", accession_number="B1", patient_id="P2"), RowVerdict.NOT_FOUND),
        (replace(WHOLE, study_uid="", accession_number="B2"), RowVerdict.NOT_FOUND),
        (replace(WHOLE, study_uid="", study_date=date(2024, 3, 12)), RowVerdict.AMBIGUOUS),
        (replace(WHOLE, study_uid="", study_date=date(2024, 3, 12), modalities=("MR",)), RowVerdict.FOUND),
        (replace(WHOLE, study_uid="", study_date=date(2024, 3, 13)), RowVerdict.NOT_FOUND),
        (replace(WHOLE, study_uid="1.4"), RowVerdict.EXCLUDED),
    ],
)
def test_every_row_gets_a_verdict_that_names_nobody(
    archive: MemoryArchive, item: BatchTransferItem, verdict: RowVerdict
) -> None:
    archive.add("P1", "1.2", accession_number="B1")
    archive.add("P1", "1.3", series=(("MR", "1", "", 1),))
    archive.add("P1", "1.4", series=(("SR", "1", "", 1),), study_date="20200101")
    found = check(archive, item, "SR")
    assert found.verdict is verdict
    assert found.sentence and not any(word in found.sentence for word in ("P1", "P2", "B1", "Doe"))


def test_a_study_that_belongs_to_two_patients_is_ambiguous(archive: MemoryArchive) -> None:
    archive.add("P1", "1.2")
    archive.studies.append(replace(archive.studies[0], patient_id="P2"))
    assert check(archive, WHOLE).verdict is RowVerdict.AMBIGUOUS


def test_a_study_without_what_the_row_says_is_not_taken_for_it(archive: MemoryArchive) -> None:
    """Searches show it, since archives leave keys empty; but what is moved must be what was meant."""
    archive.ignores_keys = True
    archive.add("P1", "1.2", accession_number="", study_date="")
    for told in ({"accession_number": "B1"}, {"study_date": date(2024, 3, 12)}):
        assert check(archive, replace(WHOLE, study_uid="", **told)).verdict is RowVerdict.NOT_FOUND  # type: ignore[arg-type]


def test_a_study_of_another_modality_is_not_taken_for_it(archive: MemoryArchive) -> None:
    archive.ignores_keys = True
    archive.add("P1", "1.2")
    wanted = replace(WHOLE, study_uid="", study_date=date(2024, 3, 12), modalities=("MR",))
    assert check(archive, wanted).verdict is RowVerdict.NOT_FOUND


def test_series_tell_the_modality_of_a_study_that_lists_none(archive: MemoryArchive) -> None:
    for uid, modality in (("1.2", "CT"), ("1.3", "MR")):
        archive.add("P1", uid, series=((modality, "1", "", 1),))
    archive.studies = [replace(study, modalities=()) for study in archive.studies]
    for modality, uid in (("CT", "1.2"), ("MR", "1.3")):
        item = replace(WHOLE, study_uid="", study_date=date(2024, 3, 12), modalities=(modality,))
        found = check(archive, item)
        assert found.study is not None and found.study.study_uid == uid
    assert check(archive, replace(item, modalities=("PT",))).verdict is RowVerdict.NOT_FOUND


def test_a_server_that_wants_a_patient_cannot_look_an_accession_number_up(archive: MemoryArchive) -> None:
    only_patients = {"study_root_find_support": False, "patient_root_find_support": True}
    item = replace(WHOLE, study_uid="", accession_number="B1", patient_id="")
    assert check(archive, item, **only_patients).verdict is RowVerdict.FAILED


def test_a_destination_has_a_study_only_with_all_its_counted_instances(archive: MemoryArchive) -> None:
    archive.add("P1", "1.2", series=(("CT", "1", "", 3), ("MR", "2", "", 4)))
    wanted = archive.series["1.2"]
    with archive.finder() as finder:
        assert asking.is_there(finder, "1.2", wanted)
        assert asking.is_there(finder, "1.2", wanted[:1])
        assert not asking.is_there(finder, "1.2", [replace(wanted[0], instance_count=4)])
        assert not asking.is_there(finder, "1.2", [replace(wanted[0], instance_count=None)])
        assert not asking.is_there(finder, "1.2", [replace(wanted[0], series_uid="1.2.9")])
        assert not asking.is_there(finder, "1.9", wanted)
        assert not asking.is_there(finder, "1.2", [])
