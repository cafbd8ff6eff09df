"""Writers that stage, publish and fail as items do, in threads or processes, and a ledger of what is on the disk."""

import fcntl
import sys
from datetime import timedelta
from pathlib import Path
from random import Random

from dicom.files.staging import STAGING
from models.db.engine import Database
from models.db.jobs import JobStore
from models.domain.errors import OverQuota
from models.domain.jobs import Lease, State
from models.domain.nodes import Folder
from services import staging, work
from tasks.room import Room

LEASE = timedelta(seconds=120)
FILES, LARGEST_FILE = 30, 70_000


class Ledger:
    """How many bytes are on a disk, and the most there ever were; shared by whoever opens the same file.

    To be added to before a write and taken from after a removal: so it is never less than what is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def change(self, size_bytes: int) -> None:
        with self.path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            now, most = self._read(file.read())
            file.seek(0)
            file.write(f"{now + size_bytes:020d} {max(most, now + size_bytes):020d}")

    @property
    def now(self) -> int:
        return self._read(self.path.read_text())[0]

    @property
    def most(self) -> int:
        return self._read(self.path.read_text())[1]

    @staticmethod
    def _read(text: str) -> tuple[int, int]:
        now, most = text.split() or ("0", "0")
        return int(now), int(most)


def write_study(db: Database, folder: Folder, lease: Lease, ledger: Ledger, files: int) -> State:
    """Stage files of random sizes until all are there and can be published, or there is no room for the next."""
    store, random = JobStore(db), Random(lease.item_id)
    item = store.item(lease.item_id)
    staged = folder.path / STAGING / staging.staging_key(store.get(item.job_id), item)
    staged.mkdir(parents=True, exist_ok=True)
    room = Room(db, lease, folder)
    room.begin(lambda: None)
    room.hold(_size_of(staged))
    try:
        for number in range(files):
            size = random.randrange(1, LARGEST_FILE)
            with room.make(size):
                ledger.change(size)
                (staged / str(number)).write_bytes(bytes(size))
    except OverQuota:
        for path in staged.iterdir():
            size = path.stat().st_size
            path.unlink()
            ledger.change(-size)
        staged.rmdir()
        room.settle(0)
        return State.FAILURE
    published = folder.path / str(item.id)
    staged.rename(published)
    room.settle(_size_of(published))
    return State.SUCCESS


def _size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def main(url: str, master_key: str, folder_id: str, ledger: str, *job_ids: str) -> None:
    """Work on one job after the other."""
    db = Database(url, master_key)
    folder = work.node(db, int(folder_id))
    assert isinstance(folder, Folder)
    for job_id in map(int, job_ids):
        claimed = work.claim_next(db, job_id, LEASE)
        assert claimed is not None
        state = write_study(db, folder, claimed[1], Ledger(Path(ledger)), FILES)
        work.end_attempt(db, claimed[1], state, "")
    db.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
