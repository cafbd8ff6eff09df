"""The program of one flow run: Prefect's own engine, without its heartbeats.

At the end of a flow run Prefect waits for the thread of its heartbeats, which looks up once a second, so that each run
would end half a second late (3.8.8). Prefect's environment variable cannot switch them off. Nobody misses them:
whether a job is alive is told by the leases of its items.
"""

import runpy
from collections.abc import Generator
from contextlib import contextmanager

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings


@contextmanager
def without_heartbeats() -> Generator[None]:
    """Let flow runs that begin in the context send no heartbeats."""
    with temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


if __name__ == "__main__":
    with without_heartbeats():
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
