"""Dates are read in every usual way of writing, and never guessed."""

from datetime import date, datetime, time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.batch_files.dates import DAY_FIRST, MONTH_FIRST, DateColumn, Either, Found, parsed, read_dates
from services.batch_files.tables import Trouble, Value

DAY = date(2023, 12, 31)


def column(*cells: Value, needs_century: bool = False) -> DateColumn:
    return read_dates("From", list(enumerate(cells, start=2)), needs_century)


def day_of(value: Value, needs_century: bool = True) -> date | str:
    found = parsed(value, needs_century)
    return found.day if isinstance(found, Found) else "either" if isinstance(found, Either) else found


@pytest.mark.parametrize(
    "value",
    [
        "2023-12-31",
        "2023/12/31",
        "2023.12.31",
        "20231231",
        20231231.0,
        "31.12.2023",
        "31. 12. 2023",
        "12/31/2023",
        "31/12/2023",
        "12-31-2023",
        "Dec 31 2023",
        "December 31, 2023",
        "Dec 31st, 2023",
        "31 Dec 2023",
        "31. Dezember 2023",
        "31 Dez. 2023",
        "31-Dec-2023",
        " 2023-12-31 00:00:00 ",
        "2023-12-31T08:15:00",
        "31.12.2023 08:15",
        "12/31/2023 11:59 PM",
        DAY,
        datetime(2023, 12, 31, 8, 15),
    ],
)
def test_a_clear_date_is_read(value: Value) -> None:
    assert day_of(value) == DAY


def test_months_are_known_in_english_and_german() -> None:
    assert day_of("5. März 2023") == day_of("Mar 5 2023") == day_of("5 Maerz 2023") == date(2023, 3, 5)
    assert day_of("1 Mai 2023") == day_of("May 1, 2023") == date(2023, 5, 1)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("soon", "no date"),
        ("31.12.", "no date"),
        ("31.02.2023", "no such day"),
        ("12.31.2023", "no such day"),
        ("2023-13-01", "no such day"),
        ("13/13/2023", "no such day"),
        ("31.12.0203", "no such day"),
        ("31.12.23", "two digits"),
        ("12/31/23", "two digits"),
        ("31 Dec 23", "two digits"),
        (45291.0, "a number"),
        (0.5, "a number"),
        (True, "no date"),
        (time(8, 15), "a time"),
    ],
)
def test_what_is_no_date_is_told_with_a_remedy(value: Value, word: str) -> None:
    sentence = str(day_of(value))
    assert word in sentence
    assert str(value) not in sentence


def test_trouble_in_a_cell_is_told_as_it_is() -> None:
    assert parsed(Trouble.FORMULA_ERROR) == Trouble.FORMULA_ERROR.value


def test_two_digits_are_enough_for_studies() -> None:
    assert day_of("31.12.23", needs_century=False) == DAY
    assert day_of("31.12.85", needs_century=False) == date(1985, 12, 31)


@settings(deadline=None)
@given(st.dates(date(1850, 1, 1), date(2199, 12, 31)))
def test_every_day_is_read_in_unambiguous_forms(day: date) -> None:
    for form in ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%d %b %Y", "%B %d, %Y"):
        assert day_of(day.strftime(form)) == day


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789/-. :TJanMärzPM")) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    assert isinstance(parsed(text), (Found, Either, str))


def test_a_long_text_is_no_date_and_takes_no_time() -> None:
    assert parsed("1" + " " * 30_000 + "x" + "T" * 30_000) == parsed("soon")


def test_an_ambiguous_date_alone_is_refused_with_what_would_be_clear() -> None:
    read = column("03/04/2023")
    ((problem),) = read.problems
    assert (problem.row, problem.column, read.days) == (2, "From", {})
    assert problem.is_error
    assert "2023-12-31" in problem.sentence
    assert "03/04" not in problem.sentence


@pytest.mark.parametrize(
    ("witness", "order", "day"),
    [("31/12/2023", DAY_FIRST, date(2023, 4, 3)), ("12/31/2023", MONTH_FIRST, date(2023, 3, 4))],
)
def test_the_rest_of_the_column_decides_and_it_is_said(witness: str, order: str, day: date) -> None:
    read = column("03/04/2023", witness, "05/05/2023")
    assert read.days[2] == day
    ((problem),) = read.problems
    assert not problem.is_error
    assert order in problem.sentence
    assert "line 3" in problem.sentence


def test_a_column_with_both_orders_decides_nothing() -> None:
    read = column("03/04/2023", "31/12/2023", "12/31/2023")
    assert [problem.row for problem in read.problems] == [2]
    assert "both" in read.problems[0].sentence
    assert set(read.days) == {3, 4}


def test_the_same_number_twice_is_not_ambiguous() -> None:
    assert column("03/03/2023").days == {2: date(2023, 3, 3)}
    assert column("03/03/2023").problems == []


def test_true_dates_between_texts_of_another_order_are_doubted() -> None:
    """German days pasted into an English Excel: what could be a date has become one, with day and month exchanged."""
    read = column("31/12/2023", date(2023, 4, 3), date(2023, 5, 12))
    assert [(problem.is_error, "exchanged" in problem.sentence) for problem in read.problems] == [(False, True)]
    assert column("31/12/2023", date(2023, 4, 3), date(2023, 4, 30)).problems == []
