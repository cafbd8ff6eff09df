"""The place where our receiver hands instances to the retrievals that wait for them. Linux only.

The inbox is a directory that the receiver's process shares with all workers of its machine::

    incoming/             complete instances for the moment in which they are handed out; locked by the receiver
    waiting/<random>/     one for each retrieval
        expected          the SOP Instance UIDs it waits for, locked (flock) as long as its process lives
        <time>-<n>.dcm    what has arrived for it, a file as of PS3.10

The directory itself is locked while a retrieval registers, and while somebody sweeps.

An instance being received has no name (O_TMPFILE), so a receiver that dies leaves nothing behind. It gets its names,
hard links, only when it is complete and written through to the disk, so an error of the disk still reaches the sender.
The names themselves need not survive a crash of the machine: it ends whoever waits for them, too.
Names never hold anything of a patient.
"""

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TextIO
from uuid import uuid4

from dicom.mapping import mapped
from dicom.network.scratch import STEP_BYTES
from dicom.part10 import split_part10
from models.domain.errors import AditError, NoSpace, WriteFailed
from models.domain.instances import Bytes, EncodedInstance

MAPPED_FROM_BYTES = 8_000_000
"""Instances from this size on are mapped into memory instead of being read."""

_ROOM_BYTES = 256 << 20
"""How much may lie untaken for one retrieval; each association adds the instance in its hands."""
_ROOM_WITHIN_S = 20.0
"""How long a sender waits for its answer: Orthanc ends an association after 30 s of silence."""
_LOOK_FOR_ROOM_EVERY_S = 0.05
_TOUCH_EVERY_S = 1.0
_BUFFER_BYTES = 1 << 20
_LOCKED_WITHIN_S = 1.0
_EXPECTED, _SUFFIX = "expected", ".dcm"
_numbers = count()


