"""Prefect without heartbeats."""

from prefect import flow
from prefect.flow_engine import FlowRunEngine

from deployments.heartbeats import without_heartbeats


@flow
def some_flow() -> None: ...


def test_a_flow_run_has_no_heartbeats_to_wait_for_at_its_end() -> None:
    engine = FlowRunEngine(flow=some_flow)
    assert engine.heartbeat_seconds is not None
    with without_heartbeats():
        assert engine.heartbeat_seconds is None
