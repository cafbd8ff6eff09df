"""Studies in a folder: written out of sight, then published in one move, so that nobody ever sees half a study.

Layout under the destination: ``.adit-staging/<key>/<attempt>/parts`` holds files being written, ``study`` beside it
what becomes ``<job folder>/<patient folder>/<study folder>``. All is on one file system, so each move is a rename.

A process that has lost the item without knowing, since the share or the machine stood still, can show nothing that is
another's: the next attempt first renames what it finds, and then the earlier one's names lead nowhere. The database
could not keep them apart as well: while a rename hangs, nobody can hold a transaction open without holding all up.
"""

import ctypes
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dicom.files import layout
from dicom.files.header import series_uid_of
from dicom.files.staging import STAGING, clear, flush_folder, put_back, remove, renamed, set_aside
from dicom.files.target import PRIVATE, at_folder
from dicom.files.trouble import NOT_SUPPORTED
from dicom.mapping import give_back
from dicom.part10 import part10_prefix
from models.domain.errors import Canceled, Unreadable
from models.domain.instances import Bytes, EncodedInstance, StoreOutcome, Verdict

_MAX_BUFFERS = 1024
"""IOV_MAX of Linux: how many buffers one call may write."""
_BATCH_BYTES = 4 << 20
_CANNOT_UNDERSTAND = 0xC000
"""PS3.4 table B.2-1."""
_AT_WORKING_DIRECTORY = -100
_EXCHANGE = 2


