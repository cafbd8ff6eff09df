"""Batches of many small studies: what an item costs through Prefect and without it, and whether that grows."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from deployments.demo import studies
from deployments.demo.cases import FIRST_NUMBER
from tests.benchmarks.adit import Adit
from tests.benchmarks.contenders import Contender
from tests.benchmarks.corpora import Corpus, Study
from tests.benchmarks.prefect_server import PrefectServer
from tests.benchmarks.processes import cpu_s, peak_rss_mb
from tests.benchmarks.rounds import Run
from tests.benchmarks.site import Site
from tests.benchmarks.tables import markdown, number

INSTANCES, ROWS = 3, 64
"""Of each study and image: so little that all that is paid for each study stands out."""
_TEMPLATE = 50_000
"""The number of the study of which all others are copies; larger than theirs."""
WAYS = (Contender.ENGINE, Contender.ADIT)
_SETTLED_WITHIN_S = 300.0
_PARTS = 5


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What one batch cost. ``first`` and ``last`` are items per second in the first and the last fifth of the items.

    ``settle_s`` is how long Prefect's server went on writing task runs down after the flow had ended.
    """

    way: str
    lanes: int
    items: int
    run: Run
    first: float
    last: float
    database_mb: float
    prefect_mb: float | None = None
    server_cpu_s: float | None = None
    server_peak_rss_mb: float | None = None
    settle_s: float | None = None
    task_runs: int | None = None


def make(directory: Path, items: int, instances: int = INSTANCES) -> Corpus:
    """Write a batch of so many studies of one series, each of another patient; they differ in nothing but numbers."""
    first = studies.write_ct(
        directory / "template", _TEMPLATE, _TEMPLATE, instances=(instances,), rows=ROWS, columns=ROWS
    )
    contents = [file.read_bytes() for file in first.files]
    files = [_written(directory / f"{n}-{k}.dcm", c, n) for n in range(1, items + 1) for k, c in enumerate(contents)]
    known = [Study(_renumbered(first.study_uid, n), _renumbered(first.patient_id, n)) for n in range(1, items + 1)]
    return Corpus("batch", tuple(files), tuple(known), sum(file.stat().st_size for file in files) / 1e6)


def _written(file: Path, content: bytes, number: int) -> Path:
    file.write_bytes(_renumbered(content.decode("latin-1"), number).encode("latin-1"))
    return file


def _renumbered(text: str, number: int) -> str:
    """The text with the numbers of another study and patient, as many digits long."""
    own = text.replace(str(FIRST_NUMBER + _TEMPLATE), str(FIRST_NUMBER + number))
    return own.replace(f"{_TEMPLATE:07d}", f"{number:07d}")


def first_studies(corpus: Corpus, count: int) -> Corpus:
    """The first studies of a batch; its files are in the order of its studies."""
    files = corpus.files[: count * len(corpus.files) // len(corpus.studies)]
    size_mb = sum(file.stat().st_size for file in files) / 1e6
    return Corpus(corpus.name, files, corpus.studies[:count], size_mb)


def measured(site: Site, adit: Adit, server: PrefectServer, way: Contender, items: int, lanes: int) -> BatchRun:
    """Transfer the first ``items`` studies in one way, with so many items at a time."""
    part = replace(site, corpus=first_studies(site.corpus, items))
    through_prefect = way is Contender.ADIT
    before_mb, prefect_before_mb = _file_mb(adit.database), _file_mb(server.database)
    task_runs_before, server_cpu_before_s = _task_runs(server.database), _total(server, cpu_s)
    run = part.measured(lambda: adit.transfer(part.corpus, way, {"ADIT_ITEMS_AT_A_TIME": str(lanes)}))
    first, last = _rates(adit.ended_at())
    common = BatchRun(way.value, lanes, items, run, first, last, _file_mb(adit.database) - before_mb)
    if not through_prefect:
        return common
    settle_s = _settled(server)
    return replace(
        common,
        prefect_mb=_file_mb(server.database) - prefect_before_mb,
        server_cpu_s=_total(server, cpu_s) - server_cpu_before_s,
        server_peak_rss_mb=_total(server, peak_rss_mb),
        settle_s=settle_s,
        task_runs=_task_runs(server.database) - task_runs_before,
    )


def table(runs: Sequence[BatchRun]) -> str:
    """The runs, one in a line."""
    heads = ["way", "items", "lanes", "wall s", "items/s", "first fifth", "last fifth", "client CPU ms/item"]
    heads += ["server CPU ms/item", "peak RSS MB", "server peak RSS MB", "kB/item", "Prefect kB/item"]
    heads += ["task runs/item", "settles in s", "cores busy elsewhere"]
    return markdown(heads, [list(_cells(run)) for run in runs])


def as_records(runs: Sequence[BatchRun]) -> dict[str, object]:
    """Every run, ready for ``json.dumps``."""
    return {f"{run.way} {run.items} items {run.lanes} lanes {n}": asdict(run) for n, run in enumerate(runs)}


def _cells(batch: BatchRun) -> Iterator[str]:
    run, items = batch.run, batch.items

    def each(value: float | None, factor: float) -> str:
        return number(None if value is None else value / items * factor, 1)

    yield from (batch.way, str(items), str(batch.lanes), number(run.wall_s, 1), number(items / run.wall_s, 1))
    yield from (number(batch.first, 1), number(batch.last, 1), each(run.cpu_s, 1e3), each(batch.server_cpu_s, 1e3))
    yield from (number(run.peak_rss_mb, 0), number(batch.server_peak_rss_mb, 0))
    yield from (each(batch.database_mb, 1e3), each(batch.prefect_mb, 1e3))
    yield from (each(batch.task_runs, 1), number(batch.settle_s, 0), number(run.other_cores, 1))


def _rates(ended_at: Sequence[datetime]) -> tuple[float, float]:
    """Items per second in the first and in the last part of a batch."""
    moments = sorted(ended_at)
    size = max(len(moments) // _PARTS, 2)
    first, last = moments[:size], moments[-size:]
    return tuple((len(part) - 1) / max((part[-1] - part[0]).total_seconds(), 1e-6) for part in (first, last))  # type: ignore[return-value]


def _file_mb(database: Path) -> float:
    """Of an SQLite database with its log."""
    files = (database, database.with_name(f"{database.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists()) / 1e6


def _task_runs(database: Path) -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        return connection.execute("select count(*) from task_run where state_type = 'COMPLETED'").fetchone()[0]


def _settled(server: PrefectServer) -> float:
    """Wait until the server has nothing more to write down, and return how long that was."""
    begun = time.monotonic()
    seen, quiet_since = -1, begun
    while time.monotonic() - begun < _SETTLED_WITHIN_S and time.monotonic() - quiet_since < 5:
        count = _task_runs(server.database)
        if count != seen:
            seen, quiet_since = count, time.monotonic()
        time.sleep(0.5)
    return quiet_since - begun


def _total(server: PrefectServer, measure: Callable[[int], float]) -> float:
    """Over all processes of the server."""
    return sum(measure(pid) for pid in _members(server.pid))


def _members(group: int) -> list[int]:
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in found if _group_of(pid) == group]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
