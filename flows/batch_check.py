"""The flow of the check of a batch transfer.

Requires: a job of this kind in the database; its source, and a destination that is a server, reachable from the worker.
"""

from prefect import flow
from prefect.client.schemas.objects import State

from flows.questions import run_questions
from models.domain.jobs import JobKind


@flow(name="batch-check", flow_run_name="batch-check-job-{job_id}", persist_result=False, log_prints=False)
def batch_check(job_id: int) -> State[None]:
    """Look up what one batch transfer would move, row by row, before anything is moved."""
    return run_questions(JobKind.BATCH_CHECK, job_id)
