"""When a running job will have ended, as far as the items that have ended tell."""

from datetime import UTC, datetime, timedelta

import pytest

from models.domain.pace import LAST_ENDED, Pace, pace

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def ends(count: int, every_s: float, first_s: float = 0) -> list[datetime]:
    return [after(first_s + every_s * n) for n in range(1, count + 1)]


@pytest.mark.parametrize(("ended", "now_s"), [(0, 3600), (2, 3600), (3, 29), (50, 29)])
def test_nothing_is_promised_before_three_items_have_ended_and_half_a_minute_is_over(ended: int, now_s: float) -> None:
    assert pace(BEGIN, ends(ended, 0.5), 10, after(now_s)) is None


def test_three_items_in_half_a_minute_make_a_pace() -> None:
    assert pace(BEGIN, ends(3, 10), 12, after(30)) == Pace(6.0, after(30 + 120))


def test_a_pace_does_not_depend_on_the_size_of_the_job() -> None:
    many, few = (pace(BEGIN, ends(60, 1), left, after(60)) for left in (6000, 6))
    assert many and few
    assert (many.items_per_minute, few.items_per_minute) == (60.0, 60.0)
    assert (many.ends_at, few.ends_at) == (after(6060), after(66))


def test_only_the_last_items_count_once_there_are_enough() -> None:
    """The first ones took a second each, the last hundred ten."""
    last = ends(500, 1) + ends(LAST_ENDED, 10, first_s=500)
    found = pace(BEGIN, last[-LAST_ENDED:], 6, last[-1])
    assert found and found.items_per_minute == pytest.approx(6)
    assert found.ends_at == last[-1] + timedelta(seconds=60)


def test_a_standstill_makes_the_pace_fall() -> None:
    before, later = (pace(BEGIN, ends(30, 2), 30, after(now)) for now in (60, 600))
    assert before and later
    assert later.items_per_minute == before.items_per_minute / 10
    assert later.ends_at > after(600 + 590)


def test_what_ended_before_this_worker_began_does_not_count() -> None:
    yesterday = [BEGIN - timedelta(days=1, seconds=n) for n in range(80)]
    assert pace(BEGIN, [*yesterday, *ends(2, 1)], 5, after(60)) is None
    assert pace(BEGIN, [*yesterday, *ends(6, 10)], 5, after(60)) == Pace(6.0, after(110))


def test_a_job_of_which_nothing_is_left_ends_now() -> None:
    found = pace(BEGIN, ends(4, 10), 0, after(40))
    assert found and found.ends_at == after(40)


def test_items_that_ended_at_the_very_moment_make_no_division_by_zero() -> None:
    assert pace(BEGIN, [after(40)] * LAST_ENDED, 5, after(40)) is not None
