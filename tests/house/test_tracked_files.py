"""Nothing in the project depends on, or tells of, the machine it was written on."""

import re

from tests.house.source_tree import ROOT, place, tracked_files

INDEX_ADDRESS = re.compile(r'registry = "[h]ttp|"resolved": "[h]ttp|(index-url|https?://[^ ]*)/simple')
OWN_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(home|Users|work|farm)/")
LARGEST_BYTES = 500_000


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{place(path, number)}: {line.strip()[:120]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_package_index_is_named() -> None:
    assert lines_with(INDEX_ADDRESS) == []


def test_no_path_of_a_developers_machine_is_named() -> None:
    assert lines_with(OWN_PATH) == []
    assert lines_with(re.compile(re.escape(f"{ROOT}/"))) == []


def test_no_large_file_is_tracked() -> None:
    """Test data is made by a script."""
    assert [place(path) for path in tracked_files() if path.stat().st_size > LARGEST_BYTES] == []
