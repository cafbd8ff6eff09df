"""Dates keep their distances; whatever cannot be read disappears, and nothing raises."""

import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.deid import dates
from dicom.deid.keys import LinkageKey

KEY = LinkageKey(bytes(range(32)))
DAYS = dates.days_back(KEY, "P1")


def test_the_shift_belongs_to_the_patient_and_lies_between_1_and_11_years() -> None:
    shifts = {dates.days_back(KEY, f"P{number}") for number in range(200)}
    assert len(shifts) > 150
    assert min(shifts) >= 365
    assert max(shifts) < 365 + 3650


@given(st.dates(min_value=date(1850, 1, 1)))
def test_a_date_goes_back_by_exactly_the_shift(day: date) -> None:
    expected = (day - timedelta(days=DAYS)).strftime("%Y%m%d").encode()
    assert dates.shifted_date(day.strftime("%Y%m%d").encode(), DAYS) == expected
    assert dates.shifted_date(day.strftime("%Y.%m.%d").encode(), DAYS) == expected
    with_time = day.strftime("%Y%m%d").encode() + b"101733.25+0100 "
    assert dates.shifted_date_time(with_time, DAYS) == expected + b"101733.25+0100"


@pytest.mark.parametrize("value", [b"00000000", b"N/A", b"1943-05-17", b"20230230", b"00010101", b"2023", b"202301"])
def test_a_date_that_cannot_be_read_is_emptied(value: bytes) -> None:
    assert dates.shifted_date(value, DAYS) == b""
    assert dates.shifted_date_time(value, DAYS) == b""


def test_each_of_several_dates_is_shifted() -> None:
    assert dates.shifted_date(b"20240312\\bad\\20240313 ", 1) == b"20240311\\\\20240312"


@given(st.binary(max_size=40))
def test_no_value_raises_and_no_letters_pass(value: bytes) -> None:
    shifted = (dates.shifted_date(value, DAYS), dates.shifted_date_time(value, DAYS))
    plain = (dates.plain_date(value), dates.plain_date_time(value), dates.plain_time(value))
    for result in (*shifted, *plain):
        assert re.fullmatch(rb"[\d.:+\-\\]*", result)


@given(st.dates(min_value=date(1850, 1, 1)))
def test_a_date_that_is_kept_is_kept_as_it_is_written(day: date) -> None:
    for written in (day.strftime("%Y%m%d").encode(), day.strftime("%Y.%m.%d").encode()):
        assert dates.plain_date(written + b" ") == written
    with_time = day.strftime("%Y%m%d").encode() + b"101733.25+0100"
    assert dates.plain_date_time(with_time + b" ") == with_time


@pytest.mark.parametrize("value", [b"00000000", b"Zwirnbald", b"1943-05-17", b"20230230", b"2023", b"19430517 x"])
def test_what_is_no_date_is_not_kept_as_one(value: bytes) -> None:
    assert dates.plain_date(value) == b""
    assert dates.plain_date_time(value) == b""


@pytest.mark.parametrize(
    "value", [b"101112", b"1011", b"10:11:12", b"101112.250000", b"+0100", b"-0330", b"101112\\1011"]
)
def test_a_time_of_day_and_an_offset_are_kept(value: bytes) -> None:
    assert dates.plain_time(value + b" ") == value


@pytest.mark.parametrize("value", [b"Zwirnbald", b"101112 x", b"19430517101112", b"+01000", b"10h11"])
def test_what_is_no_time_is_not_kept_as_one(value: bytes) -> None:
    assert dates.plain_time(value) == b""


@given(st.dates(min_value=date(1900, 1, 1)), st.dates(min_value=date(1900, 1, 1)))
def test_the_days_between_two_dates_stay(one: date, other: date) -> None:
    shifted = [dates.shifted_date(day.strftime("%Y%m%d").encode(), DAYS).decode() for day in (one, other)]
    first, second = (date(int(text[:4]), int(text[4:6]), int(text[6:])) for text in shifted)
    assert second - first == other - one
