"""When a server is open, when that changes next, and its budget at an hour: in local time, also when clocks change."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.domain import windows
from models.domain.errors import BadRequest
from models.domain.nodes import BudgetRule, Window

BERLIN = ZoneInfo("Europe/Berlin")
SYDNEY = ZoneInfo("Australia/Lord_Howe")
"""Its clocks change by half an hour, and the other way round in the year."""
NIGHT = tuple(Window(day, time(20), time(6)) for day in range(5))
GRID = 15
"""Minutes between begins and ends in the properties, so that every change can be looked for."""

clock_times = st.builds(time, st.integers(0, 23), st.sampled_from(range(0, 60, GRID)))
a_window = st.builds(Window, st.integers(0, 6), clock_times, clock_times).filter(
    lambda window: window.begin != window.end or window.begin == time(0)
)
some_windows = st.lists(a_window, max_size=4, unique=True).map(tuple)
weeks = st.sampled_from(
    [
        (BERLIN, datetime(2026, 3, 23, tzinfo=UTC)),  # to summer time on Sunday 29 March, 02:00
        (BERLIN, datetime(2026, 10, 19, tzinfo=UTC)),  # to winter time on Sunday 25 October, 03:00
        (BERLIN, datetime(2026, 7, 6, tzinfo=UTC)),
        (SYDNEY, datetime(2026, 4, 1, tzinfo=UTC)),
        (SYDNEY, datetime(2026, 9, 30, tzinfo=UTC)),
        (ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC)),
    ]
)


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def clock_is_inside(window: Window, moment: datetime, zone: ZoneInfo) -> bool:
    """What a person would say who looks at the clock on the wall and at the window, minute by minute."""
    wall = moment.astimezone(zone)
    minute, begin, end = (each.hour * 60 + each.minute for each in (wall.time(), window.begin, window.end))
    if begin < end:
        return wall.weekday() == window.weekday and begin <= minute < end
    evening = wall.weekday() == window.weekday and minute >= begin
    return evening or ((wall.weekday() - 1) % 7 == window.weekday and minute < end)


@given(some_windows, weeks, st.integers(0, 7 * 24 * 60))
def test_a_server_is_open_when_the_clock_shows_a_time_of_a_window(
    chosen: tuple[Window, ...], week: tuple[ZoneInfo, datetime], minutes: int
) -> None:
    zone, begin = week
    zone, begin = week
    moment = begin + timedelta(minutes=minutes)
    wanted = not chosen or any(clock_is_inside(window, moment, zone) for window in chosen)
    assert windows.is_open(chosen, moment, zone) is wanted


@given(some_windows, weeks, st.integers(0, 7 * 24 * 60))
def test_it_opens_and_closes_at_the_first_moment_at_which_that_is_so(
    chosen: tuple[Window, ...], week: tuple[ZoneInfo, datetime], minutes: int
) -> None:
    zone, begin = week
    zone, begin = week
    moment = begin + timedelta(minutes=minutes)
    is_open = windows.is_open(chosen, moment, zone)
    change = windows.closes_at(chosen, moment, zone) if is_open else windows.opens_at(chosen, moment, zone)
    last = change or moment + timedelta(days=7, hours=2)
    quarters = (moment + timedelta(minutes=n) for n in range(0, int((last - moment).total_seconds() // 60), GRID))
    assert all(windows.is_open(chosen, quarter, zone) is is_open for quarter in quarters)
    if change is not None:
        assert change > moment
        assert windows.is_open(chosen, change, zone) is not is_open
        assert windows.is_open(chosen, change - timedelta(seconds=1), zone) is is_open


@given(some_windows, weeks)
def test_an_open_server_opens_now_and_a_closed_one_later(
    chosen: tuple[Window, ...], week: tuple[ZoneInfo, datetime]
) -> None:
    zone, moment = week
    opens = windows.opens_at(chosen, moment, zone)
    assert (opens == moment) is windows.is_open(chosen, moment, zone)
    assert windows.is_open(chosen, opens, zone)


def test_without_windows_a_server_is_open_for_ever() -> None:
    moment = berlin("2026-07-01 12:00")
    assert windows.is_open((), moment, BERLIN)
    assert windows.closes_at((), moment, BERLIN) is None


def test_windows_of_every_whole_day_never_close() -> None:
    every_day = tuple(Window(day, time(0), time(0)) for day in range(7))
    assert windows.closes_at(every_day, berlin("2026-10-20 12:00"), BERLIN) is None


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        ("2026-07-06 19:59", False),  # Monday
        ("2026-07-06 20:00", True),
        ("2026-07-07 05:59", True),
        ("2026-07-07 06:00", False),
        ("2026-07-11 05:59", True),  # Saturday, of the window of Friday
        ("2026-07-11 20:00", False),
        ("2026-07-06 03:00", False),  # Monday: no window of Sunday goes on
    ],
)
def test_a_window_goes_on_after_midnight(at: str, wanted: bool) -> None:
    assert windows.is_open(NIGHT, berlin(at), BERLIN) is wanted


def test_a_closed_server_says_when_it_opens_and_an_open_one_when_it_closes() -> None:
    assert windows.opens_at(NIGHT, berlin("2026-07-11 12:00"), BERLIN) == berlin("2026-07-13 20:00")
    assert windows.closes_at(NIGHT, berlin("2026-07-06 23:00"), BERLIN) == berlin("2026-07-07 06:00")


def test_windows_that_overlap_or_touch_are_one() -> None:
    chosen = (Window(0, time(8), time(12)), Window(0, time(11), time(14)), Window(0, time(14), time(15)))
    assert windows.closes_at(chosen, berlin("2026-07-06 09:00"), BERLIN) == berlin("2026-07-06 15:00")


def test_a_window_within_the_hour_that_is_left_out_opens_a_week_later() -> None:
    chosen = (Window(6, time(2), time(3)),)
    before = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert not any(windows.is_open(chosen, before + timedelta(minutes=n), BERLIN) for n in range(120))
    assert windows.opens_at(chosen, before, BERLIN) == berlin("2026-04-05 02:00")


def test_a_window_that_begins_within_that_hour_opens_when_the_clock_jumps() -> None:
    chosen = (Window(6, time(2, 30), time(5)),)
    assert windows.opens_at(chosen, berlin("2026-03-29 01:00"), BERLIN) == berlin("2026-03-29 03:00")


def test_a_window_within_the_hour_that_comes_twice_is_open_twice() -> None:
    chosen = (Window(6, time(2), time(2, 30)),)
    first = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    closes = windows.closes_at(chosen, first, BERLIN)
    assert closes == first + timedelta(minutes=30)
    assert windows.opens_at(chosen, first + timedelta(minutes=30), BERLIN) == first + timedelta(hours=1)


@given(weeks, st.integers(0, 7 * 24 * 60), st.lists(st.builds(BudgetRule, a_window, st.integers(1, 40)), max_size=4))
def test_the_budget_is_the_smallest_of_the_rules_that_count(
    week: tuple[ZoneInfo, datetime], minutes: int, rules: list[BudgetRule]
) -> None:
    zone, begin = week
    zone, begin = week
    moment = begin + timedelta(minutes=minutes)
    counting = [rule.budget for rule in rules if clock_is_inside(rule.hours, moment, zone)]
    assert windows.budget_at(tuple(rules), 7, moment, zone) == min(counting, default=7)


def test_more_workers_at_night() -> None:
    rules = windows.parsed_rules("Mon-Fri 20:00-06:00 = 12")
    assert windows.budget_at(rules, 4, berlin("2026-07-06 19:59"), BERLIN) == 4
    assert windows.budget_at(rules, 4, berlin("2026-07-07 01:00"), BERLIN) == 12
    assert windows.budget_at(rules, 4, berlin("2026-07-07 06:00"), BERLIN) == 4


@given(st.builds(BudgetRule, a_window, st.integers(1, 1000)))
def test_a_rule_is_read_as_it_is_written(rule: BudgetRule) -> None:
    assert windows.parsed_rules(windows.rule_words(rule)) == (rule,)


@pytest.mark.parametrize("text", ["", "Mon 20:00-06:00", "Mon 20:00-06:00 = ", "Mon 20:00-06:00 = many", "= 4"])
def test_what_is_no_rule_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadRequest, match=r"budget_rules: .*Mon-Fri 20:00-06:00 = 12"):
        windows.parsed_rules(text)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ((), ""),
        ((BudgetRule(Window(0, time(8), time(9)), 3), BudgetRule(Window(0, time(8), time(9)), 4)), ""),
        ((BudgetRule(Window(0, time(8), time(9)), 0),), "a budget must be positive; hours without any are for windows"),
        ((BudgetRule(Window(0, time(8), time(9)), 3),) * 2, "one stands there twice."),
        ((BudgetRule(Window(9, time(8), time(9)), 3),), "the weekday must be"),
        (tuple(BudgetRule(Window(0, time(0), time(9)), n) for n in range(1, 52)), "at most 50."),
    ],
)
def test_rules_that_cannot_be_are_told_in_a_sentence(rules: tuple[BudgetRule, ...], problem: str) -> None:
    found = windows.rules_problem(rules)
    assert found.startswith(problem) and bool(found) is bool(problem)