@dataclass(frozen=True, slots=True)
class StagedStudy:
    """One study on its way into a folder; all that it knows is on the disk, so any process can go on with it.

    ``folder_name`` is what people call the destination. ``staging_key`` names the one item whose study this is, in one
    path component. ``series_folder`` gives the name for a Series Instance UID. Studies of any number of processes may
    go into the same job and patient folders.
    ``make_room`` is entered with a number of bytes before so many are written, and left when they are, or have failed.
    ``attempt_key`` names who works on it, in one path component; whoever comes after another that may still be at work
    needs a new one. ``check_ours`` raises when the item is another's by now, or must not go on; it is called at the
    last moment before something is taken over or appears. ``file_name`` gives the name of a file by the key that its
    digest has: its SOP Instance UID, unless what is in the study are no instances.

    All methods raise FolderFull and FolderGone when the destination can take nothing, else WriteFailed. These name it,
    never a patient.
    """

    destination: Path
    folder_name: str
    job_folder: str
    patient_folder: str
    study_folder: str
    staging_key: str
    series_folder: Callable[[str], str]
    make_room: Callable[[int], AbstractContextManager[object]] = nullcontext
    attempt_key: str = "only"
    check_ours: Callable[[], object] = lambda: None
    file_name: Callable[[str], str] = layout.instance_file

    @property
    def path(self) -> Path:
        """Where the study is once it is published."""
        return self.destination / self.job_folder / self.patient_folder / self.study_folder

    def write(self, instance: EncodedInstance) -> str:
        """Stage an instance as a Part 10 file and return the SHA-256 of its bytes; a file of that name is replaced.

        Raises Unreadable when it does not tell its series.
        """
        series = self._study / self.series_folder(series_uid_of(instance))
        head = part10_prefix(instance.sop_class_uid, instance.sop_uid, instance.transfer_syntax_uid)
        with self.make_room(len(head) + instance.size_bytes), self._writing():
            self._make_private()
            series.mkdir(parents=True, exist_ok=True)
            part = self._parts / f"{uuid.uuid4().hex}.part"
            try:
                digest = _write_file(part, (head, *instance.parts))
                part.rename(series / layout.instance_file(instance.sop_uid))
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return digest

    def take_in(self, source: Path, name: str) -> str:
        """Stage a copy of a file under a name in the study's folder; return its SHA-256. One of that name is replaced.

        Whoever has the source translates what the system says of it.
        """
        with self.make_room(source.stat().st_size), self._writing():
            self._make_private()
            self._study.mkdir(exist_ok=True)
            part = self._parts / f"{uuid.uuid4().hex}.part"
            try:
                shutil.copyfile(source, part)
                digest = _digest(part)
                part.rename(self._study / name)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return digest

    def present(self, digests: Mapping[str, str]) -> set[str]:
        """Those SOP Instance UIDs whose files are here with exactly this SHA-256, and will be published.

        What earlier attempts have staged is taken over; files with other bytes or names are removed. What is published
        already is staged again, because publishing replaces the whole study. Reads every file.
        """
        with self._writing():
            self._take_over()
            put_back(self.destination, self._own)
            remove(self._parts)
            staged = self._matching(self._study, digests)
            for path in set(_files(self._study)) - set(staged.values()):
                path.unlink()
            published = self._matching(self.path, {uid: digest for uid, digest in digests.items() if uid not in staged})
            for path in published.values():
                self._stage_again(path)
        return staged.keys() | published.keys()

    @property
    def is_begun(self) -> bool:
        """Whether anything is staged that could be published."""
        return self._study.is_dir()

    @property
    def staged_bytes(self) -> int:
        """How many bytes of the disk are staged; a file that is published too takes none."""
        with self._writing():
            published = {(file.st_dev, file.st_ino) for file in _statuses(self.path)}
            return sum(file.st_size for file in _statuses(self._root) if (file.st_dev, file.st_ino) not in published)

    @property
    def published_bytes(self) -> int:
        """How many bytes are at the study's place."""
        with self._writing():
            return sum(file.st_size for file in _statuses(self.path))

    def keep_published(self, but: Collection[str]) -> None:
        """Stage again what is published under other file names than these, so that publishing does not remove it."""
        with self._writing():
            put_back(self.destination, self._own)
            for path in _files(self.path):
                if path.name not in but and not (self._study / path.relative_to(self.path)).exists():
                    self._stage_again(path)

    def publish(self) -> None:
        """Let the staged study appear at its place in one move, and in the place of one that is there already.

        That one can only be of an earlier run of the same item: job folder and study folder name the job and
        the study. Does nothing when nothing is staged: then it is published, or there is nothing to publish.

        The data is flushed to the disk once, before the move: a receipt that says "confirmed" must survive a power
        failure, and one flush for a study costs far less than one for each file. It may take minutes, so the item may
        be another's when it is done: raises what ``check_ours`` raises then, and nothing has appeared.
        """
        with self._writing():
            put_back(self.destination, self._own)
            if self._study.is_dir():
                _flush_file_system(self._study)
                self.check_ours()
                for folder in (self.path.parent.parent, self.path.parent):
                    folder.mkdir(exist_ok=True)
                self._move_into_place()
                for folder in (self.path.parent, self.path.parent.parent, self.destination):
                    flush_folder(folder)
            remove(self._own)
            with suppress(OSError):  # somebody has gone on with an item that was not his, the sweep removes it
                self._root.rmdir()

    def confirm(self, digests: Mapping[str, str]) -> set[str]:
        """Those SOP Instance UIDs whose published files have exactly this SHA-256. Reads every file."""
        with self._writing():
            return set(self._matching(self.path, digests))

    def discard(self) -> None:
        """Remove what is staged; what is published stays, and comes back when a worker died while it replaced it."""
        with self._writing():
            clear(self.destination, self._root)

    def _writing(self) -> AbstractContextManager[None]:
        return at_folder(self.destination, self.folder_name)

    @property
    def _root(self) -> Path:
        return self.destination / STAGING / self.staging_key

    @property
    def _own(self) -> Path:
        return self._root / self.attempt_key

    @property
    def _study(self) -> Path:
        return self._own / "study"

    @property
    def _parts(self) -> Path:
        return self._own / "parts"

    def _matching(self, folder: Path, digests: Mapping[str, str]) -> dict[str, Path]:
        """Key of a digest -> file, for those that have the name and the digest they should have."""
        keys = {self.file_name(key): key for key in digests}
        found: dict[str, Path] = {}
        for path in _files(folder):
            key = keys.get(path.name)
            if key is not None and _digest(path) == digests[key]:
                found[key] = path
        return found

    def _make_private(self) -> None:
        """The folders only we may enter. A destination that is missing is not made: it may be a share that is gone."""
        for folder in (self.destination / STAGING, self._root, self._own, self._parts):
            folder.mkdir(mode=PRIVATE, exist_ok=True)

    def _take_over(self) -> None:
        """Rename what earlier attempts have staged, so that none of them can publish it any more.

        Of several the fullest is kept; there are others only where one went on after it had lost the item.
        """
        earlier = [path for path in self._root.iterdir() if path != self._own] if self._root.is_dir() else []
        if earlier:
            self.check_ours()
            self._make_private()
        for attempt in sorted(earlier, key=_file_count, reverse=True):
            put_back(self.destination, attempt)
            with suppress(FileNotFoundError):
                renamed(attempt / "study", self._study)
            remove(attempt)

    def _stage_again(self, published: Path) -> None:
        staged = self._study / published.relative_to(self.path)
        self._make_private()
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(published, staged)
        except OSError:  # many network file systems have no hard links
            part = self._parts / f"{uuid.uuid4().hex}.part"
            with self.make_room(published.stat().st_size):
                shutil.copyfile(published, part)
            part.rename(staged)

    def _move_into_place(self) -> None:
        if not renamed(self._study, self.path):
            self._replace()

    def _replace(self) -> None:
        """Put the staged study in the place of the published one, which ends up out of sight.

        In one step where the file system can, else in two: between them the study is missing, but never half, and
        whoever comes next puts it back: the next attempt, ``discard`` or the sweep.
        """
        replaced = self._own / "replaced"
        remove(replaced)
        if _exchange(self._study, self.path):
            self._study.rename(replaced)
            return
        aside = set_aside(self.destination, self._own, self.path)
        try:
            self._study.rename(self.path)
        except OSError:
            put_back(self.destination, self._own)
            raise
        aside.rename(replaced)


