"""Converts the instances of one series to NIfTI with dcm2niix, a program of the machine. Knows files only."""

import gzip
import json
import os
import re
import shutil
import struct
import subprocess
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dicom.files.spool import Workspace
from models.domain.errors import ConversionFailed, Unconvertible, Unreadable, Unsupported

PROGRAM = "dcm2niix"
LONGEST_S = 600.0
"""How long the conversion of one series may take."""
MOST_MEMORY_BYTES = 16 << 30
"""How much address space it may take: dcm2niix holds the volumes of a series in memory, some of them twice."""

_SUFFIXES = (".json", ".nii.gz", ".nii", ".bval", ".bvec")
"""The files of a group in the order in which they are given: what a volume is, before the volume."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_LOOK_EVERY_S = 0.1
MISSING = f"This machine has no {PROGRAM}, which converts to NIfTI. Ask an administrator for it."
_NO_VALID_FILES, _SOME_BAD = 2, 8
_BOUNDS = ("setpriv", "--pdeathsig", "KILL", "prlimit", f"--as={MOST_MEMORY_BYTES}")
"""Programs of util-linux, each of which becomes the next: they end with the thread that waits, within limits."""
_HEADER_BYTES = 352
"""Of NIfTI-1, with the four bytes behind it that tell of extensions."""
_SIZE = struct.pack("<i", _HEADER_BYTES - 4)
_BEGIN_AT = 108
_WORDS = ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16))
"""Where the header has texts, and how long they are: data_type, db_name, descrip, aux_file, intent_name."""
_VERSIONS = frozenset({"SoftwareVersions"})
_TIME = re.compile(r"[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]*)?")
_TIME_OF_DAY = re.compile(r"\bTime=[0-9]{1,6}(\.[0-9]*)?(?![0-9])")
_MOST_TEXT_BYTES = 64 << 20


def convert(
    workspace: Workspace, source: Path, name: str, check: Callable[[], None], longest_s: float = LONGEST_S
) -> tuple[Path, ...]:
    """Convert the series in ``source``, and return the files of each volume, the description of the volume first.

    The same instances give the same bytes, in whatever order and whenever. Both are inside the workspace. Names of
    files begin with ``name``; behind it dcm2niix puts what tells volumes of one series apart, and nothing that a header
    says of a person. ``check`` is called while it runs, and ends it by raising.
    What an earlier call has left for this source is removed.
    Raises Unconvertible when dcm2niix can make nothing of the series, or not of all of it; ConversionFailed when it
    fails or takes too long; Unsupported where it is not installed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise Unsupported(MISSING)
    target = workspace.path / f"{source.name}-nifti"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    status = _run(_command(program, source, target, name), workspace, check, longest_s)
    files = tuple(_ordered(target))
    if status == _SOME_BAD:
        raise Unconvertible(f"{PROGRAM} could convert only a part of a series, so nothing of it is given.")
    if status == _NO_VALID_FILES or (status == 0 and not files):
        raise Unconvertible(f"{PROGRAM} finds nothing in a series that can be converted.")
    if status != 0:
        raise ConversionFailed(f"{PROGRAM} could not convert a series (exit status {status}).")
    return files


def is_installed() -> bool:
    """Whether this machine can convert."""
    return shutil.which(PROGRAM) is not None


def texts_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield every text that a file which ``convert`` has made holds, also its numbers; with whether it is a version.

    Numbers between points are no date in a version. Of a volume it is what the header says in words, and extensions;
    its voxels are none. Times of day and what dcm2niix says of itself are left out. Raises Unreadable for a file that
    is not what its name says.
    """
    try:
        if path.name.endswith(".json"):
            yield from _texts_of_document(json.loads(_all_of(path), parse_float=str, parse_int=str))
        elif path.name.endswith((".nii", ".nii.gz")):
            yield from ((text, False) for text in _texts_of_volume(path))
        else:
            yield from ((text, False) for text in _all_of(path).split())
    except (ValueError, struct.error, EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise Unreadable(f"{PROGRAM} has written a file that cannot be read again.") from exc


def _all_of(path: Path) -> str:
    if path.stat().st_size > _MOST_TEXT_BYTES:
        raise ValueError("too long")
    return path.read_bytes().decode("utf-8", "replace")


def _texts_of_document(document: dict[str, object]) -> Iterator[tuple[str, bool]]:
    """The values; the names of fields are words of dcm2niix."""
    if not isinstance(document, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError("no object")
    for field, value in document.items():
        if not field.startswith("ConversionSoftware"):
            yield from ((text, field in _VERSIONS) for text in _strings(value) if not _TIME.fullmatch(text))


def _strings(value: Any) -> Iterator[str]:
    """Every text within a value, at every depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:  # pyright: ignore[reportUnknownVariableType]
            yield from _strings(inner)


def _texts_of_volume(path: Path) -> Iterator[str]:
    """Everything before the voxels that is a text."""
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        order = "<" if head.startswith(_SIZE) else ">"
        (size,) = struct.unpack_from(f"{order}i", head)
        (begin,) = struct.unpack_from(f"{order}f", head, _BEGIN_AT)
        if size != _HEADER_BYTES - 4 or not _HEADER_BYTES <= begin <= _MOST_TEXT_BYTES:
            raise ValueError("no NIfTI-1")  # dcm2niix writes the second version only for sides of 32,768 voxels
        for start, length in _WORDS:
            yield _TIME_OF_DAY.sub(" ", _text(head[start : start + length]))
        yield _text(file.read(int(begin) - _HEADER_BYTES))


def _text(field: bytes) -> str:
    return field.replace(b"\0", b" ").decode("utf-8", "replace").strip()


def _command(program: str, source: Path, target: Path, name: str) -> list[str]:
    """Compressed volumes, each with a description from which dcm2niix leaves out who the patient is."""
    options = {"-b": "y", "-ba": "y", "-z": "i", "-f": name, "-o": str(target)}
    return [program, *(word for option in options.items() for word in option), str(source)]


def _run(command: list[str], workspace: Workspace, check: Callable[[], None], longest_s: float) -> int:
    """The exit status. What it prints names files and patients, so nobody reads it."""
    with subprocess.Popen(
        (*_BOUNDS, *command),
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
                raise ConversionFailed(f"{PROGRAM} took too long for a series and was ended.") from None


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
    """The file under a name of plain letters.

    Raises Unconvertible where another file has that name: it would be lost.
    """
    plain = path.with_name(_NOT_IN_NAMES.sub("_", path.name))
    if plain == path:
        return path
    if plain.exists():
        raise Unconvertible(
            f"{PROGRAM} gives two volumes of a series names that are too much alike, so nothing is given."
        )
    return path.rename(plain)
