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
    for result in (dates.shifted_date(value, DAYS), dates.shifted_date_time(value, DAYS), dates.plain_time(value)):
        assert re.fullmatch(rb"[\d.:+\-\\]*", result)
