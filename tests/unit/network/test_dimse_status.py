"""A status decides what is raised, and so whether the step is tried again."""

import pytest

from dicom.network.status import failure, is_warning
from models.domain.errors import PeerBusy, PeerError, Retry, Unsupported


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (0xA700, PeerBusy, Retry.LATER),
        (0xA702, PeerBusy, Retry.LATER),
        (0xA801, Unsupported, Retry.NEVER),
        (0x0122, Unsupported, Retry.NEVER),
        (0xA900, PeerError, Retry.SOON),
        (0xC000, PeerError, Retry.SOON),
        (0xFE00, PeerError, Retry.SOON),
        (0x1234, PeerError, Retry.SOON),
    ],
)
def test_a_failure_is_of_the_kind_that_says_when_to_try_again(status: int, kind: type, retry: Retry) -> None:
    error = failure("PACS", "C-FIND", status)
    assert type(error) is kind and error.retry is retry
    assert f"{status:04X}" in error.message and "PACS" in error.message


def test_an_archive_that_cannot_send_to_us_is_told_apart_from_one_that_is_full() -> None:
    assert "our receiver" in failure("PACS", "C-MOVE", 0xA702).message
    assert "out of resources" in failure("PACS", "C-MOVE", 0xA701).message
    assert "our receiver" not in failure("PACS", "C-GET", 0xA702).message
    assert failure("PACS", "C-MOVE", 0xA702).retry is Retry.LATER


def test_warnings_are_those_of_storage() -> None:
    assert all(map(is_warning, (0xB000, 0xB006, 0xB007, 0x0107)))
    assert not any(map(is_warning, (0x0000, 0xA700, 0xC000, 0xFE00)))
