"""Counts failed items by the code of their error: of one job, and at each node within a short time."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, select

from models.db.engine import Database
from models.db.tables import ItemRow, NodeRow
from models.domain.alarms import Ends
from models.domain.jobs import State

_ENDS = (State.SUCCESS, State.WARNING, State.FAILURE)
"""What says something about a node; that items were canceled does not."""


class FailureStore:
    """Failed items as numbers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of_job(self, job_id: int) -> Counter[str]:
        """How many items of a job have failed, by the code of their error; empty for an error without one."""
        failed = select(ItemRow.error_code, func.count()).where(
            ItemRow.job_id == job_id, ItemRow.state == State.FAILURE
        )
        with self._db.reading() as session:
            return Counter(dict(session.execute(failed.group_by(ItemRow.error_code)).all()))

    def ends_since(self, since: datetime) -> Mapping[int, Ends]:
        """How items have ended since then, by the id of each node that was their source or destination.

        The time alone is asked for: with the states, SQLite would go through all items that ever had them.
        """
        ended = (
            select(ItemRow.source_id, ItemRow.destination_id, ItemRow.state, ItemRow.error_code, func.count())
            .where(ItemRow.ended_at >= since)
            .group_by(ItemRow.source_id, ItemRow.destination_id, ItemRow.state, ItemRow.error_code)
        )
        totals: Counter[int] = Counter()
        failures: dict[int, Counter[str]] = defaultdict(Counter)
        with self._db.reading() as session:
            names = dict(session.execute(select(NodeRow.id, NodeRow.name)).all())
            for source_id, destination_id, state, code, count in session.execute(ended):
                if state not in _ENDS:
                    continue
                for node_id in {source_id, destination_id or source_id}:
                    totals[node_id] += count
                    if state is State.FAILURE:
                        failures[node_id][code] += count
        return {node_id: Ends(names.get(node_id, "?"), total, failures[node_id]) for node_id, total in totals.items()}
