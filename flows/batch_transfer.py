"""The flow of a batch transfer.

Requires: a job of this kind in the database; its source and destination reachable from the worker.
"""

from prefect import flow
from prefect.client.schemas.objects import State

from flows.items import run_items


@flow(name="batch-transfer", flow_run_name="batch-transfer-job-{job_id}", persist_result=False, log_prints=False)
def batch_transfer(job_id: int) -> State[None]:
    """Move the studies of one job: query, retrieve, pseudonymize, store and confirm each of them."""
    return run_items(job_id)
