"""What arrives is collected in memory while it is small, else in a file that nobody else sees or finds afterwards."""

import errno
import os
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from dicom.network import scratch
from dicom.network.scratch import ScratchBuffer
from models.domain.errors import NoSpace, WriteFailed

CONTENT = os.urandom(5000)


def written(buffer: ScratchBuffer, content: bytes = CONTENT, step: int = 700) -> memoryview:
    for begin in range(0, len(content), step):
        buffer.write(memoryview(content)[begin : begin + step])
    found = buffer.finish()
    buffer.close()
    return found


@pytest.mark.parametrize(("spill_bytes", "is_file"), [(len(CONTENT), False), (len(CONTENT) - 1, True), (0, True)])
def test_only_what_is_larger_than_the_limit_is_in_a_file_which_has_no_name(
    tmp_path: Path, spill_bytes: int, is_file: bool
) -> None:
    buffer = ScratchBuffer(tmp_path, spill_bytes)
    found = written(buffer)
    assert (bytes(found), found.readonly) == (CONTENT, True)
    assert isinstance(found.obj, bytearray) is not is_file
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_memory_is_handed_out_without_a_copy(tmp_path: Path) -> None:
    buffer = ScratchBuffer(tmp_path)
    buffer.write(memoryview(b"small"))
    assert buffer.finish().obj is buffer.finish().obj


def test_nothing_written_is_an_empty_view(tmp_path: Path) -> None:
    assert bytes(written(ScratchBuffer(tmp_path), b"")) == b""


def test_without_a_directory_all_stays_in_memory() -> None:
    found = written(ScratchBuffer(None, spill_bytes=1))
    assert isinstance(found.obj, bytearray)
    assert bytes(found) == CONTENT


def test_what_the_check_raises_ends_the_writing_before_there_is_a_file(tmp_path: Path) -> None:
    def refuse(_size: int) -> None:
        raise NoSpace

    buffer = ScratchBuffer(tmp_path / "is not even looked at", 10, refuse)
    buffer.write(memoryview(b"short"))
    with pytest.raises(NoSpace):
        buffer.write(memoryview(b"and more"))


@pytest.mark.parametrize("size", [5000, 3 << 20])
def test_a_full_disk_is_said_to_be_full_and_the_file_closed(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """At the latest at the end, when what the file's buffer still holds is written."""
    raw: list[FileIO] = []

    def full(dir: Path, buffering: int) -> Any:
        file = Path("/dev/full").open("w+b", buffering=buffering)  # noqa: SIM115 (closed by the buffer)
        raw.append(file.raw)  # type: ignore[arg-type]
        return file

    monkeypatch.setattr(scratch.tempfile, "TemporaryFile", full)
    buffer = ScratchBuffer(Path("/"), spill_bytes=1000)
    with pytest.raises(NoSpace, match="scratch folder") as caught:
        written(buffer, bytes(size), 100_000)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    buffer.close()
    assert [file.closed for file in raw] == [True]


def test_a_missing_directory_is_said_to_be_unwritable(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed) as caught:
        written(ScratchBuffer(tmp_path / "gone", spill_bytes=1))
    assert str(tmp_path) not in str(caught.value)
