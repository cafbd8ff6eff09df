"""Mapped files read like bytes, and need not stay in memory."""

import hashlib
import mmap
from pathlib import Path

import pytest

from dicom.mapping import give_back, in_slices, mapped
from tests.resident import MAPPED_BYTES, MOST_BYTES, a_mapped_file, resident_bytes


def test_a_mapped_file_is_all_there_when_it_is_closed_and_gone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with path.open("rb") as file:
        view = mapped(file)
    path.unlink()
    assert (bytes(view), view.readonly) == (b"content", True)


def test_what_was_read_of_a_mapped_file_is_given_back_and_can_be_read_again(tmp_path: Path) -> None:
    view = a_mapped_file(tmp_path)
    before = resident_bytes()
    digest = hashlib.sha256(view).digest()
    assert resident_bytes() - before >= MAPPED_BYTES - (1 << 20)
    give_back((b"something else", view[5:].cast("B")[:9]))
    assert resident_bytes() - before < MOST_BYTES
    assert hashlib.sha256(view).digest() == digest


def test_a_mapped_file_that_is_read_in_slices_is_never_in_memory_whole(tmp_path: Path) -> None:
    view = a_mapped_file(tmp_path)
    digest = hashlib.sha256(view).digest()
    give_back((view,))
    before = most = resident_bytes()
    found = hashlib.sha256()
    for part in in_slices((view[:5], view[5:])):
        found.update(part)
        most = max(most, resident_bytes())
    assert found.digest() == digest
    assert most - before < MOST_BYTES
    assert resident_bytes() - before < 1 << 20, "the last slice is given back as well"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (5 << 19) + 1])
def test_slices_join_to_what_was_cut_and_none_is_large(size: int) -> None:
    buffers = (b"head", bytes(size), bytearray(b"tail"))
    slices = list(in_slices(buffers))
    assert b"".join(slices) == b"".join(buffers)
    assert all(0 < len(part) <= 1 << 20 for part in slices)


@pytest.mark.parametrize("kind", [bytearray, lambda size: mmap.mmap(-1, size)])
def test_nothing_is_taken_from_what_is_no_mapped_file(kind: type[bytearray]) -> None:
    buffer = kind(8192)
    buffer[:4] = b"kept"
    give_back((memoryview(buffer), memoryview(buffer).toreadonly(), bytes(8)))
    assert bytes(buffer[:4]) == b"kept"
