"""Works on one job and prints what that cost: ``python -m tests.benchmarks.run_job prefect|plain JOB_ID``.

The clock starts after all imports; those that Prefect puts off until its first flow runs are done here too.
"""

import json
import sys
import time
from collections.abc import Callable

import fastapi.encoders  # noqa: F401  (imported by Prefect when a flow begins)

from deployments.heartbeats import without_heartbeats
from dicom.quiet import silence_libraries
from flows.batch_transfer import batch_transfer
from flows.items import work_through
from flows.selective_transfer import selective_transfer
from flows.steps import as_function
from models.db.engine import Database, open_database
from models.domain.jobs import JobKind
from models.settings import settings
from services import work
from tests.benchmarks.processes import own_peak_rss_mb

_FLOWS = {JobKind.SELECTIVE_TRANSFER: selective_transfer, JobKind.BATCH_TRANSFER: batch_transfer}


def main(way: str, job_id: int) -> None:
    """Run the job's flow against the Prefect server of the environment, or the engine below it alone."""
    db = open_database(settings())
    action = _flow(db, job_id) if way == "prefect" else _engine(db, job_id)
    started, cpu_started = time.perf_counter(), time.process_time()
    action()
    cost = {
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu_started,
        "peak_rss_mb": own_peak_rss_mb(),
        "items": {state.value: count for state, count in work.progress(db, job_id).counts.items()},
    }
    print(json.dumps(cost))


def _flow(db: Database, job_id: int) -> Callable[[], object]:
    flow = _FLOWS[work.job(db, job_id).kind]

    def run() -> None:
        with without_heartbeats():
            flow(job_id, return_state=True)

    return run


def _engine(db: Database, job_id: int) -> Callable[[], object]:
    def run() -> None:
        silence_libraries()
        work_through(db, settings(), job_id, as_function)

    return run


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
