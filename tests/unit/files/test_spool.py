"""The spool is private, refuses work when its disk is full, and forgets what the dead have left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dicom.files.spool import Spool
from models.domain.errors import NoSpace, WriteFailed


def test_only_our_own_user_may_enter(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "data" / "spool")
    assert [path.stat().st_mode & 0o777 for path in (spool.root, spool.inbox, spool.scratch)] == [0o700] * 3


def test_a_spool_that_others_could_enter_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o755)
    assert Spool(tmp_path / "spool").root.stat().st_mode & 0o777 == 0o700


def test_room_is_measured_on_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    disk = os.statvfs(tmp_path)
    spool.check_room(1, 0)
    with pytest.raises(NoSpace, match="no space left"):
        spool.check_room(disk.f_blocks * disk.f_frsize, 1)


def test_a_spool_that_cannot_be_made_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteFailed, match="ENOTDIR"):
        Spool(tmp_path / "file" / "spool")


def test_files_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (spool.scratch / "of the dead").write_bytes(b"1")
    kept = spool.scratch / "of the living"
    program = f"import sys; file = open({str(kept)!r}, 'wb'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert spool.sweep() == 1
        assert spool.leftovers() == [kept]
    assert spool.sweep() == 1
    assert spool.leftovers() == []


def test_the_inbox_is_left_to_its_owner(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (spool.inbox / "one").write_bytes(b"1")
    assert spool.sweep() == 0
    assert spool.leftovers() == [spool.inbox / "one"]


def test_a_workspace_is_private_and_gone_at_the_end_whatever_happens(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(KeyError), spool.workspace() as workspace:
        (workspace.path / "series").mkdir()
        (workspace.path / "series" / "one").write_bytes(b"1")
        assert workspace.path.stat().st_mode & 0o777 == 0o700
        assert spool.sweep() == 0
        raise KeyError
    assert not list(spool.workspaces.iterdir())


WORKING = """
import subprocess, sys
from pathlib import Path
from dicom.files.spool import Spool
with Spool(Path(sys.argv[1])).workspace() as workspace:
    (workspace.path / "one").write_bytes(b"1")
    command = [sys.executable, "-c", "import sys; print('begun', flush=True); sys.stdin.read()"]
    subprocess.run(command, pass_fds=(workspace.lock,))
"""


def test_the_workspace_of_a_killed_process_is_swept_once_its_program_has_ended_too(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    command = [sys.executable, "-c", WORKING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        assert spool.sweep() == 0, "the living keep theirs"
        process.kill()
        process.wait()
        assert spool.sweep() == 0, "its program still reads there"
        assert len(spool.leftovers()) == 1
        process.stdin.close()
        process.stdout.read()  # until the program has ended
    assert spool.sweep() == 1
    assert spool.leftovers() == []
