"""Counts attempts and deliveries in the transaction in which they end: counters that outlive jobs and never go back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Select, Table, func, literal, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from models.db.engine import Database
from models.db.tables import AttemptTotalRow, DeliveryTotalRow, ItemRow, JobRow, NodeRow
from models.domain.jobs import JobKind, State

_NODES = NodeRow.__table__
_SOURCE, _DESTINATION = _NODES.alias("source"), _NODES.alias("destination")


@dataclass(frozen=True, slots=True)
class Route:
    """What kind of job went from where to where; nodes by the names they had. ``destination`` is empty for a query."""

    kind: JobKind
    source: str
    destination: str


@dataclass(frozen=True, slots=True)
class AttemptTotal:
    """Attempts of one route that have ended in one way. ``pending`` means: to be tried again."""

    route: Route
    state: State
    error_code: str
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DeliveryTotal:
    """What was stored at the end of one route."""

    route: Route
    instances: int
    size_bytes: int


class TotalStore:
    """What was counted since ever."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def attempts(self) -> tuple[AttemptTotal, ...]:
        """Ended attempts by route, state and error code."""
        with self._db.reading() as session:
            rows = session.scalars(select(AttemptTotalRow))
            return tuple(
                AttemptTotal(_route(row), row.state, row.error_code, row.attempts, row.seconds) for row in rows
            )

    def deliveries(self) -> tuple[DeliveryTotal, ...]:
        """Stored instances and bytes by route."""
        with self._db.reading() as session:
            rows = session.scalars(select(DeliveryTotalRow))
            return tuple(DeliveryTotal(_route(row), row.instances, row.size_bytes) for row in rows)


def count_attempt(session: Session, item: ItemRow, state: State, error_code: str, now: datetime) -> None:
    """Count an attempt that ends now, with how long it took."""
    seconds = max((now - item.started_at).total_seconds(), 0.0) if item.started_at else 0.0
    told = {"state": state, "error_code": error_code, "attempts": 1, "seconds": seconds}
    _count(session, AttemptTotalRow, item.id, told, ("attempts", "seconds"))


def count_delivery(session: Session, item_id: int, instances: int, size_bytes: int) -> None:
    """Count what was stored for an item since it was counted last; nothing is taken off for what is gone again."""
    if instances > 0 or size_bytes > 0:
        told = {"instances": max(instances, 0), "size_bytes": max(size_bytes, 0)}
        _count(session, DeliveryTotalRow, item_id, told, tuple(told))


def _count(
    session: Session,
    table: type[AttemptTotalRow | DeliveryTotalRow],
    item_id: int,
    told: dict[str, Any],
    summed: tuple[str, ...],
) -> None:
    """Add to the row of the item's route, or make it, by one statement."""
    columns = table.__table__.c
    values = [literal(value, columns[name].type) for name, value in told.items()]
    row = _route_of(item_id).add_columns(*values)
    if session.connection().dialect.name == "sqlite":
        insert = sqlite.insert(table)
    else:
        from sqlalchemy.dialects import postgresql  # by now its engine has loaded it; others need not: it is large

        insert = postgresql.insert(table)
    insert = insert.from_select(["kind", "source", "destination", *told], row)
    key = [column.name for column in _table(table).primary_key]
    added = {name: columns[name] + insert.excluded[name] for name in summed}
    session.execute(insert.on_conflict_do_update(index_elements=key, set_=added))


def _route_of(item_id: int) -> Select[JobKind, Any, Any]:
    return (
        select(JobRow.kind, _SOURCE.c.name, func.coalesce(_DESTINATION.c.name, ""))
        .join(ItemRow, ItemRow.job_id == JobRow.id)
        .join(_SOURCE, _SOURCE.c.id == ItemRow.source_id)
        .outerjoin(_DESTINATION, _DESTINATION.c.id == ItemRow.destination_id)
        .where(ItemRow.id == item_id)
    )


def _route(row: AttemptTotalRow | DeliveryTotalRow) -> Route:
    return Route(row.kind, row.source, row.destination)


def _table(row: type[AttemptTotalRow | DeliveryTotalRow]) -> Table:
    return cast(Table, row.__table__)
