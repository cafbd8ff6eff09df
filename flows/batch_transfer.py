"""The flow of a batch transfer.

Requires: a job of this kind in the database, or a request that becomes one; its source and destination reachable from
the worker.
"""

from prefect import flow
from prefect.client.schemas.objects import State

from flows.items import run_transfer
from flows.requests import RequestedTransfer, run_name
from models.domain.jobs import JobKind


@flow(name="batch-transfer", flow_run_name=run_name, persist_result=False, log_prints=False)
def batch_transfer(job_id: int | None = None, request: RequestedTransfer | None = None) -> State[None]:
    """Move the studies of one job: query, retrieve, pseudonymize, store and confirm each of them.

    Either the number of a job is given, or a request, which becomes one.
    """
    return run_transfer(JobKind.BATCH_TRANSFER, job_id, request)
