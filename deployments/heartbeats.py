"""Prefect's heartbeats of flow runs, of which ours have none."""

from collections.abc import Generator
from contextlib import contextmanager

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings


@contextmanager
def without_heartbeats() -> Generator[None]:
    """Let flow runs that begin in the context send no heartbeats.

    At the end of a flow run Prefect waits for the thread of its heartbeats, which looks up once a second, so that each
    run would end half a second late (3.8.8). Its environment variable cannot switch them off. Nobody misses them:
    whether a job is alive is told by the leases of its items.
    """
    with temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
