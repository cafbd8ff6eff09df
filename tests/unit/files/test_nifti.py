"""What becomes of each way in which dcm2niix can end; a program of the test stands in for it."""

import gzip
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom.files import nifti
from dicom.files.spool import Spool, Workspace
from models.domain.errors import Canceled, ConversionFailed, Unconvertible, Unreadable, Unsupported


@pytest.fixture
def a_workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Spool(tmp_path / "spool").workspace() as workspace:
        (workspace.path / "001").mkdir()
        yield workspace


@pytest.fixture
def a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "program"
    monkeypatch.setattr(nifti, "PROGRAM", str(program))
    return program


def behaves(program: Path, script: str) -> None:
    """``$out`` is the directory for results, ``$name`` how they are to be called."""
    program.write_text(f'#!/bin/sh\nname="$8"; out="${{10}}"\n{script}\n')
    program.chmod(0o700)


def converted(workspace: Workspace, **fields: float) -> list[str]:
    found = nifti.convert(workspace, workspace.path / "001", "series-001", lambda: None, **fields)
    assert all(path.is_file() for path in found)
    return [path.name for path in found]


def test_volumes_come_one_after_the_other_each_behind_its_description(a_workspace: Workspace, a_program: Path) -> None:
    names = "b.nii.gz b.json a.bvec a.nii.gz a.bval a.json c.json d.txt"
    behaves(a_program, f'for end in {names}; do echo 1 > "$out/$name$end"; done')
    ends = ["a.json", "a.nii.gz", "a.bval", "a.bvec", "b.json", "b.nii.gz"]
    assert converted(a_workspace) == [f"series-001{end}" for end in ends]


def test_names_hold_nothing_but_plain_letters(a_workspace: Workspace, a_program: Path) -> None:
    behaves(a_program, 'echo 1 > "$out/$name"\'_"é\r\n.nii.gz\'')
    assert converted(a_workspace) == ["series-001__.nii.gz"]


@pytest.mark.parametrize("other", ["a_", "a%"])
def test_no_volume_takes_the_place_of_another(a_workspace: Workspace, a_program: Path, other: str) -> None:
    behaves(a_program, f'for end in "a+" "{other}"; do echo 1 > "$out/$name$end.nii.gz"; done')
    with pytest.raises(Unreadable, match="too much alike"):
        converted(a_workspace)


@pytest.mark.parametrize(
    ("script", "problem", "error"),
    [
        ("exit 0", "nothing", Unconvertible),
        ("exit 2", "nothing", Unconvertible),
        ('echo 1 > "$out/$name.nii.gz"; exit 8', "only a part", Unconvertible),
        ('echo 1 > "$out/$name.nii.gz"; exit 1', "exit status 1", ConversionFailed),
        ("kill -9 $$", "exit status -9", ConversionFailed),
    ],
)
def test_what_is_not_converted_whole_is_said_and_not_given(
    a_workspace: Workspace, a_program: Path, script: str, problem: str, error: type[Unreadable]
) -> None:
    behaves(a_program, script)
    with pytest.raises(error, match=problem):
        converted(a_workspace)


def test_what_an_earlier_call_has_left_is_not_given(a_workspace: Workspace, a_program: Path) -> None:
    behaves(a_program, 'echo 1 > "$out/$name-old.nii"; exit 1')
    with pytest.raises(ConversionFailed):
        converted(a_workspace)
    behaves(a_program, 'echo 1 > "$out/$name.nii"')
    assert converted(a_workspace) == ["series-001.nii"]


def test_the_memory_of_a_conversion_has_a_limit(a_workspace: Workspace, a_program: Path) -> None:
    behaves(a_program, 'ulimit -v > "$out/$name.nii"')
    (limit,) = nifti.convert(a_workspace, a_workspace.path / "001", "series-001", lambda: None)
    assert int(limit.read_text()) * 1024 == nifti.MOST_MEMORY_BYTES


def a_volume(path: Path, descrip: bytes = b"", extension: bytes = b"", size: int = 348, order: str = "<") -> Path:
    head = bytearray(352)
    struct.pack_into(f"{order}i", head, 0, size)
    struct.pack_into(f"{order}f", head, 108, 352 + len(extension))
    head[148 : 148 + len(descrip)] = descrip
    head[228:232] = b"file"
    content = bytes(head) + extension + b"voxels"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_text_before_the_voxels_is_told_but_for_times_of_day(tmp_path: Path, name: str, order: str) -> None:
    path = a_volume(tmp_path / name, b"TE=2.5;Time=101500.250;phase=1", b"Ada\0Smith ", order=order)
    texts = [text for text, _ in nifti.texts_of(path)]
    assert texts == ["", "", "TE=2.5; ;phase=1", "file", "", "Ada Smith"]


def test_values_of_a_description_are_told_at_every_depth_with_what_is_a_version(tmp_path: Path) -> None:
    document = {"A": ["x", 1.50, {"b": "y"}], "SoftwareVersions": "1.2.03", "AcquisitionTime": "10:15:0.000000"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document | {"ConversionSoftwareVersion": "v1.0.20220720"}))
    assert [*nifti.texts_of(path)] == [("x", False), ("1.5", False), ("y", False), ("1.2.03", True)]


def test_numbers_of_gradients_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.bval"
    path.write_text("0 1000\n4711")
    assert [text for text, _ in nifti.texts_of(path)] == ["0", "1000", "4711"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"),
        ("a.json", b"[1]"),
        ("a.nii.gz", b"no gzip"),
        ("a.nii.gz", gzip.compress(b"x", mtime=0)[:-9]),
        ("a.nii", b""),
    ],
)
def test_what_cannot_be_read_again_is_not_given(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unreadable):
        list(nifti.texts_of(tmp_path / name))


def test_another_kind_of_volume_is_not_given(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        list(nifti.texts_of(a_volume(tmp_path / "a.nii", size=540)))


def test_one_that_takes_too_long_is_ended(a_workspace: Workspace, a_program: Path) -> None:
    pid = a_workspace.path / "pid"
    behaves(a_program, f"echo $$ > {pid}; exec sleep 600")
    with pytest.raises(Unreadable, match="too long"):
        converted(a_workspace, longest_s=0.5)
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_one_that_nobody_waits_for_is_ended(a_workspace: Workspace, a_program: Path) -> None:
    behaves(a_program, "exec sleep 600")

    def check() -> None:
        raise Canceled

    with pytest.raises(Canceled):
        nifti.convert(a_workspace, a_workspace.path / "001", "series-001", check)


def test_it_sees_nothing_of_our_environment_and_writes_its_settings_into_the_workspace(
    a_workspace: Workspace, a_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADIT_MASTER_KEY", "secret")
    behaves(a_program, 'env > "$out/$name.nii"; echo 1 > "$HOME/settings"')
    nifti.convert(a_workspace, a_workspace.path / "001", "series-001", lambda: None)
    seen = (a_workspace.path / "001-nifti" / "series-001.nii").read_text()
    assert "secret" not in seen and f"PATH={os.defpath}" in seen
    assert (a_workspace.path / "settings").exists()


def test_a_machine_without_the_program_is_said_to_be_one(a_workspace: Workspace, a_program: Path) -> None:
    assert not a_program.exists()
    with pytest.raises(Unsupported, match="has no"):
        converted(a_workspace)
