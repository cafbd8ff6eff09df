"""How much a folder may hold, how much of that is taken, and how to say it to people. A GB is 10^9 bytes."""

from dataclasses import dataclass
from datetime import datetime

from models.domain.errors import OverQuota

GB = 10**9
_LARGEST_SPARE_BYTES = 64_000_000
_SPARE_SHARE = 16
_WELL_BELOW = 0.95
_UNITS = ((10**12, "TB", 10**12), (GB, "GB", GB // 10), (10**6, "MB", 10**5), (10**3, "kB", 0))
"""Bytes and name of each unit, and from how many bytes on it is used."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a folder is: what was found there, what was published since, and what jobs may still write.

    ``measured_at`` is None as long as nobody has looked, and ``measured_bytes`` is 0 then. ``quota_bytes`` and
    ``warn_at_bytes`` are None where none is set.
    """

    folder_id: int
    folder_name: str
    quota_bytes: int | None = None
    measured_bytes: int = 0
    settled_since_bytes: int = 0
    reserved_bytes: int = 0
    warn_at_bytes: int | None = None
    measured_at: datetime | None = None

    @property
    def used_bytes(self) -> int:
        return self.measured_bytes + self.settled_since_bytes + self.reserved_bytes

    @property
    def left_bytes(self) -> int | None:
        """How much may still be promised; None without a quota."""
        return None if self.quota_bytes is None else max(self.quota_bytes - self.used_bytes, 0)

    @property
    def percent(self) -> float | None:
        """How much of the quota is used, more than 100 when people have put more there; None without a quota."""
        return 100 * self.used_bytes / self.quota_bytes if self.quota_bytes else None

    @property
    def warns(self) -> bool:
        """Whether the threshold is reached at which administrators want to be told."""
        return self.warn_at_bytes is not None and self.used_bytes >= self.warn_at_bytes

    @property
    def is_well_below(self) -> bool:
        """Whether it is so far below the threshold that reaching it again is worth another word."""
        return self.warn_at_bytes is None or self.used_bytes < self.warn_at_bytes * _WELL_BELOW

    @property
    def sentence(self) -> str:
        """How full the folder is, in words."""
        told = f"{readable(self.used_bytes)} used"
        if self.quota_bytes is not None:
            told = f"{readable(self.used_bytes)} of {readable(self.quota_bytes)} used ({self.percent or 0:.0f} %)"
        if self.reserved_bytes:
            told += f", {readable(self.reserved_bytes)} of it reserved for jobs"
        return f"{told}." if self.measured_at else f"{told}; not measured yet."


def in_bytes(gigabytes: float | None) -> int | None:
    """The same in bytes; None stays None."""
    return None if gigabytes is None else round(gigabytes * GB)


def warn_at_bytes(quota_gb: float | None, at_gb: float | None, at_percent: float | None) -> int | None:
    """Where the threshold is, which ever is reached first; a percentage is one of the quota. None: there is none."""
    of_quota = None if quota_gb is None or at_percent is None else in_bytes(quota_gb * at_percent / 100)
    return min((at for at in (in_bytes(at_gb), of_quota) if at is not None), default=None)


def check_room(usage: Usage, wanted_bytes: int) -> None:
    """Raise OverQuota unless a new job may reserve so much; a folder that is full takes no job, however small."""
    if usage.left_bytes is None or usage.quota_bytes is None:
        return
    quota = readable(usage.quota_bytes)
    if not usage.left_bytes:
        raise OverQuota(f"Folder {usage.folder_name}: its quota of {quota} is used up.")
    if wanted_bytes > usage.left_bytes:
        needs, has = readable(_rounded_up(wanted_bytes)), readable(_rounded_down(usage.left_bytes))
        raise OverQuota(f"Folder {usage.folder_name}: needs about {needs}, has {has} of its quota of {quota} left.")


def grown(usage: Usage, reserved_bytes: int, needed_bytes: int) -> int:
    """The new size of a reservation of ``reserved_bytes`` that has to be ``needed_bytes``; raises OverQuota.

    It gets some more than it needs, so that a study of many small instances asks seldom; the less is left, the less,
    so that studies that are written at the same time do not take from one another what they will not fill.
    """
    missing = needed_bytes - reserved_bytes
    if missing <= 0:
        return reserved_bytes
    if usage.left_bytes is None or usage.quota_bytes is None:
        return needed_bytes + _LARGEST_SPARE_BYTES
    spare = usage.left_bytes - missing
    if spare < 0:
        raise OverQuota(
            f"Folder {usage.folder_name}: of its quota of {readable(usage.quota_bytes)} no more than "
            f"{readable(_rounded_down(usage.left_bytes))} are left, and the study needs more. "
            "Ask an administrator for more, or for space to be freed, then retry."
        )
    return needed_bytes + min(spare // _SPARE_SHARE, _LARGEST_SPARE_BYTES)


def readable(size_bytes: int) -> str:
    """The size in the largest unit that fits, with one digit behind the point where there is one."""
    if size_bytes <= 0:
        return "0 MB"
    size, name = _unit(size_bytes)
    tenths = max((20 * size_bytes + size) // (2 * size), 1)
    whole, tenth = divmod(tenths, 10)
    return f"{whole}.{tenth} {name}" if tenth else f"{whole} {name}"


def _unit(size_bytes: int) -> tuple[int, str]:
    return next((size, name) for size, name, least in _UNITS if size_bytes >= least)


def _rounded_up(size_bytes: int) -> int:
    """To a tenth of the unit, so that what is needed never reads the same as a little less that is left."""
    tenth = _unit(size_bytes)[0] // 10
    return -(-size_bytes // tenth) * tenth


def _rounded_down(size_bytes: int) -> int:
    tenth = _unit(size_bytes)[0] // 10
    return size_bytes // tenth * tenth
