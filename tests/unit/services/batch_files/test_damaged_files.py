"""Whatever is done to a file, it is read or refused, and takes neither much memory nor much time."""

import os
import resource
import time
from collections import Counter

import pytest

from models.domain.batches import BatchKind, grouped
from models.domain.errors import BadRequest
from services.batch_files.annotating import annotated
from services.batch_files.checking import check_query, check_transfer
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table
from services.batch_files.tables import Table
from tests.batch_file_mutants import mutants

LIMITS = limits_of(BatchKind.QUERY, is_staff=False)


def outcome(data: bytes) -> str:
    """What becomes of a file; anything but a BadRequest is a fault of ours."""
    try:
        table = read_table(data, LIMITS)
    except BadRequest:
        return "unreadable"
    results = {query(table), transfer(table)}
    return "good" if "good" in results else "refused"


def query(table: Table) -> str:
    try:
        checked = check_query(table, LIMITS)
    except BadRequest:
        return "refused"
    copy = annotated(table, checked.problems, {2: "done"})
    assert read_table(copy.data, limits_of(BatchKind.QUERY, is_staff=True)).rows
    return "good" if checked.is_good else "refused"


def transfer(table: Table) -> str:
    try:
        checked = check_transfer(table, LIMITS)
    except BadRequest:
        return "refused"
    assert len(grouped(checked.rows)) <= len(checked.rows)
    return "good" if checked.is_good else "refused"


def outcomes(seed: int, count: int) -> Counter[str]:
    return Counter(map(outcome, mutants(seed, count)))


def test_some_hundred_damaged_files_are_read_or_refused() -> None:
    found = outcomes(7, 300)
    assert found["unreadable"] > 30
    assert found["refused"] > 30
    assert found["good"] > 10


@pytest.mark.skipif(not os.environ.get("ADIT_SLOW_TESTS"), reason="takes minutes")
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_files_are_read_or_refused_within_bounds() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest, found = 0.0, Counter[str]()
    for data in mutants(2026, 10_000):
        began = time.process_time()
        found[outcome(data)] += 1
        slowest = max(slowest, time.process_time() - began)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    assert min(found[each] for each in ("unreadable", "refused", "good")) > 300
    assert grown_mb < 300, found
    assert slowest < 30, found
