"""docs/batch-files.md says what the code does."""

import re
from pathlib import Path

import pytest

from models.domain.batches import BatchKind
from services.batch_files.checking import check_query, check_transfer
from services.batch_files.columns import BY_NAME, RESULTS
from services.batch_files.dates import Either, Found, parsed
from services.batch_files.limits import limits_of
from services.batch_files.reading import read_table

PAGE = (Path(__file__).parents[4] / "docs" / "batch-files.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```csv\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
DATES = PAGE.partition("## Dates")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("example", "check"), list(zip(EXAMPLES, (check_query, check_transfer), strict=True)))
def test_the_examples_are_accepted(example: str, check) -> None:
    limits = limits_of(BatchKind.QUERY, is_staff=False)
    checked = check(read_table(example.encode(), limits), limits)
    assert checked.problems == ()
    assert len(checked.rows) == len(example.splitlines()) - 1


def test_every_column_is_explained() -> None:
    for name in {*BY_NAME, *RESULTS}:
        assert f"`{name}`" in PAGE, name


def test_the_limits_are_those_of_the_code() -> None:
    for kind in BatchKind:
        user, staff = limits_of(kind, is_staff=False), limits_of(kind, is_staff=True)
        assert f"| rows of a batch {kind.value} | {user.rows} | {staff.rows:,} |" in PAGE
        assert f"| size of the file | {user.file_bytes >> 20} MB | {staff.file_bytes >> 20} MB |" in PAGE
        assert f"| columns | {user.columns} | {staff.columns} |" in PAGE


def test_dates_are_as_clear_as_the_page_says() -> None:
    rows = re.findall(r"^\| (`.*?) \| (clear|3 April)", DATES, re.MULTILINE)
    assert len(rows) >= 5
    for forms, what in rows:
        for form in re.findall(r"`([^`]+)`", forms):
            assert isinstance(parsed(form), Found if what == "clear" else Either), form
