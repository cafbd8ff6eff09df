"""What a transfer would move, as the source tells before anything is asked for in earnest."""

from dataclasses import dataclass, replace

from models.domain.plans import LeftOutSeries
from models.domain.quotas import Usage
from models.domain.refs import SeriesFound, StudyFound, known_total
from models.domain.requests import StudyWish


@dataclass(frozen=True, slots=True)
class PreviewedSeries:
    """A series that would be moved. ``instance_count`` is None where the source neither counts nor lists.

    ``size_bytes`` is a rough estimate, ``note`` what the profile may do with it.
    """

    series: SeriesFound
    instance_count: int | None
    size_bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class PreviewedStudy:
    """What would become of one wish; ``problem`` says why nothing of it could be moved, and is empty otherwise."""

    wish: StudyWish
    study: StudyFound | None = None
    series: tuple[PreviewedSeries, ...] = ()
    left_out: tuple[LeftOutSeries, ...] = ()
    problem: str = ""

    @property
    def instance_count(self) -> int | None:
        """How many instances would be moved, or None where the source does not tell of all series."""
        return known_total(series.instance_count for series in self.series)

    @property
    def size_bytes(self) -> int:
        return sum(series.size_bytes for series in self.series)


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of every wish, in their order. ``usage`` is that of a destination folder, None for a server."""

    studies: tuple[PreviewedStudy, ...]
    usage: Usage | None = None

    @property
    def instance_count(self) -> int | None:
        """How many instances would be moved, or None where the source does not tell of all."""
        return known_total(study.instance_count for study in self.studies)

    @property
    def size_bytes(self) -> int:
        return sum(study.size_bytes for study in self.studies)

    @property
    def has_room(self) -> bool:
        """Whether the destination's quota has room for about so much."""
        left = None if self.usage is None else self.usage.left_bytes
        return left is None or self.size_bytes <= left

    @property
    def problems(self) -> tuple[str, ...]:
        """Why some of it cannot be moved as wished, a sentence each; the rows are counted from 1."""
        found = [f"Study {row}: {study.problem}" for row, study in enumerate(self.studies, start=1) if study.problem]
        if self.usage is not None and not self.has_room:
            found.append(f"The folder {self.usage.folder_name} has not enough room within its quota for about so much.")
        return tuple(found)

    @property
    def wishes(self) -> tuple[StudyWish, ...]:
        """The wishes with about how much of each will arrive, which a request should tell for the quota."""
        return tuple(replace(study.wish, expected_bytes=study.size_bytes) for study in self.studies)