class Inbox:
    """The directory ``root``, made when missing, readable by our own user only.

    It must be on a local disk with O_TMPFILE (ext4, XFS, Btrfs, tmpfs). All methods raise NoSpace or WriteFailed.
    ``check_room`` is called with the size of a large instance again and again while it arrives, and raises what becomes
    of one that is not to go on growing.
    """

    def __init__(
        self, root: Path, room_bytes: int = _ROOM_BYTES, check_room: Callable[[int], None] | None = None
    ) -> None:
        self.root = root
        self.check_room = check_room
        self._room_bytes = room_bytes
        self._waiting = root / "waiting"
        self._incoming = root / "incoming"
        self.unwanted_count = 0
        """How many instances this process was sent for which nobody waited, to tell that there were some."""
        self._known: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()
        with _disk_trouble():
            for place in (root, self._waiting, self._incoming):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)

    def expect(self, sop_uids: Collection[str]) -> "Expectation":
        """Register that this process waits for the instances, until the result's context is left."""
        hidden, visible = (self._waiting / f"{prefix}{uuid4().hex}" for prefix in (".", ""))
        with _disk_trouble(), self._exclusive():
            hidden.mkdir(mode=0o700)
            expected = (hidden / _EXPECTED).open("w", encoding="ascii", errors="replace")
            fcntl.flock(expected, fcntl.LOCK_EX)
            expected.write("\n".join(sop_uids))
            expected.flush()
            hidden.rename(visible)
        return Expectation(visible, expected)

    @contextmanager
    def served(self) -> Generator[None]:
        """Let retrievals know, as long as the context is open, that this process takes in what arrives for them."""
        with _disk_trouble():
            directory = os.open(self._incoming, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock_within(directory, _LOCKED_WITHIN_S)
            yield
        finally:
            os.close(directory)

    @property
    def is_served(self) -> bool:
        """Whether a receiver is alive that takes in what arrives."""
        with _disk_trouble():
            directory = os.open(self._incoming, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(directory)
        return False

    def receive(self, sop_uid: str, head: bytes) -> "Arrival":
        """Begin to take in an instance; ``head`` is what stands in its file before the data set.

        Nothing is kept of an instance that nobody waits for.
        """
        return Arrival(self, sop_uid, head)

    def waiting_for(self, sop_uid: str) -> list[Path]:
        """The directories of all living retrievals that wait for an instance."""
        with self._lock:
            self._refresh()
            named = [self._waiting / name for name, uids in self._known.items() if sop_uid in uids]
        return [directory for directory in named if _is_alive(directory)]

    def has_room(self, directories: Iterable[Path]) -> bool:
        """Whether less than the room of a retrieval lies untaken in each of the directories."""
        return all(_untaken_bytes(directory) < self._room_bytes for directory in directories)

    def sweep(self) -> int:
        """Remove what dead processes left behind, and return how many registrations and files that were."""
        with _disk_trouble(), self._exclusive():
            dead = [directory for directory in self._waiting.iterdir() if not _is_alive(directory)]
            for directory in dead:
                shutil.rmtree(directory, ignore_errors=True)
            abandoned = [file for file in self._incoming.iterdir() if not _is_locked(file)]
            for file in abandoned:
                file.unlink(missing_ok=True)
        return len(dead) + len(abandoned)

    @contextmanager
    def named(self, file: BinaryIO) -> Generator[Path]:
        """Give a complete file without a name one inside the inbox, for as long as the context lasts.

        Only the first link of such a file may be made from its descriptor: when a fast retrieval has removed that
        link, the kernel makes no second one.
        """
        fcntl.flock(file, fcntl.LOCK_EX)
        directory = os.open(self._incoming, os.O_RDONLY | os.O_DIRECTORY)
        name = f"{uuid4().hex}{_SUFFIX}"
        try:
            # with dst_dir_fd Python calls linkat, which can follow /proc's link to the file; link cannot
            os.link(f"/proc/self/fd/{file.fileno()}", name, dst_dir_fd=directory, follow_symlinks=True)
            yield self._incoming / name
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
            os.close(directory)

    def unnamed(self) -> BinaryIO:
        """A new file without a name, open for writing."""
        descriptor = os.open(self._incoming, os.O_TMPFILE | os.O_RDWR, 0o600)
        return os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES)

    def _refresh(self) -> None:
        """Read the registrations that are new; a registration never changes."""
        names = {name for name in os.listdir(self._waiting) if not name.startswith(".")}  # noqa: PTH208
        self._known = {name: uids for name, uids in self._known.items() if name in names}
        for name in names - self._known.keys():
            with suppress(FileNotFoundError):
                text = (self._waiting / name / _EXPECTED).read_text(encoding="ascii")
                self._known[name] = frozenset(text.splitlines())

    @contextmanager
    def _exclusive(self) -> Generator[None]:
        directory = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)


