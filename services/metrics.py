"""The figures that Prometheus collects: asked of the database when it comes, not what some process remembers.

Labels name nodes, programs, machines and kinds, never people: no user, patient, UID, pseudonym or path.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from models.db.engine import Database
from models.db.holding import HoldingStore
from models.db.measures import UNENDED_ITEMS, UNENDED_JOBS, Backlog, Counts, MeasureStore
from models.db.nodes import NodeStore
from models.db.project import ProjectStore
from models.db.quotas import QuotaStore
from models.db.signs import SignStore
from models.db.totals import Route, TotalStore
from models.domain import windows
from models.domain.errors import AditError
from models.domain.jobs import JobKind, State
from models.domain.nodes import Server
from models.domain.quotas import Usage
from models.settings import Settings
from services import prefect_status

_ROUTE = ("kind", "source", "destination")


def exposition(db: Database, settings: Settings) -> bytes:
    """All figures in Prometheus' text format.

    Takes some questions to the database, and one to Prefect's API, which may be gone. Raises Unreachable or PeerBusy
    when the database does not answer.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected([*_families(db, settings)]))
    return generate_latest(registry)


class _Collected(Collector):
    """Figures that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(db: Database, settings: Settings) -> Iterator[Metric]:
    yield _gauge("adit_info", "The version of the web process; always 1.", ["version"], {(version("adit"),): 1})
    yield from _totals(TotalStore(db))
    yield from _queue(db)
    yield from _servers(db)
    yield from _folders(QuotaStore(db).usages())
    yield from _backlogs(db)
    yield from _programs(db)
    yield from _chores(MeasureStore(db))
    yield from _prefect(settings)


def _totals(totals: TotalStore) -> Iterator[Metric]:
    """Counters: they go on over restarts, and nothing is taken off when a job is deleted."""
    attempts = CounterMetricFamily(
        "adit_attempts", "Attempts of items that have ended, by what became of the item.",
        labels=[*_ROUTE, "state", "error_code"],
    )  # fmt: skip
    times: dict[Route, tuple[int, float]] = {}
    for total in totals.attempts():
        attempts.add_metric([*_labels(total.route), total.state.value, total.error_code], total.attempts)
        count, seconds = times.get(total.route, (0, 0.0))
        times[total.route] = count + total.attempts, seconds + total.seconds
    yield attempts
    took = SummaryMetricFamily("adit_attempt_seconds", "How long attempts took.", labels=_ROUTE)
    for route, (count, seconds) in times.items():
        took.add_metric(_labels(route), count, seconds)
    yield took
    instances = CounterMetricFamily("adit_delivered_instances", "Instances stored at destinations.", labels=_ROUTE)
    delivered = CounterMetricFamily("adit_delivered_bytes", "Bytes stored at destinations.", labels=_ROUTE)
    for delivery in totals.deliveries():
        instances.add_metric(_labels(delivery.route), delivery.instances)
        delivered.add_metric(_labels(delivery.route), delivery.size_bytes)
    yield instances
    yield delivered


def _queue(db: Database) -> Iterator[Metric]:
    measures, held_back = MeasureStore(db), HoldingStore(db).reasons()
    yield _counts("adit_jobs", "Jobs that have not ended.", measures.jobs(), UNENDED_JOBS)
    yield _counts("adit_items", "Items that have not ended.", measures.items(), UNENDED_ITEMS)
    yield _single(
        "adit_oldest_waiting_job_seconds",
        "For how long the job waits that waits for longest, though something of it is due; 0 when none does.",
        _age(measures.waiting_since(held_back), db.clock()),
    )
    yield _single(
        "adit_items_held_back",
        "Items that wait for stopped or closed servers, or for folders that take nothing.",
        measures.held_back(held_back),
    )
    yield _single("adit_instances_held", "Instances that wait for a person's review.", measures.held_instances())
    yield _single("adit_maintenance", "1 during maintenance, else 0.", ProjectStore(db).get().maintenance)


def _servers(db: Database) -> Iterator[Metric]:
    taken, closed = MeasureStore(db).associations(), HoldingStore(db).reasons()
    servers = [node for node in NodeStore(db).list(with_credentials=False) if isinstance(node, Server)]
    yield _gauge(
        "adit_associations", "Places taken in the budgets of servers.", ["node"],
        {(server.name,): taken.get(server.id, 0) for server in servers},
    )  # fmt: skip
    yield _gauge(
        "adit_association_budget", "The budgets of servers at this hour.", ["node"],
        {(server.name,): _budget(db, server) for server in servers},
    )  # fmt: skip
    yield _gauge(
        "adit_server_open", "1 while transfers may use a server, 0 while it is stopped or closed.", ["node"],
        {(server.name,): server.id not in closed for server in servers},
    )  # fmt: skip


def _budget(db: Database, server: Server) -> int:
    return windows.budget_at(server.budget_rules, server.association_budget, db.clock(), db.zone)


def _folders(usages: Iterable[Usage]) -> Iterator[Metric]:
    known = {(usage.folder_name,): usage for usage in usages}
    figures: Mapping[str, tuple[str, Mapping[tuple[str, ...], float | None]]] = {
        "used_bytes": ("Measured, settled since and reserved.", {n: u.used_bytes for n, u in known.items()}),
        "reserved_bytes": ("What jobs may still write.", {n: u.reserved_bytes for n, u in known.items()}),
        "quota_bytes": ("What may lie there; absent without a quota.", {n: u.quota_bytes for n, u in known.items()}),
        "warn_at_bytes": ("From here on administrators are told.", {n: u.warn_at_bytes for n, u in known.items()}),
        "measured_timestamp_seconds": ("The last walk.", {n: _seconds(u.measured_at) for n, u in known.items()}),
    }
    for name, (words, values) in figures.items():
        there = {labels: value for labels, value in values.items() if value is not None}
        yield _gauge(f"adit_folder_{name}", words, ["node"], there)


def _backlogs(db: Database) -> Iterator[Metric]:
    measures, now = MeasureStore(db), db.clock()
    yield from _backlog("mail", "Mails that wait to be sent", measures.mails(), now)
    yield from _backlog("notice", "What webhooks wait to be told", measures.notices(), now)


def _backlog(what: str, words: str, backlog: Backlog, now: datetime) -> Iterator[Metric]:
    yield _single(f"adit_{what}s_waiting", f"{words}.", backlog.count)
    yield _single(f"adit_oldest_{what}_seconds", f"{words}: the age of the oldest.", _age(backlog.oldest_at, now))


def _programs(db: Database) -> Iterator[Metric]:
    signs = {(sign.program, sign.machine, sign.version): sign.seen_at.timestamp() for sign in SignStore(db).list()}
    words = "When a program was last heard of; one that has ended as it should is absent."
    yield _gauge("adit_program_seen_timestamp_seconds", words, ["program", "machine", "version"], signs)


def _chores(measures: MeasureStore) -> Iterator[Metric]:
    chores = measures.chores()
    begun = {(chore.name,): chore.started_at.timestamp() for chore in chores}
    yield _gauge("adit_chore_begun_timestamp_seconds", "When scheduled work began last.", ["chore"], begun)
    done = {(chore.name,): chore.succeeded_at.timestamp() for chore in chores if chore.succeeded_at}
    yield _gauge("adit_chore_done_timestamp_seconds", "When it ended well last.", ["chore"], done)
    failed = {(chore.name,): chore.has_failed for chore in chores}
    yield _gauge("adit_chore_failed", "1 when its last end was a failure, else 0.", ["chore"], failed)


def _prefect(settings: Settings) -> Iterator[Metric]:
    heard: Mapping[str, datetime] | None = None
    with suppress(AditError):
        heard = prefect_status.workers(settings)
    yield _single("adit_prefect_up", "1 when Prefect's API answers, else 0.", heard is not None)
    signs = {(name,): at.timestamp() for name, at in (heard or {}).items()}
    yield _gauge("adit_worker_seen_timestamp_seconds", "When Prefect last heard of a worker.", ["worker"], signs)


def _counts(name: str, words: str, counts: Counts, states: Iterable[State]) -> GaugeMetricFamily:
    """A figure for each kind and state, also where it is 0."""
    every = {(kind.value, state.value): counts.get((kind, state), 0) for kind in JobKind for state in states}
    return _gauge(name, words, ["kind", "state"], every)


def _single(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)


def _gauge(name: str, words: str, labels: list[str], values: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=labels)
    for told, value in values.items():
        family.add_metric(told, float(value))
    return family


def _labels(route: Route) -> tuple[str, str, str]:
    return route.kind.value, route.source, route.destination


def _age(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0) if since else 0.0


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
