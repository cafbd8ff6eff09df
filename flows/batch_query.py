"""The flow of a batch query.

Requires: a job of this kind in the database; the servers that it asks reachable from the worker.
"""

from prefect import flow
from prefect.client.schemas.objects import State

from flows.questions import run_questions
from models.domain.jobs import JobKind


@flow(name="batch-query", flow_run_name="batch-query-job-{job_id}", persist_result=False, log_prints=False)
def batch_query(job_id: int) -> State[None]:
    """Look up the rows of one batch query: patients, their studies, and series where a row asks for some."""
    return run_questions(JobKind.BATCH_QUERY, job_id)
