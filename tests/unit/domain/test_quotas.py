"""Sizes in words, thresholds, and who gets how much of what is left."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.domain.errors import OverQuota, Retry
from models.domain.quotas import GB, Usage, check_room, grown, in_bytes, readable, warn_at_bytes

MEASURED_AT = datetime(2026, 3, 1, tzinfo=UTC)
SIZES = st.integers(0, 10**13)


def a_folder(quota_gb: float | None = 10, used_bytes: int = 0, **fields: object) -> Usage:
    return Usage(1, "research", in_bytes(quota_gb), used_bytes, measured_at=MEASURED_AT, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 MB"),
        (1, "0.1 kB"),
        (12_345, "12.3 kB"),
        (45 * 10**6, "45 MB"),
        (400 * 10**6, "0.4 GB"),
        (1_250_000_000, "1.3 GB"),
        (10 * GB, "10 GB"),
        (2_400 * GB, "2.4 TB"),
    ],
)
def test_sizes_are_told_in_the_largest_unit_that_fits(size: int, words: str) -> None:
    assert readable(size) == words


def test_usage_is_what_was_found_published_and_promised() -> None:
    usage = a_folder(10, 2 * GB, settled_since_bytes=GB, reserved_bytes=2 * GB)
    assert (usage.used_bytes, usage.left_bytes, usage.percent) == (5 * GB, 5 * GB, 50)
    assert usage.sentence == "5 GB of 10 GB used (50 %), 2 GB of it reserved for jobs."


def test_without_a_quota_there_is_neither_a_percentage_nor_a_limit() -> None:
    usage = a_folder(None, 5 * GB)
    assert (usage.percent, usage.left_bytes, usage.warns) == (None, None, False)
    assert usage.sentence == "5 GB used."
    check_room(usage, 10**15)


def test_a_folder_nobody_has_looked_into_says_so() -> None:
    assert Usage(1, "research", 10 * GB).sentence == "0 MB of 10 GB used (0 %); not measured yet."


def test_a_folder_that_people_have_overfilled_has_nothing_left() -> None:
    usage = a_folder(10, 12 * GB)
    assert (usage.left_bytes, usage.percent) == (0, 120)


@pytest.mark.parametrize(
    ("quota_gb", "at_gb", "at_percent", "threshold"),
    [
        (10, None, None, None),
        (10, 4, None, 4 * GB),
        (10, None, 80, 8 * GB),
        (10, 9, 80, 8 * GB),
        (10, 4, 80, 4 * GB),
        (None, None, 80, None),
        (None, 4, 80, 4 * GB),
    ],
)
def test_the_threshold_that_is_reached_first_counts(
    quota_gb: float | None, at_gb: float | None, at_percent: float | None, threshold: int | None
) -> None:
    assert warn_at_bytes(quota_gb, at_gb, at_percent) == threshold


def test_the_warning_begins_at_the_threshold() -> None:
    assert not a_folder(used_bytes=8 * GB - 1, warn_at_bytes=8 * GB).warns
    assert a_folder(used_bytes=8 * GB, warn_at_bytes=8 * GB).warns


def test_a_refusal_tells_need_room_and_quota() -> None:
    with pytest.raises(OverQuota) as refusal:
        check_room(a_folder(10, 9_600_000_000), 1_200_000_000)
    assert refusal.value.message == "Folder research: needs about 1.2 GB, has 0.4 GB of its quota of 10 GB left."
    assert refusal.value.retry is Retry.NEVER


def test_what_is_needed_never_reads_like_what_is_left() -> None:
    with pytest.raises(OverQuota, match=r"needs about 1\.3 GB, has 1\.2 GB"):
        check_room(a_folder(10, 10 * GB - 1_249_999_999), 1_250_000_000)


def test_a_full_folder_takes_nothing_not_even_what_nobody_knows_the_size_of() -> None:
    with pytest.raises(OverQuota, match="its quota of 10 GB is used up"):
        check_room(a_folder(10, 10 * GB), 0)
    check_room(a_folder(10, 10 * GB - 1), 0)


@given(quota=SIZES, others=SIZES, reserved=SIZES, needed=SIZES)
def test_a_reservation_never_grows_past_the_quota_nor_shrinks_nor_falls_short(
    quota: int, others: int, reserved: int, needed: int
) -> None:
    usage = Usage(1, "research", quota, measured_bytes=others, reserved_bytes=reserved)
    try:
        size = grown(usage, reserved, needed)
    except OverQuota:
        assert needed > reserved
        assert others + needed > quota
    else:
        assert size >= max(needed, reserved)
        assert size == reserved or others + size <= quota


def test_small_instances_do_not_ask_every_time_and_little_room_is_not_hoarded() -> None:
    assert grown(a_folder(1000), 0, 1) > 60_000_000
    assert grown(a_folder(None), 0, 1) > 60_000_000
    assert grown(a_folder(0.001), 0, 1) < 100_000


def test_a_worker_without_room_says_how_much_is_left() -> None:
    with pytest.raises(OverQuota, match=r"of its quota of 10 GB no more than 15 MB are left, and the study needs more"):
        grown(a_folder(10, 10 * GB - 15_000_000), 5, 20_000_000)


@given(SIZES)
def test_every_size_has_words(size: int) -> None:
    number, unit = readable(size).split()
    scale = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}[unit]
    assert abs(float(number) * scale - size) <= max(scale / 20, 100)