class Arrival:
    """An instance on its way into the inbox.

    Trouble with the disk, or with its size, shows in ``deliver`` only, not while it arrives: what follows is not kept.
    """

    def __init__(self, inbox: Inbox, sop_uid: str, head: bytes) -> None:
        self._inbox = inbox
        self._sop_uid = sop_uid
        self._file: BinaryIO | None = None
        self._error: OSError | AditError | None = None
        self._size_bytes = 0
        self._checked_from_bytes = STEP_BYTES
        self._touched_at = time.monotonic()
        try:
            if inbox.waiting_for(sop_uid):
                self._file = inbox.unnamed()
                self._file.write(head)
        except OSError as exc:
            self._fail(exc)

    def write(self, data: Bytes) -> None:
        """Append a piece of the encoded data set."""
        if self._file is None:
            return
        try:
            self._size_bytes += len(data)
            if self._size_bytes > self._checked_from_bytes and self._inbox.check_room is not None:
                self._inbox.check_room(self._size_bytes)
                self._checked_from_bytes = self._size_bytes + STEP_BYTES
            self._file.write(data)
            if time.monotonic() - self._touched_at > _TOUCH_EVERY_S:
                self._show_life()
        except (OSError, AditError) as exc:
            self._fail(exc)

    def deliver(self, gives_up: threading.Event | None = None) -> int:
        """Hand the instance to every retrieval that waits for it, and return how many these are.

        It is on the disk before anybody gets it. Waits while those who wait have not taken what came before, so that
        the sender, who gets its answer later, is slowed down. Raises NoSpace, also when that takes too long or somebody
        ``gives_up``, WriteFailed, or what ``check_room`` has raised.
        """
        with _disk_trouble():
            if self._error is not None:
                raise self._error
            if self._file is None:
                self._inbox.unwanted_count += 1
                return 0
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
                directories = self._directories_with_room(gives_up or threading.Event())
                with self._inbox.named(self._file) as path:
                    return sum(_link(path, directory) for directory in directories)
            finally:
                self.discard()

    def discard(self) -> None:
        """Forget the instance; nothing of it stays on the disk."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _directories_with_room(self, gives_up: threading.Event) -> list[Path]:
        """Those who wait for the instance, as soon as all of them have room for it."""
        end = time.monotonic() + _ROOM_WITHIN_S
        while not self._inbox.has_room(directories := self._inbox.waiting_for(self._sop_uid)):
            if gives_up.wait(_LOOK_FOR_ROOM_EVERY_S) or time.monotonic() > end:
                raise OSError(errno.ENOSPC, "The retrieval does not take what has arrived.")
        return directories

    def _fail(self, error: OSError | AditError) -> None:
        self._error = error
        self.discard()

    def _show_life(self) -> None:
        """Let those who wait know that a long instance is still arriving."""
        self._touched_at = time.monotonic()
        for directory in self._inbox.waiting_for(self._sop_uid):
            with suppress(FileNotFoundError):
                os.utime(directory / _EXPECTED)


class Expectation:
    """What one retrieval waits for. Leaving its context removes it and what has not been taken."""

    def __init__(self, directory: Path, expected: TextIO) -> None:
        self._directory = directory
        self._expected = expected

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def arrived(self) -> Iterator[EncodedInstance]:
        """Yield what has arrived and was not yielded yet, in order of arrival; each file is removed first.

        Raises Unreadable when a file is no DICOM, WriteFailed when the inbox cannot be read.
        """
        with _disk_trouble():
            names = sorted(name for name in os.listdir(self._directory) if name.endswith(_SUFFIX))  # noqa: PTH208
        for name in names:
            yield split_part10(_taken(self._directory / name))

    def last_sign_s(self) -> float:
        """How many seconds ago the receiver last showed that something is arriving (or this was registered)."""
        with _disk_trouble():
            return max(time.time() - (self._directory / _EXPECTED).stat().st_mtime, 0.0)

    def close(self) -> None:
        """Stop waiting. A file that arrives at this very moment is swept later."""
        for _ in range(3):
            shutil.rmtree(self._directory, ignore_errors=True)
            if not self._directory.exists():
                break
        self._expected.close()


def _taken(path: Path) -> Bytes:
    """The file's bytes; its name is gone."""
    with _disk_trouble(), path.open("rb") as file:
        path.unlink()
        if os.fstat(file.fileno()).st_size < MAPPED_FROM_BYTES:
            return file.read()
        return mapped(file)


def _link(path: Path, directory: Path) -> bool:
    """Hand a file to one retrieval; whether it still waits."""
    name = f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers)}{_SUFFIX}"
    try:
        os.link(path, directory / name)
    except FileNotFoundError:
        return False
    return True


def _untaken_bytes(directory: Path) -> int:
    """The size of what has arrived for a retrieval and was not taken yet."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                total += entry.stat().st_size if entry.name.endswith(_SUFFIX) else 0
    return total


def _lock_within(descriptor: int, seconds: float) -> None:
    """Lock a file for ourselves; whoever looks at the lock has it for an instant, and another receiver for longer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.01)


def _is_alive(directory: Path) -> bool:
    return _is_locked(directory / _EXPECTED)


def _is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of a file; a missing file has none."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return False


@contextmanager
def _disk_trouble() -> Generator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("The inbox of the receiver has no space left.") from exc
        raise WriteFailed("The inbox of the receiver cannot be used. Check its disk and permissions.") from exc