class FolderSender:
    """A Sender that writes files by ``write``, which returns their SHA-256, if that is of use to anybody.

    Into a staged study, say: nothing is visible before that is published.
    """

    def __init__(self, write: Callable[[EncodedInstance], str | None]) -> None:
        self._write = write
        self._aborted = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is open between two files."""

    def abort(self) -> None:
        """Let the next ``send`` raise Canceled; a file being written is finished."""
        self._aborted.set()

    def send(self, instance: EncodedInstance) -> StoreOutcome:
        """Write one instance. One that does not tell its series is refused: it has no place to go."""
        if self._aborted.is_set():
            raise Canceled
        try:
            digest = self._write(instance)
        except Unreadable:
            return StoreOutcome(instance.sop_uid, Verdict.REFUSED, _CANNOT_UNDERSTAND)
        return StoreOutcome(instance.sop_uid, Verdict.STORED, digest=digest or "")


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder; none when it does not exist. One that cannot be listed is an OSError, not empty."""
    for parent, _, names in os.walk(folder, onerror=_raise_unless_missing):
        yield from (Path(parent, name) for name in names)


def _file_count(folder: Path) -> int:
    return sum(1 for _ in _files(folder))


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    """What the system says about every file below a folder, but for those that vanish meanwhile."""
    for path in _files(folder):
        with suppress(FileNotFoundError):
            yield path.lstat()


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_file(path: Path, buffers: tuple[Bytes, ...]) -> str:
    """Write a new file out of its buffers without joining them; return the SHA-256 of its bytes.

    Whatever they view of mapped files is given back on the way.
    """
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for batch in _batches(buffers):
            for piece in batch:
                digest.update(piece)
            _write_all(descriptor, batch)
            give_back(batch)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _batches(buffers: tuple[Bytes, ...]) -> Iterator[list[memoryview]]:
    """The buffers in order, those of a small instance together, others cut into pieces of a few megabytes."""
    batch: list[memoryview] = []
    size = 0
    for buffer in buffers:
        view = memoryview(buffer)
        for begin in range(0, len(view), _BATCH_BYTES):
            piece = view[begin : begin + _BATCH_BYTES]
            batch.append(piece)
            size += len(piece)
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    yield batch


def _write_all(descriptor: int, buffers: list[memoryview]) -> None:
    """Usually one system call; a write may fall short of what was asked (``man 2 writev``)."""
    left = [view for view in buffers if len(view)]
    while left:
        written = os.writev(descriptor, left[:_MAX_BUFFERS])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]


def _flush_file_system(folder: Path) -> None:
    """Write everything of the folder's file system to the disk (``man 2 syncfs``)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step (``man 2 renameat2``); False where the file system cannot."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    here = _AT_WORKING_DIRECTORY
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE) == 0:
        return True
    if ctypes.get_errno() not in NOT_SUPPORTED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return False
