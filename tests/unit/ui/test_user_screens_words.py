"""Amounts, names and dates read as people write them."""

from datetime import date, timedelta

import pytest

from models.domain.refs import SeriesFound, StudyFound
from ui.parts import amounts, studies


def test_counts_have_the_noun_in_its_number() -> None:
    assert amounts.counted(1, "study") == "1 study"
    assert amounts.counted(1204, "study") == "1,204 studies"
    assert amounts.counted(2, "day") == "2 days"
    assert amounts.counted(2, "series", "series") == "2 series"


def test_durations_have_two_units() -> None:
    assert amounts.span(timedelta(seconds=12)) == "12 s"
    assert amounts.span(timedelta(seconds=125)) == "2 min 5 s"
    assert amounts.span(timedelta(hours=3, minutes=4)) == "3 h 4 min"
    assert amounts.span(timedelta(days=2, hours=5)) == "2 d 5 h"
    assert amounts.span(timedelta(seconds=-3)) == "0 s"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Doe^John", "Doe, John"),
        ("Doe^John^Q^Dr.", "Doe, John Q"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou"),
        ("Doe", "Doe"),
        ("^John", "John"),
        ("", ""),
    ],
)
def test_names_are_family_and_given(name: str, words: str) -> None:
    assert studies.person(name) == words


def test_what_is_no_date_stays_as_it_came() -> None:
    assert studies.day("20240131") == "2024-01-31"
    assert studies.day("around 1990") == "around 1990"
    assert studies.day_and_time(StudyFound("1", study_date="20240131", study_time="081530.5")) == "2024-01-31 08:15"
    assert studies.day_and_time(StudyFound("1", study_date="20240131")) == "2024-01-31"


def test_titles_leave_out_what_is_not_known() -> None:
    study = StudyFound("1.2", "P1", "Doe^John", study_date="20240131", modalities=("CT", "SR"))
    assert studies.title(study) == "P1, Doe, John | 2024-01-31 | CT/SR"
    assert studies.title(StudyFound("1.2")) == "without a patient ID"
    assert studies.series_title(SeriesFound("1", "1.2.3")) == "1.2.3"


@pytest.mark.parametrize(
    ("since", "until", "text"),
    [
        (None, None, ""),
        (date(2024, 1, 2), None, "20240102-"),
        (None, date(2024, 1, 2), "-20240102"),
        (date(2024, 1, 2), date(2024, 1, 2), "20240102"),
        (date(2024, 1, 2), date(2024, 3, 4), "20240102-20240304"),
    ],
)
def test_dates_become_a_dicom_range(since: date | None, until: date | None, text: str) -> None:
    assert studies.date_range(since, until) == text
