"""What is counted in a folder, and what is not."""

import os
from pathlib import Path

import pytest

from dicom.files import contents
from dicom.files.contents import Contents, count
from dicom.files.staging import STAGING
from models.domain.errors import WriteFailed


def counted(folder: Path, skips: tuple[str, ...] = ()) -> Contents:
    *_, found = count(folder, folder.name, lambda key: key in skips)
    return found


def a_file(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_every_file_counts_once_whatever_its_names(tmp_path: Path) -> None:
    first = a_file(tmp_path / "job" / "study" / "a.dcm", 100)
    a_file(tmp_path / "b.dcm", 10)
    os.link(first, tmp_path / "again.dcm")
    (tmp_path / "link").symlink_to(first)
    (tmp_path / "loop").symlink_to(tmp_path)
    found = counted(tmp_path)
    assert (found.size_bytes, found.files) == (110, 2)


def test_only_skipped_keys_of_the_staging_do_not_count(tmp_path: Path) -> None:
    a_file(tmp_path / STAGING / "ours" / "study" / "a", 1)
    a_file(tmp_path / STAGING / "theirs" / "study" / "a", 10)
    a_file(tmp_path / "job" / STAGING / "ours" / "a", 100)
    assert counted(tmp_path, skips=("ours",)).size_bytes == 110
    assert counted(tmp_path).size_bytes == 111


def test_a_folder_that_is_missing_or_no_folder_is_an_error_and_never_empty(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", a_file(tmp_path / "file", 1)):
        with pytest.raises(WriteFailed, match=path.name):
            counted(path)


def test_what_may_not_be_listed_below_is_told_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file(tmp_path / "lost+found" / "a", 1)
    a_file(tmp_path / "b", 10)
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(contents.os, "scandir", refuse)
    found = counted(tmp_path)
    assert (found.size_bytes, found.unreadable) == (10, 1)


def test_what_vanishes_during_the_walk_is_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        a_file(tmp_path / name / "file", 10)
    walk = count(tmp_path, "research", lambda _key: False)
    next(walk)
    for name in ("a", "b"):
        (tmp_path / name / "file").unlink()
        (tmp_path / name).rmdir()
    assert [found.size_bytes for found in walk][-1:] in ([], [0])


def test_a_large_folder_is_counted_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_EVERY", 2)
    for number in range(5):
        a_file(tmp_path / str(number), 1)
    assert len(list(count(tmp_path, "research", lambda _key: False))) == 3
