"""Looks at the data directory: whose it is, what it lies on, how full that is, and what was left behind there."""

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from deployments.doctor.findings import Finding, ok, problem, warning
from dicom.files import nifti
from models.domain.errors import reason_of
from models.domain.quotas import readable
from models.settings import Settings

MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "afs",
    "ceph",
    "gluster",
    "lustre",
    "fuse.sshfs",
    "fuse.gluster",
    "beegfs",
    "gpfs",
)
"""File systems, by how their names begin, on which SQLite's locks cannot be relied on."""
_OTHERS_BITS = 0o077
_LITTLE_BYTES = 2_000_000_000
_LEFT_FOR_S = 86_400.0


def directory(settings: Settings) -> Iterator[Finding]:
    """Look whether the data directory is there, ours alone, and can be written to."""
    path = settings.data_dir
    make = f"Set ADIT_DATA_DIR to a directory of the user who runs ADIT, or make it: mkdir -m 700 {path}"
    if not path.is_dir():
        yield problem("Data directory", f"{path} is not there, or is no directory.", make)
        return
    found = path.stat()
    if found.st_uid != os.geteuid():
        words = f"{path} belongs to another user (number {found.st_uid})."
        yield problem("Data directory", words, _ownership(path, found.st_uid))
    if found.st_mode & _OTHERS_BITS:
        words = f"Other users can look into {path}, which holds patient data."
        yield warning("Data directory", words, f"chmod 700 {path}")
    if (why := why_not_writable(path)) is not None:
        remedy = f"Let the user who runs ADIT write there, and look whether the disk is mounted read-only: {path}"
        yield problem("Data directory", f"Nothing can be written to {path}: {why}.", remedy)
    else:
        yield ok("Data directory", f"{path} can be written to.")


def disk(settings: Settings) -> Iterator[Finding]:
    """Look how much room is left where the spool, the logs and perhaps the database are."""
    if not settings.data_dir.is_dir():
        return
    usage = shutil.disk_usage(settings.data_dir)
    told = f"{readable(usage.free)} of {readable(usage.total)} are free where {settings.data_dir} is."
    reserve = settings.spool_reserve_mb * 1_000_000
    remedy = "Free some space there, or move the data directory to a larger disk."
    if usage.free < reserve:
        yield problem("Disk", f"{told} No transfer begins with less than {readable(reserve)}.", remedy)
    elif usage.free < reserve + _LITTLE_BYTES:
        yield warning("Disk", told, remedy)
    else:
        yield ok("Disk", told)


def file_system(settings: Settings) -> Iterator[Finding]:
    """Look whether an SQLite database lies on a file system over a network, where it would be damaged."""
    if settings.database_file is None:
        return
    kind = kind_of(settings.database_file.parent)
    if kind.startswith(_NETWORK):
        remedy = "Move the data directory to a disk of this machine, or use PostgreSQL (ADIT_DATABASE_URL)."
        yield problem("File system", f"The SQLite database lies on {kind}, where its locks do not hold.", remedy)
    else:
        yield ok("File system", f"The SQLite database lies on {kind or 'a file system of an unknown kind'}.")


def secrets(settings: Settings) -> Iterator[Finding]:
    """Look whether others can read the secrets that lie in the data directory."""
    for name in ("master.key", "prefect.auth"):
        path = settings.data_dir / name
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & _OTHERS_BITS:
            yield problem(
                "Secrets", f"Other users can read {path}.", f"chmod 600 {path}, and consider it known to them."
            )


def converter(_settings: Settings) -> Iterator[Finding]:
    """Look whether this machine can convert to NIfTI."""
    if nifti.is_installed():
        yield ok("NIfTI", f"{nifti.PROGRAM} is there.")
    else:
        words = (
            f"This machine has no {nifti.PROGRAM}: jobs that convert to NIfTI fail here, and the gateway gives none."
        )
        yield warning("NIfTI", words, f"Install it where workers and web pages run (Debian: {nifti.PROGRAM}).")


def spool(settings: Settings) -> Iterator[Finding]:
    """Look for data in transit that has been lying in the spool for a day."""
    before = time.time() - _LEFT_FOR_S
    old = [path for path in _files(settings.spool_dir) if path.lstat().st_mtime < before]
    if old:
        remedy = "Start the receiver, which sweeps its inbox, and see that the scheduled work spool-sweep runs."
        words = f"{len(old)} files of patients have been lying in {settings.spool_dir} for more than a day."
        yield warning("Spool", words, remedy)
    else:
        yield ok("Spool", "Nothing was left behind.")


def why_not_writable(path: Path) -> str | None:
    """Why no file can be made in a directory; None when one can."""
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".adit-doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return reason_of(error)
    return None


def kind_of(path: Path) -> str:
    """The kind of file system a path lies on (``man 5 proc``, mountinfo); empty when nobody knows."""
    best, kind = Path(), ""
    real = path.resolve()
    for line in MOUNTS.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        place = Path(before.split()[4].encode().decode("unicode_escape"))
        if (real == place or place in real.parents) and len(place.parts) >= len(best.parts):
            best, kind = place, after.split()[0]
    return kind


def _ownership(path: Path, owner: int) -> str:
    """How the one who runs adit becomes the one who owns a directory; root gives away nothing for that."""
    if os.geteuid() != 0:
        return f"Run adit as the user who owns it, or give it away: chown -R {os.geteuid()} {path}"
    try:
        name = path.owner()
    except KeyError:
        name = f"'#{owner}'"
    return f"Run adit as the user who owns it: sudo -u {name} adit doctor"


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)
