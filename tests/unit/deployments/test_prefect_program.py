"""Prefect's server can insert the flow runs that its schedules ask for."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from prefect.server.database.orm_models import Flow, FlowRun
from prefect.server.schemas.states import Scheduled, StateType
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import Session

from deployments.prefect_program import mend_schedules

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of Prefect's own types


@pytest.fixture
def a_session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, Session(connection) as session:
        for table in (Flow.__table__, FlowRun.__table__):
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            connection.exec_driver_sql(f"CREATE TABLE {table.name} ({columns})")
        yield session
    engine.dispose()


def test_runs_are_inserted_as_prefects_scheduler_does_it(a_session: Session) -> None:
    """The keys are those of ``_generate_scheduled_flow_runs``, with the state among them."""
    now = datetime.now(UTC)
    runs = [
        {
            "id": uuid4(),
            "flow_id": uuid4(),
            "idempotency_key": f"scheduled {n}",
            "state": Scheduled(scheduled_time=now).model_dump(),
            "state_type": StateType.SCHEDULED,
            "state_name": "Scheduled",
            "next_scheduled_start_time": now,
            "expected_start_time": now,
        }
        for n in range(2)
    ]
    mend_schedules()
    a_session.execute(insert(FlowRun), runs)
    found = a_session.execute(select(FlowRun.idempotency_key, FlowRun.state_type)).all()
    assert [tuple(row) for row in found] == [(f"scheduled {n}", StateType.SCHEDULED) for n in range(2)]
