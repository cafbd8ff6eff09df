"""Plays competitors in rounds, in a new random order each round, and sums up what they cost. Knows no DICOM."""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

Name = TypeVar("Name", bound=str)

SLOW_ROUNDS = 2
"""A slow competitor runs in these first rounds only."""


class RunError(Exception):
    """A run that did not do its whole work; its times mean nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run cost, in seconds and megabytes (10^6 bytes); None where nothing was measured.

    ``other_cores`` is how many cores were on average busy with anything else, Prefect's server, imports and
    strangers: it tells how far a wall time can be trusted.
    """

    wall_s: float
    cpu_s: float | None = None
    source_cpu_s: float | None = None
    destination_cpu_s: float | None = None
    peak_rss_mb: float | None = None
    other_cores: float | None = None


@dataclass
class Record:
    """The runs of one competitor, and why others of its runs do not count."""

    runs: list[Run] = field(default_factory=list[Run])
    failures: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the runs of one competitor, with the extremes of the wall time."""

    wall_s: float
    wall_min_s: float
    wall_max_s: float
    cpu_s: float | None
    source_cpu_s: float | None
    destination_cpu_s: float | None
    peak_rss_mb: float | None
    other_cores: float | None
    runs: int


def play(
    competitors: Mapping[Name, Callable[[], Run]],
    rounds: int,
    chance: random.Random,
    slow_s: float = 15.0,
    say: Callable[[str], None] = lambda _text: None,
) -> dict[Name, Record]:
    """Run every competitor once per round, those slower than ``slow_s`` in the first two rounds only.

    A competitor that raises RunError keeps its place: the others are still measured, and so is its next round.
    """
    records = {name: Record() for name in competitors}
    for number in range(1, rounds + 1):
        order = list(competitors)
        chance.shuffle(order)
        for name in order:
            if _is_excused(records[name], number, slow_s):
                continue
            say(f"round {number}: {name} {_run_once(competitors[name], records[name])}")
    return records


def _is_excused(record: Record, number: int, slow_s: float) -> bool:
    return number > SLOW_ROUNDS and bool(record.runs) and min(run.wall_s for run in record.runs) > slow_s


def _run_once(run: Callable[[], Run], record: Record) -> str:
    try:
        result = run()
    except RunError as failed:
        record.failures.append(str(failed))
        return f"failed: {failed}"
    record.runs.append(result)
    return f"{result.wall_s:.2f} s"


def summary(record: Record) -> Summary | None:
    """The medians of the runs that count, or None when there is none."""
    if not record.runs:
        return None
    walls = [run.wall_s for run in record.runs]
    return Summary(
        statistics.median(walls),
        min(walls),
        max(walls),
        _median([run.cpu_s for run in record.runs]),
        _median([run.source_cpu_s for run in record.runs]),
        _median([run.destination_cpu_s for run in record.runs]),
        _median([run.peak_rss_mb for run in record.runs]),
        _median([run.other_cores for run in record.runs]),
        len(walls),
    )


def summaries(records: Mapping[Name, Record]) -> dict[Name, Summary]:
    """Name -> summary of every competitor that has at least one run that counts."""
    found = {name: summary(record) for name, record in records.items()}
    return {name: item for name, item in found.items() if item is not None}


def as_json(records: Mapping[Name, Record]) -> dict[str, object]:
    """Every single run, ready for ``json.dumps``."""
    return {name: asdict(record) for name, record in records.items()}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
