"""What servers answer to the rows of a batch file, and what a check says of each row before anything is moved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from models.domain.jobs import State
from models.domain.refs import SeriesFound, StudyFound


class RowVerdict(StrEnum):
    """What a check says of a row. Only ``found`` is moved, and ``already_there`` where somebody wants it again."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"
    MISMATCH = "mismatch"
    EXCLUDED = "excluded"
    ALREADY_THERE = "already_there"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """One study that a server has for a row, or one series of it where the row asked for series."""

    study: StudyFound
    series: SeriesFound | None = None

    @property
    def instance_count(self) -> int | None:
        """How many instances it has, None where the server does not tell."""
        return self.study.instance_count if self.series is None else self.series.instance_count


@dataclass(frozen=True, slots=True)
class CheckedStudy:
    """What a check says of one study that a file asks for. ``series`` are those that would be moved.

    ``instance_count`` is None where the source neither counts nor lists; ``size_bytes`` is a rough estimate.
    """

    verdict: RowVerdict
    sentence: str
    study: StudyFound | None = None
    series: tuple[SeriesFound, ...] = ()
    instance_count: int | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One line of the results of a batch query: an answer, or why there is none, then ``answer`` is None.

    ``lines`` and ``row_id`` say which rows of the file asked, ``pseudonym`` is what stood there.
    """

    item_id: int
    lines: tuple[int, ...]
    row_id: str
    source_id: int
    state: State
    message: str
    pseudonym: str = ""
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """What a check says of the rows of one study; ``verdict`` is None as long as nobody has looked."""

    item_id: int
    lines: tuple[int, ...]
    row_id: str
    verdict: RowVerdict | None
    sentence: str
    pseudonym: str = ""
    study: StudyFound | None = None
    series: tuple[SeriesFound, ...] = ()
    series_uids: tuple[str, ...] = ()
    """The series that the file names; empty when it asks for the whole study."""
    instance_count: int | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """How many studies, and of the found ones about how much: one line of a check's outcome."""

    studies: int = 0
    instances: int = 0
    size_bytes: int = 0
    uncounted: int = 0
    """Studies of which the source does not tell how many instances they have."""


@dataclass(frozen=True, slots=True)
class Tallies:
    """What a check has found so far; ``waiting`` studies nobody has looked at yet."""

    of: Mapping[RowVerdict, Tally] = field(default_factory=dict[RowVerdict, Tally])
    waiting: int = 0
