"""Converts the instances of one series to NIfTI with dcm2niix, a program of the machine. Knows directories only."""

import os
import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dicom.files.spool import Workspace
from models.domain.errors import Unreadable, Unsupported

PROGRAM = "dcm2niix"
LONGEST_S = 600.0
"""How long the conversion of one series may take."""

_SUFFIXES = (".json", ".nii.gz", ".nii", ".bval", ".bvec")
"""The files of a group in the order in which they are given: what a volume is, before the volume."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_LOOK_EVERY_S = 0.1
_NO_VALID_FILES, _SOME_BAD = 2, 8


def convert(
    workspace: Workspace, source: Path, name: str, check: Callable[[], None], longest_s: float = LONGEST_S
) -> tuple[Path, ...]:
    """Convert the series in ``source``, and return the files of each volume, the description of the volume first.

    Both are inside the workspace. Names of files begin with ``name``; behind it dcm2niix puts what tells volumes of one
    series apart, and nothing that a header says of a person. ``check`` is called while it runs, and ends it by raising.
    Raises Unreadable when dcm2niix can make nothing of the series, or not of all of it; Unsupported where it is not
    installed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise Unsupported(f"This machine has no {PROGRAM}, which converts to NIfTI. Ask an administrator for it.")
    target = workspace.path / f"{source.name}-nifti"
    target.mkdir(mode=0o700)
    status = _run(_command(program, source, target, name), workspace, check, longest_s)
    files = tuple(_ordered(target))
    if status == _SOME_BAD:
        raise Unreadable(f"{PROGRAM} could convert only a part of a series, so nothing of it is given.")
    if status == _NO_VALID_FILES or (status == 0 and not files):
        raise Unreadable(f"{PROGRAM} finds nothing in a series that can be converted.")
    if status != 0:
        raise Unreadable(f"{PROGRAM} could not convert a series (exit status {status}).")
    return files


def _command(program: str, source: Path, target: Path, name: str) -> list[str]:
    """Compressed volumes, each with a description from which dcm2niix leaves out who the patient is."""
    options = {"-b": "y", "-ba": "y", "-z": "i", "-f": name, "-o": str(target)}
    return [program, *(word for option in options.items() for word in option), str(source)]


def _run(command: list[str], workspace: Workspace, check: Callable[[], None], longest_s: float) -> int:
    """The exit status. What it prints names files and patients, so nobody reads it."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=workspace.path,
        env=_environment(workspace),
        pass_fds=(workspace.lock,),
    ) as process:
        try:
            return _wait(process, check, time.monotonic() + longest_s)
        except BaseException:
            process.kill()
            raise


def _environment(workspace: Workspace) -> Mapping[str, str]:
    """A home of its own: dcm2niix reads and writes its defaults there."""
    return {"PATH": os.defpath, "HOME": str(workspace.path), "LC_ALL": "C"}


def _wait(process: subprocess.Popen[bytes], check: Callable[[], None], end: float) -> int:
    while True:
        try:
            return process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            check()
            if time.monotonic() > end:
                raise Unreadable(f"{PROGRAM} took too long for a series and was ended.") from None


def _ordered(target: Path) -> Iterator[Path]:
    """The files of the volumes, group by group; a description without a volume is left out."""
    groups: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in target.iterdir():
        suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), "")
        if suffix:
            groups[path.name.removesuffix(suffix)][suffix] = path
    for _, group in sorted(groups.items()):
        if {".nii.gz", ".nii"} & group.keys():
            yield from (_with_plain_name(group[suffix]) for suffix in _SUFFIXES if suffix in group)


def _with_plain_name(path: Path) -> Path:
    """The file under a name of plain letters. Raises Unreadable where another file has that name: it would be lost."""
    plain = path.with_name(_NOT_IN_NAMES.sub("_", path.name))
    if plain == path:
        return path
    if plain.exists():
        raise Unreadable(f"{PROGRAM} gives two volumes of a series names that are too much alike, so nothing is given.")
    return path.rename(plain)
